"""Segmenters of the profiles that projects name for themselves."""

import threading
from collections.abc import Callable

from backend.settings.project import BadProjectSetting
from ris_core.errors import UnknownName, WeightsMissing
from ris_core.segmentation.segmenter import Segmenter


def _load_nothing(profile: str) -> Segmenter:
    raise UnknownName(f"This worker loads no other profile than its own, so not {profile!r}.")


class Segmenters:
    """One segmenter a profile, loaded when it is first asked for, and kept. Threads may share it.

    Args:
        load: Loads a profile's segmenter.
    """

    def __init__(self, load: Callable[[str], Segmenter] = _load_nothing) -> None:
        self._load = load
        self._loaded: dict[str, Segmenter] = {}
        self._lock = threading.Lock()

    def get(self, profile: str) -> Segmenter:
        """The segmenter of a profile; the first call takes its time.

        Raises:
            BadProjectSetting: If there is no such profile, or its weights are not there.
        """
        with self._lock:
            if profile not in self._loaded:
                try:
                    self._loaded[profile] = self._load(profile)
                except UnknownName as error:
                    raise BadProjectSetting("profile", profile, str(error)) from error
                except WeightsMissing as error:
                    raise BadProjectSetting("profile", profile, f"{error}; or name another profile.") from error
            return self._loaded[profile]
