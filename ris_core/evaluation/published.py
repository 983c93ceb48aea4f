"""Numbers that others published, to stand beside ours: zero-shot methods first, supervised and large ones as landmarks."""

from typing import NamedTuple

SPLITS = {
    "refcoco": ("val", "testA", "testB"),
    "refcoco+": ("val", "testA", "testB"),
    "refcocog": ("val", "test", "val (google)"),
}
"""The columns of the tables below, in their order."""
STANDINGS = {"v": "read", "w": "read second-hand", "r": "recalled, not read again"}
"""How we know a number: in the paper or in one that quotes it; in a review or a survey; from memory."""


class Published(NamedTuple):
    """A method's numbers on one split, as shares in [0, 1]; None if not known.

    Attributes:
        source: Where it is published.
        standing: How we know it, one of `STANDINGS`.
    """

    method: str
    source: str
    standing: str
    overall_iou: float | None
    mean_iou: float | None


def published(dataset: str, split: str) -> list[Published]:
    """Every method known to have a number on a split, in the order of the tables below."""
    numbers = _OTHERS.get(dataset, [])
    if dataset in SPLITS and split in SPLITS[dataset]:
        numbers = [
            *_on(_OVERALL_IOU, dataset, split, is_mean=False),
            *_on(_MEAN_IOU, dataset, split, is_mean=True),
        ]
    by_method: dict[tuple[str, str, str], Published] = {}
    for row in numbers:
        earlier = by_method.setdefault(row[:3], row)
        by_method[row[:3]] = earlier._replace(
            overall_iou=earlier.overall_iou or row.overall_iou, mean_iou=earlier.mean_iou or row.mean_iou
        )
    return list(by_method.values())


def _on(table: str, dataset: str, split: str, *, is_mean: bool) -> list[Published]:
    column, place = list(SPLITS).index(dataset), SPLITS[dataset].index(split)
    rows = []
    for line in table.strip().splitlines():
        method, source, standing, *columns = (part.strip() for part in line.split("|"))
        number = columns[column].split()[place]
        if number != "-":
            share = round(float(number) / 100, 4)
            standing_words = STANDINGS[standing]
            rows.append(
                Published(method, source, standing_words, None if is_mean else share, share if is_mean else None)
            )
    return rows


_OVERALL_IOU = """
Grad-CAM, RN50 (FreeSOLO)       | Yu et al., CVPR 2023  | r | 14.02 15.07 13.49 | 14.46 14.97 14.04 | 12.51 12.81 12.86
Score map, RN50                 | Yu et al., CVPR 2023  | r | 19.87 19.31 20.22 | 20.37 19.67 20.75 | 18.88 19.16 19.15
Region token, B/32              | Yu et al., CVPR 2023  | r | 21.71 20.31 22.63 | 22.61 20.91 23.46 | 25.52 25.38 25.29
Cropping, RN50                  | Yu et al., CVPR 2023  | r | 22.36 20.49 22.69 | 23.95 22.03 23.49 | 28.20 27.64 27.47
Cropping, B/32                  | Yu et al., CVPR 2023  | r | 22.73 21.11 23.08 | 24.09 22.42 23.93 | 28.69 27.51 27.70
Global-Local, RN50 (FreeSOLO)   | Yu et al., CVPR 2023  | r | 24.58 23.38 24.35 | 25.87 24.61 25.61 | 30.07 29.83 29.45
Global-Local, B/32 (FreeSOLO)   | Yu et al., CVPR 2023  | r | 24.88 23.61 24.66 | 26.16 24.90 25.83 | 31.11 30.96 30.69
Global-Local, B/32 (SAM)        | in TAS, Pseudo-RIS    | r | 22.43 24.66 21.27 | 26.35 30.80 22.65 | 27.57 27.87 27.80
TAS (SAM, BLIP-2)               | in Kang et al., CVPR 2025, Tab. 2 | v | 29.5 30.3 28.2 | 33.2 38.8 28.0 | 35.8 36.2 -
Ref-Diff (SAM, SD 1.5, B/16)    | in Kang et al., CVPR 2025, Tab. 2 | v | 35.2 37.4 34.5 | 35.6 38.7 31.4 | 38.6 37.5 -
Pseudo-RIS (trained on pseudo labels) | Pseudo-RIS, ECCV 2024 | r | 37.33 43.43 31.90 | 40.19 46.43 33.63 | 41.63 43.52 -
HybridGL, guided (SAM-H)        | Liu, Li, CVPR 2025    | r | 41.81 44.52 38.50 | 35.74 41.43 30.90 | 42.47 42.97 -
HybridGL, pure, run by a user   | HybridGL's issue 1    | v | - - - | - - - | 37.14 - -
HybridGL, guided, run by a user | HybridGL's issue 1    | v | - - - | - - - | 35.48 - -
LocalizationHeads, LLaVA-1.5-7B | Kang et al., CVPR 2025, Tab. 2 | v | 74.2 76.5 70.4 | 62.5 65.2 56.0 | 64.2 68.1 -
LocalizationHeads, DeepSeek-VL-1.3B | Kang et al., CVPR 2025, Tab. 2 | v | 56.3 57.0 52.7 | 51.2 55.5 49.2 | 52.3 55.8 -
SAM 3 Agent (Gemini 2.5 Pro)    | arXiv 2604.20329, Tab. 2c | v | - - - | - - - | 73.4 - -
LAVT (supervised)               | in a survey           | v | 72.73 75.82 68.79 | 62.14 68.38 55.10 | 61.24 62.09 60.50
"""
_MEAN_IOU = """
Grad-CAM, RN50 (FreeSOLO)       | Yu et al., CVPR 2023  | r | 14.22 15.93 13.18 | 14.80 15.87 13.78 | 12.47 13.16 13.30
Region token, B/32              | Yu et al., CVPR 2023  | r | 23.43 22.07 24.62 | 24.51 22.64 25.37 | 27.57 27.34 27.69
Cropping, RN50                  | Yu et al., CVPR 2023  | r | 24.31 22.37 24.66 | 26.31 23.94 25.69 | 31.27 30.87 30.78
Cropping, B/32                  | Yu et al., CVPR 2023  | r | 24.83 22.58 25.72 | 26.33 24.06 26.46 | 31.88 30.94 31.06
Global-Local, RN50 (FreeSOLO)   | Yu et al., CVPR 2023  | r | 26.70 24.99 26.48 | 28.22 26.54 27.86 | 33.02 33.12 32.79
Global-Local, B/32 (FreeSOLO)   | in CaR, Tab. 7        | v | 26.20 24.94 26.56 | 27.80 25.64 27.84 | 33.52 33.67 33.61
Global-Local, B/32 (SAM)        | in TAS, Pseudo-RIS    | r | 31.83 32.93 28.64 | 34.97 37.11 30.61 | 40.66 40.94 40.68
SAM and plain CLIP              | in a summary of Ref-Diff | w | 26.33 - - | 25.70 - - | 38.75 - -
CaR (no SAM)                    | CaR, CVPR 2024, Tab. 7 | v | 33.57 35.36 30.51 | 34.22 36.03 31.02 | 36.67 36.57 36.63
Ref-Diff (SAM, SD 1.5, B/16)    | Ref-Diff              | r | 37.21 38.40 37.19 | 37.29 40.51 33.01 | 44.02 44.51 -
TAS (SAM, BLIP-2)               | TAS                   | r | 39.84 41.08 36.24 | 43.63 49.13 36.54 | 46.62 46.80 48.05
IteRPrimE (ALBEF, Mask2Former)  | IteRPrimE             | r | 40.2 46.5 33.9 | 44.2 51.6 35.3 | 46.0 45.1 -
Pseudo-RIS (trained on pseudo labels) | Pseudo-RIS, ECCV 2024 | r | 41.05 48.19 33.48 | 44.33 51.42 35.08 | 45.99 46.67 -
HybridGL, guided (SAM-H)        | Liu, Li, CVPR 2025, in a survey | v | 49.48 53.37 45.19 | 43.40 49.13 37.17 | 51.25 51.59 -
HybridGL, pure, run by a user   | HybridGL's issue 1    | v | - - - | - - - | 46.66 - -
HybridGL, guided, run by a user | HybridGL's issue 1    | v | - - - | - - - | 46.04 - -
"""
_OTHERS = {
    "grefcoco": [Published("CaR (no SAM)", "CaR, CVPR 2024, Tab. 7; split not noted", STANDINGS["v"], None, 0.168)],
    "phrasecut": [
        Published("Global-Local", "in a summary of Ref-Diff; split not noted", STANDINGS["w"], 0.2364, None),
        Published(
            "Ref-Diff (SAM, SD 1.5, B/16)", "in a summary of Ref-Diff; split not noted", STANDINGS["w"], 0.2942, None
        ),
        Published("TAS (SAM, BLIP-2)", "TAS; split not noted", STANDINGS["r"], 0.2564, None),
        Published("LAVT (supervised on RefCOCO)", "split not noted", STANDINGS["r"], 0.1668, None),
        Published("CRIS (supervised on RefCOCO)", "split not noted", STANDINGS["r"], 0.1553, None),
    ],
}
