"""`ris bench stages`: each stage of a prompt and of a run, by an earlier version and by this one, in one run.

Every stage runs in a process of its own, with the code of a checkout (`benchmarks.stage_probe`, `benchmarks.requesting`,
`benchmarks.throughput`), by turns. "Reference" is what others take for the same, or the part that cannot be left out; "limit" is the
arithmetic at the speed at which this machine multiplies matrices in the same run.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import proposing, requesting, stage_probe, throughput
from ris_core.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
MATRIX_SIDE = 2048
GFLOP = {
    "SAM's image encoder": 972,
    "proposals at 256 points": 928,
    "features of 20 proposals": 20 * 35.2 + 26,
    "features of 60 proposals": 60 * 35.2 + 26,
    "features of 100 proposals": 100 * 35.2 + 26,
}
"""Multiplications and additions that no order of them avoids: SAM ViT-B; a pass of CLIP ViT-B/16 for each cut-out and nine blocks for
the picture."""


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Attributes:
        before, now: What it takes by the earlier and by this version; None if that was not measured.
        reference, limit: As the module says; None where there is none.
    """

    stage: str
    unit: str
    before: float | None
    now: float
    reference: float | None = None
    limit: float | None = None


def to_json(rows: Sequence[StageRow]) -> str:
    """As one JSON document."""
    return json.dumps([asdict(row) for row in rows], indent=1)


def to_markdown(rows: Sequence[StageRow]) -> str:
    """As a table. "Times" says how many times less, or more images, the stage takes now."""
    lines = ["| stage | unit | before | now | times | reference | limit |", "| --- | --- |" + " ---: |" * 5]
    for row in rows:
        ratio = (
            None if row.before is None else (row.now / row.before if row.unit == "images/h" else row.before / row.now)
        )
        numbers = (row.before, row.now, ratio, row.reference, row.limit)
        lines.append(f"| {row.stage} | {row.unit} | {' | '.join(map(_show, numbers))} |")
    return "\n".join(lines)


def measure(before: Path | None, images: int, tell: Callable[[str], None] = lambda _: None) -> tuple[StageRow, ...]:
    """Measure all stages.

    Args:
        before: A checkout of an earlier version, whose code runs with the packages that are installed; None for this version alone.
        images: Images of each run; 0 for no runs, which need Label Studio.

    Raises:
        BadInput: If `before` is no checkout of this project.
        Unreachable: If a service does not start.
    """
    if before is not None and not (before / "ris_core").is_dir():
        raise BadInput(f"{before} is no checkout of this project.", "Make one: git worktree add FOLDER COMMIT.")
    versions = {"before": before.resolve(), "now": ROOT} if before else {"now": ROOT}
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for group in stage_probe.GROUPS:
        for name, code in versions.items():
            tell(f"{group}, {name}")
            measured.setdefault(group, {})[name] = stage_probe.run(code, group)
    rows = [*_list_model_stages(measured), *_list_expressions(measured)]
    tell("filters of proposals")
    rows[2:2] = _list_filters(before)
    tell("requests")
    rows += _list_requests(requesting.measure(before))
    if images:
        tell("runs")
        rows += _list_runs(throughput.measure(versions, images))
    return tuple(rows)


def _list_model_stages(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[StageRow]:
    per_s = _measure_gflops()
    return [
        StageRow(
            stage, "CPU s", of.get("before", {}).get(stage), now, limit=GFLOP[stage] / per_s if stage in GFLOP else None
        )
        for group in ("sam", "clip", "papers")
        for of in [measured[group]]
        for stage, now in of["now"].items()
    ]


def _list_expressions(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[StageRow]:
    rows = []
    for group, size in (("expression", "640 x 480"), ("expression, 12 megapixels", "4000 x 3000")):
        now, before = measured[group]["now"], measured[group].get("before", {})
        for stage, unit, times in (("one more expression", "CPU ms", 1e3), ("memory, MiB", "MiB", 1.0)):
            name = f"{stage.removesuffix(', MiB')}, {size}, 100 proposals"
            texts = 1e3 * now["its two phrases as bare texts"] if unit == "CPU ms" else None
            rows.append(StageRow(name, unit, times * before[stage] if before else None, times * now[stage], texts))
    return rows


def _list_filters(before: Path | None) -> list[StageRow]:
    """Of fcef31f and later versions until `filter_logits`: the filters at the image's size, which are still here."""
    cost = {one.way: one.cpu_s for one in proposing.compare_filters()}
    at_size = cost["at the image's size"] if before else None
    return [StageRow("filters of 768 masks", "CPU s", at_size, cost["as logits"], cost["the package's generator"])]


def _list_requests(costs: Sequence[requesting.RequestCost]) -> list[StageRow]:
    now, before = costs[-1], costs[0] if len(costs) > 1 else None
    rows = [StageRow("an expression over HTTP", "CPU ms", before.sum_ms if before else None, now.sum_ms, now.answer_ms)]
    beside = StageRow("of it HTTP, queue and SQL", "CPU ms", before.beside_ms if before else None, now.beside_ms)
    return [*rows, beside]


def _list_runs(per_hour: Mapping[str, Mapping[int, float]]) -> list[StageRow]:
    return [
        StageRow(
            f"a run, fetched and written, {count} worker{'s' * (count > 1)}",
            "images/h",
            per_hour.get("before", {}).get(count),
            now,
        )
        for count, now in per_hour["now"].items()
    ]


def _measure_gflops() -> float:
    """GFLOP of float32 in a CPU second of one thread, as a product of matrices reaches them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        left, right = torch.rand(2, MATRIX_SIDE, MATRIX_SIDE)
        torch.mm(left, right)
        began = time.process_time()
        for _ in range(5):
            torch.mm(left, right)
        return 5 * 2 * MATRIX_SIDE**3 / 1e9 / (time.process_time() - began)
    finally:
        torch.set_num_threads(threads)


def _show(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
