"""`ris review` as it is typed, on the corrections of a few events."""

import json

import pytest
from typer.testing import CliRunner

from backend.base.errors import BadSettings
from backend.commands.cli import app
from ris_core.errors import BadInput, RisError
from tests.backend.corrections.made import PROJECT, annotation, box, brush, event, hand_out, rle, send


@pytest.fixture
def ris(store, project, tmp_path, monkeypatch):
    for variable in ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATABASE_URL", store._engine.url.render_as_string())
    monkeypatch.setenv("RIS_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["review", command, "--project", str(PROJECT), "--offline", *arguments])
        if isinstance(done.exception, RisError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_a_lead_decides_and_takes_back(ris):
    assert [line.split()[:2] for line in ris("list").splitlines()[1:]] == [
        ["unseen", "5/a"],
        ["unseen", "5/n"],
        ["unseen", "6/b"],
    ]
    assert ris("approve", "5/n", "6/b", "--reviewer", "3") == "2 regions: approved.\n"
    assert ris("list", "--queue", "to correct") == "No region.\n"
    ris("reject", "5/a", "--reviewer", "3", "--reason", "part missing", "--comment", "the \x1b[2J tail")
    [line] = ris("list", "--state", "rejected").splitlines()[1:]
    assert line.endswith('part missing "the \\x1b[2J tail"')
    [listed] = map(json.loads, ris("list", "--queue", "to correct", "--json").splitlines())
    assert (listed["key"], listed["decision"]["reviewer"]) == ("5/a", 3)
    assert ris("undo", "5/a", "--reviewer", "4") == "5/a: unseen\n"
    ris("defer", "5/a", "--reviewer", "4")
    counted = json.loads(ris("stats", "--json"))
    assert counted["states"] == {"unseen": 0, "approved": 2, "rejected": 0, "to fix": 0, "second look": 1}
    assert "nothing is known of them" in ris("stats")


def test_nobody_decides_without_a_name(ris):
    with pytest.raises(BadSettings, match="--reviewer"):
        ris("approve", "5/a")
    with pytest.raises(BadInput, match="--state has 'good'"):
        ris("list", "--state", "good")


def test_one_wrong_name_and_nothing_is_decided(ris):
    with pytest.raises(BadInput, match="no region '5/z'"):
        ris("approve", "5/a", "5/z", "--reviewer", "3")
    assert json.loads(ris("stats", "--json"))["states"]["approved"] == 0


def test_many_are_approved_at_once_only_when_the_audit_says_so(ris, project):
    with pytest.raises(
        BadInput, match=r"Nothing was approved: that at most 2\.0 % are wrong .*nothing was audited of 2 regions"
    ):
        ris("approve", "--at-least", "0.5", "--reviewer", "3")
    with pytest.raises(BadInput, match=r"Available: 0, 0\.3"):
        ris("approve", "--at-least", "0.55", "--reviewer", "3")
    with pytest.raises(BadInput, match="not both"):
        ris("approve", "5/a", "--at-least", "0.5")
    [first, second] = map(json.loads, ris("list", "--queue", "audit", "--json").splitlines())
    ris("approve", first["key"], "--reviewer", "3")
    assert ris("approve", "--at-least", "0.5", "--max-error", "0.5", "--reviewer", "3").endswith(
        "1 region: approved.\n"
    )
    [listed] = [one for one in map(json.loads, ris("list", "--json").splitlines()) if one["key"] == second["key"]]
    assert (listed["state"], listed["decision"]["queue"], listed["first_look"]) == ("approved", "bulk", None)


def test_a_run_leaves_out_what_is_approved(ris, store):
    from backend.commands.run_start import find_reviewed
    from backend.settings.environment import read_settings

    ris("approve", "5/a", "6/b", "--reviewer", "3")
    assert find_reviewed(read_settings(), PROJECT, "approved") == (6,)
    with pytest.raises(BadInput, match="--not-reviewed has 'good'"):
        find_reviewed(read_settings(), PROJECT, "good")


def test_suspicious_regions_come_with_their_reason(ris, store, project):
    hand_out(store, 21, [("s", 1)], [rle(0, 0)])
    send(store, event(annotation(7, 21, [brush("s", box(0, 3), "the box")])))
    project.read_events()
    [line] = ris("list", "--queue", "suspicious").splitlines()[1:]
    assert line.split()[1:3] == ["unseen", "21/s"]
    assert "wrong outline: its outline is not the proposal's" in " ".join(line.split())
    [listed] = map(json.loads, ris("list", "--queue", "suspicious", "--json").splitlines())
    assert listed["suspicion"]["wrong outline"]["score"] == pytest.approx(float(line.split()[0]), abs=1e-3)
    assert set(listed["suspicion"]) == {"wrong thing", "wrong outline", "wrong label", "wrong words"}
    ris("approve", "21/s", "--queue", "suspicious", "--reviewer", "3")
    assert len(ris("list", "--queue", "suspicious").splitlines()) <= 1
