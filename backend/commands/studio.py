"""The Label Studio that the settings name."""

from typing import TYPE_CHECKING

from backend.base.errors import BadSettings
from backend.label_studio.client import LabelStudioClient
from backend.settings.environment import Settings

if TYPE_CHECKING:
    from backend.label_studio.reviews_api import ReviewClient
    from backend.label_studio.task_import import ImportClient
    from backend.runs.studio_client import RunClient


def open_label_studio(settings: Settings) -> LabelStudioClient:
    """A client of Label Studio's API.

    Raises:
        BadSettings: If its address or token is not set.
    """
    return LabelStudioClient(*_address_and_token(settings))


def open_run_client(settings: Settings) -> "RunClient":
    """A client with the calls that bulk runs make.

    Raises:
        BadSettings: If Label Studio's address or token is not set.
    """
    from backend.runs.studio_client import RunClient

    return RunClient(*_address_and_token(settings))


def open_review_client(settings: Settings) -> "ReviewClient":
    """A client with the calls that quality review makes.

    Raises:
        BadSettings: If Label Studio's address or token is not set.
    """
    from backend.label_studio.reviews_api import ReviewClient

    return ReviewClient(*_address_and_token(settings))


def open_import_client(settings: Settings) -> "ImportClient":
    """A client with the calls that imports make.

    Raises:
        BadSettings: If Label Studio's address or token is not set.
    """
    from backend.label_studio.task_import import ImportClient

    return ImportClient(*_address_and_token(settings))


def is_known(settings: Settings) -> bool:
    """Whether both the address and the token are set."""
    return bool(settings.label_studio_url and settings.label_studio_api_key)


def _address_and_token(settings: Settings) -> tuple[str, str]:
    if not (settings.label_studio_url and settings.label_studio_api_key):
        raise BadSettings(
            "The address or the token of Label Studio is not set.", "Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY."
        )
    return settings.label_studio_url, settings.label_studio_api_key.get_secret_value()
