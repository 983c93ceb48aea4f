"""Which of the versions that answered give scores that are no probabilities."""

from collections.abc import Collection

import sqlalchemy as sa

from backend.db.tables import answer


def read_uncalibrated(db: sa.Connection, project: int, versions: Collection[str]) -> frozenset[str]:
    """Those of these model versions that answered in a project without a calibrator."""
    told = sa.select(answer.c.model_version).distinct()
    uncalibrated = db.scalars(told.where((answer.c.project == project) & answer.c.is_calibrated.is_(False)))
    return frozenset(uncalibrated) & frozenset(versions)
