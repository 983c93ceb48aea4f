"""The first stage of a worker's pipeline: claims items, and fetches and decodes the images of the next ones while the model is at work."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import structlog

from backend.base.errors import Unreachable
from backend.inference.request_context import InferenceContext
from backend.runs.claims import ItemClaims
from backend.runs.item import RunItem
from backend.runs.worker_state import WorkerState

AHEAD = 2
"""Images that are decoded before the model needs them: 36 MB each at 12 megapixels."""
CLAIMED = 8
"""Most items that are claimed at once; those that are not begun cost nothing if the worker dies."""


@dataclass(frozen=True)
class Prefetched:
    """An item whose image is being got.

    Attributes:
        item: As it is once it is begun.
        claimed: As it was claimed.
        context: The item at work, its image there; None if it was not begun, since its run rests or another worker has it.
    """

    item: RunItem
    claimed: RunItem
    context: Future[InferenceContext | None]


class Prefetcher:
    """The next items of a run. What is neither taken nor finished goes back in the end, as if it had never been claimed.

    An item over which a worker died before is worked on alone: whatever kills workers takes no other item with it.

    Args:
        worker_state: Says how long the models take for an item, so that little is got that this job does not come to.
        prepare: Begins the work on an item, and gets what needs no model.
        ahead: How many are prepared beside the one at work.
        until: When the job begins no further item, by the monotonic clock.
    """

    def __init__(
        self,
        claims: ItemClaims,
        run_id: str,
        worker_state: WorkerState,
        prepare: Callable[[RunItem], InferenceContext],
        ahead: int,
        until: float,
    ) -> None:
        self._claims, self._run_id, self._worker_state = claims, run_id, worker_state
        self._prepare, self._ahead, self._until = prepare, ahead, until
        self._claimed: deque[RunItem] = deque()
        self._begun: deque[Prefetched] = deque()
        self._taken: Prefetched | None = None
        self._thread = ThreadPoolExecutor(1, "prefetch")

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._begun:
            one.context.cancel()
        self._thread.shutdown(wait=False)  # nobody waits for an image that is on its way, and nothing becomes of it
        left = [*(one.claimed for one in self._begun), *self._claimed]
        with suppress(Unreachable):  # then this worker's supervisor takes them back
            self._claims.release(left)
        for item in left:
            self.finished(item)

    @property
    def has_next(self) -> bool:
        """Whether an item is begun beside the one that was taken last."""
        return bool(self._begun)

    def take(self) -> Prefetched | None:
        """The next item, and have those after it prepared; None if none may begin now."""
        self._taken = None
        self._fill()
        if not self._begun:
            return None
        self._taken = self._begun.popleft()
        self._fill()
        return self._taken

    def finished(self, item: RunItem) -> None:
        """This worker has nothing more to do with an item."""
        self._worker_state.at_work.discard((item.run, item.task))

    def _fill(self) -> None:
        while self._may_begin_another():
            claimed = self._claimed.popleft()
            begun = claimed.begun()
            self._begun.append(Prefetched(begun, claimed, self._thread.submit(self._begin, claimed)))

    def _may_begin_another(self) -> bool:
        others = [one.claimed for one in ([self._taken] if self._taken else []) + list(self._begun)]
        if others and (len(others) > self._ahead or self._count_reachable() < len(others)):
            return False
        if not self._claimed:
            self._claim()
        return bool(self._claimed) and not (others and any(one.attempt for one in (*others, self._claimed[0])))

    def _claim(self) -> None:
        limit = max(1, min(CLAIMED, self._count_reachable())) if self._ahead else 1
        self._claimed.extend(self._claims.claim(self._run_id, self._worker_state.worker, limit))
        self._worker_state.at_work.update((item.run, item.task) for item in self._claimed)

    def _count_reachable(self) -> int:
        """How many further items this job comes to, if all take as long as the last one; 0 if that is not known."""
        left_s, item_s = self._until - time.monotonic(), self._worker_state.item_s
        return 0 if item_s is None or left_s <= 0 else int(min(CLAIMED, left_s / max(item_s, 1e-3)))

    def _begin(self, claimed: RunItem) -> InferenceContext | None:
        with structlog.contextvars.bound_contextvars(run=claimed.run, task=claimed.task):
            if item := self._claims.begin(claimed):
                return self._prepare(item)
            self._claims.release([claimed])
            return None
