"""The masks of one region, and the address of its image: read when they are drawn."""

from typing import NamedTuple

import sqlalchemy as sa

from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.corrections.outcomes import RegionOutcome
from backend.corrections.predicted_tasks import read_predicted_tasks
from backend.corrections.queries import read_corrections, read_images
from backend.review.decisions import digest_mask
from backend.review.listing import ListedRegion
from ris_core.errors import UnknownName
from ris_core.geometry.masks import Rle


class RegionPicture(NamedTuple):
    """What a region is drawn from.

    Attributes:
        mask: As it was saved, or proposed where nobody has annotated the task.
        offered: What was proposed; None without a proposal, and where that is the mask.
        image: Address in the task's data; None if the label config did not name the field.
        outcome: What became of what was proposed; None where nobody has annotated the task.
    """

    mask: Rle
    offered: Rle | None
    image: str | None
    outcome: RegionOutcome | None = None


def read_picture(db: sa.Connection, region: ListedRegion) -> RegionPicture:
    """The masks of a listed region.

    Raises:
        UnknownName: If its mask was changed since it was listed.
    """
    project, task = region.project, region.task
    masks: list[tuple[Rle, Rle | None, RegionOutcome | None]] = []
    if region.annotation is None:
        offered = OfferedRegionsOfTask(db, project, task).newest_bulk()
        masks = [(one.mask, None, None) for one in offered if one.region == region.region]
        image = next((address for address, _ in read_predicted_tasks(db, project, task).values()), None)
    else:
        for correction in read_corrections(db, project, task=task, with_masks=True):
            outcome = correction.outcome
            is_meant = (correction.annotation, outcome.region) == (region.annotation, region.region)
            if is_meant and outcome.mask is not None:
                masks.append((outcome.mask, outcome.offered_mask, outcome))
        image = read_images(db, project, [task]).get(task)
    for mask, proposal, known in masks:
        if digest_mask(mask) == region.mask_sha256:
            return RegionPicture(mask, proposal, image, known)
    raise UnknownName(f"The mask of the region {region.key} was changed. Open its list again.")
