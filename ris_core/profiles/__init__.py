"""Profiles: which components with which settings, one TOML file each; the file's name is the profile's name."""

from ris_core.profiles.files import profile_names, profile_weights, read_profile
from ris_core.profiles.loading import COMPONENTS, load_parser, load_segmenter, load_segmenters

__all__ = [
    "COMPONENTS",
    "load_parser",
    "load_segmenter",
    "load_segmenters",
    "profile_names",
    "profile_weights",
    "read_profile",
]
