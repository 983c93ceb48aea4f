"""A prediction as JSON values: what the command line prints and what is kept of every answer."""

from typing import TypedDict

from ris_core.geometry import masks
from ris_core.types import Image, Prediction


class Candidate(TypedDict):
    """One candidate mask: rank from 1, score in [0, 1], tight box in pixels, COCO RLE, the terms of the score."""

    rank: int
    score: float
    bbox_xywh: list[float]
    mask: masks.Rle
    parts: dict[str, float]


def list_candidates(prediction: Prediction) -> list[Candidate]:
    """The candidates of a prediction, best first."""
    return [
        {
            "rank": i + 1,
            "score": float(prediction.scores[i]),
            "bbox_xywh": [float(side) for side in prediction.boxes_xywh[i]],
            "mask": rle,
            "parts": dict(prediction.parts[i]),
        }
        for i, rle in enumerate(masks.to_rles(prediction.masks))
    ]


def to_document(image: Image, prediction: Prediction, profile: str, method: str) -> dict[str, object]:
    """Everything about one answer."""
    return {
        "image": {"sha256": image.sha256, "size_hw": list(image.size_hw)},
        "expression": prediction.expression.raw,
        "profile": profile,
        "method": method,
        "model_version": prediction.model_version,
        "decision": prediction.decision,
        "selected": list(prediction.selected),
        "candidates": list_candidates(prediction),
    }
