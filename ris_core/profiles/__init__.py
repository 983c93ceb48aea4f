"""Profiles: which components with which settings, one TOML file each; the file's name is the profile's name."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ris_core import catalog, weights
from ris_core.errors import UnknownName
from ris_core.segmenter import Segmenter
from ris_core.text import Parser

HERE = Path(__file__).parent
COMPONENTS = {"method": "methods", "proposer": "proposers", "encoder": "encoders"}
"""Sections of a profile that are components, and the catalog's name for their kind; the light ones are built first."""


def profile_names() -> list[str]:
    """Names of the profiles, sorted."""
    return sorted(file.stem for file in HERE.glob("*.toml"))


def read_profile(name: str) -> dict[str, Any]:
    """A profile's sections as its file states them.

    Raises:
        UnknownName: If there is no such profile.
    """
    file = HERE / f"{name}.toml"
    if name not in profile_names():
        raise UnknownName(f"No profile named {name!r}. Available: {', '.join(profile_names())}.")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def profile_weights(name: str) -> list[str]:
    """Names of the weights that a profile needs."""
    sections = read_profile(name)
    return [
        sections["proposer"]["settings"]["weights"],
        sections["encoder"]["settings"]["weights"],
        sections["parser"]["weights"],
    ]


def load_segmenter(
    profile: str,
    *,
    device: str = "cpu",
    store: weights.Store | None = None,
    **overrides: str | Mapping[str, Any],
) -> Segmenter:
    """Load a profile's components and weights.

    Args:
        profile: "demo", "base", …: a name of `profile_names()`.
        device: A torch device: "cpu", "cuda", "cuda:1", "auto" for a GPU if there is one.
        store: Where weights are found; the default folder if not given.
        **overrides: `proposer`, `encoder`, `method`, `parser`, `decision`: the name of another component, or settings that
            replace the profile's, as in `method="global_local"`, `proposer={"points_per_side": 8}`.

    Raises:
        UnknownName: If the profile, a component or a setting does not exist.
        WeightsMissing: If a file of weights is not there and cannot be downloaded.
    """
    sections = read_profile(profile)
    unknown = sorted(set(overrides) - {*COMPONENTS, "parser", "decision"})
    if unknown:
        raise UnknownName(
            f"Nothing named {', '.join(unknown)} to override. Available: {', '.join([*COMPONENTS, 'parser', 'decision'])}."
        )
    for kind, override in overrides.items():
        sections[kind] = _overridden(kind, sections.get(kind, {}), override)
    store = store or weights.Store()
    runtime = {
        "proposer": {"store": store, "device": device},
        "encoder": {"store": store, "device": device},
        "method": {},
    }
    built = {
        kind: catalog.build(
            COMPONENTS[kind], sections[kind]["name"], {**sections[kind].get("settings", {}), **runtime[kind]}
        )
        for kind in COMPONENTS
    }
    return Segmenter(
        profile=profile,
        method_name=sections["method"]["name"],
        parser=_parser(sections["parser"], store),
        version_prefix=sections["version_prefix"],
        warning=sections.get("warning", ""),
        **sections.get("decision", {}),
        **built,
    )


def _overridden(kind: str, section: dict[str, Any], override: str | Mapping[str, Any]) -> dict[str, Any]:
    if kind == "parser":
        return {"package": override} if isinstance(override, str) else dict(override)
    if isinstance(override, str):
        return section if override == section.get("name") else {"name": override}
    if kind == "decision":
        return {**section, **override}
    return {**section, "settings": {**section.get("settings", {}), **override}}


def _parser(section: Mapping[str, Any], store: weights.Store) -> Parser:
    quirks = frozenset(section.get("quirks", ()))
    if "package" in section:
        return Parser(section["package"], quirks=quirks)
    return Parser(store.locate(section["weights"]), fingerprint=store.digest(section["weights"]), quirks=quirks)
