"""The public classes of the code: one name, one meaning. `docs/developers/glossary.md` lists them; a test compares."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ris_core", "backend", "demo", "benchmarks")


class PublicClass(NamedTuple):
    """A class whose name has no leading underscore, at the top of a module.

    Attributes:
        module: Dotted.
        meaning: First sentence of its docstring.
    """

    name: str
    module: str
    meaning: str


def list_classes() -> Iterator[PublicClass]:
    """Every public class, in the order of its module."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield PublicClass(node.name, module, _first_sentence(ast.get_docstring(node) or ""))


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n", 1)[0].split())
    end = paragraph.find(". ")
    return paragraph if end < 0 else paragraph[: end + 1]


def table() -> str:
    """Every public class as a Markdown table, sorted by name."""
    rows = ["| class | what it is | module |", "| --- | --- | --- |"]
    for one in sorted(list_classes(), key=lambda one: one.name.lower()):
        meaning = one.meaning.replace("|", r"\|")
        rows.append(f"| `{one.name}` | {meaning} | `{one.module}` |")
    return "\n".join(rows)
