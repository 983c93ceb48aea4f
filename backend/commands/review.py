"""`ris review …`: what a lead decides about regions, and writing approvals to Label Studio."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.base.errors import BadSettings
from backend.base.terminal import Column, Progress, print_table
from backend.commands.corrections_read import open_reconciled
from backend.commands.options import AsJson, AsJsonLines, Offline, Project
from backend.commands.studio import is_known, open_review_client
from backend.settings.environment import Settings, read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.corrections.store import CorrectionStore
    from backend.review.decisions import Decision, State
    from backend.review.listing import ListedRegion
    from backend.review.push import Kind, PushStep

COLUMNS = (
    Column("state", is_fixed=True),
    Column("region", is_fixed=True),
    Column("outcome", is_fixed=True),
    Column("p", is_number=True),
    Column("IoU", is_number=True),
    Column("label"),
    Column("expression"),
    Column("reason"),
)
IS_VOID = 1
"""Exit code of `verify` if the sign-off does not stand."""
STEPS = {"write": "would be written", "done": "nothing to do", "left": "left alone"}

Keys = Annotated[
    list[str], typer.Argument(help="Regions, as `ris review list` prints them: task/region.", metavar="REGION")
]
Reviewer = Annotated[
    int | None,
    typer.Option(
        help="Number of the user in Label Studio who decides; if not given, the user of LABEL_STUDIO_API_KEY."
    ),
]
Comment = Annotated[str | None, typer.Option(help="What the annotator is told.")]
QueueName = Annotated[
    str,
    typer.Option(
        "--queue", help="uncertain, confident but edited, suspicious, audit or to correct; all regions if not given."
    ),
]
Overlooked = Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of wrong regions that reviewers overlook.")]


def list_regions(
    project: Project,
    queue: QueueName = "",
    state: Annotated[
        str, typer.Option(help="Only these states: unseen, approved, rejected, to fix, second look.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most rows to print.")] = 50,
    offline: Offline = False,
    as_json: AsJsonLines = False,
) -> None:
    """List the regions of a project with what was decided about each, in the order of a queue."""
    from backend.review.decisions import read_decisions, read_states
    from backend.review.listing import RegionFilter, count_regions, read_listed
    from backend.review.queues import QUEUES, SUSPICIOUS

    if queue == SUSPICIOUS:
        _list_suspicious(project, read_states("--state", state), limit, offline, as_json)
        return
    chosen = RegionFilter(queue=queue or None, states=read_states("--state", state))
    with _open_listed(project, offline).reading() as db:
        listed, number = read_listed(db, project, chosen, limit), count_regions(db, project, chosen)
        decisions = read_decisions(db, [one.decision for one in listed if one.decision is not None])
    if as_json:
        for one in listed:
            print(json.dumps(_document(one, decisions.get(one.decision or 0))))
    elif listed:
        print_table(COLUMNS, [_to_row(one) for one in listed])
    else:
        print("No region.")
    if queue:
        print(f"{queue}: {QUEUES[queue].formula}.", file=sys.stderr)
    _tell_of_more(number - limit)


def stats(project: Project, overlooked: Overlooked = 0.0, offline: Offline = False, as_json: AsJson = False) -> None:
    """Count the regions of a project by state, and say how many of its proposals are wrong at most, as audited."""
    from backend.review.listing import bound_listed, count_listed_states

    with _open_listed(project, offline).reading() as db:
        counts, bounds = count_listed_states(db, project), bound_listed(db, project, overlooked)
    if as_json:
        print(json.dumps({"states": counts, "bounds": [vars(one) for one in bounds]}))
        return
    print_table(
        (Column("state", is_fixed=True), Column("regions", is_number=True)), [(k, f"{n:,}") for k, n in counts.items()]
    )
    for bound in bounds:
        print(bound.text)


def approve(
    project: Project,
    keys: Annotated[
        list[str] | None,
        typer.Argument(help="Regions, as `ris review list` prints them: task/region.", metavar="REGION"),
    ] = None,
    at_least: Annotated[
        float | None, typer.Option(help="Approve all proposals with at least this probability, if the audit allows it.")
    ] = None,
    max_error: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="With --at-least: the share of them that may be wrong.")
    ] = 0.02,
    overlooked: Overlooked = 0.0,
    queue: QueueName = "",
    reviewer: Reviewer = None,
    offline: Offline = False,
) -> None:
    """Approve regions: their masks are right. Many at once only if an audit says that few of them are wrong."""
    if bool(keys) == (at_least is not None):
        raise BadInput("Say what to approve.", "Give regions, or --at-least with a probability, and not both.")
    if keys:
        _decide(project, keys, offline, reviewer, state="approved", queue=queue or None)
        return
    from backend.review.bulk import approve_above

    settings = read_settings()
    who = _find_reviewer(settings, reviewer)
    with _open_listed(project, offline).writing() as db:
        bound, number = approve_above(db, project, at_least or 0.0, max_error, overlooked, who)
    print(f"{bound.text}\n{_count(number)}: approved.")


def reject(
    keys: Keys,
    project: Project,
    reason: Annotated[
        str | None, typer.Option(help="wrong thing, wrong outline, part missing, wrong label or wrong words.")
    ] = None,
    comment: Comment = None,
    to_fix: Annotated[bool, typer.Option("--to-fix", help="The mask is to be corrected, not drawn anew.")] = False,
    queue: QueueName = "",
    reviewer: Reviewer = None,
    offline: Offline = False,
) -> None:
    """Reject regions, or mark them to be corrected. The annotator is told the comment."""
    state = "to fix" if to_fix else "rejected"
    _decide(project, keys, offline, reviewer, state=state, reason=reason, comment=comment, queue=queue or None)


def defer(
    keys: Keys, project: Project, comment: Comment = None, reviewer: Reviewer = None, offline: Offline = False
) -> None:
    """Leave regions to a second look."""
    _decide(project, keys, offline, reviewer, state="second look", comment=comment)


def undo(keys: Keys, project: Project, reviewer: Reviewer = None, offline: Offline = False) -> None:
    """Take back the last decision about regions. The record keeps both."""
    from backend.review.regions import find_regions, take_back

    settings = read_settings()
    who = _find_reviewer(settings, reviewer)
    correction_store = open_reconciled(settings, project, offline, with_predictions=True)
    with correction_store.writing() as db:
        regions = find_regions(db, project, keys)
        states = take_back(db, regions, who)
    for region, state in zip(regions, states, strict=True):
        print(f"{region.key}: {state}")


def push(
    project: Project,
    annotations: Annotated[
        bool,
        typer.Option("--annotations", help="Make an annotation of each approved prediction of a task without any."),
    ] = False,
    ground_truth: Annotated[
        bool, typer.Option("--ground-truth", help="Mark each approved annotation as ground truth.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write; without it, only say what would be written.")] = False,
    offline: Offline = False,
) -> None:
    """Write approvals to Label Studio. Says what it would write, and writes nothing without --yes."""
    from backend.review.push import KINDS, ApprovalWriter

    settings = read_settings()
    kinds: list[Kind] = [kind for kind, is_chosen in zip(KINDS, (annotations, ground_truth), strict=True) if is_chosen]
    if yes and not kinds:
        raise BadSettings("--yes does not say what to write.", "Add --annotations, --ground-truth, or both.")
    writer = ApprovalWriter(
        open_reconciled(settings, project, offline, with_predictions=True), open_review_client(settings)
    )
    with Progress("Comparing the approvals with Label Studio"):
        steps = writer.plan(project, kinds or KINDS)
    if yes:
        with Progress("Writing approvals", "approvals") as progress:
            for number, step in enumerate(steps):
                progress.count(number, len(steps))
                steps[number] = step if step.state == "left" else writer.write(step.approval)
    _print_steps(steps)
    if not yes:
        print("Nothing was written. Give --annotations or --ground-truth, and --yes, to write.")


def verify(
    folder: Annotated[Path, typer.Argument(help="A data set that was exported with --review approved.")],
    project: Project,
    offline: Offline = False,
) -> None:
    """Say whether the sign-off of a data set still stands: approvers, sample, bound, filter and model versions."""
    from backend.exporters.sign_off import find_changes

    correction_store = open_reconciled(read_settings(), project, offline, with_predictions=True)
    with correction_store.reading() as db:
        changes = find_changes(db, project, folder)
    if changes:
        print(f"The sign-off is void. Not as it was: {', '.join(changes)}.")
        raise typer.Exit(IS_VOID)
    print("The sign-off stands.")


def password() -> None:
    """Ask for a password, and print what the file of REVIEW_ACCESS has in its place."""
    from backend.pages.access import hash_password

    print(hash_password(typer.prompt("Password", hide_input=True, confirmation_prompt=True)))


def _list_suspicious(project: int, states: "tuple[State, ...]", limit: int, offline: bool, as_json: bool) -> None:
    """The queue that is scored while it is listed, each region with its highest score and the reason."""
    from backend.review.decisions import read_decisions
    from backend.review.listing import find_listed
    from backend.review.queues import QUEUES, SUSPICIOUS
    from backend.review.suspects import list_suspicious

    correction_store = _open_listed(project, offline)
    with Progress("Comparing regions"), correction_store.reading() as db:
        suspicious = list_suspicious(db, project, states)
        shown = [(find_listed(db, project, one.id), one) for one in suspicious[:limit]]
        decisions = read_decisions(db, [one.decision for one, _ in shown if one.decision is not None])
    if as_json:
        for region, one in shown:
            scores = {each.kind: {"score": each.score, "reason": each.reason} for each in one.scores}
            print(json.dumps({**_document(region, decisions.get(region.decision or 0)), "suspicion": scores}))
    else:
        columns = (Column("suspicion", is_number=True), *COLUMNS)
        worst = [(region, one.worst) for region, one in shown]
        rows = [(f"{one.score:.3f}", *_to_row(region)[:-1], f"{one.kind}: {one.reason}") for region, one in worst]
        print_table(columns, rows)
    print(f"{SUSPICIOUS}: {QUEUES[SUSPICIOUS].formula}.", file=sys.stderr)
    _tell_of_more(len(suspicious) - limit)


def _tell_of_more(number: int) -> None:
    if number > 0:
        print(f"{number:,} more rows; use --limit to print them.", file=sys.stderr)


def _print_steps(steps: "Sequence[PushStep]") -> None:
    rows = [
        (f"task {one.approval.task}", one.approval.kind, f"{STEPS[one.state]}{': ' * bool(one.why)}{one.why}")
        for one in steps
    ]
    print_table((Column(is_fixed=True), Column(is_fixed=True), Column()), rows, has_header=False)
    if not steps:
        print("No annotation and no prediction has only approved regions.")


def _decide(project: int, keys: list[str], offline: bool, reviewer: int | None, **verdict: Any) -> None:
    from backend.review.decisions import Verdict
    from backend.review.regions import decide, find_regions

    settings = read_settings()
    said = Verdict(reviewer=_find_reviewer(settings, reviewer), **verdict)
    correction_store = open_reconciled(settings, project, offline, with_predictions=True)
    with correction_store.writing() as db:
        regions = find_regions(db, project, keys)
        decide(db, regions, said)
    print(f"{_count(len(regions))}: {said.state}.")


def _find_reviewer(settings: Settings, reviewer: int | None) -> int:
    if reviewer is not None:
        return reviewer
    if not is_known(settings):
        raise BadSettings(
            "Nothing says who decides.",
            "Give --reviewer with a user's number, or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.",
        )
    return open_review_client(settings).read_user()


def _open_listed(project: int, offline: bool) -> "CorrectionStore":
    """The corrections of a project, up to date, with the list of its regions."""
    from backend.review.listing import refresh

    correction_store = open_reconciled(read_settings(), project, offline, with_predictions=True)
    with Progress("Listing regions"):
        refresh(correction_store, project)
    return correction_store


def _to_row(region: "ListedRegion") -> tuple[str, ...]:
    reason = " ".join(filter(None, (region.reason, region.comment and f'"{region.comment}"')))
    return (
        region.state,
        region.key,
        region.outcome,
        _number(region.probability),
        _number(region.iou),
        region.label,
        f'"{region.expression}"' if region.expression else "-",
        reason,
    )


def _count(regions: int) -> str:
    return f"{regions:,} region{'s' * (regions != 1)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _document(region: "ListedRegion", decision: "Decision | None") -> dict[str, Any]:
    left_out = ("id", "reason", "comment", "reviewer", "at", "suspicion", "suspicion_reason")
    values = {name: value for name, value in vars(region).items() if name not in left_out}
    return {**values, "key": region.key, "decision": vars(decision) if decision else None}


review = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="What a lead decides about regions: approve, reject, undo, write to Label Studio.",
)
for name, command in (
    ("list", list_regions),
    ("stats", stats),
    ("approve", approve),
    ("reject", reject),
    ("defer", defer),
    ("undo", undo),
    ("push", push),
    ("verify", verify),
    ("password", password),
):
    review.command(name)(command)
