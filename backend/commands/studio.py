"""The Label Studio that the settings name."""

from backend.base.errors import BadSettings
from backend.label_studio.client import LabelStudioClient
from backend.settings.environment import Settings


def open_label_studio(settings: Settings) -> LabelStudioClient:
    """A client of Label Studio's API.

    Raises:
        BadSettings: If its address or token is not set.
    """
    if not (settings.label_studio_url and settings.label_studio_api_key):
        raise BadSettings("Label Studio is not known. Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
    return LabelStudioClient(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())
