"""The Data Manager's tabs of queues: made once, and kept up to date. Only tabs that were made here are ever changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import sqlalchemy as sa

from backend.corrections.store import CorrectionStore
from backend.db.review_tables import review_tab
from backend.db.upsert import upsert
from backend.label_studio.check import Check
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.data_manager_tabs import QueueTab, add_tab, change_filters, list_tabs, make_filters
from backend.label_studio.protocol import Json
from backend.review.decisions import WRONG
from backend.review.regions import read_regions

TABS: tuple[QueueTab, ...] = get_args(QueueTab)


@dataclass(frozen=True)
class PlannedTab:
    """A tab as it is to be.

    Attributes:
        id: Of the tab that is there; None if one is to be made, or somebody else's has its name.
        data: What that tab holds.
        check: What connecting does to it.
    """

    tab: QueueTab
    filters: Json
    id: int | None
    data: Json
    check: Check


def plan_tabs(correction_store: CorrectionStore, studio: LabelStudioClient, project: int) -> list[PlannedTab]:
    """Compare the tabs of a project with what they should show; changes nothing.

    A tab is ours if this record says that it was made here and it still has the name that it was given.
    """
    with correction_store.reading() as db:
        wrong = {int(one.task) for one in read_regions(db, project) if one.state in WRONG and one.task.isdecimal()}
        made = {row.tab: row.view for row in db.execute(sa.select(review_tab).where(review_tab.c.project == project))}
    present = list_tabs(studio, project)
    return [_plan(tab, make_filters(tab, sorted(wrong)), made.get(tab), present) for tab in TABS]


def save_tabs(
    correction_store: CorrectionStore, studio: LabelStudioClient, project: int, planned: Sequence[PlannedTab]
) -> None:
    """Make the tabs that are missing, and change those of ours that show other tasks than they should."""
    for one in planned:
        if one.check.state != "change":
            continue
        if one.id is not None:
            change_filters(studio, project, one.id, one.data, one.filters)
            continue
        view = add_tab(studio, project, one.tab, one.filters)
        with correction_store.writing() as db:
            upsert(db, review_tab, {"project": project, "tab": one.tab, "view": view})


def _plan(tab: QueueTab, filters: Json, made: int | None, present: dict[int, Json]) -> PlannedTab:
    name = f'tab "{tab}"'
    if made in present and made is not None and present[made].get("title") == tab:
        data = present[made]
        is_right = data.get("filters") == filters
        check = Check(name, "ok", "is there") if is_right else Check(name, "change", "shows the tasks of now")
        return PlannedTab(tab, filters, made, data, check)
    if any(data.get("title") == tab for data in present.values()):
        check = Check(name, "ok", "is somebody's own, and stays as it is; rename it to get ours")
        return PlannedTab(tab, filters, None, {}, check)
    return PlannedTab(tab, filters, None, {}, Check(name, "change", "is added to the Data Manager"))
