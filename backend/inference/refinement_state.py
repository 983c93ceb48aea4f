"""What stands offered to each annotator, so that "#2", a click or a box can correct it.

Kept for each prompt: its id is made by the page, so it belongs to one annotator at one task. A click does not say which prompt
it is about; the draft that comes with it does.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa

from backend.db.answer_rows import read_answer
from backend.db.database import translate_errors
from backend.db.records import Answer
from backend.db.request_store import RequestStore
from backend.db.tables import answer, request, standing
from backend.db.upsert import upsert
from backend.label_studio.drafts import Draft, is_as_handed_out
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle

LIFETIME_S = 3600.0
"""How long what was offered can be mended."""
REMEMBERED = 50
"""Answers of a prompt that are searched for an expression."""
_CHOICE = re.compile(
    r"(?P<expression>.*?)(?:^|[\s,;:])\s*(?P<word>next|other)|(?P<before>.*?)[\s,;:]*#\s*(?P<rank>\d{1,3})", re.I | re.S
)


@dataclass(frozen=True)
class CandidateChoice:
    """Another candidate, as an annotator asks for it.

    Attributes:
        expression: What of; empty for what was asked last.
        rank: Which, from 1; None for the next.
    """

    expression: str
    rank: int | None


def read_choice(text: str) -> CandidateChoice | None:
    """The choice in "#2", "next", "other", or in one of them after an expression; None if it is something else.

    An expression may end in "other", as "this one, not the other" does: whether it is a choice depends on what was asked before.
    """
    match = _CHOICE.fullmatch(text.strip().rstrip("."))
    if match is None:
        return None
    expression = match["expression"] if match["word"] else match["before"]
    return CandidateChoice(expression.strip(" ,;:"), int(match["rank"]) if match["rank"] else None)


@dataclass(frozen=True)
class CandidateQuery:
    """What an annotator's words ask for: an expression, a candidate of one, or another candidate of what was answered.

    Attributes:
        text: The expression, with its label if it has one; empty if the words are only about what was asked before.
        known: What was answered before.
        rank: Rank of the candidate; 0 for whatever the expression selects.
        is_guess: The label of the known answer was guessed.
    """

    text: str
    known: Answer | None = None
    rank: int = 0
    is_guess: bool = False


@dataclass(frozen=True)
class ShownRegion:
    """A region that was handed out.

    Attributes:
        region: As Label Studio got it, a brush without its run lengths.
        mask: What it shows.
    """

    region: Json
    mask: Rle

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.region["id"])


@dataclass(frozen=True)
class LastAnswer:
    """What was offered last about an expression.

    Attributes:
        answer: Its record, with all candidates.
        is_guess: Its label was guessed.
        shown: What was handed out.
        rank: The candidate that was shown last.
        gesture: Id of the clicks or the box that brought it; None if words did.
        base: What was offered before that: clicks add up, and each time all of them are applied to it.
    """

    answer: Answer
    is_guess: bool
    shown: tuple[ShownRegion, ...]
    rank: int
    gesture: str | None = None
    base: tuple[ShownRegion, ...] = ()

    def before(self, gesture: str) -> tuple[ShownRegion, ...]:
        """What a gesture corrects."""
        return self.base if gesture == self.gesture else self.shown

    def to_json(self) -> Json:
        """As JSON values."""
        return asdict(replace(self, answer=replace(self.answer, regions=())))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LastAnswer":
        """What `to_json` returned, once it was JSON."""
        lists = {name: tuple(ShownRegion(**one) for one in value[name]) for name in ("shown", "base")}
        return cls(**{**value, **lists, "answer": Answer(**value["answer"])})


@dataclass(frozen=True)
class RefinementState:
    """An offer, and whose it is.

    Attributes:
        prompt_id: Id of the prompt's result.
        user: The annotator; None if nobody said yet who it is.
        draft: When the annotator's newest draft had been saved.
    """

    prompt_id: str
    user: int | None
    draft: str | None
    offer: LastAnswer


class RefinementStates:
    """What stands offered, by prompt; in the store's database, so it survives a restart. Raises `Unreachable` as the store does."""

    def __init__(self, store: RequestStore) -> None:
        self._engine = store.engine

    def save(self, project: int | None, task: str, state: RefinementState) -> None:
        """Keep an offer in place of the prompt's last; what is too old to be mended goes."""
        now = time.time()
        row = {
            "project": project or 0,
            "task": task,
            "prompt_id": state.prompt_id,
            "user": state.user,
            "draft": state.draft,
            "offer": state.offer.to_json(),
            "updated_at": now,
        }
        with translate_errors(), self._engine.begin() as db:
            db.execute(sa.delete(standing).where(standing.c.updated_at < now - LIFETIME_S))
            upsert(db, standing, row)

    def get(self, project: int | None, task: str, prompt_id: str) -> RefinementState | None:
        """What a prompt's annotator was offered last."""
        return next((state for state in self._list(project, task) if state.prompt_id == prompt_id), None)

    def find(self, project: int | None, task: str, draft: Draft) -> RefinementState | None:
        """What the annotator of a draft was offered last.

        The draft has the prompt in it; or, if it was not saved since, the prompt came with the same draft.
        """

        def is_theirs(state: RefinementState) -> bool:
            return state.prompt_id in draft.prompts or (state.user, state.draft) == (draft.user, draft.saved_at)

        return next((state for state in self._list(project, task) if is_theirs(state)), None)

    def read_query(
        self, project: int | None, task: str, prompt_id: str, text: str, bare: str, label: str | None
    ) -> CandidateQuery:
        """What is asked for.

        Args:
            text: As typed.
            bare: Without the label that may stand before it.
            label: That label.
        """
        choice = read_choice(bare)
        if choice is None:
            return CandidateQuery(text)
        state = self.get(project, task, prompt_id)
        offer = state.offer if state else None
        last = (offer.answer, offer.rank) if offer and not choice.expression else None
        if choice.expression:
            last = self._find_answer(project, task, prompt_id, choice.expression)
        if last is None:
            if choice.rank is None and choice.expression:
                return CandidateQuery(text)  # an expression that ends so
            return CandidateQuery(
                text[: text.rindex(choice.expression) + len(choice.expression)] if choice.expression else "",
                rank=choice.rank or 0,
            )
        answer_before, last_rank = last
        rank = choice.rank or last_rank % max(1, len(answer_before.candidates)) + 1
        is_guess = bool(offer and offer.is_guess and _fold(offer.answer.expression) == _fold(answer_before.expression))
        return CandidateQuery(
            text, replace(answer_before, label=label or answer_before.label), rank, is_guess and label is None
        )

    def _find_answer(
        self, project: int | None, task: str, prompt_id: str, expression: str
    ) -> tuple[Answer, int] | None:
        """The last answer to an expression of a prompt, and the lowest of the ranks that it selected."""
        same = (
            (answer.c.task == task)
            & answer.c.project.is_not_distinct_from(project)
            & (request.c.prompt_id == prompt_id)
            & (answer.c.created_at > time.time() - LIFETIME_S)
        )
        query = sa.select(answer).join(request, request.c.id == answer.c.request_id)
        with translate_errors(), self._engine.connect() as db:
            rows = db.execute(query.where(same).order_by(answer.c.id.desc()).limit(REMEMBERED)).mappings().all()
        match = next((row for row in rows if _fold(row["expression"]) == _fold(expression)), None)
        return (read_answer(match), 1 + max(match["selected"], default=-1)) if match else None

    def _list(self, project: int | None, task: str) -> list[RefinementState]:
        is_fresh = standing.c.updated_at > time.time() - LIFETIME_S
        same = (standing.c.project == (project or 0)) & (standing.c.task == task) & is_fresh
        columns = (standing.c.prompt_id, standing.c.user, standing.c.draft, standing.c.offer)
        with translate_errors(), self._engine.connect() as db:
            rows = db.execute(sa.select(*columns).where(same).order_by(standing.c.updated_at.desc())).mappings().all()
        return [RefinementState(**{**row, "offer": LastAnswer.from_json(row["offer"])}) for row in rows]


@dataclass(frozen=True)
class RefinementTarget:
    """What a gesture is about, as its request carries it.

    Attributes:
        prompt_id: Id of the prompt whose offer it corrects.
        draft: When the annotator's newest draft was saved.
        accepted: Ids of offered regions that are in the draft.
        unchanged: Those of them that are as they were handed out.
    """

    prompt_id: str
    draft: str
    accepted: tuple[str, ...]
    unchanged: tuple[str, ...]

    @classmethod
    def of(cls, state: RefinementState, draft: Draft) -> "RefinementTarget":
        """What a draft says about what was offered."""
        versions = (*state.offer.base, *state.offer.shown)
        accepted = [id for id in dict.fromkeys(one.id for one in versions) if id in draft.results]
        unchanged = [id for id in accepted if all(_is_one_of(result, versions) for result in draft.results[id])]
        return cls(state.prompt_id, draft.saved_at, tuple(accepted), tuple(unchanged))


def _is_one_of(result: Json, versions: Iterable[ShownRegion]) -> bool:
    """Whether a region of a draft is as it was handed out, before or after a gesture mended it."""
    return any(one.id == result["id"] and is_as_handed_out(result, one.region, one.mask) for one in versions)


def _fold(text: str) -> str:
    return " ".join(text.lower().split())
