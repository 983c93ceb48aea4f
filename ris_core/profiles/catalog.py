"""Components by name: a component's name is the name of its file, and adding one is adding a file.

A component's module names its class `Component`; building it imports the module, so nothing heavy is loaded before it is needed.
Other distributions add theirs by entry points (`plugins`).
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

import ris_core
from ris_core.errors import BadComponent, UnknownName
from ris_core.profiles import plugins
from ris_core.types.components import Encoder, Method, Proposer

PROMISES: Mapping[str, type] = {"proposers": Proposer, "encoders": Encoder, "methods": Method}
"""What the components of each kind provide."""
KINDS = tuple(PROMISES)
"""Folders of `ris_core` that hold components, and the ends of the names of entry point groups."""
BUILT_IN = "built in"


def available(kind: str) -> list[str]:
    """Names of the components of a kind, sorted; those that other distributions add are not imported for it.

    Raises:
        UnknownName: If there is no such kind.
    """
    return sorted({*_built_in(kind), *plugins.added(kind)})


def origin(kind: str, name: str) -> str:
    """Where a component comes from: `BUILT_IN`, or the distribution with its version and entry point. Imports nothing.

    Raises:
        UnknownName: If there is no such component.
        BadComponent: If several have this name.
    """
    point = plugins.pick(kind, _known(kind, name), name in _built_in(kind))
    return plugins.describe(point) if point else BUILT_IN


def find(kind: str, name: str) -> Callable[..., Any]:
    """What makes a component, usually its class.

    Args:
        kind: "proposers", "encoders" or "methods".
        name: Name of its file, or of its entry point.

    Raises:
        UnknownName: If there is no such component.
        BadComponent: If it is another distribution's and cannot be loaded, or several have this name.
    """
    point = plugins.pick(kind, _known(kind, name), name in _built_in(kind))
    if point:
        return plugins.load(kind, point)
    component: Callable[..., Any] = importlib.import_module(f"ris_core.{kind}.{name}").Component
    return component


def build(kind: str, name: str, settings: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> Any:
    """Make a component.

    Args:
        kind, name: As of `find`.
        settings: Keyword arguments of the component.
        given: More of them, such as the device; one that the component does not take is left out.

    Raises:
        UnknownName: If the component, or one of the settings, does not exist.
        BadComponent: As of `find`; or if it lacks something that its kind promises.
    """
    make = find(kind, name)
    parameters = inspect.signature(make).parameters
    unknown = sorted(set(settings) - set(parameters))
    if unknown:
        raise UnknownName(
            f"The {kind[:-1]} {name!r} has no setting {', '.join(unknown)}.", f"Settings: {', '.join(parameters)}."
        )
    taken = {key: value for key, value in (given or {}).items() if key in parameters}
    component = make(**{**settings, **taken})
    if missing := [promise for promise in _promises(kind) if not hasattr(component, promise)]:
        raise BadComponent(
            f"The {kind[:-1]} {name!r} ({origin(kind, name)}) has no {', '.join(missing)}.",
            f"Add what {PROMISES[kind].__name__} in ris_core/types/components.py promises.",
        )
    return component


def _built_in(kind: str) -> list[str]:
    if kind not in KINDS:
        raise UnknownName(f"No kind of component named {kind!r}.", f"Kinds: {', '.join(KINDS)}.")
    folders = [f"{root}/{kind}" for root in ris_core.__path__]
    return [m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_")]


def _known(kind: str, name: str) -> str:
    names = available(kind)
    if name not in names:
        raise UnknownName(f"No {kind[:-1]} named {name!r}.", f"Available: {', '.join(names)}.")
    return name


def _promises(kind: str) -> list[str]:
    protocol = PROMISES[kind]
    return sorted(name for name in {*protocol.__annotations__, *vars(protocol)} if not name.startswith("_"))
