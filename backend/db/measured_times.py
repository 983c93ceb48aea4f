"""How long encoding an image took: the last medians that workers kept, by profile, machine and device."""

import socket
from dataclasses import dataclass

import sqlalchemy as sa

from backend.db.database import Transactions, open_existing
from backend.db.tables import encoding_time
from backend.db.upsert import upsert


@dataclass(frozen=True)
class EncodingTime:
    """What encoding an image takes before the first expression on it can be answered.

    Attributes:
        device: As DEVICE named it.
        median_s: Median of the seconds that the last images took.
        images: How many these were.
    """

    device: str
    median_s: float
    images: int

    def __str__(self) -> str:
        images = "one image" if self.images == 1 else f"the median of {self.images} images"
        return f"{self.median_s:.1f} s to encode the image (DEVICE={self.device}, {images})"


def keep_encoding_time(engine: sa.Engine, device: str, profile: str, median_s: float, images: int) -> None:
    """Keep how long this machine took, in place of what was kept of it before.

    Raises:
        Unreachable: If the database cannot be used.
    """
    key = {"profile": profile, "machine": socket.gethostname(), "device": device}
    with Transactions(engine).writing() as db:
        upsert(db, encoding_time, {**key, "median_s": median_s, "images": images})


def read_encoding_times(database_url: str) -> dict[str, list[EncodingTime]]:
    """What was kept of this machine, by profile; empty if nothing was, or the database cannot be read. Makes and migrates nothing."""
    times: dict[str, list[EncodingTime]] = {}
    query = sa.select(encoding_time).where(encoding_time.c.machine == socket.gethostname())
    try:
        engine = open_existing(database_url)
        try:
            with engine.connect() as db:
                for row in db.execute(query.order_by(encoding_time.c.device)):
                    times.setdefault(row.profile, []).append(EncodingTime(row.device, row.median_s, row.images))
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError):  # nothing has run, or only an earlier version
        return {}
    return times


def describe_first_expression(times: list[EncodingTime]) -> str:
    """What a first expression on an image takes, in words."""
    return "; ".join(map(str, times)) or "not measured yet on this machine"
