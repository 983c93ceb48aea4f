"""What the distribution promises: its dependencies and extras, and a wheel that works outside a checkout."""

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from PIL import Image

from backend.base.errors import EXTRAS, NOT_INSTALLED
from backend.settings.values import read_database_url
from demo.scenes import make_scene
from ris_core.errors import BadInput
from ris_core.profiles import catalog
from ris_core.runtime.weights import WeightStore

SAM2 = {
    "points_per_side": 4,
    "pred_iou_thresh": 0.7,
    "stability_score_thresh": 0.7,
    "min_area_ratio": 0.0,
    "max_mask_iou": 0.8,
}
ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
NAMED_BY_THE_USER = ("label-studio-ml", "torch", "open_clip_torch", "segment-anything", "spacy", "pillow", "rq")
NOT_IMPORTED = {
    "psycopg": "SQLAlchemy imports it for a postgresql+psycopg:// address",
}

CORE_EXTRAS = {"transformers": "sam2"}
"""Packages that the core runs without, each with the extra that brings it."""


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by their normal names, without the extras of this distribution."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r for r in parsed if r.name != PROJECT["name"]}


def read_pins(name: str) -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return requirements([line for line in lines if line])


BASE = requirements(PROJECT["dependencies"])
OPTIONAL = {extra: requirements(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
RANGES = BASE | {name: r for extra in OPTIONAL.values() for name, r in extra.items()}
PINS = read_pins("requirements.txt")
ALL_PINS = PINS | read_pins("requirements-dev.txt")


@functools.cache
def imported(package: str) -> frozenset[str]:
    """Top-level names of other people's packages that the modules of a package of ours import."""
    trees = (ast.parse(file.read_text()) for file in (ROOT / package).rglob("*.py"))
    names = {name.partition(".")[0] for tree in trees for node in ast.walk(tree) for name in _names(node)}
    return frozenset(names - sys.stdlib_module_names - {"ris_core", "backend", *NOT_INSTALLED})


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


@functools.cache
def _distributions() -> dict[str, set[str]]:
    return {name: set(map(canonicalize_name, owners)) for name, owners in packages_distributions().items()}


@pytest.mark.parametrize("name", sorted(imported("ris_core")))
def test_what_the_core_imports_is_a_base_dependency_or_in_its_extra(name: str):
    if name in CORE_EXTRAS:
        assert name in OPTIONAL[CORE_EXTRAS[name]]
    else:
        assert _distributions()[name] & BASE.keys()


@pytest.mark.parametrize("name", sorted(imported("backend")))
def test_what_the_backend_imports_is_a_base_dependency_or_in_its_extra(name: str):
    extra = EXTRAS.get(name, "backend")
    assert _distributions()[name] & (BASE | OPTIONAL[extra]).keys(), f"add it to the extra {extra!r}"


@pytest.mark.parametrize(("name", "extra"), EXTRAS.items())
def test_only_the_extra_that_a_message_names_brings_its_package(name: str, extra: str):
    bringing = {other for other, brought in OPTIONAL.items() if _distributions()[name] & brought.keys()}
    assert bringing == {extra}


@pytest.mark.parametrize("name", sorted(RANGES))
def test_what_is_declared_is_imported(name: str):
    users = {user for user in imported("ris_core") | imported("backend") if name in _distributions().get(user, {user})}
    assert bool(users) != (name in NOT_IMPORTED)


@pytest.mark.parametrize("name", sorted(BASE))
def test_a_base_dependency_is_imported_by_the_core(name: str):
    assert name in NOT_IMPORTED or any(name in _distributions().get(user, {user}) for user in imported("ris_core"))


@pytest.mark.parametrize("wanted", RANGES.values(), ids=str)
def test_a_dependency_is_a_range_that_its_pin_satisfies(wanted: Requirement):
    operators = {part.operator for part in wanted.specifier}
    assert ">=" in operators
    assert operators <= {">=", "<"}
    [pin] = ALL_PINS[canonicalize_name(wanted.name)].specifier
    assert pin.operator == "=="
    assert pin.version in wanted.specifier


@pytest.mark.parametrize("name", PINS)
def test_what_is_pinned_for_the_product_is_declared(name: str):
    assert name in RANGES


@pytest.mark.parametrize("name", NAMED_BY_THE_USER)
def test_requirements_name_what_the_user_asked_for(name: str):
    assert canonicalize_name(name) in PINS


def test_the_python_that_is_claimed_is_the_one_that_ci_runs():
    [ran] = re.findall(r"^PYTHON \?= python(3\.\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    claimed = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(20) if f"3.{minor}.5" in claimed] == [int(ran.partition(".")[2])]
    versions = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith("Programming Language")]
    assert versions == [ran]
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{ran.replace('.', '')}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == ran
    assert f"ARG PYTHON_VERSION={ran}\n" in (ROOT / "Dockerfile").read_text()
    assert f"`python{ran}`" in (ROOT / "README.md").read_text()


def test_the_version_is_the_newest_one_of_the_changelog():
    released = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == PROJECT["version"]


def test_a_database_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"pip install 'label-studio-ris\[postgres\]'"):
        read_database_url("postgresql+psycopg://me@host/db")


def test_a_proposer_without_its_package_names_the_extra(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInput, match=r"needs the package transformers.*pip install 'label-studio-ris\[sam2\]'"):
        catalog.build(
            "proposers", "sam2", {**SAM2, "weights": str(tmp_path)}, given={"store": WeightStore(offline=True)}
        )


def run_without(package: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that cannot import a package."""
    hidden = f"import sys; sys.modules[{package!r}] = None; {code}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RIS_STATE_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", hidden], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


def ris(*arguments: str) -> str:
    return f"sys.argv[1:] = {list(arguments)}; from backend.__main__ import main; main()"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "code", "says"),
    [
        (
            "typer",
            ris("--help"),
            "ris: The package typer is not installed. Run: pip install 'label-studio-ris[backend]'",
        ),
        ("matplotlib", ris("report", "--project", "1", "--out", "a.html"), "'label-studio-ris[export]'"),
        ("label_studio_ml", "import backend.interactive.label_studio_ml", "'label-studio-ris[adapter]'"),
        ("demo", ris("eval", "--profile", "demo"), "Run this in a checkout of the repository."),
    ],
    ids=[
        "ris without the backend",
        "a report without plots",
        "the adapter without its base",
        "scenes without the demo",
    ],
)
def test_who_lacks_a_package_is_told_how_to_get_it(tmp_path: Path, package: str, code: str, says: str):
    done = run_without(package, code, tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr or package == "label_studio_ml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tracked files, built without network; in a copy, since building writes beside them."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(out), str(copy))
    [built] = out.glob("*.whl")
    return built


def pip(command: str, *arguments: str) -> None:
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", command, "--no-deps", "--no-index"]
    done = subprocess.run([*line, *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_two_packages_and_their_data(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names} == {
        "ris_core",
        "backend",
        f"label_studio_ris-{PROJECT['version']}.dist-info",
    }
    tracked = subprocess.run(
        ["git", "ls-files", "ris_core", "backend"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == {name for name in tracked if (ROOT / name).is_file()}


@pytest.mark.slow
def test_the_wheel_works_outside_a_checkout(wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    pip("install", "--target", str(site), str(wheel))
    # -S leaves out the editable install; its neighbours in site-packages stay importable.
    others = sysconfig.get_path("purelib")
    env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{others}", "RIS_STATE_DIR": str(tmp_path / "state")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)

    where = run("-c", "import ris_core; print(ris_core.__file__)")
    assert where.stdout.strip() == str(site / "ris_core" / "__init__.py"), where.stderr
    script = str(site / "bin" / "ris")
    shown = run(script, "--help")
    assert (shown.returncode, "segment" in shown.stdout) == (0, True), shown.stderr
    Image.fromarray(make_scene(32).image).save(tmp_path / "scene.png")
    answered = run(script, "segment", "scene.png", "the orange frog", "--profile", "demo")
    assert (answered.returncode, "demo" in answered.stdout) == (0, True), answered.stderr
    for command in (("eval", "--profile", "demo"), ("bench", "annotators", "--profile", "demo")):
        refused = run(script, *command)
        assert refused.returncode == 2
        assert "Run this in a checkout of the repository." in refused.stderr
