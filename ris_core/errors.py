"""Everything the core raises on purpose, one tree; each message names the value and the remedy.

What an error means is its class and its attributes. Its text is for people: names that others chose stand in it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

QUOTED_LENGTH = 40
"""Characters of an expression that is quoted."""
LISTED_WORDS = 3
"""Words that are named where many are not known."""


class RisError(Exception):
    """Head of the tree; as a text, what is wrong and then the remedy.

    Args:
        wrong: What is wrong, with its value: a sentence.
        remedy: What to do about it; empty if `wrong` says that too.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code = 1

    def __init__(self, wrong: str = "", remedy: str = "") -> None:
        self.wrong, self.remedy = wrong, remedy
        super().__init__(f"{wrong} {remedy}".strip())

    def __reduce__(self) -> tuple[Callable[..., "RisError"], tuple[Any, ...]]:
        """Copies keep all attributes, whatever a class's own arguments are."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[RisError], args: tuple[Any, ...], attributes: dict[str, Any]) -> RisError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class BadInput(RisError):
    """The caller gave something that cannot be answered."""

    exit_code = 2


BadImageCause = Literal["missing", "empty", "unknown_kind", "web_page", "too_large", "damaged", "other"]
"""Why a file is no image that can be segmented: it is not there; has no bytes; is of a kind that is not read; is a page of
HTML; has too many pixels; is damaged or cut short; or something else."""


class BadImage(BadInput):
    """Not an image that can be segmented.

    Args:
        cause: Why.
        kind: Of "unknown_kind": what it is, as "AVIF"; empty if that is not known either.
    """

    def __init__(self, wrong: str = "", remedy: str = "", *, cause: BadImageCause = "other", kind: str = "") -> None:
        self.cause, self.kind = cause, kind
        super().__init__(wrong, remedy)


class BadExpression(BadInput):
    """Not an expression that can be read."""


class NegatedTarget(BadExpression):
    """It says what is not meant, and nothing of what is."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{_quote(text)} only says what is not meant. Say what is, as in “the cup that is not red” or “everything except the cup”."
        )


class NamesNothing(BadExpression):
    """It has words, and none of them says what is meant: "corner", "4"."""

    def __init__(self, expression: str) -> None:
        super().__init__(f"{_quote(expression)} names no thing. Say what it is, as in “the cup in the corner”.")


class UnknownWord(BadExpression):
    """Nothing of what it names is known to the profile.

    Attributes:
        words: Those that are not known, in order.
        meant: What some of them may have been meant as, by the word.
    """

    def __init__(self, words: Sequence[str], meant: Mapping[str, str] | None = None) -> None:
        self.words, self.meant = tuple(words), dict(meant or {})
        more = f" and {len(words) - LISTED_WORDS} more" if len(words) > LISTED_WORDS else ""
        quotes = ", ".join(map(_quote, words[:LISTED_WORDS])) + more
        near = ", ".join(map(_quote, dict.fromkeys(self.meant.values())))
        remedy = f"Did you mean {near}?" if near else "Name something that it knows, or show it by a click or a box."
        super().__init__(f"This model does not know {quotes}. {remedy}")


class UnknownName(BadInput):
    """A profile, component or setting of that name does not exist."""


class BadComponent(BadInput):
    """A component or profile that another distribution adds cannot be used."""


class WeightsMissing(RisError):
    """A file of weights is not there, or is not the file it should be.

    Args:
        name: What is missing: a file, or a package.
        folder: Where it belongs.
        command: What gets it.
        reason: What is wrong with it.
    """

    exit_code = 3

    def __init__(self, *, name: str, folder: Path | str, command: str, reason: str = "is missing") -> None:
        self.name, self.folder, self.command = name, str(folder), command
        super().__init__(f"{name} {reason}.", f"It belongs in {folder}. Get it with: {command}")


def _quote(text: str) -> str:
    return f"“{text if len(text) <= QUOTED_LENGTH else f'{text[: QUOTED_LENGTH - 1]}…'}”"
