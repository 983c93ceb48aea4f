"""What stands offered to each annotator, so that "#2", a click or a box can correct it.

Kept for each prompt: its id is made by the page, so it belongs to one annotator at one task. A click does not say which prompt
it is about; the draft that comes with it does.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from backend.db.answer_rows import read_answer
from backend.db.database import Transactions
from backend.db.records import Answer
from backend.db.request_store import RequestStore
from backend.db.tables import answer, region, request, standing
from backend.db.upsert import upsert
from backend.label_studio.drafts import Draft, Page, is_as_handed_out
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle

LIFETIME_S = 3600.0
"""How long what was offered can be mended."""
REMEMBERED = 50
"""Answers of a prompt that are searched for an expression."""
DRAFT_LAG_S = 8.0
"""An answer so young may be in the page without being in a draft: Label Studio saves one at most every five seconds."""
_CHOICE = re.compile(
    r"(?P<expression>.*?)(?:^|[\s,;:])\s*(?P<word>next|other)|(?P<before>.*?)[\s,;:]*#\s*(?P<rank>\d{1,3})", re.I | re.S
)
_BACK = re.compile(r"back|previous|prev|go back", re.I)
_ALSO = re.compile(r"(?:also|and|plus|\+)\s*(?P<choice>next|other|#.*)", re.I | re.S)


@dataclass(frozen=True)
class CandidateChoice:
    """Another candidate, as an annotator asks for it.

    Attributes:
        expression: What of; empty for what was asked last.
        rank: Which, from 1; None for the one that is `step` after the last.
        step: 1, or -1 for the one before.
        is_added: It comes beside what was shown, and does not replace it.
    """

    expression: str
    rank: int | None
    step: int = 1
    is_added: bool = False

    def find_rank(self, last: int, count: int) -> int:
        """The rank that is meant, after the last of so many candidates; they go round."""
        return self.rank or (last - 1 + self.step) % max(1, count) + 1


def read_choice(text: str) -> CandidateChoice | None:
    """The choice in "#2", "next", "other", or in one of them after an expression; "back" and "also next"; None if it is none.

    An expression may end in "other", as "this one, not the other" does: whether it is a choice depends on what was asked before.
    """
    text = text.strip().rstrip(".")
    if _BACK.fullmatch(text):
        return CandidateChoice("", None, step=-1)
    if match := _ALSO.fullmatch(text):
        choice = read_choice(match["choice"])
        return replace(choice, is_added=True) if choice else None
    match = _CHOICE.fullmatch(text)
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
        shown_id: Id of the region that the known answer showed, if that was one: the candidate takes its place.
    """

    text: str
    known: Answer | None = None
    rank: int = 0
    is_guess: bool = False
    shown_id: str | None = None


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
        shown, base = ([vars(one) for one in of] for of in (self.shown, self.base))
        return {**vars(self), "answer": {**vars(self.answer), "regions": ()}, "shown": shown, "base": base}

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
        updated_at: When the offer was made, in seconds since 1970; 0 of one that is not kept yet.
    """

    prompt_id: str
    user: int | None
    draft: str | None
    offer: LastAnswer
    updated_at: float = 0.0

    @property
    def is_recent(self) -> bool:
        """What was offered may have been accepted, although no draft says so yet."""
        return time.time() - self.updated_at <= DRAFT_LAG_S


class RefinementStates:
    """What stands offered, by prompt; in the store's database, so it survives a restart. Raises `Unreachable` as the store does."""

    def __init__(self, store: RequestStore) -> None:
        self._transactions = Transactions(store.engine)

    def save(self, project: int | None, task: str, state: RefinementState) -> None:
        """Keep an offer in place of the prompt's last."""
        row = {
            "project": project or 0,
            "task": task,
            "prompt_id": state.prompt_id,
            "user": state.user,
            "draft": state.draft,
            "offer": state.offer.to_json(),
            "updated_at": time.time(),
        }
        with self._transactions.writing() as db:
            upsert(db, standing, row)

    def forget_old(self) -> None:
        """Remove what is too old to be mended."""
        with self._transactions.writing() as db:
            db.execute(sa.delete(standing).where(standing.c.updated_at < time.time() - LIFETIME_S))

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

    def find_recent(self, project: int | None, task: str) -> tuple[RefinementState, ...]:
        """What was offered for a task a moment ago to somebody without a draft."""
        return tuple(state for state in self._list(project, task) if state.is_recent and state.user is None)

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
        last = self._find_last(project, task, prompt_id, choice.expression)
        if last is None:
            if choice.rank is None and choice.expression:
                return CandidateQuery(text)  # an expression that ends so
            return CandidateQuery(
                text[: text.rindex(choice.expression) + len(choice.expression)] if choice.expression else "",
                rank=choice.rank or 0,
            )
        known = replace(last.answer, label=label or last.answer.label)
        rank = choice.find_rank(last.rank, len(known.candidates))
        is_guess, shown_id = last.is_guess and label is None, None if choice.is_added else last.shown_id
        return CandidateQuery(text, known, rank, is_guess, shown_id)

    def _find_last(self, project: int | None, task: str, prompt_id: str, expression: str) -> "_KnownAnswer | None":
        """The answer that a choice is about: the prompt's last, or its last to an expression, or what the task opened with."""
        state = self.get(project, task, prompt_id)
        offer = state.offer if state else None
        if offer and (not expression or _fold(offer.answer.expression) == _fold(expression)):
            shown_id = offer.shown[0].id if len(offer.shown) == 1 else None
            return _KnownAnswer(offer.answer, offer.rank, offer.is_guess, shown_id)
        return self._find_answer(project, task, prompt_id, expression)

    def _find_answer(self, project: int | None, task: str, prompt_id: str, expression: str) -> "_KnownAnswer | None":
        """The last answer of a prompt to an expression, or of what the task opened with, and the lowest rank that it selected."""
        same = (answer.c.task == task) & answer.c.project.is_not_distinct_from(project)
        is_typed = (request.c.prompt_id == prompt_id) & (answer.c.created_at > time.time() - LIFETIME_S)
        is_opened = answer.c.run.is_not(None) | (request.c.kind == "open")
        query = sa.select(answer).outerjoin(request, request.c.id == answer.c.request_id)
        query = query.where(same, (is_typed | is_opened) if expression else is_opened)
        with self._transactions.reading() as db:
            rows = db.execute(query.order_by(answer.c.id.desc()).limit(REMEMBERED)).mappings().all()
            match = next((row for row in rows if not expression or _fold(row["expression"]) == _fold(expression)), None)
            if match is None:
                return None
            ids = db.scalars(sa.select(region.c.id).where(region.c.answer_id == match["id"])).all()
        rank = 1 + max(match["selected"], default=-1)
        return _KnownAnswer(read_answer(match), rank, bool(match["is_guess"]), ids[0] if len(ids) == 1 else None)

    def _list(self, project: int | None, task: str) -> list[RefinementState]:
        is_fresh = standing.c.updated_at > time.time() - LIFETIME_S
        same = (standing.c.project == (project or 0)) & (standing.c.task == task) & is_fresh
        columns = tuple(standing.c[name] for name in ("prompt_id", "user", "draft", "offer", "updated_at"))
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(*columns).where(same).order_by(standing.c.updated_at.desc())).mappings().all()
        return [RefinementState(**{**row, "offer": LastAnswer.from_json(row["offer"])}) for row in rows]


@dataclass(frozen=True)
class _KnownAnswer:
    """What was answered, the rank that was shown of it, and the id of the region, if it was one."""

    answer: Answer
    rank: int
    is_guess: bool
    shown_id: str | None


@dataclass(frozen=True)
class RefinementTarget:
    """What a gesture is about, as its request carries it.

    Attributes:
        prompt_id: Id of the prompt whose offer it corrects.
        draft: When the annotator's newest draft was saved.
        accepted: Ids of offered regions that are in the draft.
        unchanged: Those of them that are as they were handed out.
        is_recent: What was offered may have been accepted since the draft was saved.
    """

    prompt_id: str
    draft: str
    accepted: tuple[str, ...]
    unchanged: tuple[str, ...]
    is_recent: bool = False

    @classmethod
    def of(cls, state: RefinementState, draft: Draft | None) -> "RefinementTarget":
        """What a draft says about what was offered; without one, only that it may have been accepted by now."""
        results = draft.results if draft else {}
        versions = (*state.offer.base, *state.offer.shown)
        accepted = [id for id in dict.fromkeys(one.id for one in versions) if id in results]
        unchanged = [id for id in accepted if all(_is_one_of(result, versions) for result in results[id])]
        saved_at = draft.saved_at if draft else ""
        return cls(state.prompt_id, saved_at, tuple(accepted), tuple(unchanged), state.is_recent)

    @classmethod
    def of_prompt(cls, prompt_id: str, state: RefinementState | None, page: Page) -> "RefinementTarget":
        """What the page of a prompt says about what was offered for it, and about what the task opened with."""
        versions = (*state.offer.base, *state.offer.shown) if state else ()
        unchanged = {id for id, of in page.results.items() if all(_is_one_of(one, versions) for one in of)}
        is_recent = state is not None and state.is_recent
        return cls(prompt_id, page.saved_at, tuple(page.results), tuple(sorted(unchanged | page.untouched)), is_recent)

    def may_replace(self, id: str) -> bool:
        """Whether what is offered now may take the place of a region: nobody changed it, as far as is known.

        Until a draft is saved, nothing is known about what was accepted since.
        """
        return id in self.unchanged if id in self.accepted else self.is_recent


def _is_one_of(result: Json, versions: Iterable[ShownRegion]) -> bool:
    """Whether a region of a draft is as it was handed out, before or after a gesture mended it."""
    return any(one.id == result["id"] and is_as_handed_out(result, one.region, one.mask) for one in versions)


def _fold(text: str) -> str:
    return " ".join(text.lower().split())
