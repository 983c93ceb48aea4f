"""Everything the core raises on purpose, one tree; each message names the value and the remedy."""

from pathlib import Path


class RisError(Exception):
    """Head of the tree.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code = 1


class BadInput(RisError):
    """The caller gave something that cannot be answered."""

    exit_code = 2


class BadImage(BadInput):
    """Not an image that can be segmented."""


class BadExpression(BadInput):
    """Not an expression that can be read."""


class UnknownName(BadInput):
    """A profile, component or setting of that name does not exist."""


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
        super().__init__(f"{name} {reason}. It belongs in {folder}. Get it with: {command}")
