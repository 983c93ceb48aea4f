"""Exports and reports obey and count what was decided."""

import html
import json
from datetime import UTC, datetime

import pytest

from backend.exporters.export import export
from backend.exporters.manifest import write_manifest
from backend.exporters.request import ExportFilter, ExportRequest
from backend.exporters.sign_off import find_changes
from backend.report.data import read_report_data
from backend.report.page import render
from backend.review.decisions import Verdict
from backend.review.listing import refresh
from backend.review.regions import decide, find_regions, read_regions, take_back
from backend.review.sign_off import read_approvals, sum_up_approvals
from ris_core.errors import BadInput
from tests.backend.corrections.made import PROJECT
from tests.backend.exporters.conftest import png


def shown(card: str) -> str:
    """The text of a card without what keeps it from being markup."""
    return html.unescape(card).replace("\\", "")


@pytest.fixture
def approved(project):
    with project.writing() as db:
        decide(db, find_regions(db, PROJECT, ["5/a", "6/b"]), Verdict("approved", 3))
        decide(db, find_regions(db, PROJECT, ["5/n"]), Verdict("rejected", 3, "wrong outline"))
    return project


@pytest.fixture
def exported(approved, tmp_path):
    def run(**chosen) -> tuple[list[str], str]:
        folder = tmp_path / "-".join(chosen)
        request = ExportRequest("jsonl", folder, ExportFilter(PROJECT, source="both", **chosen), title="t")
        export(approved, request, fetch=png, pool=tmp_path / "pool", max_pixels=10_000_000)
        lines = map(json.loads, (folder / "provenance.jsonl").read_text().splitlines())
        return [source["region"] for line in lines for source in line["sources"]], (folder / "README.md").read_text()

    return run


def test_an_export_has_only_what_is_approved_and_its_card_says_so(exported):
    everything, card = exported(only=())
    assert everything == ["a", "n", "b"]
    assert "| quality review | targets |\n| --- | ---: |\n| approved | 2 |\n| rejected | 1 |" in card
    chosen, card = exported(review=("approved",))
    assert chosen == ["a", "b"]
    assert "| quality review | approved |" in card


def test_a_report_counts_states_once_something_was_decided(approved):
    page = render(read_report_data(approved, PROJECT), "t")
    assert '<td dir="auto">approved</td><td dir="auto">2</td>' in page
    assert '<td dir="auto">rejected</td><td dir="auto">1</td>' in page


def test_a_report_without_decisions_says_nothing_of_them(project):
    assert "quality review" not in render(read_report_data(project, PROJECT), "t")


def test_a_state_that_does_not_exist_is_named():
    from backend.review.decisions import read_states

    assert read_states("--review", "to fix, approved") == ("approved", "to fix")
    with pytest.raises(BadInput, match="--review has 'good'"):
        read_states("--review", "approved,good")


def test_a_sign_off_names_what_it_rests_on_and_is_void_when_any_of_it_changes(exported, approved, tmp_path):
    _, card = exported(review=("approved",))
    folder = tmp_path / "review"
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert f"Approved by user 3 (2), on {today} (UTC)." in shown(card)
    assert "Of these 2 regions 2 were looked at one by one, and 0 were approved in bulk.\nModel versions: v1." in shown(
        card
    )
    assert (
        "- p >= 0.9: with 95 % confidence at most 0.0 % of these 2 regions are wrong (2 audited, 0 wrong)."
    ) in shown(card)
    assert "by the judgement of whoever audited" in card
    assert f"Filter: project {PROJECT}; source both; review approved. Digest of the approved masks: `" in shown(card)

    def changes() -> list[str]:
        with approved.reading() as db:
            return find_changes(db, PROJECT, folder)

    assert changes() == []
    with approved.writing() as db:
        regions = find_regions(db, PROJECT, ["5/a"])
        decide(db, regions, Verdict("approved", 4))
    assert changes() == ["approvers", "approved_at", "regions"]
    with approved.writing() as db:
        take_back(db, regions, 4)
    assert changes() == ["approvers", "approved_at", "regions"]  # who takes something back answers for it
    (folder / "sign-off.json").write_text((folder / "sign-off.json").read_text().replace('"3"', '"9"'))
    with pytest.raises(BadInput, match=r"files were changed after the export: 'sign-off\.json'"):
        changes()


def test_the_page_of_a_project_says_what_the_card_says(exported, approved):
    _, card = exported(review=("approved",))
    refresh(approved, PROJECT)
    with approved.reading() as db:
        listed = read_approvals(db, PROJECT)
        assert listed == sum_up_approvals(read_regions(db, PROJECT))
    said = [*listed.sentences, *(f"- {one}" for one in listed.bounds)]
    assert len(said) > 5
    assert [one for one in said if one not in shown(card)] == []


def test_where_nothing_is_approved_the_sign_off_says_so(project):
    refresh(project, PROJECT)
    with project.reading() as db:
        basis = read_approvals(db, PROJECT)
    assert (basis.sentences, basis.bounds) == (["Nothing is approved."], [])


def test_the_sign_off_of_a_version_without_times_stands(exported, approved, tmp_path):
    exported(review=("approved",))
    file = tmp_path / "review" / "sign-off.json"
    signed = json.loads(file.read_text())
    del signed["approved_at"]
    file.write_text(json.dumps(signed))
    (tmp_path / "review" / "manifest.json").unlink()
    write_manifest(tmp_path / "review")
    with approved.reading() as db:
        assert find_changes(db, PROJECT, tmp_path / "review") == []


def test_without_a_sign_off_there_is_nothing_to_verify(exported, approved, tmp_path):
    exported(only=())
    with approved.reading() as db, pytest.raises(BadInput, match="no sign-off"):
        find_changes(db, PROJECT, tmp_path / "only")
