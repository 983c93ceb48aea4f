"""From clicks and boxes on an image to what is handed out: one region, its record, and what is told about it."""

from collections.abc import Iterator

from backend import messages
from backend.answering import Answered
from backend.label_studio import protocol, regions
from backend.label_studio.gestures import Gesture
from backend.label_studio.protocol import Control, Json
from backend.messages import Message
from backend.store import Answer, Region
from ris_core import masks
from ris_core.components import Promptable
from ris_core.documents import Candidate
from ris_core.prompts import PromptEmbedding
from ris_core.types import Proposals


def answer_gesture(
    proposer: Promptable, embedding: PromptEmbedding, gesture: Gesture, control: Control, task: str, model_version: str
) -> Answered:
    """Find what is pointed at: the candidate that the proposer trusts most.

    Args:
        control: Where the region goes, with the label of the click or box if it has that, else with its first.
        task: The task it is for: noted in the region, since a page may put it on the task that it shows by then.
        model_version: Kept with the record.
    """
    found = proposer.mask(embedding, gesture.to_prompts(embedding.size_hw))
    known = control.aliases.get(" ".join(gesture.label.lower().split()))
    label, is_guess = known or control.labels[0], known is None and len(control.labels) > 1
    made = [_make_region(found, control, label, task, is_guess)] if len(found) else []
    height, width = embedding.size_hw
    record = Answer(
        expression="",
        label=label,
        decision="match" if made else "no_match",
        model_version=model_version,
        encode_fp=embedding.embed_fp,
        image_sha256=embedding.image_sha256,
        height=height,
        width=width,
        candidates=[dict(candidate) for candidate in _list_candidates(found)],
        selected=[i for i, _ in enumerate(made)],
        regions=[Region(id=region["id"], candidate_rank=1, from_name=control.name, label=label) for region in made],
    )
    return Answered(record, tuple(made), tuple(_tell(gesture, label, is_guess, is_empty=not made)))


def _make_region(found: Proposals, control: Control, label: str, task: str, is_guess: bool) -> Json:
    notes = {"by": "click", "task": task, **({"label_is_guess": True} if is_guess else {})}
    score = float(found.predicted_iou[0])
    return regions.make_region(found.masks[0], control, label, protocol.new_region_id(), score, "", notes)


def _list_candidates(found: Proposals) -> Iterator[Candidate]:
    for i, mask in enumerate(found.masks):
        yield {
            "rank": i + 1,
            "score": float(found.predicted_iou[i]),
            "bbox_xywh": [float(side) for side in found.boxes_xywh[i]],
            "mask": masks.to_rle(mask),
            "parts": {"predicted_iou": float(found.predicted_iou[i]), "stability": float(found.stability[i])},
        }


def _tell(gesture: Gesture, label: str, is_guess: bool, is_empty: bool) -> Iterator[Message]:
    if is_empty:
        # Label Studio takes away what was drawn only with a suggestion, and would save it
        drawn = "click" if gesture.clicks else "box"
        yield messages.say("nothing_found", f"this {drawn}: undo it, so that it is not submitted")
    elif is_guess:
        yield messages.say("label_guessed", f"{label}; correct it once it is accepted.")
