"""The sign-off of a data set of approved regions: who approved what, on which evidence. A change of any of it voids the sign-off.

It is written as `sign-off.json`, which the manifest covers, and told on the card. `find_changes` makes it anew from the records.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend.base.redaction import reason_of
from backend.exporters.manifest import find_change
from backend.exporters.request import ExportFilter
from backend.exporters.splits import SplitShares
from backend.review.bound import ErrorBound
from backend.review.regions import ReviewedRegion, read_regions
from backend.review.sign_off import ApprovalBasis, sum_up_approvals
from ris_core.errors import BadInput
from ris_core.output.plain_text import markdown

FILE = "sign-off.json"
ADDED = ("approved_at",)
"""What the sign-offs of earlier versions do not have."""
SignOff = Mapping[str, Any]


def is_signed(export_filter: ExportFilter) -> bool:
    """Whether a data set has a sign-off: nothing is in it but what was approved."""
    return export_filter.review == ("approved",)


def make_sign_off(db: sa.Connection, export_filter: ExportFilter) -> SignOff:
    """The sign-off of a data set, as JSON values: the filter, all of `ApprovalBasis`, and as `regions` a digest of every approved
    region, its mask and its decision.
    """
    regions = list(read_regions(db, export_filter.project))
    approved = [one for one in regions if one.state == "approved"]
    signed = {"filter": asdict(export_filter), **asdict(sum_up_approvals(regions)), "regions": _digest(approved)}
    values: SignOff = json.loads(json.dumps(signed))
    return values


def describe(sign_off: SignOff) -> Iterator[str]:
    """The sign-off in Markdown."""
    sample = [ErrorBound(**one) for one in sign_off["sample"]]
    names = ("approvers", "approved_at", "in_bulk", "model_versions")
    basis = ApprovalBasis(**{name: sign_off[name] for name in names}, sample=sample)
    yield from ("## Sign-off", "", *map(markdown, basis.sentences), "", *(f"- {markdown(one)}" for one in basis.bounds))
    chosen = "; ".join(f"{name} {_in_words(value)}" for name, value in sign_off["filter"].items() if value)
    yield from ("", f"Filter: {markdown(chosen)}. Digest of the approved masks: `{sign_off['regions']}`.")
    yield f"All of this is in `{FILE}`. `ris review verify FOLDER` says whether it still is as it was."
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
    return [name for name in now if now[name] != signed.get(name, now[name] if name in ADDED else None)]


def _in_words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _digest(approved: list[ReviewedRegion]) -> str:
    lines = sorted(
        f"{one.task} {one.region} {one.annotation} {one.mask_sha256} {one.decision and one.decision.id} {one.label} {one.expression}"
        for one in approved
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()
