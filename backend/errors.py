"""What the backend raises on purpose; heads into the core's tree, so one table maps all of it to HTTP and exit codes."""

from ris_core.errors import BadInput, RisError


def split_remedy(message: str) -> tuple[str, str]:
    """What is wrong and what to do: the first sentence of an error's message, and the rest. Brackets end no sentence."""
    depth = 0
    for i, character in enumerate(message):
        depth += (character == "(") - (character == ")")
        if depth <= 0 and message[i : i + 2] == ". ":
            return message[:i], message[i + 2 :]
    return message, ""


class BadConfig(BadInput):
    """A label config that no mask can be returned for."""


class BadSettings(BadInput):
    """A setting has a value that cannot be used."""


class ImageUnreachable(BadInput):
    """An image's bytes cannot, or may not, be fetched."""


class Unreachable(RisError):
    """A service that is needed does not answer."""

    exit_code = 4


class Busy(Unreachable):
    """The queue is full."""
