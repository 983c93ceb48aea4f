"""Exports and reports obey and count what was decided."""

import json

import pytest

from backend.exporters.export import export
from backend.exporters.request import ExportFilter, ExportRequest
from backend.exporters.sign_off import find_changes
from backend.report.data import read_report_data
from backend.report.page import render
from backend.review.decisions import Verdict
from backend.review.regions import decide, find_regions, take_back
from ris_core.errors import BadInput
from tests.backend.corrections.made import PROJECT
from tests.backend.exporters.conftest import png


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
    assert "<td>approved</td><td>2</td>" in page
    assert "<td>rejected</td><td>1</td>" in page


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
    assert "Approved by user 3 (2); 0 of these regions were approved in bulk.\nModel versions: v1." in card
    assert (
        "- p >= 0.9: of 2 proposals 2 were audited, 0 of them wrong; with 95 % confidence at most 0.0 % are wrong"
        in card
    )

    def changes() -> list[str]:
        with approved.reading() as db:
            return find_changes(db, PROJECT, folder)

    assert changes() == []
    with approved.writing() as db:
        regions = find_regions(db, PROJECT, ["5/a"])
        decide(db, regions, Verdict("approved", 4))
    assert changes() == ["approvers", "regions"]
    with approved.writing() as db:
        take_back(db, regions, 4)
    assert changes() == ["approvers", "regions"]  # who takes something back answers for it
    (folder / "sign-off.json").write_text((folder / "sign-off.json").read_text().replace('"3"', '"9"'))
    with pytest.raises(BadInput, match=r"files were changed after the export: 'sign-off\.json'"):
        changes()


def test_without_a_sign_off_there_is_nothing_to_verify(exported, approved, tmp_path):
    exported(only=())
    with approved.reading() as db, pytest.raises(BadInput, match="no sign-off"):
        find_changes(db, PROJECT, tmp_path / "only")
