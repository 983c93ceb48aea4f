"""Components and profiles of other distributions, as the docs show them: real folders on the path, with real `*.dist-info`."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.commands.cli import app
from backend.doctor import models
from demo.scenes import make_scene
from ris_core import load_segmenter
from ris_core.errors import BadComponent, UnknownName
from ris_core.profiles import catalog, profile_names, profile_weights, read_profile
from ris_core.types import Image
from tests.backend.doctor.conftest import make_context  # noqa: F401  # a fixture
from tests.backend.doctor.looking import MakeContext, look

PAGE = Path(__file__).parents[3] / "docs" / "developers" / "components.md"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Makes a distribution in a folder of its own on the path; what was imported of it is forgotten afterwards."""

    def make(name: str, points: Mapping[str, Mapping[str, str]], **modules: str) -> Path:
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        lines = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in of.items()) for group, of in points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        return folder

    yield make
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def example(install: Install) -> Path:
    """The docs' example, as `pip install` would lay it out."""
    blocks = re.findall(r"```(?:text|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    project, module, profile = blocks
    points = tomllib.loads(project)["project"]["entry-points"]
    package = install("colour-patches", points) / "colour_patches"
    package.mkdir()
    (package / "__init__.py").write_text(module)
    (package / "patches.toml").write_text(profile)
    return package


@pytest.mark.slow
@pytest.mark.usefixtures("example")
def test_the_docs_example_answers_through_its_profile():
    assert "patches" in profile_names()
    assert profile_weights("patches") == ["clip-tiny", "parser-tiny"]
    segmenter = load_segmenter("patches")
    assert segmenter.proposer.fingerprint == {
        "component": "colour_patches", "version": 1, "levels": 3, "min_area_ratio": 0.002,
    }  # fmt: skip
    encoded = segmenter.encode(Image.from_array(make_scene(24).image))
    assert len(encoded.proposals) > 1
    prediction = segmenter.segment(encoded, "the red apple")
    assert prediction.model_version.startswith("patches.guided.")
    assert prediction.scores[0] >= prediction.scores[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("example")
def test_an_override_names_it_like_a_built_in_component():
    assert load_segmenter("demo", proposer={"name": "colour_patches", "levels": 5}).proposer.levels == 5
    with pytest.raises(UnknownName, match=r"'colour_patches' has no setting steps\. Settings: levels, min_area_ratio"):
        load_segmenter("demo", proposer={"name": "colour_patches", "steps": 5})


def test_the_example_has_about_forty_lines(example: Path):
    assert len((example / "__init__.py").read_text().splitlines()) <= 44


@pytest.mark.usefixtures("example")
def test_where_components_come_from_is_listed():
    assert catalog.origin("proposers", "sam") == "built in"
    assert catalog.origin("proposers", "colour_patches") == "colour-patches 0.1 (colour_patches:ColourPatches)"
    result = CliRunner().invoke(app, ["models", "list"])
    assert re.search(r"proposer +sam +built in", result.output)
    assert re.search(r"proposer +colour_patches +colour-patches 0\.1 \(colour_patches:ColourPatches\)", result.output)
    assert "patches: Patches of one colour, and CLIP-tiny" in result.output


@pytest.mark.usefixtures("example")
def test_the_doctor_says_where_they_come_from(make_context: MakeContext):  # noqa: F811
    findings = look(models.check_weights, make_context(RIS_PROFILE="patches"))
    assert (findings["Proposer"].state, findings["Encoder"].value) == ("ok", "clip, built in")
    assert findings["Proposer"].value == "colour_patches, colour-patches 0.1 (colour_patches:ColourPatches)"


class TestWhatCannotBeUsed:
    def test_a_module_that_fails_is_named_with_its_distribution(self, install: Install):
        points = {"ris_core.proposers": {"acme": "acme_ris:Acme"}}
        install("acme", points, acme_ris="import nothing_of_this_name\n")
        with pytest.raises(BadComponent) as caught:
            catalog.build("proposers", "acme", {})
        assert caught.value.wrong == (
            "The proposer 'acme' of acme 0.1 (acme_ris:Acme) cannot be loaded "
            "(ModuleNotFoundError: No module named 'nothing_of_this_name')."
        )
        assert caught.value.remedy == "Repair acme, or uninstall it: pip uninstall acme"

    def test_the_doctor_names_it_too(self, install: Install, make_context: MakeContext):  # noqa: F811
        folder = install(
            "acme",
            {"ris_core.proposers": {"acme": "acme_ris:Acme"}, "ris_core.profiles": {"acme-demo": "acme_ris"}},
            acme_ris="raise RuntimeError('no driver')\n",
        )
        (folder / "acme-demo.toml").write_text(
            'extends = "demo"\nabout = "x"\nversion_prefix = "acme"\n[proposer]\nname = "acme"\n'
        )
        finding = look(models.check_weights, make_context(RIS_PROFILE="acme-demo"))["Proposer"]
        assert (finding.state, finding.exit_code) == ("fail", 2)
        assert "acme 0.1 (acme_ris:Acme) cannot be loaded (RuntimeError: no driver)" in finding.value

    @pytest.mark.parametrize(
        ("value", "source", "says"),
        [
            ("acme_a:Missing", "", "AttributeError"),
            ("acme_b:LEVELS", "LEVELS = 4\n", "is a int, not a class"),
            ("acme_c:A", "class A:\n    fingerprint = {}\n", r"\(acme 0\.1 \(acme_c:A\)\) has no propose\. Add what Proposer"),
            ("not a module", "", "cannot be loaded"),
        ],
        ids=["no such class", "a number", "a promise is not kept", "no entry point"],
    )  # fmt: skip
    def test_the_reason_is_said(self, install: Install, value: str, source: str, says: str):
        install("acme", {"ris_core.proposers": {"acme": value}}, **{value[:6].replace(" ", "_"): source})
        with pytest.raises(BadComponent, match=says):
            catalog.build("proposers", "acme", {})

    def test_a_name_that_is_built_in_is_refused(self, install: Install):
        install("acme", {"ris_core.encoders": {"clip": "acme_clip:Clip"}}, acme_clip="class Clip: pass\n")
        with pytest.raises(
            BadComponent,
            match=r"'clip' exists 2 times: in label-studio-ris itself, and in acme 0\.1 \(acme_clip:Clip\)",
        ):
            catalog.build("encoders", "clip", {})

    def test_a_name_that_two_distributions_give_is_refused(self, install: Install):
        for name in ("one", "two"):
            install(name, {"ris_core.methods": {"mine": f"{name}:M"}})
        with pytest.raises(BadComponent, match=r"exists 2 times: in one 0\.1 \(one:M\), and in two 0\.1 \(two:M\)"):
            catalog.origin("methods", "mine")

    @pytest.mark.parametrize(
        ("text", "says"),
        [(None, "has no file"), ("about = ", "is no TOML"), ('about = "x"\n', "has no version_prefix, parser, proposer")],
        ids=["no file", "no TOML", "no sections"],
    )  # fmt: skip
    def test_a_profile_that_cannot_be_read_is_named_and_the_others_are_listed(
        self, install: Install, text: str | None, says: str
    ):
        folder = install("acme", {"ris_core.profiles": {"acme": "acme_profiles"}}, acme_profiles="")
        if text is not None:
            (folder / "acme.toml").write_text(text)
        with pytest.raises(BadComponent, match=says):
            read_profile("acme")
        output = CliRunner().invoke(app, ["models", "list"]).output
        assert says in output
        assert "demo: CLIP-tiny and SAM-tiny" in output

    def test_components_that_nobody_names_do_no_harm(self, install: Install):
        install("acme", {"ris_core.methods": {"acme": "acme_bad:M"}}, acme_bad="raise RuntimeError\n")
        assert "acme" in catalog.available("methods")
        assert catalog.build("methods", "global_local", {}).settings
