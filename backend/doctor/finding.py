"""A finding of `ris doctor`: one line of its report."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from backend.base.errors import BadSettings, Unreachable
from backend.base.redaction import reason_of
from ris_core.errors import RisError, WeightsMissing

State = Literal["ok", "warn", "fail", "skip"]

UNREACHABLE, BAD, MISSING, UNEXPECTED = (
    kind.exit_code for kind in (Unreachable, BadSettings, WeightsMissing, RisError)
)
EXIT_CODES = (UNREACHABLE, BAD, MISSING, UNEXPECTED)
"""Exit codes in order of priority: the command exits with the first of these that any failure has."""


@dataclass(frozen=True)
class Finding:
    """A line of the report.

    Attributes:
        name: What was checked.
        state: "ok"; "warn": works, but needs attention; "fail": does not work; "skip": not checked.
        value: What the check found.
        origin: Of a setting, where its value comes from.
        remedy: What to do; never empty for a failure.
        section: Name of the section; set by `examine`.
        exit_code: One of `EXIT_CODES` for a failure, else 0.
    """

    name: str
    state: State
    value: str = ""
    origin: str = ""
    remedy: str = ""
    section: str = ""
    exit_code: int = 0


def ok(name: str, value: str) -> Finding:
    """It is correct."""
    return Finding(name, "ok", value)


def warn(name: str, value: str, remedy: str) -> Finding:
    """It works, but needs attention."""
    return Finding(name, "warn", value, remedy=remedy)


def fail(name: str, value: str, remedy: str, exit_code: int) -> Finding:
    """It does not work."""
    return Finding(name, "fail", value, remedy=remedy, exit_code=exit_code)


def skip(name: str, value: str, remedy: str = "") -> Finding:
    """It was not checked."""
    return Finding(name, "skip", value, remedy=remedy)


def failure_of(name: str, error: Exception) -> Finding:
    """An error as a finding."""
    if isinstance(error, RisError):
        return fail(
            name, error.wrong.removesuffix("."), error.remedy or "See docs/engineers/doctor.md.", error.exit_code
        )
    return fail(
        name,
        f"{type(error).__name__}: {reason_of(error)}",
        "This error was not expected. Please report it, with this line.",
        UNEXPECTED,
    )


def exit_code(findings: Iterable[Finding]) -> int:
    """0 if nothing failed, else the failures' first code in the order of `EXIT_CODES`."""
    codes = {finding.exit_code for finding in findings if finding.state == "fail"}
    return next((code for code in EXIT_CODES if code in codes), 0)
