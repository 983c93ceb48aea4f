"""`ris words`: what a project's people mean by some phrases, as a table that a person ticks."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from backend.base.terminal import Column, print_table
from backend.commands.corrections_read import open_reconciled, split_names
from backend.commands.learn import find_answering_version
from backend.commands.options import AsJson, Offline, Project
from backend.commands.state import open_requests
from backend.settings.environment import read_settings
from ris_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.corrections.words import WordRow
    from backend.db.request_store import RequestStore
    from ris_core.learning.lesson import Lesson
    from ris_core.learning.words import Words

SHOWN = 50
"""Rows that are printed; `--json` prints all."""


def words(
    project: Project,
    accept: Annotated[str, typer.Option(help="Rows to accept: their ids, separated by commas.")] = "",
    remove: Annotated[str, typer.Option(help="Accepted rows that count no more: their ids, separated by commas.")] = "",
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """List which labels and other phrases a project's corrections propose for its words; accept some of them."""
    from backend.corrections import words as table

    settings = read_settings()
    store = open_requests(settings)
    before = store.lessons.find_words(project)
    with open_reconciled(settings, project, offline).reading() as db:
        base_version = find_answering_version(settings, store, db, project, project)
        rows = table.list_rows(db, project, before)
    if accept or remove:
        accepted, removed = _choose(rows, accept, project), _choose(rows, remove, project)
        _refuse_contradictions(accepted, removed)
        now = table.accept(table.remove(before, removed), accepted)
        _apply(store, project, base_version, now)
    elif as_json:
        print(json.dumps([{"id": row.id, **vars(row), "is_accepted": row.is_in(before)} for row in rows]))
    else:
        _print(rows, before, project)
        if before and _current(store, project, base_version).words != before:
            print(f"The accepted words do not count for {base_version} yet: accept one of them again.")


def _choose(rows: "Sequence[WordRow]", ids: str, project: int) -> "list[WordRow]":
    chosen = []
    for id in split_names(ids):
        named = [row for row in rows if row.id == id]
        if len(named) != 1:
            raise BadInput(
                f"{len(named) or 'No'} rows of project {project} have the id {id!r}.",
                f"Take ids from the first column: ris words --project {project}.",
            )
        chosen += named
    return chosen


def _refuse_contradictions(accepted: "Sequence[WordRow]", removed: "Sequence[WordRow]") -> None:
    meanings: dict[tuple[str, str], WordRow] = {}
    for row in accepted:
        other = meanings.setdefault((row.kind, row.phrase), row)
        if other != row:
            raise BadInput(
                f"{row.phrase!r} cannot mean {other.meaning!r} and {row.meaning!r}.", "Accept one of the two rows."
            )
    if both := {row.id for row in accepted} & {row.id for row in removed}:
        raise BadInput(f"{min(both)} is to be accepted and to be removed.", "Give it once.")


def _apply(store: "RequestStore", project: int, base_version: str, now: "Words") -> None:
    current = _current(store, project, base_version)
    lesson = replace(current, words=now)
    number = now.number
    if lesson == current:
        print(f"Nothing is changed: {number} words are accepted already.")
        return
    store.lessons.apply(project, lesson, store.lessons.describe(project, current.digest), project)
    print(
        f"Project {project} answers with {lesson.model_version} from now on, with {number} accepted words; runs that have "
        f"begun go on as they began. Take it back with ris learn --project {project} --undo."
    )


def _current(store: "RequestStore", project: int, base_version: str) -> "Lesson":
    """What decides the project's answers of a version; without a calibrator and words if nothing was learnt."""
    from ris_core.learning.lesson import Lesson

    digest = store.lessons.find_digest(project, base_version)
    return store.lessons.get(project, base_version, digest) or Lesson(base_version)


def _print(rows: "Sequence[WordRow]", accepted: "Words", project: int) -> None:
    if not rows:
        print(f"The corrections of project {project} propose no words: no label and no text of a mask was changed.")
        return
    from backend.report.learning_page import WORD_COLUMNS, format_word

    texts, numbers = WORD_COLUMNS[:4], WORD_COLUMNS[4:]
    columns = [Column(name, is_fixed=name in ("id", "accepted")) for name in texts]
    columns += [Column(name, is_number=True) for name in numbers]
    print_table(columns, [format_word(row, accepted) for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        print(f"and {len(rows) - SHOWN:,} more (--json lists all)")
    print(f"\nAccept with ris words --project {project} --accept ID,ID; --remove takes accepted ones away.")
