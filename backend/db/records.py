"""Values of the request store: a request, and what was handed out for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Json = Mapping[str, Any]
Kind = Literal["interactive", "open", "encode", "ahead"]
State = Literal["queued", "running", "done", "failed", "superseded", "expired"]


@dataclass(frozen=True)
class Request:
    """What Label Studio asked about one task, and what became of it.

    Attributes:
        id: uuid4, hex.
        kind: "interactive": somebody waits; "open": a task was opened, the cache may answer; "encode": it was opened, fill the
            cache; "ahead": it will be opened soon, fill the cache.
        project: Label Studio's project, if it is known.
        task: Label Studio's task id, as text.
        prompt_id: Id of the TextArea result that was typed into.
        user: Label Studio's user id, if it is known.
        body: {"data", "label_config", "hostname", "expressions", "extra_params"}; never a token.
        expires_at: When nobody waits for the answer any more.
        attempts: How many times it was started.
        error: Why it failed, or what went wrong with a part of it.
        answer: What was handed out: a Label Studio prediction.
        message: What the annotator is told with it, as `Message.to_json` returns it.
    """

    id: str
    created_at: float
    expires_at: float
    kind: Kind
    project: int | None
    task: str
    prompt_id: str | None
    user: int | None
    body: dict[str, Any]
    state: State
    attempts: int
    error: str | None
    answer: Any
    finished_at: float | None
    message: Json | None = None


@dataclass(frozen=True)
class Region:
    """A region that was handed out.

    Attributes:
        id: What Label Studio knows it by.
        candidate_rank: Rank of the candidate that it shows, from 1.
        is_reused: Its id was handed out before: it takes the place of that region. Every other id is new.
    """

    id: str
    candidate_rank: int
    from_name: str
    label: str
    is_reused: bool = False


@dataclass(frozen=True)
class Answer:
    """The answer to one expression, as handed out.

    Attributes:
        image_sha256, height, width: The image, and its upright size in pixels.
        candidates: [{"rank", "score", "bbox_xywh", "mask": COCO RLE, "parts": {}}], best first.
        selected: Indices of the candidates that answer.
        regions: What Label Studio received; those of runs have ids that follow from their place, and are not kept.
        is_guess: The label was guessed; None where that was not recorded.
        others: Indices of the candidates that could be meant instead, best first.
        repeats: Number of the query of the same task that has the same mask for the same words, if there is one.
        reading: How the expression was read: {"meant": nouns, "unused": words, "numbers": how many of each are meant}.
        is_calibrated: Whether the scores are probabilities; None where no candidate tells.
    """

    expression: str
    label: str
    decision: str
    model_version: str
    encode_fp: str
    image_sha256: str
    height: int
    width: int
    candidates: Sequence[Mapping[str, Any]]
    selected: Sequence[int]
    regions: Sequence[Region] = ()
    is_guess: bool | None = None
    others: Sequence[int] = ()
    repeats: int | None = None
    reading: Json | None = None
    is_calibrated: bool | None = None
