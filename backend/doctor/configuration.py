"""The section "Settings": every setting with its value and origin, and misspelt variables."""

from collections.abc import Iterator

from backend.base.errors import BadSettings
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, Finding, failure_of, ok, warn
from backend.doctor.settings_origin import SettingValue
from backend.settings.environment import Settings

LIST = "docs/engineers/settings.md"


def check_settings(context: DoctorContext) -> Iterator[Finding]:
    """Every setting, then unknown variables that look like settings."""
    reading = context.reading
    yield ok(".env", f"{reading.env_file}, {'read' if reading.env_file.is_file() else 'not there'}")
    yield from map(_describe, reading.values)
    for variable, similar in reading.unknown:
        remedy = f"Write {similar} if you mean that setting." if similar else f"Remove it. {LIST} lists all settings."
        yield warn(variable, "is not a setting and has no effect", remedy)
    if reading.settings:
        yield from _check_credentials(reading.settings)


def _describe(setting: SettingValue) -> Finding:
    if not setting.problem:
        return Finding(setting.name, "ok", setting.text, setting.origin)
    remedy = f"{setting.problem}. {LIST} says which values are allowed."
    return Finding(setting.name, "fail", setting.text, setting.origin, remedy, exit_code=BAD)


def _check_credentials(settings: Settings) -> Iterator[Finding]:
    try:
        settings.check_host()
    except BadSettings as error:
        yield failure_of("Credentials", error)
