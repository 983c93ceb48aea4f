"""The verbs: segment a task, encode a task, plan the next ones. From a request's id to an answer in the store; knows no Redis."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import structlog

from backend.base.redaction import reason_of
from backend.db.project_store import FetchedImage
from backend.db.records import Request
from backend.db.request_store import RequestStore
from backend.inference.clicks import ClickContext, answer_gesture
from backend.inference.encoding_times import EncodingTimes
from backend.inference.expressions import AnswerOptions, ExpressionAnswer, answer_choice, answer_expression
from backend.inference.feature_cache import FeatureCache
from backend.inference.lessons import Lessons
from backend.inference.refinement import list_shown, look_inside, looks_elsewhere, needs_close_look, refine
from backend.inference.refinement_state import (
    CandidateQuery,
    LastAnswer,
    RefinementState,
    RefinementStates,
    RefinementTarget,
)
from backend.inference.request_context import NO_WORDS, InferenceContext, RequestContext, TaskSource
from backend.inference.segmenters import Segmenters
from backend.label_studio import messages, protocol
from backend.label_studio.gestures import Gesture
from backend.label_studio.label_names import fold
from backend.label_studio.messages import Message
from backend.label_studio.prompt import split_label
from backend.settings.project import ProjectSettings, read_project_settings
from ris_core.errors import BadExpression, BadInput, RisError
from ris_core.learning.words import Words
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image, Proposals
from ris_core.types.prompts import PromptEmbedding

log = structlog.get_logger(__name__)

WARM_UP_TEXT = "the red thing"
"""Asked when a worker starts; a model of few words knows this too."""
WARM_UP_SIDE_PX = 64

AHEAD_LIFETIME_S = 600.0
"""How long the encoding of a task that may be opened soon is worth doing."""
RETRY_ENCODING_S = 3600.0
"""A task whose encoding was tried is not planned again for so long."""


class Fetcher(Protocol):
    """Gets the bytes of an image as a task names it (`label_studio.images.ImageFetcher`)."""

    def fetch(
        self, url: str, hostname: str | None = None, token: str | None = None, task_id: int | str | None = None
    ) -> bytes:
        """The bytes, or `ImageUnreachable`."""

    def ask(self, path: str, hostname: str | None = None, token: str | None = None) -> bytes:
        """What Label Studio's API answers to a request of ours, or `ImageUnreachable`."""


@dataclass(frozen=True)
class InferenceService:
    """One worker's means. Made by `wiring`.

    Attributes:
        segmenter: The worker's own.
        max_pixels: Largest image that is decoded.
        top_k: Candidates kept with every answer.
        segmenters: Those of other profiles, for projects that name one.
        make_fetcher: Makes the fetcher of a project that names hosts of its own; without it they are not asked.
        ahead: How many tasks after an opened one are encoded.
        encoding_times: Tells which picture is encoded, and how long that takes.
    """

    store: RequestStore
    cache: FeatureCache
    fetcher: Fetcher
    segmenter: Segmenter
    max_pixels: int
    top_k: int
    segmenters: Segmenters = field(default_factory=Segmenters)
    make_fetcher: Callable[[tuple[str, ...]], Fetcher] | None = None
    ahead: int = 0
    encoding_times: EncodingTimes = field(default_factory=EncodingTimes)

    @property
    def model_version(self) -> str:
        """Version of the answers."""
        return self.segmenter.model_version

    @cached_property
    def lessons(self) -> Lessons:
        """What was learnt for projects."""
        return Lessons(self.store)

    @property
    def refinement_states(self) -> RefinementStates:
        """What stands offered to annotators."""
        return RefinementStates(self.store)

    def warm_up(self) -> None:
        """Run every component once, so that the first annotator does not wait for what is loaded on first use."""
        pixels = np.full((WARM_UP_SIDE_PX, WARM_UP_SIDE_PX, 3), 127, np.uint8)
        pixels[16:48, 16:48] = 255, 0, 0
        image = Image.from_array(pixels)
        self.segmenter.encode(image)
        square = Proposals.from_masks((pixels[..., 1] == 0)[None])  # the proposer may have found nothing
        self.segmenter.segment(self.segmenter.encode(image, square), WARM_UP_TEXT, self.top_k)
        if self.segmenter.warning:
            log.warning(self.segmenter.warning, model_version=self.model_version)

    def segment(self, request_id: str) -> None:
        """Answer a request: each of its expressions with the regions it refers to, or its clicks and boxes with what they mean.

        What is wrong with the request (its image, label config, expressions) is recorded as its failure, with an empty
        prediction. Of several expressions those that can be answered are. A request that is not wanted any more costs
        nothing. A request of kind "open" is answered from the cache, or with no prediction at all: [].
        """
        if request := self._start(request_id):
            with self._recording_failure(request):
                context = self.begin(request)
                self._point(context) if "gesture" in request.body else self._segment(context)

    def encode(self, request_id: str) -> None:
        """Make sure that a request's image is in the feature cache, for expressions and, where they are used, for clicks."""
        if request := self._start(request_id):
            with self._recording_failure(request):
                context = self.begin(request)
                encoded = self.get_encoded(context)
                if context.expects_gestures:
                    self.get_embedding(context)
                self.store.finish_request(request.id, None)
                context.log_done(image=encoded.image_sha256, proposals=len(encoded.proposals))

    def plan_ahead(self, request_id: str) -> list[str]:
        """Record that the next tasks after a request's are to be encoded, unless they are or that was tried; the requests' ids.

        They are those that nobody has labelled, in the order of their ids. Whatever prevents it is only logged.
        """
        request = self.store.get_request(request_id)
        if not self.ahead or request is None or request.state == "expired" or request.project is None:
            return []
        if not request.task.isdecimal():
            return []
        try:
            context = self.begin(request)
            path = protocol.next_tasks_path(request.project, request.task, self.ahead)
            fetcher, hostname, token = self._reach(context)
            tasks = protocol.read_tasks(fetcher.ask(path, hostname, token), request.project)
            return [self._add_ahead(request, task) for task in tasks if self._is_worth_encoding(context, task)]
        except RisError as error:
            log.info("the next tasks are not encoded", task=request.task, project=request.project, error=str(error))
            return []

    def expire_overdue(self) -> None:
        """Close requests that nobody waits for any more, and forget offers that cannot be mended any more."""
        self.refinement_states.forget_old()
        if expired := self.store.expire_overdue():
            log.warning("requests expired unanswered", count=expired)

    def _start(self, request_id: str) -> Request | None:
        started = self.store.start_request(request_id)
        if started is None:
            request = self.store.get_request(request_id)
            log.info("dropped", request=request_id, reason=request.error or request.state if request else "unknown")
        return started

    def begin(self, request: Request) -> RequestContext:
        """A request at work, by its project's settings."""
        source = TaskSource.of(request)
        return RequestContext(request, source, *self._choose(source))

    def begin_task(self, source: TaskSource, lesson: str | None = None) -> InferenceContext:
        """A task that no request is about, as those of runs, by its project's settings.

        Args:
            lesson: Digest of what was learnt, empty for nothing; None for what was learnt last.
        """
        return InferenceContext(source, *self._choose(source, lesson))

    def _choose(
        self, source: TaskSource, digest: str | None = None
    ) -> tuple[ProjectSettings, Segmenter, Mapping[str, float], Words]:
        """A project's settings, what segments by them and by what was learnt, the thresholds of its labels, and its words."""
        settings = read_project_settings(source.extra_params)
        is_other = settings.profile not in (None, self.segmenter.profile)
        segmenter = self.segmenters.get(settings.profile) if settings.profile and is_other else self.segmenter
        lesson = self.lessons.find(segmenter, source.project, digest)
        if lesson is None:
            return settings, segmenter, {}, NO_WORDS
        return settings, lesson.apply(segmenter), lesson.thresholds, lesson.words

    def _segment(self, context: RequestContext) -> None:
        request, encoded = context.asked, None
        if request.kind == "open":
            encoded = self._cached(context, context.image_url)
            if encoded is None:
                self.store.finish_request(request.id, [])
                context.log_done(image="not in the cache", regions=0)
                return
        answers, errors = self._answer_all(context, encoded)
        if errors and not answers:
            raise errors[0] if len(errors) == 1 else _merge(errors)
        kept = [answer.sentence for answer in answers if answer.sentence]
        if self._hand_out(context, answers, errors, kept) and request.prompt_id:
            self.refinement_states.save(request.project, request.task, _stand(request, answers[-1]))

    def _point(self, context: RequestContext) -> None:
        """Answer a gesture: it corrects what stands offered, or it is about itself."""
        request, proposer = context.asked, context.promptable
        gesture, version = Gesture.from_json(request.body["gesture"]), context.segmenter.model_version
        click = ClickContext(gesture, context.config.controls[0], request.task, version, context.settings.smooth_px)
        target = RefinementTarget(**request.body["mends"]) if "mends" in request.body else None
        state = self.refinement_states.get(request.project, request.task, target.prompt_id) if target else None
        if target is None or state is None:
            answer = answer_gesture(proposer, self.get_embedding(context), click)
            context.tick("mask")
            self._hand_out(context, [answer], [])
            return
        if looks_elsewhere(gesture, state.offer):
            refinement = look_inside(context.segmenter, proposer, self._open(context), click, state.offer, target)
        else:
            embedding = self.get_embedding(context)
            image = self._open(context) if needs_close_look(gesture, embedding.size_hw) else None
            refinement = refine(proposer, embedding, click, state.offer, target, image)
        context.tick("mend")
        if self._hand_out(context, refinement.made, []):
            refined = replace(state, user=request.user, draft=target.draft, offer=refinement.offer)
            self.refinement_states.save(request.project, request.task, refined)

    def _hand_out(
        self,
        context: RequestContext,
        answers: Sequence[ExpressionAnswer],
        errors: Sequence[BadInput],
        kept: Sequence[str] | None = None,
    ) -> bool:
        """Record the answer; False if nobody waits for it any more.

        Args:
            kept: What of the prompt's texts brought something; None if there is no prompt.
        """
        request = context.asked
        answers = self._say_if_uncalibrated(request, answers)
        handed_out = [region for answered in answers for region in answered.regions]
        score = min((region["score"] for region in handed_out), default=0.0)
        message = messages.join(_tell_all(answers, errors)) if request.kind == "interactive" else None
        untold = message.left_out if message else ()
        for answered in answers:
            protocol.note_untold(answered.regions, [one.text for one in answered.told if one.text in untold])
        prediction = protocol.prediction(handed_out, score, context.segmenter.model_version)
        is_typed = request.kind == "interactive" and kept is not None
        is_handed_out = self.store.finish_request(
            request.id,
            protocol.keep_texts(prediction, kept or ()) if is_typed else prediction,
            [answered.record for answered in answers],
            " ".join(map(str, errors)) or None,
            message.to_json() if message else None,
        )
        context.log_done(
            image=answers[0].record.image_sha256 if answers else "",
            regions=len(handed_out),
            **({"told": message.kind} if message else {}),
            **({} if is_handed_out else {"discarded": "too late, or answered already"}),
        )
        return is_handed_out

    def _say_if_uncalibrated(self, request: Request, answers: Sequence[ExpressionAnswer]) -> Sequence[ExpressionAnswer]:
        """The answers; the first of a task that has regions says whether their scores are no probabilities."""
        first = next((k for k, one in enumerate(answers) if one.regions and one.record.is_calibrated is False), None)
        if first is None or request.kind != "interactive" or self.store.was_answered(request.project, request.task):
            return answers
        told = (*answers[first].told, messages.say("uncalibrated"))
        return [*answers[:first], replace(answers[first], told=told), *answers[first + 1 :]]

    def _answer_all(
        self, context: RequestContext, encoded: EncodedImage | None
    ) -> tuple[list[ExpressionAnswer], list[BadInput]]:
        """An answer for each expression that can be read; what is wrong with the others.

        Nothing is encoded for another candidate of what was answered before.
        """
        answers: list[ExpressionAnswer] = []
        errors: list[BadInput] = []
        for text in context.asked.body["expressions"]:
            query = self._read_query(context, text)
            if query.known is None and query.text:
                encoded = encoded or self.get_encoded(context)
            try:
                answers.append(self._grant(context, query, encoded))
            except BadInput as error:
                log.warning(
                    "an expression cannot be answered", request=context.asked.id, expression=text, error=str(error)
                )
                errors.append(error)
        context.tick("segment")
        return answers, errors

    def _read_query(self, context: RequestContext, text: str) -> CandidateQuery:
        """What an expression asks for, by what was asked before."""
        request = context.asked
        label, bare = split_label(context.config.controls[0], text)
        if request.kind != "interactive" or not request.prompt_id:
            return CandidateQuery(text)
        return self.refinement_states.read_query(request.project, request.task, request.prompt_id, text, bare, label)

    def _grant(self, context: RequestContext, query: CandidateQuery, encoded: EncodedImage | None) -> ExpressionAnswer:
        control, task = context.config.controls[0], context.asked.task
        if query.known:
            own_id = self._find_own_id(context, query.shown_id)
            answer = answer_choice(query.known, query.rank, control, task, query.is_guess, own_id)
            is_there = own_id is not None and own_id in self._read_target(context).accepted
            return replace(answer, told=(*answer.told, messages.say("instead"))) if is_there else answer
        if encoded is None:
            raise BadExpression("Nothing was asked here before. Type what you mean first.")
        settings = context.settings
        options = AnswerOptions(
            self.top_k, settings.min_score, settings.smooth_px, settings.read_back, words=context.words
        )
        own_ids = self._find_own_ids(context, query.text)
        answer = answer_expression(context.segmenter, encoded, query.text, control, task, options, own_ids)
        return answer_choice(answer.record, query.rank, control, task, answer.is_guess) if query.rank else answer

    def _read_target(self, context: RequestContext) -> RefinementTarget:
        """What the page of a prompt says about what it was offered before; nothing where that was not asked."""
        request = context.asked
        known = request.body.get("mends")
        return RefinementTarget(**known) if known else RefinementTarget(str(request.prompt_id), "", (), ())

    def _find_own_id(self, context: RequestContext, id: str | None) -> str | None:
        """A region's id, if what is offered now may take its place."""
        request = context.asked
        if id is None or "mends" not in request.body:
            return None
        state = self.refinement_states.get(request.project, request.task, str(request.prompt_id))
        is_last = state is not None and any(one.id == id for one in state.offer.shown)
        target = self._read_target(context)
        return id if (is_last or id in target.accepted) and target.may_replace(id) else None

    def _find_own_ids(self, context: RequestContext, text: str) -> dict[int, str]:
        """Ids of what was offered a moment ago for the same words, by rank: no draft says yet whether it was accepted."""
        request = context.asked
        if request.kind != "interactive" or "mends" not in request.body:
            return {}
        state = self.refinement_states.get(request.project, request.task, str(request.prompt_id))
        _, bare = split_label(context.config.controls[0], text)
        if state is None or state.offer.gesture or fold(state.offer.answer.expression) != fold(bare):
            return {}
        target, ranks = self._read_target(context), [index + 1 for index in state.offer.answer.selected]
        if len(ranks) != len(state.offer.shown):  # some were not handed out, and which is not kept
            return {}
        own = dict(zip(ranks, (one.id for one in state.offer.shown), strict=True))
        return {rank: id for rank, id in own.items() if id not in target.accepted and target.is_recent}

    def get_encoded(self, context: InferenceContext) -> EncodedImage:
        """The task's image, encoded: from the cache, without fetching anything, if it was seen there lately."""
        self.prepare(context)
        if context.encoded:
            return context.encoded
        image = self._open(context)
        encoded = self.cache.get(context.segmenter.encode_fp, image.sha256)
        if encoded is None:
            with self.encoding_times.encoding(context.picture, context.segmenter.profile):
                encoded = self.cache.put(context.segmenter.encode(image))
            context.tick("encode")
            if context.expects_gestures:
                self.get_embedding(context)  # now: the proposer has just seen the image
        return encoded

    def prepare(self, context: InferenceContext) -> None:
        """Get what needs no model: the task's image encoded, from the cache, or else its pixels. Any thread may do it beforehand.

        Raises:
            BadImage: If it cannot be decoded.
            ImageUnreachable: If it cannot be fetched.
        """
        if context.image or context.encoded:
            return
        context.encoded = self._cached(context, context.image_url)
        if context.encoded:
            context.tick("cache")
        else:
            self._open(context)

    def get_embedding(self, context: InferenceContext) -> PromptEmbedding:
        """What clicks and boxes on the task's image are answered from, as `get_encoded` gets what expressions need."""
        proposer = context.promptable
        fetched_image = self.store.projects.get_image(context.source.project, context.image_url)
        if fetched_image and (embedding := self.cache.get_embedding(proposer.embed_fp, fetched_image.image_sha256)):
            return embedding
        image = self._open(context)
        embedding = self.cache.get_embedding(proposer.embed_fp, image.sha256)
        if embedding is None:
            with self.encoding_times.encoding(context.picture):
                embedding = proposer.embed(image)
            self.cache.put_embedding(embedding)
        context.tick("embed")
        return embedding

    def _open(self, context: InferenceContext) -> Image:
        """The task's image; fetched once."""
        if context.image is None:
            url = context.image_url
            context.image = Image.open(self._fetch(context, url), self.max_pixels)
            height, width = context.image.size_hw
            self.store.projects.save_image(
                context.source.project, url, FetchedImage(context.image.sha256, height, width)
            )
            context.tick("fetch")
        return context.image

    def _cached(self, context: InferenceContext, url: str) -> EncodedImage | None:
        fetched_image = self.store.projects.get_image(context.source.project, url)
        return self.cache.get(context.segmenter.encode_fp, fetched_image.image_sha256) if fetched_image else None

    def _fetch(self, context: InferenceContext, url: str) -> bytes:
        fetcher, hostname, token = self._reach(context)
        return fetcher.fetch(url, hostname, token, context.source.task)

    def _reach(self, context: InferenceContext) -> tuple[Fetcher, str | None, str | None]:
        """What fetches for the task's project; its Label Studio's address, and the token that came with that."""
        source, hosts = context.source, context.settings.image_hosts
        connection = self.store.projects.get_connection(source.project)
        hostname = source.hostname or (connection.hostname if connection else None)
        token = (connection.access_token or None) if connection and connection.hostname == hostname else None
        fetcher = self.make_fetcher(hosts) if hosts and self.make_fetcher else self.fetcher
        return fetcher, hostname, token

    def _is_worth_encoding(self, context: RequestContext, task: protocol.Task) -> bool:
        """It comes after the request's own task, was not tried lately, has an image, and that is not in the cache."""
        url = protocol.read_field(task.data, context.config.image_key)
        return (
            task.id.isdecimal()
            and int(task.id) > int(context.asked.task)
            and url is not None
            and not self.store.was_encoded_lately(task.project, task.id, RETRY_ENCODING_S)
            and self._cached(context, url) is None
        )

    def _add_ahead(self, request: Request, task: protocol.Task) -> str:
        body = {**request.body, "data": dict(task.data), "expressions": []}
        return self.store.add_request("ahead", task.id, body, lifetime_s=AHEAD_LIFETIME_S, project=task.project)

    @contextmanager
    def _recording_failure(self, request: Request) -> Iterator[None]:
        """Record what ends a request: what is wrong with it stops here, anything else is our own fault and goes on."""
        nothing = protocol.prediction([], 0.0, self.model_version)
        try:
            yield
        except RisError as error:
            log.warning("failed", kind=request.kind, task=request.task, error=str(error), request=request.id)
            self.store.fail_request(request.id, str(error), nothing, messages.about_error(error).to_json())
        except Exception as error:
            reason = f"internal error ({type(error).__name__}: {reason_of(error)}); see the worker's log"
            self.store.fail_request(request.id, reason, nothing)
            raise


def _stand(request: Request, last: ExpressionAnswer) -> RefinementState:
    """The last of several expressions can be mended."""
    offer = LastAnswer(last.record, last.is_guess, list_shown(last), rank=1 + max(last.record.selected, default=-1))
    return RefinementState(str(request.prompt_id), request.user, request.body.get("draft"), offer)


def _merge(errors: Sequence[BadInput]) -> BadInput:
    """Several errors as one, with the notes of all."""
    merged = BadExpression(" ".join(map(str, errors)))
    for note in dict.fromkeys(note for error in errors for note in getattr(error, "__notes__", ())):
        merged.add_note(note)
    return merged


def _tell_all(answers: Sequence[ExpressionAnswer], errors: Sequence[RisError]) -> Iterator[Message]:
    for answered in answers:
        yield from answered.told
    for error in errors:
        yield messages.about_error(error)
