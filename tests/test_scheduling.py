"""Test files are shared among processes as CONTRIBUTING.md says."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFTEST = """
import os
from pathlib import Path
import pytest
from tests.scheduling import FileScheduling, sort_longest_first

def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return FileScheduling(config, log)

def pytest_collection_modifyitems(items):
    sort_longest_first(items)

@pytest.fixture(autouse=True)
def _note(request):
    with Path("ran.txt").open("a") as file:
        file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {request.node.nodeid}\\n")
"""
E2E_FILE = """
import time
import pytest

@pytest.mark.e2e
def test_one():
    time.sleep(0.2)
"""
OTHER_FILE = "def test_one(): pass\ndef test_two(): pass\n"


def test_two_processes_take_the_e2e_files_first_and_no_file_is_split(tmp_path):
    (tmp_path / "tests" / "e2e").mkdir(parents=True)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  e2e\n  slow\naddopts = --import-mode=importlib\n")
    for number in range(5):
        (tmp_path / "tests" / "e2e" / f"test_e{number}.py").write_text(E2E_FILE)
        (tmp_path / "tests" / f"test_a{number}.py").write_text(OTHER_FILE)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-n", "3", "-p", "no:cacheprovider"]
    env = {"PYTHONPATH": str(ROOT), "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    ran: dict[str, list[str]] = defaultdict(list)
    for line in (tmp_path / "ran.txt").read_text().splitlines():
        process, _, test = line.partition(" ")
        ran[process].append(test.partition("::")[0])
    files = [file for tests in ran.values() for file in dict.fromkeys(tests)]
    assert sorted(files) == sorted(set(files))  # each by one process
    assert len(files) == 10
    takers = [tests for tests in ran.values() if any("e2e" in file for file in tests)]
    assert len(takers) == 2
    for tests in takers:
        assert tests == sorted(tests, key=lambda file: "e2e" not in file)
