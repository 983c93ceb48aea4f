"""The rooms of the code, the floors they lie on, and the arrows between them: `python tools/rooms.py [--inside ris_core]`.

A room is a folder of `backend`, or one of the packages `ris_core`, `demo` and `benchmarks` as a whole; with `--inside PACKAGE` it is a
folder or a loose module of that package. An arrow says that one room imports another. A room lies one floor above the highest room
that it imports. The contracts in `pyproject.toml` say what may import what; this tool shows what does.
"""

import argparse
import ast
import graphlib
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ris_core", "backend", "demo", "benchmarks")
OLD_NAMES = frozenset({"backend.cli", "backend.adapter", "backend.processes"})
"""Modules that only hand on what has moved, until 0.3."""


@dataclass(frozen=True)
class Room:
    """A folder or module with one purpose.

    Attributes:
        name: Dotted: "backend.runs".
        purpose: First line of its docstring.
        lines: Lines of each of its modules.
    """

    name: str
    purpose: str
    lines: Sequence[int]


@dataclass(frozen=True)
class House:
    """Rooms, and the rooms that each imports.

    Attributes:
        arrows: By room the rooms that it imports, each with the number of imports.
    """

    rooms: Mapping[str, Room]
    arrows: Mapping[str, Mapping[str, int]]

    def find_circle(self) -> Sequence[str]:
        """Rooms that import each other in a ring, the first one again at the end; empty if there are none."""
        try:
            graphlib.TopologicalSorter(self.arrows).prepare()
        except graphlib.CycleError as error:
            return tuple(error.args[1])
        return ()

    def floors(self) -> dict[str, int]:
        """Floor of each room, from 1; one that imports nothing lies on floor 1.

        Raises:
            graphlib.CycleError: If rooms import each other in a ring.
        """
        floors: dict[str, int] = {}
        for name in graphlib.TopologicalSorter(self.arrows).static_order():
            floors[name] = 1 + max((floors[below] for below in self.arrows[name]), default=0)
        return floors


def measure(inside: str | None = None) -> House:
    """The house as its imports are now.

    Args:
        inside: A package to look into; None for the whole.
    """
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    modules = {
        module: name for module in graph.modules if (name := _room_of(module, inside)) and _file_of(module).exists()
    }  # folders of data look like packages
    arrows: dict[str, dict[str, int]] = {name: defaultdict(int) for name in set(modules.values())}
    for module, name in modules.items():
        for imported in graph.find_modules_directly_imported_by(module):
            below = modules.get(imported)
            if below and below != name:
                arrows[name][below] += 1
    files: dict[str, list[Path]] = defaultdict(list)
    for module, name in sorted(modules.items()):
        files[name].append(_file_of(module))
    rooms = {name: Room(name, _purpose(name), [_count_lines(file) for file in files[name]]) for name in sorted(files)}
    return House(rooms, arrows)


def _room_of(module: str, inside: str | None) -> str | None:
    """The room of a module; None for a package's face (`__init__`), entry points and old names."""
    package, *rest = module.split(".")
    if not rest or rest == ["__main__"] or module in OLD_NAMES:
        return None if inside or package == "backend" else package
    if inside:
        return f"{package}.{rest[0]}" if package == inside else None
    return f"{package}.{rest[0]}" if package == "backend" else package


def _file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _purpose(name: str) -> str:
    text = ast.get_docstring(ast.parse(_file_of(name).read_text(encoding="utf-8"))) or ""
    return text.split("\n", 1)[0]


def _count_lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def list_functions() -> Iterator[tuple[int, str]]:
    """Lines and place of every function outside migrations, its docstring included."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if "migrations" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    yield lines, f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"


def median_module() -> float:
    """Median of the lines of all modules, empty faces of packages left out."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py") if "versions" not in file.parts]
    return statistics.median(lines for file in files if (lines := _count_lines(file)) > 1)


def table() -> str:
    """Every room as a Markdown table, from the top floor down: what is in it, and what it imports now."""
    lines = ["| room | what is in it | imports |", "| --- | --- | --- |"]
    for inside in (None, "ris_core"):
        house = measure(inside)
        floors = house.floors()
        for name in sorted(house.rooms, key=lambda name: (-floors[name], name)):
            below = sorted(house.arrows[name], key=lambda name: (-floors[name], name))
            folder = name.replace(".", "/") + ("/" if _file_of(name).name == "__init__.py" else ".py")
            imports = ", ".join(f"`{other.rsplit('.', 1)[-1]}`" for other in below)
            lines.append(f"| `{folder}` | {house.rooms[name].purpose} | {imports} |")
    return "\n".join(lines)


def describe(house: House) -> str:
    """The house in words, from the top floor down."""
    if circle := house.find_circle():
        return f"A circle of rooms: {' -> '.join(circle)}. Move what ties them to the room below."
    floors = house.floors()
    arrows = sum(len(below) for below in house.arrows.values())
    lines = [f"{len(house.rooms)} rooms on {max(floors.values())} floors, {arrows} arrows, no circle"]
    for name in sorted(house.rooms, key=lambda name: (-floors[name], name)):
        room = house.rooms[name]
        below = ", ".join(
            f"{other} ({count})" for other, count in sorted(house.arrows[name].items(), key=lambda arrow: -arrow[1])
        )
        lines.append(
            f"floor {floors[name]:2}  {name}: {len(room.lines)} modules, {sum(room.lines)} lines. {room.purpose}"
        )
        lines.append(f"          imports {below or 'nothing of ours'}")
    longest = sorted(list_functions(), reverse=True)[:3]
    lines.append(f"median module: {median_module():.0f} lines")
    lines.append("longest functions: " + "; ".join(f"{length} lines, {place}" for length, place in longest))
    return "\n".join(lines)


def main() -> int:
    """Print the house; 1 if rooms import each other in a circle."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--inside", choices=PACKAGES, help="look into one package")
    house = measure(parser.parse_args().inside)
    print(describe(house))
    return bool(house.find_circle())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
