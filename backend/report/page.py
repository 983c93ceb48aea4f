"""A report as one page of HTML that needs nothing else: plots and pictures are in it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from urllib.parse import quote

import numpy as np

from backend.base.errors import ImageUnreachable
from backend.corrections.outcomes import NAMES
from backend.corrections.queries import Correction
from backend.corrections.statistics import ANSWERED, OutcomeSummary
from backend.exporters.image_files import Fetch
from backend.report import plots
from backend.report.data import ReportData
from backend.report.overlays import draw_case
from ris_core.errors import BadImage
from ris_core.images.decoding import MAX_PIXELS, read
from ris_core.output.plain_text import page

TITLES = {
    "label": "By label",
    "kind": "By kind of expression",
    "annotator": "By annotator",
    "model_version": "By model version",
}
MEANINGS = {
    "foreign": "handed out for another task; in no export",
    "accepted": "saved as it was offered (IoU at least 0.999)",
    "edited": "offered, then changed",
    "replaced": "another candidate of the same query was taken",
    "rejected": "there when the task was opened, and deleted",
    "missed": "drawn by hand",
    "unanswered": "suggested and not taken; Label Studio tells of no refusal",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.85rem; display: block; overflow-x: auto; }
th, td { padding: 0.2rem 0.5rem; text-align: right; }
th { border-bottom: 1px solid #999; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
.words td:last-child { text-align: left; } .headline { font-size: 1.1rem; }
tr:nth-child(even) td { background: #f5f5f5; } .plots { display: flex; flex-wrap: wrap; gap: 1rem; } img { max-width: 100%; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: 0.8rem; color: #555; overflow-wrap: anywhere; }
.note { color: #555; } .alarm { background: #fff0f0; border-left: 4px solid #d1495b; padding: 0.5rem 1rem; }
"""


def render(
    findings: ReportData, title: str, fetch: Fetch | None = None, studio_url: str = "", max_pixels: int = MAX_PIXELS
) -> str:
    """The whole page.

    Args:
        fetch: Gets the images of the worst cases; without it they are drawn on grey.
        studio_url: Label Studio's address for people, to which cases are linked; without it they are not.
        max_pixels: Largest image that is opened; others are drawn on grey.
    """
    worst = _worst(findings, fetch, studio_url, max_pixels)
    parts = [*_overall(findings), *_groups(findings), *_alike(findings), *_scores(findings), *worst]
    text = "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )
    return page(text)


def _overall(findings: ReportData) -> Iterator[str]:
    counts = findings.all.counts
    yield f'<p class="note">Project {findings.project}: what became of {sum(counts.values()):,} regions.</p>'
    yield from _headline(findings.all)
    if counts["foreign"]:
        yield (
            f'<p class="alarm">{counts["foreign"]:,} regions have ids that were handed out for other tasks: '
            "an annotation was copied, or an answer was put on the wrong task. <code>ris corrections list --only foreign</code></p>"
        )
    rows: dict[str, list[str]] = {
        name: [f"{counts[name]:,}", escape(MEANINGS[name])] for name in NAMES if counts[name] or name != "foreign"
    }
    flags = findings.all.flags
    yield _table(["outcome", "regions", ""], rows, "words")
    yield f'<p class="note">Relabelled: {flags["relabelled"]:,}. Reworded: {flags["reworded"]:,}.</p>'


def _headline(summary: OutcomeSummary) -> Iterator[str]:
    """How good the proposals were, in one sentence: of all that were offered, those that nobody took too."""
    names = (*ANSWERED, "unanswered")
    offered = sum(summary.counts[name] for name in names)
    if offered:
        shares = {name: f"{summary.counts[name] / offered:.0%}" for name in names}
        yield (
            f'<p class="headline">Of {offered:,} proposals that were offered, <b>{shares["accepted"]}</b> were taken as they '
            f"were, {shares['edited']} changed, {shares['replaced']} replaced by another candidate, {shares['rejected']} deleted, "
            f"{shares['unanswered']} not taken: asked for in other words, passed over with “next”, or left.</p>"
        )


def _groups(findings: ReportData) -> Iterator[str]:
    outcomes = [name for name in NAMES if findings.all.counts[name]]
    for name, found in findings.groups.items():
        groups = {"none" if group == "-" else group: summary for group, summary in found.items()}
        yield f"<h2>{TITLES[name]}</h2>"
        yield _image(plots.outcome_bars({group: summary.counts for group, summary in groups.items()}), TITLES[name])
        columns = [name.replace("_", " "), *outcomes, "accepted share", "median IoU", "median boundary IoU"]
        yield _table(columns, {escape(group): _row(summary, outcomes) for group, summary in groups.items()})


def _alike(findings: ReportData) -> Iterator[str]:
    everything, times = findings.all, findings.times
    yield "<h2>How alike, and how long</h2>"
    alike = {"IoU": everything.ious, "boundary IoU": everything.boundary_ious}
    seconds = {"with proposals": times.with_proposals, "without": times.without_proposals}
    yield '<div class="plots">'
    yield _image(plots.histogram(alike, "of what was saved with what was offered", (0.0, 1.0)), "IoU and boundary IoU")
    yield _image(plots.histogram(seconds, "lead time in seconds"), "Lead time with and without proposals")
    yield "</div>"
    medians = {name: [f"{len(some):,}", f"{np.median(some):.1f} s" if some else "-"] for name, some in seconds.items()}
    yield _table(["annotations", "", "median lead time"], medians)


def _scores(findings: ReportData) -> Iterator[str]:
    yield "<h2>Do the scores say how often proposals are right?</h2>"
    yield _image(plots.reliability_diagram(findings.all.judged), "Reliability diagram")
    yield (
        '<p class="note">Right: accepted, or edited with an IoU of at least 0.5. Beside each point: proposals. '
        "Suggestions that nobody answered are not counted.</p>"
    )


def _worst(findings: ReportData, fetch: Fetch | None, studio_url: str, max_pixels: int) -> Iterator[str]:
    if not findings.worst:
        return
    yield "<h2>Worst cases</h2>"
    yield '<p class="note">Blue: offered. Red: saved. Refused with the highest scores first, then the least alike.</p>'
    yield '<div class="cases">'
    for one in findings.worst:
        picture = draw_case(
            _pixels(one, findings.images, fetch, max_pixels), one.outcome.offered_mask, one.outcome.mask
        )
        yield f'<figure><img alt="" src="{_data("image/png", picture)}"><figcaption>{_caption(one, studio_url)}</figcaption></figure>'
    yield "</div>"


def _pixels(
    one: Correction, images: Mapping[str, str | None], fetch: Fetch | None, max_pixels: int
) -> np.ndarray | None:
    address = images.get(one.task)
    if not (fetch and address):
        return None
    try:
        return read(fetch(address, one.task), max_pixels).pixels
    except (ImageUnreachable, BadImage):
        return None


def _caption(one: Correction, studio_url: str) -> str:
    told = one.outcome
    iou = "" if told.iou is None else f", IoU {told.iou:.2f}"
    score = "" if told.score is None else f", score {told.score:.2f}"
    place = f"task {escape(one.task)}, annotation {one.annotation}"
    if studio_url.lower().startswith(("http://", "https://")):
        address = (
            f"{studio_url.rstrip('/')}/projects/{one.project}/data?task={quote(one.task, safe='', errors='replace')}"
        )
        place = f'<a href="{escape(address)}">{place}</a>'
    return f"<b>{told.outcome}</b>{iou}{score}<br>{escape(told.expression or '-')}<br>{place}"


def _row(summary: OutcomeSummary, outcomes: Sequence[str]) -> list[str]:
    row = summary.row()
    shares = [row[name] for name in ("accepted_share", "median_iou", "median_boundary_iou")]
    return [f"{row[name]:,}" for name in outcomes] + ["-" if share is None else f"{share:.3f}" for share in shares]


def _table(columns: list[str], rows: Mapping[str, list[str]], style: str = "numbers") -> str:
    head = "".join(f"<th>{column}</th>" for column in columns)
    body = "".join(
        f"<tr><td>{name}</td>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for name, row in rows.items()
    )
    return f'<table class="{style}"><tr>{head}</tr>{body}</table>'


def _image(svg: str, title: str) -> str:
    return f'<img alt="{escape(title)}" src="{_data("image/svg+xml", svg.encode())}">'


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
