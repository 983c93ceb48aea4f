"""What was learnt from the corrections of each project. Rows are only ever added: who takes a lesson back adds another row. Only
remembered regions are taken out of them, when somebody wants them forgotten.

A change of the table needs a migration; a test compares the two.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from backend.db.database import Transactions
from backend.db.tables import NOBODY, metadata
from ris_core.errors import BadInput
from ris_core.learning.lesson import MARK, Lesson
from ris_core.learning.words import Words

UNDOES = "undoes"
"""In what is noted about a change that took another back: the digest of that one's lesson."""

_id = sa.Integer().with_variant(sa.BigInteger, "postgresql")

lesson = sa.Table(
    "lesson",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("project", sa.Integer, nullable=False),
    sa.Column("base_version", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("replaces", sa.Text, nullable=False),
    sa.Column("from_project", sa.Integer, nullable=False),
    sa.Column("content", sa.JSON(none_as_null=True), info=NOBODY),
    sa.Column("about", sa.JSON, nullable=False, info=NOBODY),
    sa.Index("lesson_by_project", "project", "base_version"),
)
_READ_DIGEST = (
    sa.select(lesson.c.digest)
    .where(lesson.c.project == sa.bindparam("of"), lesson.c.base_version == sa.bindparam("by"))
    .order_by(lesson.c.id.desc())
    .limit(1)
)
"""Every task asks it, so it is made once."""


@dataclass(frozen=True)
class LessonChange:
    """A change of what decides a project's answers.

    Attributes:
        at: Seconds since 1970.
        digest: Of the lesson from then on; empty if there is none.
        replaces: Of the one before; empty if there was none.
        from_project: From whose corrections it was learnt.
        about: What was measured then.
    """

    project: int
    base_version: str
    at: float
    digest: str
    replaces: str
    from_project: int
    content: Mapping[str, Any] | None
    about: Mapping[str, Any]

    @property
    def lesson(self) -> Lesson | None:
        """The lesson; None if there is none from then on."""
        return Lesson.from_json(self.content) if self.content else None


class LessonStore:
    """The part of `RequestStore` that is about lessons; its methods raise the same errors."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def find_digest(self, project: int | None, base_version: str) -> str:
        """The digest of the lesson that decides a project's answers now; empty if there is none."""
        with self._transactions.reading() as db:
            return db.scalar(_READ_DIGEST, {"of": project, "by": base_version}) or ""

    def get(self, project: int | None, base_version: str, digest: str) -> Lesson | None:
        """A project's lesson of now or before; None if it has none of that digest."""
        rows = sa.select(lesson.c.content).where(_is_of(project, base_version) & (lesson.c.digest == digest))
        with self._transactions.reading() as db:
            content = db.scalar(rows.limit(1)) if digest else None
        return Lesson.from_json(content) if content else None

    def name_version(self, project: int | None, model_version: str) -> str:
        """The version of a project's answers by workers of a version: with what was learnt for the project, if anything was."""
        found = self.get(project, model_version, self.find_digest(project, model_version))
        return found.model_version if found else model_version

    def history(self, project: int) -> list[LessonChange]:
        """All changes of a project, oldest first."""
        with self._transactions.reading() as db:
            rows = db.execute(sa.select(lesson).where(lesson.c.project == project).order_by(lesson.c.id)).mappings()
            return [LessonChange(**{name: value for name, value in row.items() if name != "id"}) for row in rows]

    def describe(self, project: int, digest: str) -> dict[str, Any]:
        """What was measured of a project's lesson when it was applied; empty if nothing was."""
        changes = (one for one in reversed(self.history(project)) if digest and one.digest == digest)
        return next((_without_mark(one.about) for one in changes), {})

    def find_words(self, project: int) -> Words:
        """The words that were accepted for a project, for whatever version they were."""
        with self._transactions.reading() as db:
            newest = _newest(db, project)
        return Lesson.from_json(newest.content).words if newest and newest.content else Words()

    def apply(self, project: int, new: Lesson, about: Mapping[str, Any], from_project: int) -> None:
        """Let a lesson decide a project's answers from now on."""
        with self._transactions.writing() as db:
            before = _newest(db, project, new.base_version)
            replaces = before.digest if before else ""
            _insert(db, project, new.base_version, new.digest, replaces, from_project, new.to_json(), about)

    def undo(self, project: int) -> LessonChange:
        """Take the last change of a project back, which is a change too. Who does the same at once is refused.

        Returns:
            The change that was made.

        Raises:
            BadInput: If there is none, or it was taken back already.
        """
        return self._go_back(project, is_redo=False)

    def redo(self, project: int) -> LessonChange:
        """Apply again what was taken back last.

        Returns:
            The change that was made.

        Raises:
            BadInput: If the last change of the project took nothing back.
        """
        return self._go_back(project, is_redo=True)

    def _go_back(self, project: int, is_redo: bool) -> LessonChange:
        with self._transactions.writing() as db:
            _lock(db, project)
            last = _newest(db, project)
            if last is None:
                raise BadInput(f"Nothing was learnt for project {project}, so there is nothing to take back.")
            if (UNDOES in last.about) != is_redo:
                raise _not_last(project, last, is_redo)
            of_before = sa.select(lesson).where(
                _is_of(project, last.base_version) & (lesson.c.digest == last.replaces) & lesson.c.content.is_not(None)
            )
            before = db.execute(of_before.limit(1)).first() if last.replaces else None
            _insert(
                db,
                project,
                last.base_version,
                last.replaces,
                last.digest,
                before.from_project if before else project,
                before.content if before else None,
                {**_without_mark(before.about if before else {}), **({} if is_redo else {UNDOES: last.digest})},
            )
        return self.history(project)[-1]

    def forget_regions(self, project: int) -> int:
        """Take the remembered regions out of all that was learnt for a project, now and before; how many changes had some.

        The digests change with that, so that workers take what is left with the next task.
        """
        with self._transactions.writing() as db:
            rows = db.execute(sa.select(lesson).where((lesson.c.project == project) & lesson.c.content.is_not(None)))
            remembering = [row for row in rows if "memory" in row.content]
            for row in remembering:
                rest = replace(Lesson.from_json(row.content), memory=None)
                db.execute(
                    sa.update(lesson)
                    .where(lesson.c.id == row.id)
                    .values(digest=rest.digest, content=rest.to_json(), about={**row.about, "memory": None})
                )
                db.execute(
                    sa.update(lesson)
                    .where((lesson.c.project == project) & (lesson.c.replaces == row.digest))
                    .values(replaces=rest.digest)
                )
        return len(remembering)


def _is_of(project: int | None, base_version: str) -> sa.ColumnElement[bool]:
    return (lesson.c.project == project) & (lesson.c.base_version == base_version)


def _newest(db: sa.Connection, project: int, base_version: str | None = None) -> Any:
    condition = lesson.c.project == project if base_version is None else _is_of(project, base_version)
    return db.execute(sa.select(lesson).where(condition).order_by(lesson.c.id.desc()).limit(1)).first()


def _lock(db: sa.Connection, project: int) -> None:
    """Let other transactions that do the same wait until this one has ended; SQLite has one writer anyway."""
    first = sa.select(lesson.c.id).where(lesson.c.project == project).order_by(lesson.c.id).limit(1)
    db.execute(first.with_for_update())


def _without_mark(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in about.items() if name != UNDOES}


def _not_last(project: int, last: Any, is_redo: bool) -> BadInput:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.at))
    if is_redo:
        return BadInput(
            f"The last change of project {project} (at {at}) took nothing back.",
            "Nothing is there to be applied again.",
        )
    return BadInput(
        f"{last.base_version}{MARK}{last.replaces} was taken back already, at {at}.", "Apply it again with --redo."
    )


def _insert(
    db: sa.Connection,
    project: int,
    base_version: str,
    digest: str,
    replaces: str,
    from_project: int,
    content: Mapping[str, Any] | None,
    about: Mapping[str, Any],
) -> None:
    row = {
        "project": project,
        "base_version": base_version,
        "at": time.time(),
        "digest": digest,
        "replaces": replaces,
        "from_project": from_project,
        "content": content,
        "about": dict(about),
    }
    db.execute(sa.insert(lesson).values(row))
