"""The report as one HTML page that needs no other file: plots and pictures are embedded.

Labels, expressions and addresses in it were written by others. The templates escape every value; nothing is marked as safe.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backend.base.errors import ImageUnreachable
from backend.corrections.disagreements import Disagreement
from backend.corrections.outcome_kinds import KINDS, NAMES, VERDICTS
from backend.corrections.queries import Correction
from backend.corrections.statistics import LeadTimes, OutcomeSummary
from backend.exporters.image_files import Fetch
from backend.label_studio.task_page import link_to_task
from backend.report import plots
from backend.report.data import WORST, ReportData
from backend.report.html import data_uri, render_template
from backend.report.overlays import draw_case
from ris_core.errors import BadImage
from ris_core.images.decoding import MAX_PIXELS, read

TITLES = {
    "label": "By label",
    "kind": "By kind of expression",
    "annotator": "By annotator",
    "model_version": "By model version",
}


class ReportTable(NamedTuple):
    """A table of the page: the titles of its columns, and its cells row by row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class ReportDivision(NamedTuple):
    """The corrections divided by one property; `bars` is a data URI."""

    title: str
    bars: str
    table: ReportTable


@dataclass(frozen=True)
class WorstCase:
    """One of the worst cases.

    Attributes:
        picture: Both outlines on the image, as a data URI.
        measures: IoU and score, as far as they are known, each after a comma.
        link: Address of the task's page in Label Studio; empty if it is not known.
    """

    picture: str
    outcome: str
    measures: str
    expression: str
    task: str
    annotation: int
    link: str


def render(
    data: ReportData, title: str, fetch: Fetch | None = None, studio_url: str = "", max_pixels: int = MAX_PIXELS
) -> str:
    """The whole page as HTML.

    Args:
        fetch: Gets the images of the worst cases; without it they are drawn on grey.
        studio_url: Label Studio's address for people, to which cases are linked; without it there are no links.
        max_pixels: Largest image that is opened; larger ones are drawn on grey.
    """
    summary = data.all
    reviews = _review_table(data.reviews)
    if not any(summary.counts.values()):
        return render_template("report.html", title=title, project=data.project, regions=0, reviews=reviews)
    seconds = {"with proposals": data.times.with_proposals, "without": data.times.without_proposals}
    similarity = {"IoU": summary.ious, "boundary IoU": summary.boundary_ious}
    return render_template(
        "report.html",
        title=title,
        project=data.project,
        regions=sum(summary.counts.values()),
        headline=_headline(summary),
        foreign=summary.counts["foreign"],
        outcomes=_outcome_table(summary),
        relabelled=summary.flags["relabelled"],
        reworded=summary.flags["reworded"],
        refined=summary.flags["refined"],
        divisions=list(_divisions(data)),
        similarity_plot=_svg_uri(plots.histogram(similarity, "saved compared with offered", (0.0, 1.0))),
        lead_time_plot=_svg_uri(plots.histogram(seconds, "lead time in seconds")),
        reviews=reviews,
        disagreements=[_describe(one, data.project, studio_url) for one in data.disagreements[:WORST]],
        disagreement_count=len(data.disagreements),
        lead_times=_lead_time_table(data.times),
        reliability_plot=_svg_uri(plots.reliability_diagram(summary.judged)),
        cases=[
            _case(correction, _read_pixels(correction, data.images, fetch, max_pixels), studio_url)
            for correction in data.worst
        ],
    )


def _headline(summary: OutcomeSummary) -> dict[str, Any] | None:
    """How many proposals were offered, unanswered ones too, and the share of each outcome; None if there were none."""
    names = (*VERDICTS, "unanswered")
    offered = sum(summary.counts[name] for name in names)
    if not offered:
        return None
    return {"offered": offered, **{name: f"{summary.counts[name] / offered:.0%}" for name in names}}


def _outcome_table(summary: OutcomeSummary) -> ReportTable:
    rows = [
        [name, f"{summary.counts[name]:,}", kind.meaning]
        for name, kind in KINDS.items()
        if summary.counts[name] or name != "foreign"
    ]
    return ReportTable(["outcome", "regions", "meaning"], rows)


def _review_table(reviews: Mapping[str, int]) -> ReportTable | None:
    """How many regions are in each state of quality review; None if nothing was reviewed."""
    rows = [[state, f"{number:,}"] for state, number in reviews.items()]
    return ReportTable(["quality review", "regions"], rows) if rows else None


def _describe(one: Disagreement, project: int, studio_url: str) -> dict[str, str]:
    """A disagreement as the page has it."""
    return {
        "iou": "nothing" if one.iou is None else f"{one.iou:.2f}",
        "expression": one.expression,
        "annotators": " and ".join("unknown" if annotator is None else str(annotator) for annotator in one.annotators),
        "task": one.task,
        "link": link_to_task(studio_url, project, one.task),
    }


def _divisions(data: ReportData) -> Iterator[ReportDivision]:
    outcomes = [name for name in NAMES if data.all.counts[name]]
    for name, summaries in data.groups.items():
        groups = {"none" if group == "-" else group: summary for group, summary in summaries.items()}
        bars = plots.outcome_bars({group: summary.counts for group, summary in groups.items()})
        columns = [name.replace("_", " "), *outcomes, "accepted share", "median IoU", "median boundary IoU"]
        rows = [[group, *_cells(summary, outcomes)] for group, summary in groups.items()]
        yield ReportDivision(TITLES[name], _svg_uri(bars), ReportTable(columns, rows))


def _cells(summary: OutcomeSummary, outcomes: Sequence[str]) -> list[str]:
    row = summary.row()
    measures = [row[name] for name in ("accepted_share", "median_iou", "median_boundary_iou")]
    return [f"{row[name]:,}" for name in outcomes] + ["-" if value is None else f"{value:.3f}" for value in measures]


def _lead_time_table(times: LeadTimes) -> ReportTable:
    rows = [
        [name, f"{len(seconds):,}", f"{np.median(seconds):.1f} s" if seconds else "-"]
        for name, seconds in (("with proposals", times.with_proposals), ("without", times.without_proposals))
    ]
    return ReportTable(["", "annotations", "median lead time"], rows)


def _case(correction: Correction, pixels: np.ndarray | None, studio_url: str) -> WorstCase:
    outcome = correction.outcome
    iou = "" if outcome.iou is None else f", IoU {outcome.iou:.2f}"
    score = "" if outcome.score is None else f", score {outcome.score:.2f}"
    return WorstCase(
        picture=data_uri("image/png", draw_case(pixels, outcome.offered_mask, outcome.mask)),
        outcome=outcome.outcome,
        measures=iou + score,
        expression=outcome.expression or "-",
        task=correction.task,
        annotation=correction.annotation,
        link=link_to_task(studio_url, correction.project, correction.task),
    )


def _read_pixels(
    correction: Correction, images: Mapping[str, str | None], fetch: Fetch | None, max_pixels: int
) -> np.ndarray | None:
    """The image of a correction's task, (H, W, 3); None if it cannot be fetched or opened: the page is still written."""
    address = images.get(correction.task)
    if not (fetch and address):
        return None
    try:
        return read(fetch(address, correction.task), max_pixels).pixels
    except (ImageUnreachable, BadImage):
        return None


def _svg_uri(svg: str) -> str:
    return data_uri("image/svg+xml", svg.encode())
