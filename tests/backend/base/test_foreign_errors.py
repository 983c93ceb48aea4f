"""The text of a foreign error reaches nobody but through `redaction.reason_of`."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.base.redaction import reason_of
from ris_core.errors import RisError

ROOT = Path(__file__).parents[3]
FILES = sorted(
    file for folder in ("backend", "demo") for file in (ROOT / folder).rglob("*.py") if "bench" not in file.parts
)


def our_errors() -> set[str]:
    """Names of the classes in our own tree: their messages are ours."""
    for file in FILES:
        if any(f"({base})" in file.read_text() for base in ("RisError", "BadInput", "BadConfig", "BadSettings")):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    found, waiting = set(), [RisError]
    while waiting:
        kind = waiting.pop()
        found.add(kind.__name__)
        waiting += kind.__subclasses__()
    return found


def quotes(tree: ast.AST, ours: set[str]) -> Iterator[int]:
    """Lines at which a handler puts a foreign error's text into its own words."""
    for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name):
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if all(ast.unparse(kind).rpartition(".")[2] in ours for kind in caught):
            continue
        for node in (inner for part in handler.body for inner in ast.walk(part)):
            if isinstance(node, ast.FormattedValue) and is_text_of(node.value, handler.name):
                yield node.lineno
            is_text = isinstance(node, ast.Call) and ast.unparse(node.func) in ("str", "repr")
            if is_text and any(is_text_of(argument, handler.name) for argument in node.args):
                yield node.lineno


def is_text_of(value: ast.AST, name: str) -> bool:
    return ast.unparse(value) in (name, f"{name}.orig", f"{name}.args", f"{name}.args[0]")


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("try: pass\nexcept ValueError as e: print(f'{e}')", 1),
        ("try: pass\nexcept (RisError, OSError) as e: print(str(e), f'{e.orig}')", 2),
        ("try: pass\nexcept RisError as e: print(f'{e}')", 0),
        ("try: pass\nexcept ValueError as e: print(f'{reason_of(e)}')", 0),
    ],
)
def test_the_search_finds_what_it_looks_for(code, number):
    assert len(list(quotes(ast.parse(code), {"RisError"}))) == number


def test_no_text_of_a_foreign_error_is_quoted_as_it_is():
    ours = our_errors()
    found = {str(file.relative_to(ROOT)): list(quotes(ast.parse(file.read_text()), ours)) for file in FILES}
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_a_reason_is_one_line_and_not_endless():
    assert reason_of(ValueError("a\n  b")) == "a b"
    assert reason_of(KeyError()) == "KeyError"
    assert len(reason_of(ValueError("x" * 1000))) < 410
