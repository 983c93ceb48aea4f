"""One thing that is as it should be, or is not."""

from dataclasses import dataclass
from typing import Literal

from ris_core.errors import RisError


@dataclass(frozen=True)
class Check:
    """What was seen of one part of a project's connection.

    Attributes:
        name: The part.
        state: "ok"; "change": connecting sets it right; "problem": it cannot.
        detail: What was seen, or what would be changed. Never holds a secret.
        remedy: What to do about a problem.
    """

    name: str
    state: Literal["ok", "change", "problem"]
    detail: str
    remedy: str = ""


def problem_of(name: str, error: RisError) -> Check:
    """An error as a problem."""
    return Check(name, "problem", error.wrong.removesuffix("."), error.remedy)
