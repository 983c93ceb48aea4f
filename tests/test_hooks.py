"""The hooks of .pre-commit-config.yaml pass on the tree as it is, and refuse what must not be committed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the files as they are now, all of them staged."""
    copy = tmp_path_factory.mktemp("clone")
    for name in git(ROOT, "ls-files").splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all", "--force")
    (copy / ".venv").symlink_to(BIN.parent)
    return copy


def run_hooks(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "SKIP": "mypy",
        "PRE_COMMIT_HOME": str(clone / ".venv-hooks"),
    }  # mypy: tests/test_lint.py runs it
    command = [BIN / "pre-commit", "run", *words]
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=120)


def test_the_tree_as_it_is_passes(clone: Path):
    done = run_hooks(clone, "--all-files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == 6


@pytest.mark.parametrize(
    ("name", "content", "hook"),
    [
        ("demo/key.pem", "-----BEGIN RSA " + "PRIVATE KEY-----\n", "no private keys"),
        ("demo/film.bin", "\0" * (6 << 20), "no file of more than 5 MB"),
        ("docs/note.md", "t\x65h place\n", "codespell"),
        ("docs/note.md", "No line end", "files end with one newline"),
        ("demo/note.py", "x=1\n", "ruff format"),
        ("demo/note.py", "import os\n", "ruff check"),
    ],
    ids=[
        "a private key",
        "a large file",
        "a misspelt word",
        "no newline at the end",
        "an odd format",
        "an unused import",
    ],
)
def test_what_must_not_be_committed_is_refused(clone: Path, name: str, content: str, hook: str):
    (clone / name).write_text(content)
    git(clone, "add", "--force", name)
    try:
        done = run_hooks(clone, "--files", name)
    finally:
        git(clone, "rm", "--quiet", "--force", name)
    failed = [line.partition(".")[0] for line in done.stdout.splitlines() if line.endswith("Failed")]
    assert failed == [hook], done.stdout + done.stderr
