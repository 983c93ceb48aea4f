"""The input of every section."""

from dataclasses import dataclass
from functools import cached_property

from backend.db.default_profile import ProfileChoice
from backend.doctor.settings_origin import SettingsReading
from backend.inference.own_profile import look_up_profile
from backend.settings.environment import Settings


@dataclass(frozen=True)
class DoctorContext:
    """The settings to check, and what else was given on the command line.

    Attributes:
        project: Label Studio project to check; None for none.
        url: Address at which Label Studio reaches the backend; None if it is the connected one.
    """

    reading: SettingsReading
    project: int | None = None
    url: str | None = None

    @property
    def settings(self) -> Settings:
        """The settings. Only sections that do not need usable settings run without them, and those do not read this."""
        assert self.reading.settings is not None
        return self.reading.settings

    @cached_property
    def profile(self) -> ProfileChoice:
        """The profile that answers, or would if something started now."""
        return look_up_profile(self.settings.profile, self.settings.sql_url, self.settings.device)

    @property
    def api_key(self) -> str | None:
        """Label Studio's token; None if it is not set."""
        key = self.settings.label_studio_api_key
        return key.get_secret_value() if key else None
