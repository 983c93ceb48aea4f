"""The commands as they are typed, on the corrections of a few events; Label Studio is a stand-in."""

import json

import pytest
import typer
from typer.testing import CliRunner

from backend.commands import cli, corrections
from backend.commands.export import export
from backend.commands.report import report
from ris_core.errors import BadInput, RisError, UnknownName
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.corrections.made import PROJECT, annotation, box, brush, deletion, event, hand_out, rle, send
from tests.backend.exporters.conftest import png

app = typer.Typer()
for name, command in (
    ("list", corrections.list_corrections),
    ("show", corrections.show),
    ("stats", corrections.stats),
    ("disagreements", corrections.disagreements),
    ("dump", corrections.dump),
    ("retention", corrections.retention),
    ("pseudonymise", corrections.pseudonymise),
    ("export", export),
    ("report", report),
):
    app.command(name)(command)


@pytest.fixture
def ris(store, tmp_path, monkeypatch):
    """Types a command; its exit code's error is raised, its output returned."""
    for variable in ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATABASE_URL", store._engine.url.render_as_string())
    monkeypatch.setenv("RIS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("RIS_PROFILE", "demo")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, answer: str = "") -> str:
        done = CliRunner().invoke(app, list(arguments), input=answer)
        if isinstance(done.exception, RisError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


@pytest.fixture
def events(store) -> list[str]:
    hand_out(store, 5, [("a", 1)], [rle(0, 0)])
    regions = [brush("a", box(0, 0, 8), "the box"), brush("n", box(0, 15), "red things")]
    bodies = [event(annotation(1, 5, regions)), event(annotation(2, 6, [brush("a", box(0, 0), "stray")]))]
    send(store, *bodies)
    return bodies


def project(*arguments: str) -> tuple[str, ...]:
    return (arguments[0], "--project", str(PROJECT), *arguments[1:])


def test_list_shows_what_is_foreign_first(ris, events):
    lines = ris(*project("list", "--offline")).splitlines()
    assert [line.split()[0] for line in lines] == ["foreign", "edited", "missed"]
    assert "0.800  task 5  annotation 1  region a  by 1  2026-" in lines[1]
    assert lines[1].endswith('Object  "the box"')
    [only] = ris(*project("list", "--offline", "--only", "missed", "--json")).splitlines()
    assert json.loads(only)["region"] == "n"
    assert len(ris(*project("list", "--offline", "--limit", "1")).splitlines()) == 1


def test_show_tells_everything_about_a_task(ris, events, store):
    send(
        store,
        event(annotation(1, 5, [], at=200), "ANNOTATION_UPDATED"),
        event(annotation(3, 5, [], at=300, was_cancelled=True)),
        event(annotation(4, 5, [brush("d", box(0, 0))], at=400)),
        deletion(4),
    )
    shown = ris("show", "5", "--offline").splitlines()
    assert [line.split()[:2] for line in shown] == [
        ["edited", "0.800"],
        ["missed", "-"],
        ["*", "empty"],
        ["skipped", "-"],
        ["missed", "-"],
    ]
    assert shown[-1].endswith("(deleted)")
    documents = [json.loads(line) for line in ris("show", "5", "--offline", "--json").splitlines()]
    told = [(one["annotation"], one["region"], one["is_current"], one["is_deleted"]) for one in documents]
    assert told[2:] == [(1, None, True, False), (3, None, False, False), (4, "d", False, True)]
    assert "mask" not in documents[0]


def test_show_finds_the_project(ris, events, store, serve, monkeypatch):
    studio = FakeTasks(PROJECT)
    studio.happen(json.loads(event(annotation(9, 50, [brush("late", box(0, 0))]))))
    monkeypatch.setenv("LABEL_STUDIO_URL", serve(studio).url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    assert "region late" in ris("show", "50")
    with pytest.raises(BadInput, match="task 99"):
        ris("show", "99")


@pytest.mark.parametrize("task", ["99", "x", "../1", "²"])
def test_show_says_what_is_not_known(ris, events, task):
    with pytest.raises(BadInput, match=task.replace(".", r"\.")):
        ris("show", task, "--offline")
    if task == "99":
        with pytest.raises(BadInput, match=f"task 99 of project {PROJECT}"):
            ris(*project("show", task, "--offline"))


def test_show_asks_which_project_if_several_have_the_task(ris, events, store):
    other = json.loads(event(annotation(70, 5, [], project=8)))
    send(store, json.dumps({**other, "project": {"id": 8}}))
    with pytest.raises(BadInput, match="--project"):
        ris("show", "5", "--offline")


def test_stats_count_by_group(ris, events):
    table = ris(*project("stats", "--offline", "--by", "label")).splitlines()
    assert table[0].split()[:3] == ["label", "foreign", "accepted"]
    assert table[1].split()[:5] == ["all", "1", "0", "1", "0"]
    assert table[-2] == "lead time with proposals: median 4.0 s of 1"
    document = json.loads(ris(*project("stats", "--offline", "--json")))
    assert document["groups"]["all"]["median_iou"] == pytest.approx(0.8)
    with pytest.raises(UnknownName, match=r"colour.*kind"):
        ris(*project("stats", "--offline", "--by", "colour"))


def test_stats_by_kind_ask_the_parser(ris, events):
    groups = json.loads(ris(*project("stats", "--offline", "--by", "kind", "--json")))["groups"]
    assert {"all", "noun", "plural"} <= set(groups)


def test_disagreements_are_listed_with_the_address_of_their_task(ris, events, store, tmp_path):
    from backend.db.project_store import ProjectConnection

    store.projects.save_connection(ProjectConnection(PROJECT, "https://studio.example/", None, "<View/>"))
    assert ris(*project("disagreements", "--offline")) == ""
    send(store, event(annotation(3, 5, [brush("o", box(20, 0), "red things")], completed_by=2)))
    link = f"https://studio.example/projects/{PROJECT}/data?task=5"
    assert ris(*project("disagreements", "--offline")).split("  ") == [
        "0.000", "5", "1 and 2", '"red things"', f"{link}\n",
    ]  # fmt: skip
    [line] = ris(*project("disagreements", "--offline", "--json")).splitlines()
    assert json.loads(line)["link"] == link
    ris(*project("report", "--out", "a.html", "--offline", "--no-kinds"))
    page = (tmp_path / "a.html").read_text()
    assert f'<a href="{link}">5</a>' in page.partition("<h2>Disagreements</h2>")[2]


def test_dump_to_a_file_and_to_standard_output(ris, events, tmp_path):
    lines = ris(*project("dump", "--offline")).splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["edited", "missed", "foreign"]
    ris(*project("dump", "--offline", "--masks", "--out", str(tmp_path / "all.parquet")))
    assert (tmp_path / "all.parquet").stat().st_size > 0


def test_retention_only_says_unless_yes(ris, events, store):
    ris(*project("list", "--offline"))
    assert "2 raw events and 0 versions of annotations would be" in ris("retention", "--days", "0")
    assert "2 raw events" in ris("retention", "--days", "0", "--yes")
    assert "0 raw events" in ris("retention", "--days", "0")


def test_a_pseudonym_is_asked_for(ris, events):
    assert "Annotator 1 is now -" in ris("pseudonymise", "1", answer="y\n")
    assert all("by -" in line for line in ris(*project("list", "--offline")).splitlines())


def test_what_events_did_not_bring_is_fetched(ris, events, serve, monkeypatch):
    studio = FakeTasks(PROJECT)
    for body in events:
        studio.happen(json.loads(body))
    studio.happen(json.loads(event(annotation(3, 7, [brush("late", box(0, 0))]))))
    monkeypatch.setenv("LABEL_STUDIO_URL", serve(studio).url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    assert "region late" in ris(*project("list"))


def test_export_and_report_write_what_they_say(ris, events, tmp_path, monkeypatch):
    monkeypatch.setattr("backend.commands.export.make_fetch", lambda settings, project: png)
    monkeypatch.setattr("backend.commands.report.make_fetch", lambda settings, project: png)
    out = tmp_path / "set"
    told = ris(*project("export", "--format", "coco", "--out", str(out), "--offline", "--licence", "CC-BY-4.0"))
    assert told.startswith("2 targets with 2 sentences on 1 images")
    assert "CC-BY-4.0" in (out / "README.md").read_text()
    assert len(list((out / "images").iterdir())) == 1
    told = ris(*project("report", "--out", str(tmp_path / "r.html"), "--offline"))
    assert told.startswith("3 regions")
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("export", "--project", "7", "--format", "coco", "--out", "x", "--source", "all"),
            "'annotations', 'predictions'",
        ),
        (("export", "--project", "7", "--format", "coco", "--out", "x", "--category", "all"), "'label', 'sentence'"),
        (("import", "coco", "--root", "x", "--as", "all"), "'annotations', 'predictions'"),
        (("import", "refcoco", "--root", "x", "--wording", "all"), "'raw', 'sent'"),
    ],
)
def test_an_option_says_which_words_it_takes(arguments, words):
    done = CliRunner().invoke(cli.app, list(arguments))
    assert done.exit_code == 2
    assert f"'all' is not one of {words}" in done.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--split", "0.5/0.5"), "--split"),
        (("--split", "0.8/0.1/0.1", "--split-field", "x"), "one of them"),
        (("--only", "good"), "--only"),
        (("--no-images", "--copy-images"), "one of --copy-images"),
        ((), "LABEL_STUDIO_URL"),
    ],
)
def test_what_cannot_be_exported_is_said(ris, events, arguments, why):
    with pytest.raises(BadInput, match=why):
        ris(*project("export", "--format", "coco", "--out", "x", "--offline", *arguments))
