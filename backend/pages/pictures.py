"""Pictures of regions. A picture is asked for by a region of a project; where its image is, only the records say."""

from functools import partial
from typing import Annotated, NamedTuple

import anyio
import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend.base.errors import ImageUnreachable
from backend.pages.context import PagesContext, context_of, in_thread, signed_in
from backend.pages.drawing import Size, View, draw_region
from backend.pages.overview import ProjectNumber
from backend.review.answers import read_answer
from backend.review.decisions import digest_mask
from backend.review.listing import find_listed
from backend.review.masks import RegionPicture, read_picture
from ris_core.arrays import Array
from ris_core.errors import BadImage, UnknownName
from ris_core.images.decoding import read

log = structlog.get_logger(__name__)
router = APIRouter(dependencies=[Depends(signed_in)])

KEPT_S = 86_400
"""How long a browser may keep a picture: its address names the mask."""


class PictureQuery(BaseModel):
    """What is asked of a picture.

    Attributes:
        mask: Digest of the region's mask.
        answer, candidate: Draw this candidate, by its rank, of this answer in place of what was offered.
    """

    mask: str
    size: Size = "small"
    view: View = "overlay"
    answer: int | None = Field(default=None, ge=0, lt=2**63)
    candidate: int = Field(default=1, ge=1, lt=2**31)


class _Source(NamedTuple):
    picture: RegionPicture
    task: str


@router.get("/projects/{project}/regions/{id}/picture")
async def show(request: Request, project: ProjectNumber, id: str, query: Annotated[PictureQuery, Query()]) -> Response:
    """A region on its image, as WebP; on grey where the image cannot be fetched."""
    context = context_of(request)
    source = await in_thread(request, partial(_read, context, project, id, query))
    content, is_whole = await anyio.to_thread.run_sync(
        partial(_draw, context, project, source, query.size, query.view), limiter=context.drawing
    )
    kept = f"private, max-age={KEPT_S}" if is_whole else "no-store"
    return Response(content, media_type="image/webp", headers={"Cache-Control": kept})


def _read(context: PagesContext, project: int, id: str, query: PictureQuery) -> _Source:
    with context.correction_store.reading() as db:
        region = find_listed(db, project, id)
        if region.mask_sha256 != query.mask:
            raise UnknownName(f"The mask of {region.key} was changed. Load the page again.")
        picture = read_picture(db, region)
        if query.answer is not None:
            masks = read_answer(db, project, region.task, query.answer).masks[query.candidate - 1 : query.candidate]
            if not masks or list(masks[0]["size"]) != list(picture.mask["size"]):
                raise UnknownName(f"The candidate {query.candidate} of the answer {query.answer} cannot be drawn here.")
            picture = picture._replace(offered=masks[0])
        return _Source(picture, region.task)


def _draw(context: PagesContext, project: int, source: _Source, size: Size, view: View) -> tuple[bytes, bool]:
    """The picture, and whether the image is in it; then it is kept."""
    picture = source.picture
    masks = [None if mask is None else digest_mask(mask) for mask in (picture.mask, picture.offered)]
    key = (project, source.task, picture.image, *masks, size, view)
    if (kept := context.drawn.find(key)) is not None:
        return kept, True
    pixels = _read_pixels(context, project, source)
    drawn = draw_region(pixels, picture.mask, picture.offered, size, view)
    if pixels is not None:
        context.drawn.keep(key, drawn)
    return drawn, pixels is not None


def _read_pixels(context: PagesContext, project: int, source: _Source) -> Array | None:
    fetch = context.make_fetch(project)
    image = source.picture.image
    if fetch is None or not image:
        return None
    try:
        return read(
            context.fetched.get((project, source.task, image), lambda: fetch(image, source.task)), context.max_pixels
        ).pixels
    except (ImageUnreachable, BadImage) as error:
        log.warning("an image is not shown", project=project, task=source.task, error=str(error))
        return None
