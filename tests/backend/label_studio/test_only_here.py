"""Label Studio's JSON keys and REST paths are known in `backend/label_studio` alone: what reads them changes with Label Studio."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db import correction_tables, run_tables, tables

ROOT = Path(__file__).parents[3]
ROOM = ROOT / "backend" / "label_studio"

KEYS = frozenset(
    (
        *(
            "annotations_results",
            "brushlabels",
            "cancelled_annotations",
            "completed_by",
            "created_username",
            "from_name",
        ),
        *(
            "ground_truth",
            "image_rotation",
            "is_labeled",
            "keypointlabels",
            "lead_time",
            "original_height",
            "original_width",
        ),
        *(
            "page_size",
            "parent_prediction",
            "polygonlabels",
            "rectanglelabels",
            "resolve_uri",
            "result",
            "rle",
            "to_name",
        ),
        *("total_annotations", "value", "was_cancelled"),
    )
)
"""Keys that no JSON of ours has."""

PATH = re.compile(
    r"/api/(annotations|current-user|dm|ml|predictions|projects|storages|tasks|token|users|version|webhooks)\b|/data/upload"
)

OURS = {table.metadata for table in (tables.request, correction_tables.outcome, run_tables.run)}
COLUMNS = frozenset(column.name for metadata in OURS for table in metadata.sorted_tables for column in table.c)
"""Columns of our tables may have a name that Label Studio uses too; `backend/db` writes rows by them."""

OUR_KEYS = {
    # `ris corrections show --json`: one of its keys is named like the column
    "backend/commands/corrections_text.py": frozenset({"was_cancelled"}),
}
"""Keys of JSON of ours."""


def list_files() -> list[Path]:
    return [file for file in sorted((ROOT / "backend").rglob("*.py")) if ROOM not in file.parents]


def find_keys(tree: ast.AST) -> Iterator[ast.expr]:
    """What indexes, is looked up, or is a key of a dict that is written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            yield node.slice
        elif isinstance(node, ast.Dict):
            yield from (key for key in node.keys if key)
        elif isinstance(node, ast.Compare) and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
            yield node.left
        elif is_lookup(node):
            yield node.args[0]


def is_lookup(node: ast.AST) -> bool:
    is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and bool(node.args)
    return is_method and node.func.attr in ("get", "pop", "setdefault")


def find_texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """Strings, also parts of formatted ones; no docstrings."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def find_foreign(source: str, ours: frozenset[str] = frozenset()) -> list[str]:
    """Label Studio's keys and paths in a module, each with its line."""
    tree = ast.parse(source)
    texts = [(node.lineno, node.value) for node in find_texts(tree) if PATH.search(node.value)]
    keys = [
        (key.lineno, key.value) for key in find_keys(tree) if isinstance(key, ast.Constant) and key.value in KEYS - ours
    ]
    return [f"{line}: {text}" for line, text in sorted(texts + keys)]


@pytest.mark.parametrize("file", list_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_other_rooms_know_no_key_and_no_path_of_label_studio(file):
    ours = COLUMNS if file.parent.name == "db" else OUR_KEYS.get(str(file.relative_to(ROOT)), frozenset())
    assert find_foreign(file.read_text(), ours) == []


@pytest.mark.parametrize(
    "source",
    [
        'x = annotation["completed_by"]',
        'x = annotation.get("lead_time")',
        'x = {"from_name": "tag"}',
        'x = "rle" in value',
        'x = f"/api/tasks/{task}/annotations/"',
        'client.request("GET", "/api/projects/")',
    ],
)
def test_keys_and_paths_are_seen(source):
    assert len(find_foreign(source)) == 1


@pytest.mark.parametrize(
    "source", ['"""Reads `completed_by` of /api/tasks/."""', 'column = Column("was_cancelled")', 'x = row["task"]']
)
def test_prose_and_columns_are_no_keys(source):
    assert find_foreign(source) == []


def test_the_room_itself_has_them():
    """Else the search would find nothing anywhere."""
    keys = {entry.partition(": ")[2] for file in ROOM.glob("*.py") for entry in find_foreign(file.read_text())}
    assert {"from_name", "completed_by", "total_annotations", "rle"} <= keys
