"""`make lint` sees what it is there for: faults are put into a copy of the tree, and its own commands look at that."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
CHECKED = ("ris_core", "backend", "demo", "benchmarks", "tools", "tests")
CACHE = ".mypy_cache"
"""With what `make lint` left there a look takes seconds, without it a minute or two."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all that is linted."""
    copy = tmp_path_factory.mktemp("tree")
    for name in CHECKED:
        shutil.copytree(ROOT / name, copy / name, ignore=_all_but_code)
    shutil.copy2(ROOT / "pyproject.toml", copy)
    if (ROOT / CACHE).is_dir():
        shutil.copytree(ROOT / CACHE, copy / CACHE)
    return copy


def _all_but_code(folder: str, names: list[str]) -> Iterator[str]:
    return (name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir())


def _lint(tree: Path) -> tuple[list[int], list[str]]:
    """What `make lint` does, in the copy, each command whatever the others found: exit statuses, and lines."""
    [recipe] = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = [
        subprocess.run(
            command.replace("$(VENV)/bin", str(BIN)),
            shell=True,
            cwd=tree,
            env={**os.environ, "RUFF_OUTPUT_FORMAT": "concise"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        for command in recipe.split("\n\t")
    ]
    return [one.returncode for one in done], [line for one in done for line in (one.stdout + one.stderr).splitlines()]


def test_the_tree_as_it_is_passes(tree: Path):
    statuses, lines = _lint(tree)
    assert not any(statuses), "\n".join(lines)


NAME = "def {look}() -> int:\n    return nowhere\n"
FAULTS = {
    "an undefined name": ("backend/local/progress.py", NAME, "nowhere"),
    "an undefined name in the core": ("ris_core/output/explain.py", NAME, "nowhere"),
    "an undefined name beside shape strings": ("ris_core/geometry/spatial_guidance.py", NAME, "nowhere"),
    "an undefined type beside shape strings": (
        "ris_core/evaluation/confidence.py",
        'def {look}(x: "Nowhere") -> None: ...\n',
        "Nowhere",
    ),
    "an undefined name in a migration": ("backend/db/migrations/env.py", NAME, "nowhere"),
    "an undefined name in a test": ("tests/toy.py", NAME, "nowhere"),
    "a misspelt word": ("tests/toy.py", "# t\x65h place\n", "t\x65h ==> the"),
    "a wrong type": ("demo/gallery.py", 'def {look}() -> int:\n    return "one"\n', "Incompatible return value"),
    "a wrong argument": (
        "backend/local/progress.py",
        'def {look}(x: int) -> None: ...\n\n\n{look}("one")\n',
        "incompatible type",
    ),
    "something that is no type": (
        "ris_core/output/explain.py",
        "def {look}(x: len) -> None: ...\n",
        "not valid as a type",
    ),
    "a coroutine that is not awaited": (
        "backend/local/progress.py",
        "async def ask() -> int:\n    return 1\n\n\nasync def {look}() -> None:\n    ask()\n",
        'Value of type "Coroutine',
    ),
    "a future that is not awaited": (
        "backend/local/progress.py",
        "async def {look}() -> None:\n    import asyncio\n\n    asyncio.get_running_loop().create_future()\n",
        'Value of type "Future',
    ),
}


@pytest.fixture(scope="module")
def findings(tree: Path) -> list[str]:
    """Lines of `make lint` with all faults in the tree at once, each in a function of its own."""
    for number, (file, fault, _) in enumerate(FAULTS.values()):
        with (tree / file).open("a") as opened:
            opened.write("\n\n" + fault.replace("{look}", f"look_{number}"))
    return _lint(tree)[1]


@pytest.mark.parametrize(("file", "fault", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_seen(findings: list[str], file: str, fault: str, says: str):
    assert any(line.removeprefix("./").startswith(f"{file}:") and says in line for line in findings), findings


def test_only_files_with_shape_strings_are_excused_from_undefined_names():
    """ruff takes the "n" of `Float[Array, "n"]` for a name; in those files mypy alone looks for undefined ones."""
    command = [BIN / "ruff", "check", "--select", "F821", "--output-format", "concise", "--isolated", "--no-cache"]
    done = subprocess.run([*command, *CHECKED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    needing = {line.partition(":")[0] for line in done.stdout.splitlines() if " F821 " in line}
    excused = {
        str(file.relative_to(ROOT))
        for pattern in re.findall(r'^"(.+)" = \["F821"\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        for part in _alternatives(pattern)
        for file in [ROOT / part]
    }
    assert excused == needing


def _alternatives(pattern: str) -> list[str]:
    """ "a/{b,c}.py" as "a/b.py" and "a/c.py"."""
    found = re.fullmatch(r"(.*)\{(.*)\}(.*)", pattern)
    return [found[1] + name + found[3] for name in found[2].split(",")] if found else [pattern]
