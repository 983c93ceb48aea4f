"""How far an export is: what it tells whoever waits for it."""

from typing import Protocol


class Report(Protocol):
    """Told after each step of a phase.

    Args:
        phase: What is done, as in "Writing".
        done: Steps of this phase that are done.
        total: Of how many; None if that is not known.
    """

    def __call__(self, phase: str, done: int, total: int | None = None) -> None: ...


def keep_quiet(phase: str, done: int, total: int | None = None) -> None:
    """A `Report` that nobody reads."""
