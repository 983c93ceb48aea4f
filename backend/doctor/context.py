"""What is examined."""

from dataclasses import dataclass

from backend.doctor.settings_origin import SettingsReading
from backend.settings.environment import Settings


@dataclass(frozen=True)
class DoctorContext:
    """The settings of somebody who asks for advice.

    Attributes:
        project: Label Studio project to look at as well.
        url: Where Label Studio reaches the backend, if that is known.
    """

    reading: SettingsReading
    project: int | None = None
    url: str | None = None

    @property
    def settings(self) -> Settings:
        """The settings. Sections that ask for them run only if there are any."""
        assert self.reading.settings is not None
        return self.reading.settings

    @property
    def api_key(self) -> str | None:
        """Label Studio's token."""
        key = self.settings.label_studio_api_key
        return key.get_secret_value() if key else None
