"""Which process runs which test file, and when."""

from collections import Counter

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

E2E = "tests/e2e/"
E2E_PROCESSES = 2
"""Processes that take files of `E2E`. Each starts a Label Studio and all that belongs to it, which takes 45 s."""
LONGEST = ("e2e", "slow")
"""Marks of tests that take long, longest first."""


class FileScheduling(LoadScopeScheduling):
    """Gives each test file to one process, in the order in which files were collected.

    The first `E2E_PROCESSES` that ask take files of `E2E`, one after the other until none is left, then others: so both
    have as much to do, whatever a file takes. No other process takes any of `E2E`.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        if (file := self._choose_file(node)) is not None:
            self.workqueue.move_to_end(file, last=False)
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if self._choose_file(node) is None and not node.shutting_down:
            node.shutdown()
        else:
            super()._reschedule(node)

    def _choose_file(self, node: WorkerController) -> str | None:
        """What a process does next; None if nothing is left for it."""
        takers = [taker for taker, work in self.assigned_work.items() if any(map(_is_e2e, work))]
        may_take = node in takers or len(takers) < E2E_PROCESSES
        files = [file for file in self.workqueue if may_take or not _is_e2e(file)]
        return min(files, key=lambda file: not _is_e2e(file), default=None)


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Files with tests of a mark of `LONGEST` come first, and among equals those with most tests."""
    tests = Counter(item.path for item in items)
    marked = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in LONGEST}
    items.sort(key=lambda item: (*(item.path not in marked[mark] for mark in LONGEST), -tests[item.path]))


def _is_e2e(file: str) -> bool:
    return file.startswith(E2E)
