"""Reads the settings with the origin of each value, also if some of them cannot be used."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from backend.base import redaction
from backend.base.errors import BadSettings
from backend.base.redaction import mask_url, may_be_token
from backend.settings.environment import (
    Settings,
    aliases_of,
    complete,
    find_demo,
    is_secret,
    problem_of_file,
    says_what_is_wrong,
    variable_of,
)
from backend.settings.values import clean

SIMILAR = 0.85
"""Similarity in [0, 1] from which a variable counts as a misspelt setting."""
NOT_OURS = frozenset({"LABEL_STUDIO_PORT"})
"""Variables of other programs with names similar to ours."""


@dataclass(frozen=True)
class SettingValue:
    """One setting.

    Attributes:
        name: The first of its variables.
        text: Its value, or the default; for a secret only "set" or "not set".
        origin: "default", "environment", ".env" or "the demo"; with the variable, if it is not `name`.
        problem: Why the value cannot be used; empty if it can.
    """

    name: str
    text: str
    origin: str
    problem: str = ""


@dataclass(frozen=True)
class SettingsReading:
    """All settings.

    Attributes:
        settings: None if one of them cannot be used.
        values: Every setting.
        unknown: Variables that look like settings but are none, each with the most similar setting, or "".
        env_file: The `.env` file, whether or not it exists.
    """

    settings: Settings | None
    values: tuple[SettingValue, ...]
    unknown: tuple[tuple[str, str], ...]
    env_file: Path


def read() -> SettingsReading:
    """Read the environment and `.env` as `Settings` does. From now on log and error messages hide the secrets in them.

    Raises:
        BadSettings: If the file cannot be read.
    """
    env_file = Path(str(Settings.model_config["env_file"])).absolute()
    try:
        environment, file = EnvSettingsSource(Settings), DotEnvSettingsSource(Settings)
    except (OSError, UnicodeError) as error:
        raise BadSettings(*problem_of_file(error)) from None
    settings: Settings | None = None
    problems: dict[str, str] = {}
    try:
        settings = Settings()
    except ValidationError as error:
        problems = {variable_of(entry["loc"]): says_what_is_wrong(entry["msg"]) for entry in error.errors()}
    sources = [("environment", environment(), environment.env_vars), (".env", file(), file.env_vars)]
    if settings and (demo := find_demo(settings)):
        settings = complete(settings)
        decided = DotEnvSettingsSource(Settings, env_file=demo)
        sources.append(("the demo", decided(), decided.env_vars))
    fields = {aliases_of(field)[0]: name for name, field in Settings.model_fields.items()}
    raw = {variable: _find(Settings.model_fields[name], sources) for variable, name in fields.items()}
    _hide_secrets(fields, raw)
    values = tuple(
        SettingValue(variable, _show(variable, fields[variable], text, problem), origin, problem)
        for variable, (text, origin) in raw.items()
        for problem in [problems.get(variable, "")]
    )
    variables = {*os.environ, *(name.upper() for name in file.env_vars)}
    return SettingsReading(settings, values, tuple(_unknown(variables)), env_file)


def _find(field: FieldInfo, sources: list[tuple[str, dict[str, Any], Any]]) -> tuple[str | None, str]:
    """A setting's text, None if it is not set, and its origin."""
    name, *_ = names = aliases_of(field)
    for origin, values, variables in sources:
        if name in values:
            variable = next((other for other in names if other.lower() in variables), name)
            return str(values[name]), origin if variable == name else f"{origin} ({variable})"
    return None, "default"


def _show(variable: str, name: str, text: str | None, problem: str) -> str:
    if is_secret(name):
        return "set" if text and clean(text) else "not set"
    if text is None:
        default = Settings.model_fields[name].default
        return "not set" if default in (None, ()) else str(default)
    if not text:
        return "empty"
    if problem and may_be_token(text):
        return "not shown"  # a token that was put into the wrong setting
    return mask_url(text) if _is_address(variable, text) else text


def _is_address(variable: str, text: str) -> bool:
    return variable.endswith("_URL") or "://" in text or "@" in text


def _hide_secrets(fields: dict[str, str], raw: dict[str, tuple[str | None, str]]) -> None:
    texts = {variable: text for variable, (text, _) in raw.items() if text}
    secrets = [text for variable, text in texts.items() if is_secret(fields[variable])]
    urls = [text for variable, text in texts.items() if _is_address(variable, text)]
    redaction.learn([*secrets, *map(clean, secrets)], [*urls, *map(clean, urls)])


def _unknown(variables: set[str]) -> Iterator[tuple[str, str]]:
    names = [name for field in Settings.model_fields.values() for name in aliases_of(field)]
    for variable in sorted(variables - {*names, *NOT_OURS}):
        close = get_close_matches(variable.upper(), names, 1, SIMILAR)
        if variable.upper() in names:
            continue
        if variable.startswith("RIS_") or (close and close[0] not in variables):
            yield variable, close[0] if close else ""
