"""Profiles as files: their names, and the sections that each states or takes from the profile that it extends."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_core.errors import UnknownName

HERE = Path(__file__).parent


def profile_names() -> list[str]:
    """Names of the profiles, sorted."""
    return sorted(file.stem for file in HERE.glob("*.toml"))


def read_profile(name: str) -> dict[str, Any]:
    """A profile's sections; those that it does not state are those of the profile that it extends.

    Raises:
        UnknownName: If there is no such profile.
    """
    if name not in profile_names():
        raise UnknownName(f"No profile named {name!r}.", f"Available: {', '.join(profile_names())}.")
    sections = tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))
    base = sections.pop("extends", None)
    return _merged(read_profile(base), sections) if base else sections


def profile_weights(name: str) -> list[str]:
    """Names of the weights that a profile needs; a parser that is a Python package is none of them."""
    sections = read_profile(name)
    weighted_sections = [sections["proposer"]["settings"], sections["encoder"]["settings"], sections["parser"]]
    return [section["weights"] for section in weighted_sections if "weights" in section]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes laid over it, table by table; another component by name brings its own settings."""
    if changes.get("name", base.get("name")) != base.get("name"):
        return dict(changes)
    both = {key for key in base if isinstance(base[key], dict) and isinstance(changes.get(key), dict)}
    return {**base, **changes, **{key: _merged(base[key], changes[key]) for key in both}}
