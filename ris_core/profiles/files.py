"""Profiles as files: their names, and the sections that each states or takes from the profile that it extends."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_core.errors import BadComponent, UnknownName
from ris_core.profiles import plugins

HERE = Path(__file__).parent
SECTIONS = ("about", "version_prefix", "parser", "proposer", "encoder", "method")
"""What every profile states, or takes from the one that it extends."""


def profile_names() -> list[str]:
    """Names of the profiles, sorted; those that other distributions add among them."""
    return sorted({*_built_in(), *plugins.added("profiles")})


def read_profile(name: str) -> dict[str, Any]:
    """A profile's sections; those that it does not state are those of the profile that it extends.

    Raises:
        UnknownName: If there is no such profile.
        BadComponent: If it is another distribution's and cannot be read, or several have this name.
    """
    if name not in profile_names():
        raise UnknownName(f"No profile named {name!r}.", f"Available: {', '.join(profile_names())}.")
    point = plugins.pick("profiles", name, name in _built_in())
    file = plugins.profile_file(point) if point else HERE / f"{name}.toml"
    try:
        sections = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise BadComponent(f"The profile {name!r} ({file}) is no TOML ({error}).", "Correct it.") from error
    base = sections.pop("extends", None)
    profile = _merged(read_profile(base), sections) if base else sections
    if missing := [section for section in SECTIONS if section not in profile]:
        raise BadComponent(
            f"The profile {name!r} ({file}) has no {', '.join(missing)}.", 'Add it, or begin with: extends = "base"'
        )
    return profile


def profile_weights(name: str) -> list[str]:
    """Names of the weights that a profile needs; a parser that is a Python package is none of them."""
    sections = read_profile(name)
    components = [sections[kind].get("settings", {}) for kind in ("proposer", "encoder")]
    return [section["weights"] for section in (*components, sections["parser"]) if "weights" in section]


def _built_in() -> list[str]:
    return [file.stem for file in HERE.glob("*.toml")]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the changes laid over it, table by table; another component by name brings its own settings."""
    if changes.get("name", base.get("name")) != base.get("name"):
        return dict(changes)
    both = {key for key in base if isinstance(base[key], dict) and isinstance(changes.get(key), dict)}
    return {**base, **changes, **{key: _merged(base[key], changes[key]) for key in both}}
