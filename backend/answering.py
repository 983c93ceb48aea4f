"""From an expression on an encoded image to what is handed out: regions, their record, and what is told about them."""

from dataclasses import dataclass
from typing import Any

from backend import messages
from backend.label_studio import protocol, regions
from backend.label_studio.protocol import Control, Json, Picked
from backend.messages import Message
from backend.store import Answer, Region
from ris_core.documents import list_candidates
from ris_core.segmenter import Segmenter
from ris_core.types import EncodedImage, Prediction


@dataclass(frozen=True)
class Answered:
    """An expression, answered.

    Attributes:
        record: All its candidates, and which of them were handed out.
        regions: What Label Studio is given.
        told: What the annotator is told.
    """

    record: Answer
    regions: tuple[Json, ...]
    told: tuple[Message, ...]


def answer_expression(
    segmenter: Segmenter,
    encoded: EncodedImage,
    text: str,
    control: Control,
    task: str,
    top_k: int,
    min_score: float | None = None,
) -> Answered:
    """Find what an expression refers to.

    Args:
        text: The expression as typed, with or without a "Label: " prefix.
        control: Where its regions go.
        task: The task they are for: noted in each, since a page may put them on the task that it shows by then.
        top_k: Candidates that are kept.
        min_score: A candidate that scores less is kept, but not handed out.

    Raises:
        BadExpression: If there is nothing to read in the expression.
    """
    _, bare = protocol.split_label(control, text)
    prediction = segmenter.segment(encoded, bare, top_k)
    picked = protocol.pick_label(control, text, prediction.expression.head)
    shown = [i for i in prediction.selected if prediction.masks[i].any() and prediction.scores[i] >= (min_score or 0)]
    made = [_make_region(prediction, i, control, picked, task) for i in shown]
    handed_out = [
        Region(id=region["id"], candidate_rank=i + 1, from_name=control.name, label=picked.label)
        for i, region in zip(shown, made, strict=True)
    ]
    return Answered(
        _make_record(prediction, encoded, picked, handed_out), tuple(made), _tell(prediction, picked, control, not made)
    )


def _make_region(prediction: Prediction, index: int, control: Control, picked: Picked, task: str) -> Json:
    """A candidate as a region under a fresh id: Label Studio replaces a region whose id comes again."""
    notes: dict[str, Any] = {"decision": prediction.decision, "task": task}
    if picked.is_guess:
        notes["label_is_guess"] = True
    score = float(prediction.scores[index])
    return regions.make_region(
        prediction.masks[index], control, picked.label, protocol.new_region_id(), score, picked.expression, notes
    )


def _make_record(prediction: Prediction, encoded: EncodedImage, picked: Picked, handed_out: list[Region]) -> Answer:
    height, width = encoded.size_hw
    return Answer(
        expression=picked.expression,
        label=picked.label,
        decision=prediction.decision,
        model_version=prediction.model_version,
        encode_fp=encoded.encode_fp,
        image_sha256=encoded.image_sha256,
        height=height,
        width=width,
        candidates=[dict(candidate) for candidate in list_candidates(prediction)],
        selected=[int(i) for i in prediction.selected],
        regions=handed_out,
    )


def _tell(prediction: Prediction, picked: Picked, control: Control, is_empty: bool) -> tuple[Message, ...]:
    others = [label for label in control.labels if label != picked.label]
    return messages.about_answer(
        picked.expression,
        prediction.decision,
        is_empty,
        label=picked.label if picked.is_guess else "",
        other_label=next(iter(others), ""),
    )
