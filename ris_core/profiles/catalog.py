"""Components by name: a component's name is the name of its file, and adding one is adding a file.

A component's module names its class `Component`; building it imports the module, so nothing heavy is loaded before it is needed.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

import ris_core
from ris_core.errors import UnknownName

KINDS = ("proposers", "encoders", "methods")
"""Folders of `ris_core` that hold components."""


def available(kind: str) -> list[str]:
    """Names of the components of a kind, sorted.

    Raises:
        UnknownName: If there is no such kind.
    """
    if kind not in KINDS:
        raise UnknownName(f"No kind of component named {kind!r}.", f"Kinds: {', '.join(KINDS)}.")
    folders = [f"{root}/{kind}" for root in ris_core.__path__]
    return sorted(m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_"))


def build(kind: str, name: str, settings: Mapping[str, Any]) -> Any:
    """Import a component's file and make the component.

    Args:
        kind: "proposers", "encoders" or "methods".
        name: Name of its file.
        settings: Keyword arguments of the component.

    Raises:
        UnknownName: If the component, or one of the settings, does not exist.
    """
    names = available(kind)
    if name not in names:
        raise UnknownName(f"No {kind[:-1]} named {name!r}.", f"Available: {', '.join(names)}.")
    component = importlib.import_module(f"ris_core.{kind}.{name}").Component
    parameters = inspect.signature(component).parameters
    unknown = sorted(set(settings) - set(parameters))
    if unknown:
        raise UnknownName(
            f"The {kind[:-1]} {name!r} has no setting {', '.join(unknown)}.", f"Settings: {', '.join(parameters)}."
        )
    return component(**settings)
