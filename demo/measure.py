"""How good the demo models are, on scenes they never saw: `python -m demo.measure`.

Reports the proposals' oracle (each object's best proposal), and the IoU of answers by kind of expression. Objects drawn from
sprites that training never used are reported apart.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from demo.expressions import make_expressions
from demo.scenes import Scene, make_scene
from ris_core import Image, load_segmenter, masks
from ris_core.segmenter import Segmenter

KINDS = ("noun", "attribute", "position", "relation", "superlative")
BOOTSTRAP = 1000


def measure(segmenter: Segmenter, scenes: list[Scene], kinds: tuple[str, ...] = KINDS) -> dict:
    """Oracle and answers over scenes.

    Returns:
        Per group a mean, a 95 % bootstrap interval over scenes and a count; IoUs in [0, 1].
    """
    rows: dict[str, list[tuple[int, float]]] = defaultdict(list)
    counts, seconds = [], []
    for n, scene in enumerate(scenes):
        started = time.process_time()
        encoded = segmenter.encode(Image.from_array(scene.image))
        seconds.append(time.process_time() - started)
        counts.append(len(encoded.proposals))
        truth = np.stack([thing.mask for thing in scene.objects])
        best = masks.iou(truth, encoded.proposals.masks).max(1, initial=0)
        for thing, iou in zip(scene.objects, best, strict=True):
            group = "unseen sprites" if thing.held_out else "seen sprites"
            for name in ("all sprites", group):
                rows[f"oracle mIoU, {name}"].append((n, float(iou)))
                rows[f"recall at IoU 0.7, {name}"].append((n, float(iou > 0.7)))
        for expression in make_expressions(scene, kinds):
            answer = segmenter.segment(encoded, expression.text, top_k=1).answer
            target = np.logical_or.reduce(truth[list(expression.targets)])
            rows[f"answer mIoU, {expression.kind}"].append((n, float(masks.iou(target[None], answer[None])[0, 0])))
            limit = best[list(expression.targets)].mean()
            rows[f"oracle of the targets, {expression.kind}"].append((n, float(limit)))
    summary: dict = {name: _summarise(values) for name, values in sorted(rows.items())}
    summary["proposals per image"] = float(np.mean(counts))
    summary["CPU seconds to encode an image"] = float(np.median(seconds))
    return summary


def _summarise(values: list[tuple[int, float]]) -> dict[str, float | int]:
    """Mean with a percentile bootstrap interval over scenes."""
    by_scene: dict[int, list[float]] = defaultdict(list)
    for scene, value in values:
        by_scene[scene].append(value)
    sums = np.array([[sum(v), len(v)] for v in by_scene.values()])
    drawn = np.random.default_rng(0).integers(0, len(sums), (BOOTSTRAP, len(sums)))
    totals = sums[drawn].sum(1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], [2.5, 97.5])
    return {"mean": sums[:, 0].sum() / sums[:, 1].sum(), "low": low, "high": high, "count": int(sums[:, 1].sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--first-seed", type=int, default=0, help="training never uses seeds below a million")
    parser.add_argument("--held-out", action="store_true", help="also draw the sprites that training never used")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    for kind in ("proposer", "encoder", "method"):
        parser.add_argument(f"--{kind}", type=json.loads, default={}, help="settings as JSON")
    a = parser.parse_args()
    overrides = {kind: getattr(a, kind) for kind in ("proposer", "encoder", "method") if getattr(a, kind)}
    segmenter = load_segmenter("demo", **overrides)
    scenes = [make_scene(seed, held_out=a.held_out) for seed in range(a.first_seed, a.first_seed + a.scenes)]
    summary = measure(segmenter, scenes)
    for name, value in summary.items():
        text = (
            f"{value['mean']:.3f}  [{value['low']:.3f}, {value['high']:.3f}]  n={value['count']}"
            if isinstance(value, dict)
            else f"{value:.2f}"
        )
        print(f"{name:<40} {text}")
    if a.out:
        a.out.write_text(
            json.dumps({"settings": overrides, "scenes": a.scenes, "first_seed": a.first_seed, **summary}, indent=1)
        )


if __name__ == "__main__":
    main()
