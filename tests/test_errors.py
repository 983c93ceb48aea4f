"""What an error means is its class and its attributes, never its text; and the errors themselves."""

import ast
import pickle
from pathlib import Path
from typing import get_args

import pytest

from backend.base.errors import BadSettings, ImageCause, ImageUnreachable
from backend.label_studio import messages
from backend.label_studio.client import RequestRefused, TokenRefused
from ris_core.errors import BadImage, BadImageCause, RisError

ROOT = Path(__file__).parents[1]
SOURCES = sorted(file for name in ("backend", "ris_core", "demo") for file in (ROOT / name).rglob("*.py"))
DECIDING = frozenset(
    {"startswith", "endswith", "find", "index", "rfind", "count", "match", "search", "fullmatch", "findall", "finditer"}
)
"""Methods and functions whose answer on a text decides something."""


def find_decisions(source: str) -> list[int]:
    """Lines in which the text of an error is compared, searched or matched."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return [text.lineno for text in find_texts(tree) if is_decided_on(text, parents)]


def find_texts(tree: ast.AST) -> list[ast.expr]:
    """Expressions that are an error's text: str(error), repr(error), f"{error}", error.args, error.wrong; names they are given."""
    names = find_error_names(tree)

    def is_error(node: ast.AST) -> bool:
        return (isinstance(node, ast.Name) and node.id in names) or (
            isinstance(node, ast.Attribute) and node.attr in ("orig", "__cause__") and is_error(node.value)
        )

    def is_text(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr"):
            return any(map(is_error, node.args))
        if isinstance(node, ast.JoinedStr):
            return any(isinstance(part, ast.FormattedValue) and is_error(part.value) for part in node.values)
        return (
            isinstance(node, ast.Attribute)
            and node.attr in ("args", "wrong", "remedy", "strerror")
            and is_error(node.value)
        )

    found = [node for node in ast.walk(tree) if isinstance(node, ast.expr) and is_text(node)]
    given = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.value in found
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in given and isinstance(n.ctx, ast.Load)]
    return found + uses


def find_error_names(tree: ast.AST) -> set[str]:
    """Names of caught errors, and of parameters that are annotated as errors."""
    caught = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    kinds = ("Error", "Exception", "Refused", "Unreachable", "BadSettings", "BadImage", "BadConfig", "BadInput")
    annotated = {
        node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.annotation and any(k in ast.unparse(node.annotation) for k in kinds)
    }
    return caught | {name for name in annotated if name in ("error", "refusal", "reason", "failure", "exc")}


def is_decided_on(text: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    node = text
    while (parent := parents.get(node)) is not None and isinstance(parent, ast.expr):
        if isinstance(parent, ast.Compare):
            return True
        if isinstance(parent, ast.Call):
            name = parent.func.attr if isinstance(parent.func, ast.Attribute) else ""
            if name in DECIDING:
                return True
            if parent.func is not node:
                return False
        node = parent
    return False


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_decided_by_the_text_of_an_error(file):
    assert find_decisions(file.read_text()) == []


@pytest.mark.parametrize(
    "decision",
    [
        'if "locked" in str(error): pass',
        'if "locked" in str(error.orig).lower(): pass',
        're.search(r"40[13]", str(error))',
        'PATTERN.search(f"{error}")',
        'str(error).startswith("x")',
        'text = str(error)\n    if "(403)" in text: pass',
        "any(words in error.args[0] for words in CAUSES)",
        'if error.wrong == "x": pass',
    ],
)
def test_such_decisions_are_found(decision):
    assert find_decisions(f"try:\n    pass\nexcept ValueError as error:\n    {decision}\n") != []


def test_what_is_only_shown_is_no_decision():
    assert (
        find_decisions(
            "try:\n    pass\nexcept ValueError as error:\n    log(str(error).splitlines()[0], x=str(error))\n"
        )
        == []
    )


@pytest.mark.parametrize(
    "error",
    [
        BadSettings("It is wrong.", "Mend it."),
        BadImage("It is AVIF.", "Convert it.", cause="unknown_kind", kind="AVIF"),
        ImageUnreachable("It is gone.", "Look for it.", cause="missing", status=404, is_own=True),
        RequestRefused("No.", 409),
        TokenRefused("No.", 403),
    ],
)
def test_errors_keep_what_they_mean_from_process_to_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_every_cause_is_told_to_the_annotator_and_no_text_is():
    assert set(messages.IMAGE_CAUSES) == set(get_args(ImageCause))
    assert set(messages.BAD_IMAGE_CAUSES) == set(get_args(BadImageCause))


def test_an_error_without_a_remedy_is_just_a_sentence():
    assert (str(RisError("It is so.")), str(RisError())) == ("It is so.", "")
