"""What every page of a project shows: its queues, and where Label Studio is."""

from dataclasses import dataclass
from urllib.parse import quote

import sqlalchemy as sa

from backend.db.review_tables import listed_region
from backend.db.tables import connection
from backend.pages.context import PagesContext
from backend.review.listing import count_queues
from ris_core.errors import UnknownName


@dataclass(frozen=True)
class ProjectFrame:
    """What every page of a project shows.

    Attributes:
        queues: How many regions stand in each.
        waiting: Tasks whose regions are not listed yet.
        has_unscored: Whether some regions have no score of suspicion yet.
        studio_url: Label Studio's address for people; empty if it is not known.
    """

    project: int
    queues: dict[str, int]
    waiting: int
    has_unscored: bool
    studio_url: str

    def task_link(self, task: str) -> str:
        """Address of a task's page in Label Studio; empty if it is not known."""
        if not self.studio_url:
            return ""
        return f"{self.studio_url}/projects/{self.project}/data?task={quote(task, safe='', errors='replace')}"


def read_frame(
    db: sa.Connection, context: PagesContext, project: int, waiting: int = 0, *, with_queues: bool = True
) -> ProjectFrame:
    """The frame of a project.

    Args:
        with_queues: Count them too.

    Raises:
        UnknownName: If it was never connected, and has no region.
    """
    of_project = connection.c.project == project
    has_regions = sa.exists().where(listed_region.c.project == project)
    hostname, is_connected, is_listed, is_unscored = db.execute(
        sa.select(
            sa.select(connection.c.hostname).where(of_project).scalar_subquery(),
            sa.exists().where(of_project),
            has_regions,
            has_regions.where(listed_region.c.suspicion.is_(None)),
        )
    ).one()
    if not (is_connected or is_listed):
        raise UnknownName(f"There is no project {project} here.", f"Connect it: `ris connect --project {project}`.")
    url = (context.studio_url or hostname or "").rstrip("/")
    is_web = url.lower().startswith(("http://", "https://"))  # what Label Studio calls itself may be javascript:…
    queues = count_queues(db, project) if with_queues else {}
    return ProjectFrame(project, queues, waiting, is_unscored, url if is_web else "")
