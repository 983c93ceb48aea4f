"""The settings as they were read: every value with where it comes from, also of settings that cannot be used."""

import os
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from backend.doctor.redaction import Redactor, mask_url
from backend.errors import BadSettings
from backend.settings import Settings

SIMILAR = 0.85
"""How like a setting's name another one must be to count as misspelt, from 0 to 1."""
NOT_OURS = frozenset({"LABEL_STUDIO_PORT"})
"""Variables of other programs whose names are like ours."""


@dataclass(frozen=True)
class Value:
    """One setting.

    Attributes:
        name: Its first variable.
        shown: Its value, or the default; "set" or "not set" for a secret.
        origin: "default", "environment" or ".env", with the variable if that is another than `name`.
        problem: Why it cannot be used; empty if it can.
    """

    name: str
    shown: str
    origin: str
    problem: str = ""


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        settings: None if one of them cannot be used.
        values: Every setting.
        unknown: Variables that nobody reads although they look like ours, with the setting that may be meant, or "".
        env_file: The file that was read besides the environment, or would be.
        redactor: Knows every secret among the values.
    """

    settings: Settings | None
    values: tuple[Value, ...]
    unknown: tuple[tuple[str, str], ...]
    env_file: Path
    redactor: Redactor


def read() -> Reading:
    """Read the environment and `.env`, as `Settings` does.

    Raises:
        BadSettings: If the file cannot be read.
    """
    env_file = Path(str(Settings.model_config["env_file"])).absolute()
    try:
        environment, file = EnvSettingsSource(Settings), DotEnvSettingsSource(Settings)
    except (OSError, UnicodeError) as error:
        raise BadSettings(f"{env_file} cannot be read ({error}).", "Mend it, or work in another folder.") from error
    settings: Settings | None = None
    problems: dict[str, str] = {}
    try:
        settings = Settings()
    except ValidationError as error:
        problems = {str(found["loc"][0]): found["msg"] for found in error.errors() if found["loc"]}
    given = [("environment", environment(), environment.env_vars), (".env", file(), file.env_vars)]
    fields = {_choices(field)[0]: field for field in Settings.model_fields.values()}
    raw = {name: _find(field, given) for name, field in fields.items()}
    values = tuple(
        Value(name, _show(name, fields[name], text), origin, problems.get(name, ""))
        for name, (text, origin) in raw.items()
    )
    variables = {*os.environ, *(name.upper() for name in file.env_vars)}
    return Reading(settings, values, tuple(_unknown(variables)), env_file, _make_redactor(fields, raw))


def _choices(field: FieldInfo) -> list[str]:
    assert isinstance(field.validation_alias, AliasChoices)
    return [str(name) for name in field.validation_alias.choices]


def _find(field: FieldInfo, given: list[tuple[str, dict[str, Any], Any]]) -> tuple[str | None, str]:
    """A setting's text, None if it is not set, and its origin."""
    name, *_ = names = _choices(field)
    for origin, values, variables in given:
        if name in values:
            used = next((other for other in names if other.lower() in variables), name)
            return str(values[name]), origin if used == name else f"{origin} ({used})"
    return None, "default"


def _show(name: str, field: FieldInfo, text: str | None) -> str:
    if _is_secret(field):
        return "set" if text else "not set"
    if text is None:
        return "not set" if field.default in (None, ()) else str(field.default)
    if not text:
        return "empty"
    return mask_url(text) if _is_address(name, text) else text


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *typing.get_args(field.annotation))


def _is_address(name: str, text: str) -> bool:
    return name.endswith("_URL") or "://" in text


def _make_redactor(fields: dict[str, FieldInfo], raw: dict[str, tuple[str | None, str]]) -> Redactor:
    given = {name: text for name, (text, _) in raw.items() if text}
    return Redactor(
        [text for name, text in given.items() if _is_secret(fields[name])],
        [text for name, text in given.items() if _is_address(name, text)],
    )


def _unknown(variables: set[str]) -> Iterator[tuple[str, str]]:
    known = [name for field in Settings.model_fields.values() for name in _choices(field)]
    for variable in sorted(variables - {*known, *NOT_OURS}):
        close = get_close_matches(variable.upper(), known, 1, SIMILAR)
        if variable.upper() in known:
            continue
        if variable.startswith("RIS_") or (close and close[0] not in variables):
            yield variable, close[0] if close else ""
