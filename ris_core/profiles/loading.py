"""From a profile to a segmenter: its components with their settings and weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ris_core.errors import UnknownName
from ris_core.language.parser import Parser
from ris_core.language.vocabulary import Vocabulary
from ris_core.profiles import catalog
from ris_core.profiles.files import read_profile
from ris_core.runtime import weights
from ris_core.segmentation.segmenter import Segmenter

COMPONENTS = {"method": "methods", "proposer": "proposers", "encoder": "encoders"}
"""Sections of a profile that are components, and the catalog's name for their kind; the light ones are built first."""


def load_segmenter(
    profile: str,
    *,
    device: str = "cpu",
    store: weights.WeightStore | None = None,
    **overrides: str | Mapping[str, Any],
) -> Segmenter:
    """Load a profile's components and weights.

    Args:
        profile: "demo", "base", …: a name of `profile_names()`.
        device: A torch device: "cpu", "cuda", "cuda:1", "auto" for a GPU if there is one.
        store: Where weights are found; the default folder if not given.
        **overrides: `proposer`, `encoder`, `method`, `parser`, `decision`: the name of another component, or settings that
            replace the profile's, as in `method="global_local"`, `proposer={"points_per_side": 8}`; both with a "name"
            among the settings, `method={"name": "global_local", "visual_mix": 0.85}`.

    Raises:
        UnknownName: If the profile, a component or a setting does not exist.
        BadComponent: If a component or profile of another distribution cannot be used.
        WeightsMissing: If a file of weights is not there and cannot be downloaded.
    """
    methods = [overrides.pop("method")] if "method" in overrides else [{}]
    return load_segmenters(profile, methods, device=device, store=store, **overrides)[0]


def load_segmenters(
    profile: str,
    methods: Sequence[str | Mapping[str, Any]],
    *,
    device: str = "cpu",
    store: weights.WeightStore | None = None,
    **overrides: str | Mapping[str, Any],
) -> list[Segmenter]:
    """Load a profile's components once for several methods.

    What one of the segmenters encodes serves all: the encoder makes the features that any of the methods reads.

    Args:
        methods: For each segmenter what `load_segmenter` takes for `method`; {} is the profile's own.
        profile, device, store, **overrides: As of `load_segmenter`.
    """
    sections = read_profile(profile)
    unknown = sorted(set(overrides) - {*COMPONENTS, "parser", "decision"})
    if unknown:
        raise UnknownName(
            f"Nothing named {', '.join(unknown)} to override.",
            f"Available: {', '.join([*COMPONENTS, 'parser', 'decision'])}.",
        )
    for kind, override in overrides.items():
        sections[kind] = _overridden(kind, sections.get(kind, {}), override)
    vocabulary = _vocabulary(sections, overrides.get("encoder", {}))
    method_sections = [_overridden("method", sections["method"], method) for method in methods]
    built_methods = [
        catalog.build("methods", section["name"], section.get("settings", {})) for section in method_sections
    ]
    store = store or weights.WeightStore()
    own = sections["encoder"].get("settings", {})
    features = sorted({*own.get("features", ()), *(name for method in built_methods for name in method.features)})
    shared = {
        "parser": _parser(sections["parser"], store),  # first: it is small, and may be missing
        "proposer": _component("proposer", sections, store=store, device=device),
        "encoder": _component("encoder", sections, store=store, device=device, features=features),
    }
    return [
        Segmenter(
            profile=profile,
            method_name=section["name"],
            method=method,
            version_prefix=sections["version_prefix"],
            warning=sections.get("warning", ""),
            vocabulary=vocabulary,
            **sections.get("decision", {}),
            **shared,
        )
        for section, method in zip(method_sections, built_methods, strict=True)
    ]


def _component(kind: str, sections: Mapping[str, Any], **runtime: Any) -> Any:
    section = sections[kind]
    return catalog.build(COMPONENTS[kind], section["name"], section.get("settings", {}), given=runtime)


def _vocabulary(sections: Mapping[str, Any], encoder: str | Mapping[str, Any]) -> Vocabulary | None:
    """The profile's, unless an override brings another text encoder: a name, or weights."""
    is_own = not isinstance(encoder, str) and not {"name", "weights", "model"} & set(encoder)
    return Vocabulary.load(sections["vocabulary"]) if is_own and "vocabulary" in sections else None


def load_parser(profile: str, store: weights.WeightStore, parser: str | None = None) -> Parser:
    """Load what reads a profile's expressions, and nothing else of it.

    Args:
        parser: Another spaCy pipeline in its place: a package's name, or a folder.

    Raises:
        UnknownName: If there is no such profile.
        WeightsMissing: If the parser is not there.
    """
    section = read_profile(profile)["parser"]
    return _parser(_overridden("parser", section, parser) if parser else section, store)


def _overridden(kind: str, section: dict[str, Any], override: str | Mapping[str, Any]) -> dict[str, Any]:
    if kind == "parser":
        quirks = {"quirks": section["quirks"]} if "quirks" in section else {}
        return quirks | ({"package": override} if isinstance(override, str) else dict(override))
    if kind == "decision" and not isinstance(override, str):
        return {**section, **override}
    settings = {} if isinstance(override, str) else dict(override)
    name = override if isinstance(override, str) else settings.pop("name", section.get("name"))
    if name != section.get("name"):
        return {"name": name, "settings": settings}
    return {**section, "settings": {**section.get("settings", {}), **settings}}


def _parser(section: Mapping[str, Any], store: weights.WeightStore) -> Parser:
    quirks = frozenset(section.get("quirks", ()))
    if "package" in section:
        folder = Path(section["package"])
        return Parser(section["package"], store.measure(folder) if folder.is_dir() else "", quirks)
    return Parser(store.locate(section["weights"]), fingerprint=store.digest(section["weights"]), quirks=quirks)
