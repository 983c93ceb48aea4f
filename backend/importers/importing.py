"""Imports a data set into a project: each image becomes a task once, however often and wherever the import was stopped."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import structlog
from PIL import Image as Pil

from backend.base.errors import Unreachable
from backend.importers.journal import ImportJournal
from backend.importers.source import DataSource, SourceImage, find_file
from backend.importers.tasks import IDENTITY, ImportTarget, make_task
from backend.label_studio.client import RequestRefused
from backend.label_studio.new_tasks import count_new, count_regions
from backend.label_studio.protocol import Json
from backend.label_studio.task_import import ImportClient, NotSent
from ris_core.errors import BadImage, BadInput
from ris_core.images.decoding import read
from ris_core.output.file_names import inside

log = structlog.get_logger(__name__)

BATCH = 25
"""Tasks that are made at once."""
BATCH_BYTES = 4_000_000
"""Bytes of JSON from which on a batch has no more tasks."""
POLL_S = 2.0
"""Between two looks for a batch that a killed import sent."""
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass
class ImportCounts:
    """What an import did.

    Attributes:
        made: Tasks that were made.
        present: Images that had a task already.
        regions: Masks of the tasks that were made.
        problems: What was left out or changed, in words.
    """

    made: int = 0
    present: int = 0
    regions: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImageSettings:
    """How tasks get their images.

    Attributes:
        url: Beginning of the addresses of images; None to upload their files.
        max_pixels: Largest image that is uploaded.
    """

    url: str | None
    max_pixels: int


def import_data_set(
    studio: ImportClient,
    source: DataSource,
    target: ImportTarget,
    images: ImageSettings,
    journal: ImportJournal,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ImportCounts:
    """Make a task for each image that has none yet.

    Args:
        journal: Entered already.
        report: Called with the number of images that are done, and of all.

    Raises:
        BadInput: If the data set is not in its format, or Label Studio refuses a batch.
        Unreachable: If Label Studio does not answer; an import that is run again goes on from there.
    """
    counts = ImportCounts()
    existing = _read_existing(studio, target, source.format, journal, counts)
    uploads = _Uploads(studio, target.project, images)
    batch: list[Json] = []
    size = 0
    for number, image in enumerate(source.images()):
        report(number, source.count)
        key = target.key_of(source.format, image)
        if key in existing:
            counts.present += 1
            _compare(key, existing[key], image, counts)
            continue
        try:
            address = uploads.place(image)
        except BadInput as error:
            counts.problems.append(f"{key} is left out: {error}")
            continue
        task, problems = make_task(image, address, source.format, target)
        counts.problems += problems
        batch.append(task)
        size += len(json.dumps(task))
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            _send(studio, target, batch, journal, counts)
            batch, size = [], 0
    if batch:
        _send(studio, target, batch, journal, counts)
    report(source.count, source.count)
    return counts


def _read_existing(
    studio: ImportClient, target: ImportTarget, format: str, journal: ImportJournal, counts: ImportCounts
) -> dict[str, tuple[int, str]]:
    """Task and digest by key, of the images of this data set that have a task."""
    while True:
        pending, left_s = journal.pending()
        existing: dict[str, tuple[int, str]] = {}
        twice = []
        for task, key, digest in _list_existing(studio, target.project):
            if existing.setdefault(key, (task, digest)) != (task, digest):
                twice.append(f"{key} is there twice, as the tasks {existing[key][0]} and {task}; delete one")
        if pending <= existing.keys() or left_s <= 0:
            journal.end()
            counts.problems += twice
            return {key: one for key, one in existing.items() if key.startswith(f"{format}/{target.name}/")}
        log.warning("an interrupted import may still make tasks; waiting for them", seconds=round(left_s))
        time.sleep(min(POLL_S, left_s))


def _list_existing(studio: ImportClient, project: int) -> Iterator[tuple[int, str, str]]:
    """Task, key and digest."""
    for task, data in studio.list_data(project):
        identity = data.get(IDENTITY)
        if isinstance(identity, str):
            key, _, digest = identity.rpartition("#")
            yield task, key, digest


def _compare(key: str, existing: tuple[int, str], image: SourceImage, counts: ImportCounts) -> None:
    task, digest = existing
    if digest != image.digest:
        counts.problems.append(
            f"{key} is task {task} already, with other objects or sentences; it was left as it is. If this is another data set, "
            "give it a name of its own with --name"
        )


def _send(
    studio: ImportClient, target: ImportTarget, batch: list[Json], journal: ImportJournal, counts: ImportCounts
) -> None:
    journal.begin([task["data"][IDENTITY].rpartition("#")[0] for task in batch])
    try:
        answer = studio.import_tasks(target.project, batch)
    except (RequestRefused, NotSent):
        journal.end()
        raise
    journal.end()
    expected = count_new(batch)
    told = {name: answer.get(name) for name in expected}
    if told != expected:
        raise Unreachable(
            f"Label Studio says that it made {told} of {len(batch)} tasks.",
            "Look at its newest tasks and its log; what was made is not known.",
        )
    counts.made += len(batch)
    counts.regions += count_regions(batch)


class _Uploads:
    """The addresses of images; each content is uploaded once."""

    def __init__(self, studio: ImportClient, project: int, images: ImageSettings) -> None:
        self._studio, self._project, self._images = studio, project, images
        self._addresses = studio.list_uploads(project) if images.url is None else {}

    def place(self, image: SourceImage) -> str:
        """The address of an image.

        Raises:
            BadInput: If its file or its annotations cannot be read, or it is not as they say.
        """
        if image.problem:
            raise BadInput(image.problem)
        if self._images.url is not None:
            what = f"The file of image {image.id}"
            inside(image.folder, image.name, what)  # the address must not climb either
            try:
                return self._images.url.rstrip("/") + "/" + quote(image.name)
            except UnicodeEncodeError as error:
                raise BadInput(f"{what} is {image.name!a}, which no address can hold.", "Rename it.") from error
        content, suffix = read_image(image, self._images.max_pixels)
        name = f"ris-{hashlib.sha256(content).hexdigest()[:40]}{suffix}"
        if name not in self._addresses:
            self._addresses[name] = self._studio.upload(self._project, name, content)
        return self._addresses[name]


def read_image(image: SourceImage, max_pixels: int) -> tuple[bytes, str]:
    """The bytes of an image as its annotations see it, and a suffix for its file.

    They are its file's own, unless EXIF turns it: Label Studio would show it turned, and its annotations are not.

    Raises:
        BadInput: If the file is missing, is no image, or has another size than its annotations say.
    """
    what = f"The file of image {image.id}"
    file = find_file(image.folder, image.name, what)
    try:
        content = file.read_bytes()
        decoded = read(content, max_pixels)
        is_as_stored = decoded.is_as_stored
        if not is_as_stored:
            decoded = read(content, max_pixels, upright=False)
    except OSError as error:
        raise BadImage(f"{what}, {file}, cannot be read ({error.strerror}).", "Put the images there.") from error
    except BadImage as error:
        raise BadImage(f"{what}, {file}, cannot be opened. {error.wrong}", error.remedy) from error
    height, width = decoded.pixels.shape[:2]
    if (height, width) != image.size_hw:
        raise BadImage(
            f"{what}, {file}, is {(height, width)} (H, W), its annotations say {image.size_hw}.", "Get the original."
        )
    if is_as_stored:
        return content, SUFFIXES[decoded.format]
    buffer = io.BytesIO()
    Pil.fromarray(decoded.pixels).save(buffer, "PNG")
    return buffer.getvalue(), ".png"
