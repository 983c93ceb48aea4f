"""The sign-off of a data set of approved regions: who approved what, on which evidence. A change of any of it voids the sign-off.

It is written as `sign-off.json`, which the manifest covers, and told on the card. `find_changes` makes it anew from the records.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend.base.redaction import reason_of
from backend.exporters.manifest import find_change
from backend.exporters.request import ExportFilter
from backend.exporters.splits import SplitShares
from backend.review.decisions import BULK
from backend.review.regions import ReviewedRegion, bound_regions, read_regions
from ris_core.errors import BadInput

FILE = "sign-off.json"
SignOff = Mapping[str, Any]


def is_signed(export_filter: ExportFilter) -> bool:
    """Whether a data set has a sign-off: nothing is in it but what was approved."""
    return export_filter.review == ("approved",)


def make_sign_off(db: sa.Connection, export_filter: ExportFilter) -> SignOff:
    """The sign-off of a data set, as JSON values.

    approvers: By number of the user in Label Studio, how many regions each approved; who takes a rejection back approves.
    in_bulk: How many of these nobody looked at.
    sample: What is known of the errors, as `ErrorBound` has it, for each threshold.
    regions: Digest of every approved region, its mask and its decision.
    """
    regions = list(read_regions(db, export_filter.project))
    approved = [one for one in regions if one.state == "approved" and one.decision]
    decisions = [one.decision for one in approved if one.decision]
    signed = {
        "filter": asdict(export_filter),
        "approvers": dict(Counter(str(one.reviewer) for one in decisions)),
        "in_bulk": sum(one.queue == BULK for one in decisions),
        "sample": [asdict(one) for one in bound_regions(regions)],
        "model_versions": sorted({one.model_version for one in approved if one.model_version}),
        "regions": _digest(approved),
    }
    values: SignOff = json.loads(json.dumps(signed))
    return values


def describe(sign_off: SignOff) -> Iterator[str]:
    """The sign-off in Markdown."""
    approvers = (
        ", ".join(f"user {user} ({number:,})" for user, number in sorted(sign_off["approvers"].items())) or "nobody"
    )
    yield from (
        "## Sign-off",
        "",
        f"Approved by {approvers}; {sign_off['in_bulk']:,} of these regions were approved in bulk.",
    )
    yield f"Model versions: {', '.join(sign_off['model_versions']) or '-'}. Filter and digest: `{FILE}`."
    yield "`ris review verify FOLDER` says whether all of this still is as it was."
    for one in sign_off["sample"]:
        yield (
            f"- p >= {one['threshold']:g}: of {one['regions']:,} proposals {one['audited']:,} were audited, {one['wrong']:,} of them "
            f"wrong; with 95 % confidence at most {100 * one['most']:.1f} % are wrong"
        )
    yield ""


def find_changes(db: sa.Connection, project: int, folder: Path) -> list[str]:
    """What is not as it was when a data set was signed off; empty if the sign-off stands.

    Raises:
        BadInput: If the folder has no sign-off, or its files were changed.
    """
    if problem := find_change(folder):
        raise BadInput(f"The sign-off of {folder} cannot be verified: {problem}. Export the data set again.")
    try:
        signed = json.loads((folder / FILE).read_text(encoding="utf-8"))
        given = signed["filter"]
        shares = SplitShares(*given["shares"]) if given["shares"] else None
        lists = {"only": tuple(given["only"]), "review": tuple(given["review"])}
        now = make_sign_off(db, ExportFilter(**{**given, **lists, "shares": shares}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{folder} has no sign-off that can be read ({reason_of(error)}).", "Export it with `--review approved`."
        ) from error
    if given["project"] != project:
        raise BadInput(f"{folder} is of project {given['project']!r}, not of {project}. Give its number.")
    return [name for name in now if now[name] != signed.get(name)]


def _digest(approved: list[ReviewedRegion]) -> str:
    lines = sorted(
        f"{one.task} {one.region} {one.annotation} {one.mask_sha256} {one.decision and one.decision.id} {one.label} {one.expression}"
        for one in approved
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()
