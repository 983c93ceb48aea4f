"""A trial as one HTML page that needs no other file. File names and expressions in it are escaped as everything is."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as Pil

from backend.report.html import data_uri, render_template
from backend.report.page import ReportTable
from backend.report.trial import StageCost, TriedExpression, TriedImage
from ris_core.arrays import Array
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.output.explain import explain
from ris_core.output.overlay import ANSWER_OPACITY, ANSWER_RGB, OTHER_RGB, Rgb, paint_mask
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import Image

SIDE_PX = 720
"""Longest side of a picture."""
COLOURS: tuple[Rgb, ...] = ((230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180))
OUTLINE_PX = 2
JPEG_QUALITY = 88


@dataclass(frozen=True)
class TrialFacts:
    """What a trial ran with.

    Attributes:
        is_calibrated: Whether scores are probabilities.
        load: What loading the models took.
    """

    profile: str
    about: str
    model_version: str
    device: str
    is_calibrated: bool
    load: StageCost

    @classmethod
    def of(cls, segmenter: Segmenter, about: str, device: str, load: StageCost) -> "TrialFacts":
        """Of a segmenter that was loaded for a device."""
        is_calibrated = getattr(segmenter.method, "calibrator", None) is not None
        return cls(segmenter.profile, about, segmenter.model_version, device, is_calibrated, load)


def render_trial(facts: TrialFacts, images: Sequence[TriedImage], unread: Sequence[str]) -> str:
    """The whole page as HTML.

    Args:
        unread: Why some of the files could not be read, a line each.
    """
    return render_template(
        "trial.html",
        facts=facts,
        load=_cost_table([facts.load]),
        images=[_describe(one) for one in images],
        notes=[*unread, *_collect_warnings(images)],
    )


def _collect_warnings(images: Sequence[TriedImage]) -> list[str]:
    """What was said with answers, each once."""
    predictions = [one.prediction for image in images for one in image.expressions if one.prediction]
    return list(dict.fromkeys(warning for one in predictions for warning in one.warnings))


def _describe(tried: TriedImage) -> dict[str, object]:
    height, width = tried.image.size_hw
    return {
        "name": tried.name,
        "size": f"{width} × {height} pixels",
        "proposals": len(tried.proposals),
        "picture": _draw_proposals(tried),
        "costs": _cost_table(tried.costs),
        "answers": [_describe_answer(tried.image, one) for one in tried.expressions],
    }


def _describe_answer(image: Image, tried: TriedExpression) -> dict[str, object]:
    prediction = tried.prediction
    if prediction is None:
        return {"text": tried.text, "refusal": tried.refusal, "lines": [], "picture": ""}
    return {
        "text": tried.text,
        "refusal": "",
        "lines": explain(prediction).splitlines(),
        "picture": _draw_answer(image, prediction.masks, prediction.selected),
    }


def _cost_table(costs: Iterable[StageCost]) -> ReportTable:
    rows = [
        [one.name, f"{one.seconds:.2f} s", f"{one.cpu_s:.2f} s", f"{one.peak_bytes / 2**20:,.0f} MiB"] for one in costs
    ]
    return ReportTable(["stage", "time", "CPU time", "most memory until then"], rows)


def _draw_proposals(tried: TriedImage) -> str:
    canvas = _shrink(tried.image)
    for number in reversed(range(len(tried.proposals))):  # the best on top
        mask = _shrink_mask(tried.proposals.masks[number], canvas)
        paint_mask(canvas, mask, COLOURS[number % len(COLOURS)], opacity=0.35)
    for number in reversed(range(len(tried.proposals))):
        mask = _shrink_mask(tried.proposals.masks[number], canvas)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, COLOURS[number % len(COLOURS)], 1)
    return _embed(canvas)


def _draw_answer(image: Image, masks: Bool[Array, "k h w"] | RunLengthMasks, selected: Sequence[int]) -> str:
    canvas = _shrink(image)
    for rank in reversed(range(len(masks))):
        mask, is_selected = _shrink_mask(masks[rank], canvas), rank in selected
        colour = ANSWER_RGB if is_selected else OTHER_RGB
        opacity = ANSWER_OPACITY if is_selected else 0.0
        paint_mask(canvas, mask, colour, opacity=opacity, outline_px=OUTLINE_PX if is_selected else 1)
        if mask.any():
            _write_rank(canvas, mask, rank + 1)
    return _embed(canvas)


def _write_rank(canvas: UInt8[Array, "y x 3"], mask: Bool[Array, "y x"], rank: int) -> None:
    """A number in a white box, at the point of the mask that is farthest from its rim."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    (width, height), _ = cv2.getTextSize(str(rank), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    left, bottom = int(x) - width // 2, int(y) + height // 2
    cv2.rectangle(canvas, (left - 3, bottom - height - 3), (left + width + 2, bottom + 3), (255, 255, 255), cv2.FILLED)
    cv2.putText(canvas, str(rank), (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def _shrink(image: Image) -> UInt8[Array, "y x 3"]:
    height, width = image.size_hw
    scale = min(1.0, SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: UInt8[Array, "y x 3"] = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
    return small


def _shrink_mask(mask: Bool[Array, "h w"], canvas: UInt8[Array, "y x 3"]) -> Bool[Array, "y x"]:
    small: Bool[Array, "y x"] = (
        cv2.resize(mask.astype(np.uint8), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    )
    return small


def _embed(canvas: UInt8[Array, "y x 3"]) -> str:
    buffer = io.BytesIO()
    Pil.fromarray(canvas).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return data_uri("image/jpeg", buffer.getvalue())
