"""What other distributions add: components and profiles, by entry points of the groups `ris_core.proposers`, `.encoders`, `.methods`
and `.profiles` (docs/developers/components.md). They are listed without being imported.
"""

from collections.abc import Callable
from importlib import metadata, util
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from ris_core.errors import BadComponent


def added(kind: str) -> dict[str, list[EntryPoint]]:
    """The entry points of a kind by name; usually one of each name.

    Args:
        kind: "proposers", "encoders", "methods" or "profiles".
    """
    points: dict[str, list[EntryPoint]] = {}
    for point in metadata.entry_points(group=f"ris_core.{kind}"):
        points.setdefault(point.name, []).append(point)
    return points


def pick(kind: str, name: str, is_built_in: bool) -> EntryPoint | None:
    """The entry point that a name means; None if it means what is built in, or nothing.

    Raises:
        BadComponent: If the name means several things.
    """
    points = added(kind).get(name, [])
    givers = ["label-studio-ris itself"] * is_built_in + sorted(map(describe, points))
    if points and len(givers) > 1:
        raise BadComponent(
            f"The {kind[:-1]} {name!r} exists {len(givers)} times: in {', and in '.join(givers)}.",
            "Uninstall what you do not need of it, or have one renamed.",
        )
    return points[0] if points else None


def describe(point: EntryPoint) -> str:
    """Distribution, its version, and what the entry point names, as in "boxes 0.1 (boxes.grid:Grid)"."""
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    return f"{owner} ({point.value})"


def load(kind: str, point: EntryPoint) -> Callable[..., Any]:
    """Import what an entry point names.

    Raises:
        BadComponent: If that fails, or it cannot be called.
    """
    try:
        component = point.load()
    except Exception as error:  # whatever somebody else's code raises while it is imported
        raise _bad(kind, point, f"cannot be loaded ({type(error).__name__}: {error})") from error
    if not callable(component):
        raise _bad(kind, point, f"is a {type(component).__name__}, not a class")
    made: Callable[..., Any] = component
    return made


def profile_file(point: EntryPoint) -> Path:
    """The file of a profile: it bears the profile's name and lies in the folder of the module that the entry point names.

    Raises:
        BadComponent: If there is no such module or file.
    """
    try:
        spec = util.find_spec(point.module)
    except Exception as error:  # finding a submodule imports what it lies in
        raise _bad("profiles", point, f"cannot be found ({type(error).__name__}: {error})") from error
    if spec is None or not spec.origin:
        raise _bad("profiles", point, f"names the module {point.module!r}, which does not exist")
    file = Path(spec.origin).parent / f"{point.name}.toml"
    if not file.is_file():
        raise _bad("profiles", point, f"has no file {file}")
    return file


def _bad(kind: str, point: EntryPoint, reason: str) -> BadComponent:
    owner = point.dist.name if point.dist else "it"
    return BadComponent(
        f"The {kind[:-1]} {point.name!r} of {describe(point)} {reason}.",
        f"Repair {owner}, or uninstall it: pip uninstall {owner}",
    )
