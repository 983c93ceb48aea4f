"""The docs say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from backend.commands.cli import app
from backend.settings.environment import Settings
from ris_core.profiles import catalog, profile_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PERFORMANCE = (ROOT / "docs" / "engineers" / "performance.md").read_text()
SETTINGS = (ROOT / "docs" / "engineers" / "settings.md").read_text()
GENERATED = (
    "README.md",
    "docs/engineers/performance.md",
    "docs/engineers/settings.md",
    "docs/developers/architecture.md",
    "docs/developers/glossary.md",
)


def test_generated_tables_are_up_to_date():
    cog = Path(sys.executable).parent / "cog"
    done = subprocess.run(
        [cog, "--check", *GENERATED], cwd=ROOT, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": "."}
    )
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("field", Settings.model_fields.values(), ids=list(Settings.model_fields))
def test_every_setting_is_documented(field):
    assert field.description
    assert all(f"`{name}`" in SETTINGS for name in field.validation_alias.choices)


def test_every_command_is_documented():
    import typer

    commands = typer.main.get_command(app).commands
    benchmarks = commands.pop("bench").commands
    assert [name for name in commands if f"`ris {name}" not in README] == []
    assert [name for name in benchmarks if f"| `ris bench {name}`" not in PERFORMANCE] == []
    assert "ris bench" not in README


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_documented(name):
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("name", catalog.available("methods"))
def test_every_method_is_documented(name):
    assert f"`{name}`" in (ROOT / "docs" / "developers" / "method.md").read_text()


@pytest.mark.parametrize("file", sorted((ROOT / "label_config").glob("*.xml")), ids=lambda file: file.name)
def test_every_label_config_is_documented(file):
    assert file.name in README
    assert file.name in (ROOT / "label_config" / "README.md").read_text()


DOCS = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "THIRD_PARTY_NOTICES.md", "demo/README.md", "label_config/README.md")
]
PAGES = [*DOCS, *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:ris_core|backend|demo|tests|docs|label_config)/[\w/.-]+\.\w+)`", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_headings_exist(page):
    links = [link for link in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text()) if "://" not in link[0]]
    targets = [(page.parent / file if file else page, anchor) for file, anchor in links]
    assert [anchor for file, anchor in targets if anchor not in _anchors(file.read_text())] == []


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_error_of_the_cores_tree_has_an_exit_code_that_the_readme_states():
    import backend.base.errors
    import ris_core.errors

    errors = [
        e
        for m in (ris_core.errors, backend.base.errors)
        for e in vars(m).values()
        if isinstance(e, type) and issubclass(e, Exception)
    ]
    codes = {error.exit_code for error in errors} - {1}
    assert codes == {2, 3, 4}
    assert (
        "0 answered (also when nothing matched), 2 bad input, 3 weights missing, 4 a service cannot be reached"
        in README
    )


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    from PIL import Image

    from demo.scenes import make_scene

    monkeypatch.chdir(tmp_path)
    Image.fromarray(make_scene(7).image).save("scene.png")
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["prediction"].masks.shape[1:] == names["encoded"].size_hw
    assert 1 <= len(names["prediction"].masks) <= 5
