"""The settings: each with its value and origin, what cannot be used, and what is misspelt."""

from collections.abc import Iterator

from backend.base.errors import BadSettings
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, Finding, failure_of, ok, warn
from backend.doctor.settings_origin import SettingValue
from backend.settings.environment import Settings


def check_settings(case: DoctorContext) -> Iterator[Finding]:
    """Every setting, then variables that nobody reads."""
    reading = case.reading
    yield ok(".env", f"{reading.env_file}, {'read' if reading.env_file.is_file() else 'not there'}")
    yield from map(_describe, reading.values)
    for variable, meant in reading.unknown:
        remedy = f"Write {meant} if that is meant." if meant else "Remove it; README.md lists the settings."
        yield warn(variable, "is no setting, so nobody reads it", remedy)
    if reading.settings:
        yield from _check_credentials(reading.settings)


def _describe(setting: SettingValue) -> Finding:
    if not setting.problem:
        return Finding(setting.name, "ok", setting.shown, setting.origin)
    remedy = f"{setting.problem}. README.md says what is expected."
    return Finding(setting.name, "fail", setting.shown, setting.origin, remedy, exit_code=BAD)


def _check_credentials(settings: Settings) -> Iterator[Finding]:
    try:
        settings.check_host()
    except BadSettings as error:
        yield failure_of("Credentials", error)
