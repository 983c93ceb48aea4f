"""What a project sets for itself: the extra parameters of its connection to the backend."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from backend.base.errors import BadConfig
from backend.settings.values import HOST, clean

KEYS = (
    "profile",
    "expression_field",
    "prompt",
    "standing",
    "read_back",
    "min_score",
    "image_hosts",
    "smooth_px",
)
"""Parameters that mean something here; others are left to whoever set them."""

ReadBack = Literal["always", "unsure", "never"]
READ_BACK: tuple[ReadBack, ...] = get_args(ReadBack)
"""When annotators are told how an expression was read: of each, where something was left out or is unsure, or of none."""

MAX_SMOOTH_PX = 20
"""Pixels; more would round off the things themselves."""

_SHOWN_LENGTH = 80


class BadProjectSetting(BadConfig):
    """An extra parameter of a project has a value that cannot be used.

    Args:
        key: Which one.
        value: What it is.
        remedy: What would do instead.
    """

    def __init__(self, key: str, value: object, remedy: str) -> None:
        self.key, self.value = key, value
        super().__init__(
            f"The project's extra parameter {key} is {_shown(value)}.",
            f"{remedy} Correct it in the model's settings, or with `ris connect`.",
        )


@dataclass(frozen=True)
class ProjectSettings:
    """What a project sets for itself; None or empty where the backend's own settings count.

    Attributes:
        profile: Models and method that answer.
        expression_field: Field of the task's data that holds its expression.
        prompt: Name of the TextArea that expressions are typed into, where the label config does not tell.
        standing: What every task that is opened is asked, if it has no expression of its own; several with ";" between.
        read_back: When annotators are told how an expression was read.
        min_score: In [0, 1]: a candidate that scores less is not handed out.
        image_hosts: Hosts that this project's images may come from too: "host" or "host:port", lower-case.
        smooth_px: How much the rims of masks are smoothed, in pixels (`ris_core.geometry.mask_cleaning`).
    """

    profile: str | None = None
    expression_field: str | None = None
    prompt: str | None = None
    standing: str | None = None
    read_back: ReadBack = "unsure"
    min_score: float | None = None
    image_hosts: tuple[str, ...] = ()
    smooth_px: float = 0.0


def read_project_settings(extra_params: Mapping[str, Any]) -> ProjectSettings:
    """Read a connection's extra parameters; other keys than `KEYS`, and null, are passed over.

    Raises:
        BadProjectSetting: If one has a value that cannot be used; names it and says what would do.
    """
    read: dict[str, Callable[[str, Any], Any]] = {
        "profile": _read_text,
        "expression_field": _read_text,
        "prompt": _read_text,
        "standing": _read_text,
        "read_back": _read_back,
        "min_score": _read_share,
        "image_hosts": _read_hosts,
        "smooth_px": _read_pixels,
    }
    values = {key: extra_params[key] for key in KEYS if extra_params.get(key) is not None}
    return ProjectSettings(**{key: read[key](key, value) for key, value in values.items()})


def _read_text(key: str, value: object) -> str:
    if not isinstance(value, str) or not clean(value):
        raise BadProjectSetting(key, value, "Give a name in quotes.")
    return clean(value)


def _read_back(key: str, value: object) -> ReadBack:
    for choice in READ_BACK:
        if value == choice:
            return choice
    raise BadProjectSetting(key, value, f"Give one of {', '.join(READ_BACK)}.")


def _read_share(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is not either
        raise BadProjectSetting(key, value, "Give a number from 0 to 1.")
    return float(value)


def _read_pixels(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SMOOTH_PX:
        raise BadProjectSetting(key, value, f"Give a number of pixels from 0 to {MAX_SMOOTH_PX}.")
    return float(value)


def _read_hosts(key: str, value: object) -> tuple[str, ...]:
    """Hosts of a list, or of one text with commas, as `IMAGE_HOSTS` has it."""
    hosts = value.split(",") if isinstance(value, str) else value
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise BadProjectSetting(key, value, 'Give a list of hosts: ["images.example.org"].')
    names = tuple(dict.fromkeys(clean(host).lower() for host in hosts if clean(host)))
    for host in names:
        if not HOST.fullmatch(host):
            raise BadProjectSetting(key, host, 'Give hosts without "https://" and path: ["images.example.org"].')
    return names


def _shown(value: object) -> str:
    """A value that may be shown: not endless, and without the password of an address."""
    text = re.sub(r"//[^/@\s]*@", "//…@", repr(value))
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
