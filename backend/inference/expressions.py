"""From an expression on an encoded image to what is handed out: regions, their record, and what is told about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float

from backend.db.records import Answer, Region
from backend.label_studio import messages, protocol, regions
from backend.label_studio.label_config import Control
from backend.label_studio.label_names import noun_of, split_words
from backend.label_studio.messages import Message
from backend.label_studio.prompt import PickedLabel, advise, pick_label, seems_several, split_label
from backend.label_studio.protocol import Json
from backend.settings.project import ReadBack
from ris_core.arrays import Array
from ris_core.errors import BadExpression, BadInput
from ris_core.geometry import boxes, mask_cleaning, masks
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.language import lexicon
from ris_core.language.hypernyms import is_kind_of
from ris_core.language.normalising import is_foreign
from ris_core.language.spelling import suggest
from ris_core.learning.words import ARTICLES, Words
from ris_core.output.documents import list_candidates
from ris_core.output.explain import read_as
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Expression, Prediction

SAME_INSTANCE_IOU = 0.5
"""Candidates that overlap more than this are taken for the same instance."""
SHARE_OF_BEST = 0.8
"""Of several instances, those are handed out that score at least this share of the best, unless a `min_score` is set."""
MANY = 20
"""Candidates that are considered where several instances may be meant."""


@dataclass(frozen=True)
class ExpressionAnswer:
    """An expression, answered.

    Attributes:
        record: All its candidates, and which of them were handed out.
        regions: What Label Studio is given.
        told: What the annotator is told.
        is_guess: The label was guessed.
        sentence: What of the annotator's words is kept with the annotation; empty if they brought nothing.
    """

    record: Answer
    regions: tuple[Json, ...]
    told: tuple[Message, ...]
    is_guess: bool = False
    sentence: str = ""


@dataclass(frozen=True)
class ExpressionQuery:
    """An expression to answer in an image.

    Attributes:
        text: What is looked for, without a label before it.
        typed: Where the label is read from: as an annotator types it, with or without a label before it.
        label: The label of its regions; None to read it from `typed`.
        is_many: Hand out several instances, not only the best.
    """

    text: str
    typed: str
    label: str | None = None
    is_many: bool = False


@dataclass(frozen=True)
class AnswerOptions:
    """How expressions are answered.

    Attributes:
        top_k: Candidates that are kept; more where several instances may be meant.
        min_score: A candidate that scores less is kept, but not handed out; None for no limit. In [0, 1].
        smooth_px: How much the outlines of masks are smoothed, in pixels.
        read_back: When an annotator is told how an expression was read.
        thresholds: What counts for a label in place of `min_score`.
        words: What the project's people mean by some phrases.
    """

    top_k: int
    min_score: float | None = None
    smooth_px: float = 0.0
    read_back: ReadBack = "unsure"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    words: Words = field(default_factory=Words)

    def min_score_of(self, label: str) -> float | None:
        """The least score of a candidate that is handed out with a label; None for no limit."""
        return self.thresholds.get(label, self.min_score)


class Selectable(Protocol):
    """What is needed to choose which candidates are handed out: a prediction, or what was stored of one.

    Attributes:
        selected: Indices of the candidates that answer.
        others: Indices of the candidates that could be meant instead, best first.
        scores, masks, boxes_xywh: As of a `Prediction`.
    """

    @property
    def selected(self) -> tuple[int, ...]: ...
    @property
    def others(self) -> tuple[int, ...]: ...
    @property
    def scores(self) -> Float[Array, "k"]: ...
    @property
    def masks(self) -> Bool[Array, "k h w"] | RunLengthMasks: ...
    @property
    def boxes_xywh(self) -> Float[Array, "k 4"]: ...


@dataclass(frozen=True)
class QueryAnswer:
    """The answer to a query, before it is handed out.

    Attributes:
        record: All candidates.
        handed_out: Indices of those that are handed out; where several instances are meant, also of some that score nearly as well.
        prediction: The candidates' masks, cleaned.
        picked: The label, and how it was chosen.
        replaced: Phrases that others were looked for in place of, by those.
    """

    record: Answer
    handed_out: tuple[int, ...]
    prediction: Prediction
    picked: PickedLabel
    replaced: Mapping[str, str] = field(default_factory=dict)


def answer_query(
    segmenter: Segmenter, encoded: EncodedImage, query: ExpressionQuery, control: Control, options: AnswerOptions
) -> QueryAnswer:
    """Find what a query refers to; the same for annotators and for bulk runs.

    Args:
        control: Where its regions go.

    Raises:
        BadExpression: As `find_candidates` does.
    """
    return make_answer(find_candidates(segmenter, encoded, query, control, options), encoded, query, control, options)


def find_candidates(
    segmenter: Segmenter, encoded: EncodedImage, query: ExpressionQuery, control: Control, options: AnswerOptions
) -> Prediction:
    """The candidates of a query, as the models give them: their masks are yet to be cleaned. Args: as for `answer_query`.

    Raises:
        BadExpression: If there is nothing to read in the expression. What is to be said about its prefix is a note of it.
    """
    top_k = max(MANY, options.top_k) if query.is_many else options.top_k
    reworded = options.words.reword(query.text)
    try:
        return segmenter.segment(encoded, read_expression(segmenter, reworded.text, control), top_k)
    except BadInput as error:
        if reworded.replaced:
            error.add_note(messages.about_words(reworded.replaced).text)
        if no_label := pick_label(control, query.typed, "").no_label:
            error.add_note(messages.about_prefix(no_label, control.labels).text)
        raise


def make_answer(
    prediction: Prediction, encoded: EncodedImage, query: ExpressionQuery, control: Control, options: AnswerOptions
) -> QueryAnswer:
    """The answer to a query from its candidates; needs no model. Args: as for `answer_query`."""
    prediction = _clean(prediction, options.smooth_px)
    picked = _pick_label(query, control, prediction.expression, options.words)
    min_score = options.min_score_of(picked.label)
    handed_out = select(prediction, query.is_many, min_score)
    others = () if query.is_many else list_others(prediction, handed_out, min_score)
    replaced = options.words.reword(query.text).replaced
    record = _make_record(prediction, encoded, picked, others)
    if replaced:
        record = replace(record, reading={**(record.reading or {}), "replaced": dict(replaced)})
    return QueryAnswer(record, handed_out, prediction, picked, replaced)


def _pick_label(query: ExpressionQuery, control: Control, expression: Expression, words: Words) -> PickedLabel:
    """The query's label, else the one that is typed before it, else the one that its words mean, else as the control has it."""
    picked = pick_label(control, query.typed, *expression.meant)
    label = query.label
    if label is None and words and split_label(control, query.typed)[0] is None:
        learned = words.find_label(query.text, expression.meant[1])
        label = learned if learned in control.labels else None
    return picked if label is None else replace(picked, label=label, is_guess=False)


def read_expression(segmenter: Segmenter, text: str, control: Control) -> Expression:
    """An expression as it is meant where its region goes: with one label, "the second from the left" is the second of those.

    Only if the model knows every word of what that label says it is.
    """
    expression, vocabulary = segmenter.parser.parse(text), segmenter.vocabulary
    noun = noun_of(control.labels[0]) if len(control.labels) == 1 else ""
    *words, head = noun.split() or [""]
    is_known = vocabulary is None or (vocabulary.knows_noun(head) and all(map(vocabulary.knows, words)))
    return expression.named(noun) if noun and is_known else expression


def answer_expression(
    segmenter: Segmenter,
    encoded: EncodedImage,
    text: str,
    control: Control,
    task: str,
    options: AnswerOptions,
    own_ids: Mapping[int, str] = MappingProxyType({}),
) -> ExpressionAnswer:
    """Find what an annotator's expression refers to.

    Args:
        text: The expression as typed, with or without a "Label: " prefix.
        control: Where its regions go.
        task: The task they are for: noted in each, since a page may put them on the task that it shows by then.
        own_ids: Ids of regions that were handed out for the same words, by the rank of their candidate: they are used again.

    Raises:
        BadExpression: As `answer_query` does.
    """
    _, bare = split_label(control, text)
    answer = answer_query(segmenter, encoded, ExpressionQuery(bare, text), control, options)
    prediction, picked = answer.prediction, answer.picked
    results = [
        _make_region(prediction, i, control, picked, task, own_ids.get(i + 1) or protocol.new_region_id())
        for i in answer.handed_out
    ]
    handed_out = [
        Region(region["id"], i + 1, control.name, picked.label, is_reused=i + 1 in own_ids)
        for i, region in zip(answer.handed_out, results, strict=True)
    ]
    record = replace(answer.record, regions=handed_out)
    told = tell(segmenter, answer, control, options)
    return ExpressionAnswer(record, tuple(results), told, picked.is_guess, text if results else "")


def answer_choice(
    record: Answer, rank: int, control: Control, task: str, is_guess: bool, own_id: str | None = None
) -> ExpressionAnswer:
    """Hand out another candidate of an answer.

    Args:
        record: The answer; what it was about need not be looked at again.
        rank: Of the candidate, from 1; the last one counts if there are not so many.
        is_guess: The answer's label was guessed.
        own_id: Id of the region whose place it takes; without one it gets a fresh one.

    Raises:
        BadExpression: If the answer has no candidates.
    """
    if not record.candidates:
        raise BadExpression("Nothing was found there, so there is no other candidate. Say it differently.")
    rank = min(max(rank, 1), len(record.candidates))
    candidate = record.candidates[rank - 1]
    label, is_lost = keep_label(record.label, control)
    is_guess = is_guess or is_lost
    notes = {"decision": record.decision, "task": task, "rank": rank, **({"label_is_guess": True} if is_guess else {})}
    score, mask = float(candidate["score"]), masks.from_rle(candidate["mask"])
    id = own_id or protocol.new_region_id()
    result = regions.make_region(mask, control, label, id, score, record.expression, notes)
    handed_out = (Region(id, rank, control.name, label, is_reused=own_id is not None),)
    chosen = replace(record, label=label, selected=[rank - 1], regions=handed_out)
    probability = candidate["parts"].get("probability")  # none of a click, nor without a calibrator
    remarks = [messages.about_candidate(rank, len(record.candidates), probability)]
    if is_guess:
        remarks.append(
            messages.about_guess(label, advise(control, (other for other in control.labels if other != label)))
        )
    return ExpressionAnswer(chosen, (result,), tuple(remarks), is_guess, record.expression)


def keep_label(label: str, control: Control) -> tuple[str, bool]:
    """An earlier answer's label, and whether it is a guess since the control has it no more."""
    if label in control.labels:
        return label, False
    return control.labels[0], len(control.labels) > 1


def _clean(prediction: Prediction, smooth_px: float) -> Prediction:
    """With light masks; what is recorded is what is handed out."""
    cleaned = mask_cleaning.clean_all(prediction.masks, smooth_px)
    return replace(prediction, masks=cleaned, boxes_xywh=boxes.from_masks(cleaned))


def _make_region(prediction: Prediction, index: int, control: Control, picked: PickedLabel, task: str, id: str) -> Json:
    """A candidate as a region; Label Studio replaces a region whose id comes again."""
    notes: dict[str, Any] = {"decision": prediction.decision, "task": task}
    if picked.is_guess:
        notes["label_is_guess"] = True
    score = float(prediction.scores[index])
    return regions.make_region(prediction.masks[index], control, picked.label, id, score, picked.expression, notes)


def select(candidates: Selectable, is_many: bool, min_score: float | None) -> tuple[int, ...]:
    """The candidates that are handed out: those that answer; where many are meant, also those elsewhere that score nearly as well."""
    chosen: Sequence[int] = candidates.selected
    if is_many and chosen:
        floor = SHARE_OF_BEST * float(candidates.scores[list(chosen)].max()) if min_score is None else min_score
        near = [i for i in range(len(candidates.scores)) if i in chosen or candidates.scores[i] >= floor]
        # scores are at most 1, so what answers always comes before what only scores well
        priority = np.array([candidates.scores[i] + (i in chosen) for i in near])
        chosen = sorted(
            near[k] for k in masks.keep_distinct(masks.take(candidates.masks, near), priority, SAME_INSTANCE_IOU)
        )
    floor = min_score or 0.0
    return tuple(int(i) for i in chosen if candidates.boxes_xywh[i, 2] > 0 and candidates.scores[i] >= floor)


def list_others(candidates: Selectable, handed_out: Sequence[int], min_score: float | None) -> tuple[int, ...]:
    """The candidates that could be meant instead, best first; none where nothing is handed out."""
    floor = min_score or 0.0
    others = (i for i in candidates.others if i not in handed_out and candidates.scores[i] >= floor)
    return tuple(others) if handed_out else ()


def _make_record(prediction: Prediction, encoded: EncodedImage, picked: PickedLabel, others: Sequence[int]) -> Answer:
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
        is_guess=picked.is_guess,
        others=others,
        reading={
            "meant": list(prediction.expression.meant),
            "unused": list(prediction.expression.unused),
            "numbers": [referent.number for referent in prediction.expression.referents],
        },
        is_calibrated="probability" in prediction.parts[0] if prediction.parts else None,
    )


def tell(segmenter: Segmenter, answer: QueryAnswer, control: Control, options: AnswerOptions) -> tuple[Message, ...]:
    """What an annotator is told about an answer.

    Args:
        control: Where its regions go.
    """
    prediction, picked, read_back = answer.prediction, answer.picked, options.read_back
    expression, is_empty = prediction.expression, not answer.handed_out
    is_unsure = is_empty or bool(expression.unused) or prediction.decision == "ambiguous" or picked.is_guess
    reading = read_as(expression)
    is_news = bool(reading) and not _words_of(expression.text) <= _words_of(reading)
    is_read_back = read_back == "always" or (read_back == "unsure" and is_unsure and is_news)
    doubtful = expression.text.split() if is_empty else expression.unused
    remarks = messages.about_answer(
        picked.expression,
        prediction.decision,
        is_empty,
        label=picked.label if picked.is_guess else "",
        other_label=advise(control, _order_labels(segmenter, expression.meant, picked.others)),
        has_candidates=len(prediction.masks) > 0,
        seems_several=seems_several(picked.expression),
        unused=expression.unused,
        rival=prediction.rival_rank,
        reading=reading if is_read_back else "",
        meant=suggest(doubtful, segmenter.known_words) if doubtful else {},
    )
    if answer.replaced and read_back != "never":
        remarks = (*remarks, messages.about_words(answer.replaced))
    if is_foreign(expression.text):
        remarks = (*remarks, messages.say("english"))
    return (*remarks, messages.about_prefix(picked.no_label, control.labels)) if picked.no_label else remarks


def _words_of(text: str) -> frozenset[str]:
    """The words that say something, in the singular."""
    return frozenset(lexicon.singular(word) for word in split_words(text)) - ARTICLES


def _order_labels(segmenter: Segmenter, meant: tuple[str, str], labels: Sequence[str]) -> Sequence[str]:
    """The labels that may be meant, those first that the words fit: by what kind of thing it is, then by the text encoder."""
    head, phrase = meant
    if len(labels) < 2 or not head:
        return labels
    fits = {label: 2.0 * any(is_kind_of(head, word) for word in split_words(label)) for label in labels}
    if segmenter.vocabulary is None:  # else it cannot read most labels
        vectors = segmenter.encoder.encode_texts([phrase, *labels])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        fits = {label: fits[label] + float(fit) for label, fit in zip(labels, vectors[1:] @ vectors[0], strict=True)}
    return sorted(labels, key=lambda label: -fits[label])  # stable
