"""`ris connect` as it is typed, against stand-ins for Label Studio and the backend."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from click.testing import Result
from typer.testing import CliRunner

from backend.commands import connect as command
from backend.commands.cli import app
from tests.backend.fake_label_studio import FOREIGN, PROJECT, FakeLabelStudio

Ris = Callable[..., Result]


@pytest.fixture
def fake() -> FakeLabelStudio:
    return FakeLabelStudio()


@pytest.fixture
def ris(fake: FakeLabelStudio, serve, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Ris:
    """The command with the settings of somebody whose backend runs."""
    backend = serve(lambda _: (200, {}, b'{"model_version": "demo-1"}'))
    monkeypatch.chdir(tmp_path)
    for name, value in {"URL": serve(fake).url, "API_KEY": "0" * 40}.items():
        monkeypatch.setenv(f"LABEL_STUDIO_{name}", value)
    monkeypatch.setenv("PORT", str(backend.port))
    for name in ("HOST", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, ["connect", "--project", str(PROJECT), *arguments], input=typed)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


def test_a_config_that_suits_is_connected_without_a_question(ris: Ris, fake: FakeLabelStudio):
    done = ris()
    assert (done.exit_code, fake.writes) == (0, ["POST ml", "PATCH webhooks"])
    assert f"Project {PROJECT} is connected, interactive, to demo-1." in done.stdout


def test_the_second_run_has_nothing_to_do(ris: Ris, fake: FakeLabelStudio):
    fake.project["label_config"] = FOREIGN
    assert ris("--yes").exit_code == 0
    fake.writes.clear()
    again = ris("--yes")
    assert (again.exit_code, fake.writes) == (0, [])
    assert again.stdout.endswith(f"Nothing to do: project {PROJECT} is connected.\n")


def test_check_says_what_would_change_and_changes_nothing(ris: Ris, fake: FakeLabelStudio):
    fake.project["label_config"] = FOREIGN
    before = ris("--check")
    assert (before.exit_code, fake.writes) == (2, [])
    assert [part for part in ("change", "label config", "+  <View", "is added") if part not in before.stdout] == []
    assert ris("--yes").exit_code == 0
    assert ris("--check").exit_code == 0


def test_without_a_terminal_nothing_is_changed_until_yes_is_said(ris: Ris, fake: FakeLabelStudio):
    fake.project["label_config"] = FOREIGN
    done = ris()
    assert (done.exit_code, fake.writes) == (2, [])
    assert '+  <TextArea name="prompt"' in done.stdout.replace("    ", "  ")
    assert "--yes" in done.stdout


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("typed", "is_edited"), [pytest.param("y\n", True, id="yes"), pytest.param("\n", False, id="no")]
)
def test_on_a_terminal_the_edit_is_asked_for(ris: Ris, fake: FakeLabelStudio, typed: str, is_edited: bool):
    fake.project["label_config"] = FOREIGN
    done = ris(typed=typed)
    assert "Apply? [y/N]" in done.stdout
    assert (fake.project["label_config"] != FOREIGN) == is_edited
    assert "POST ml" in fake.writes  # the rest is no matter of taste


def test_a_problem_keeps_everything_as_it_is_and_says_the_remedy(ris: Ris, fake: FakeLabelStudio):
    done = ris("--url", "http://127.0.0.1:9")
    assert (done.exit_code, fake.writes) == (2, [])
    assert [part for part in ("problem", "Nothing answers", "`ris up`") if part not in done.stdout] == []


UNANSWERABLE = {
    "a repeater": '<Repeater on="$p" indexFlag="{{i}}"><Image name="x_{{i}}" value="$p[{{i}}].url"/>'
    '<BrushLabels name="b_{{i}}" toName="x_{{i}}"><Label value="A"/></BrushLabels></Repeater>',
    "an entry of a list": '<Image name="image" value="$images[0]"/>{brush}',
    "a list of images": '<Image name="image" valueList="$images"/>{brush}',
    "labels of the task": '<Image name="image" value="$image"/><BrushLabels name="b" toName="image" value="$labels">'
    '<Label value="Car"/></BrushLabels>',
}
BRUSH = '<BrushLabels name="b" toName="image"><Label value="Car"/></BrushLabels>'


@pytest.mark.parametrize("tags", UNANSWERABLE.values(), ids=UNANSWERABLE)
def test_a_config_that_can_never_be_answered_is_refused_before_anything_is_changed(
    ris: Ris, fake: FakeLabelStudio, tags: str
):
    fake.project["label_config"] = before = f"<View>{tags.replace('{brush}', BRUSH)}</View>"
    done = ris("--yes", "--label", "Object")
    assert (done.exit_code, fake.writes, fake.project["label_config"]) == (2, [], before)
    assert "Nothing was changed." in done.stdout
    assert "problem  label config" in done.stdout


def test_a_field_for_comments_stays_one_unless_it_is_named(ris: Ris, fake: FakeLabelStudio):
    comment = '<TextArea name="comment" toName="image"/><Image name="image" value="$image"/>'
    fake.project["label_config"] = before = f"<View>{comment}{BRUSH}</View>"
    assert '"comment" stays as it is' in ris("--check").stdout
    assert ris("--prompt", "remark").exit_code == 2
    assert fake.writes == []
    assert ris("--yes", "--prompt", "comment").exit_code == 0
    assert '<TextArea name="prompt"' not in fake.project["label_config"] != before
    assert ris("--yes").stdout.endswith(f"Nothing to do: project {PROJECT} is connected.\n")


def test_settings_are_kept_with_the_connection(ris: Ris, fake: FakeLabelStudio):
    hosts = ("--image-host", "a.example.org", "--image-host", "b.example.org:8000")
    assert ris("--profile", "demo", "--expression-field", "what", "--threshold", "0.3", *hosts).exit_code == 0
    assert ris("--smooth-px", "1.5").exit_code == 0
    expected = {
        "profile": "demo",
        "expression_field": "what",
        "min_score": 0.3,
        "image_hosts": ["a.example.org", "b.example.org:8000"],
        "smooth_px": 1.5,
    }
    assert fake.rows["ml"][0]["extra_params"] == expected
    assert ris("--profile", "", "--image-host", "").exit_code == 0
    assert fake.rows["ml"][0]["extra_params"] == {"expression_field": "what", "min_score": 0.3, "smooth_px": 1.5}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--profile", "huge"], "No profile named 'huge'", id="unknown profile"),
        pytest.param(["--url", "localhost"], "Write --url http://host:9090", id="no address"),
        pytest.param(["--image-host", "https://a/b"], 'without "https://"', id="no host"),
        pytest.param(["--threshold", "2"], "less than or equal to 1", id="no score"),
        pytest.param(["--smooth-px", "21"], "equal to 20", id="too smooth"),
    ],
)
def test_options_that_cannot_be_used_are_named(ris: Ris, fake: FakeLabelStudio, arguments: list[str], says: str):
    done = ris(*arguments)
    assert done.exit_code != 0
    assert says in f"{done.output}{done.exception}"
    assert fake.writes == []


def test_masks_get_the_label_that_is_named(ris: Ris, fake: FakeLabelStudio):
    fake.project["label_config"] = '<View><Image name="i" value="$i"/></View>'
    assert "--label" in ris("--yes").stdout
    assert ris("--yes", "--label", "Dog").exit_code == 0
    assert '<Label value="Dog"' in fake.project["label_config"]
