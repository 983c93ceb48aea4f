"""What the backend raises on purpose; heads into the core's tree, so one table maps all of it to HTTP and exit codes."""

from typing import Literal

from ris_core.errors import BadInput, RisError


class BadConfig(BadInput):
    """A label config that no mask can be returned for.

    Args:
        reason: Why, as annotators are told: the rest of a sentence, without what is not for them; may be empty.
    """

    def __init__(self, wrong: str = "", remedy: str = "", *, reason: str = "") -> None:
        self.reason = reason
        super().__init__(wrong, remedy)


class BadSettings(BadInput):
    """A setting has a value that cannot be used."""


ImageCause = Literal[
    "bad_address",
    "bad_data_uri",
    "unknown_host",
    "host_not_allowed",
    "not_data",
    "in_storage",
    "local_file",
    "token",
    "expired",
    "missing",
    "redirect",
    "moved",
    "too_large",
    "too_slow",
    "passing",
    "down",
    "refused",
    "other",
]
"""Why an image's bytes cannot be had.

bad_address: The task's data is no address. bad_data_uri: Its data URI cannot be read. unknown_host: No such host, or Label
Studio's own address is not known. host_not_allowed: Nobody named the host, or it is not public. not_data: A page of Label
Studio that is no image's. in_storage: Only Label Studio can open it. local_file: A mounted file cannot be read. token: Label
Studio does not accept our token. expired: Another host refuses; a presigned address is over, or never allowed us.
missing: Nothing is there. redirect: It leads where we do not follow. moved: All of Label Studio is at another
address than the one that was set. too_large: Too many bytes. too_slow: Over the deadline.
passing: The server has too much to do, or fails. down: Nothing answers there. refused: Any other answer.
"""


class ImageUnreachable(BadInput):
    """An image's bytes cannot, or may not, be fetched.

    Args:
        cause: Why.
        status: HTTP status that was answered; None if nothing was.
        is_own: Whether it was asked of Label Studio itself.
    """

    def __init__(
        self,
        wrong: str = "",
        remedy: str = "",
        *,
        cause: ImageCause = "other",
        status: int | None = None,
        is_own: bool = False,
    ) -> None:
        self.cause, self.status, self.is_own = cause, status, is_own
        super().__init__(wrong, remedy)


def too_large(name: str, max_bytes: int) -> ImageUnreachable:
    """The error of an image that has too many bytes."""
    return ImageUnreachable(
        f"{name} has more than {max_bytes} bytes.", "Make it smaller, or raise MAX_IMAGE_BYTES.", cause="too_large"
    )


EXTRAS = {
    "matplotlib": "export",
    "pyarrow": "export",
    "psycopg": "postgres",
    "label_studio_ml": "adapter",
    "datasets": "hf",
}
"""Packages that the backend runs without, each with the extra of this distribution that brings it."""
NOT_INSTALLED = ("demo", "benchmarks")
"""Packages of the repository that the distribution leaves out."""


def missing_package(error: ModuleNotFoundError) -> BadInput | None:
    """The error of a package that an extra, or a checkout of the repository, would have brought; None for a module of ours."""
    name = (error.name or "").partition(".")[0]
    if name in NOT_INSTALLED:
        return BadInput(
            f"The folder {name} is not part of the installed package.", "Run this in a checkout of the repository."
        )
    if name in ("", "backend", "ris_core"):
        return None
    extra = EXTRAS.get(name, "backend")
    return BadInput(f"The package {name} is not installed.", f"Run: pip install 'label-studio-ris[{extra}]'")


class Unreachable(RisError):
    """A service that is needed does not answer."""

    exit_code = 4


class Busy(Unreachable):
    """The queue is full."""
