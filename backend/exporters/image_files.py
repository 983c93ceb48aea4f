"""The images of a data set: which file is behind an address, under which name, copied, linked or left where it is."""

import hashlib
import io
import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image as Pil

from backend.base.errors import ImageUnreachable
from backend.exporters.files import replacing
from backend.label_studio.image_addresses import shown
from ris_core.errors import BadImage, BadInput
from ris_core.images.decoding import read
from ris_core.output.file_names import check_name

Mode = Literal["copy", "link", "none"]
Fetch = Callable[[str, str], bytes]
"""The bytes behind an address, for a task; raises `ImageUnreachable`."""

KEY_LENGTH = 16
"""Characters of an image's hash in its file's name: no two of 100,000 images share them."""
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass(frozen=True)
class PlacedImage:
    """An image that has its place.

    Attributes:
        key: sha256 of its bytes; "address:" and that of its address if they are not known.
        file_name: In the data set.
        size_hw: Upright height and width; None if the bytes are not known.
    """

    key: str
    file_name: str
    size_hw: tuple[int, int] | None


class ImageFiles:
    """Settles images, each once.

    Args:
        mode: "copy" them into the folder, "link" them there from a pool that data sets share, or "none".
        folder: Where they go.
        fetch: Gets bytes; None if nothing can be fetched.
        pool: Folder of the images that are linked; on the same disk, or they are linked by name.
        max_pixels: Largest image that is opened.
    """

    def __init__(self, mode: Mode, folder: Path, fetch: Fetch | None, pool: Path, max_pixels: int) -> None:
        self._mode, self._folder, self._fetch, self._pool = mode, folder, fetch, pool
        self._max_pixels = max_pixels
        self._settled: dict[str, PlacedImage] = {}
        if mode != "none" and fetch is None:
            raise BadInput("Images cannot be had without Label Studio.", "Set LABEL_STUDIO_URL, or give --no-images.")

    def settle(self, address: str, task: str, known_sha256: str | None = None) -> PlacedImage:
        """Put an image in its place.

        Args:
            known_sha256: Of its bytes, if they were seen before: without images they are not fetched again.

        Raises:
            ImageUnreachable: If its file is wanted and cannot be had.
            BadImage: If it is no image that can be opened.
        """
        if address not in self._settled:
            self._settled[address] = self._settle(address, task, known_sha256)
        return self._settled[address]

    def keep_only(self, file_names: Set[str]) -> None:
        """Take out the images that the data set does not name: those of tasks that gave nothing."""
        for file in self._folder.glob("*") if self._mode != "none" else ():
            if file.name not in file_names:
                file.unlink()

    def _settle(self, address: str, task: str, known_sha256: str | None) -> PlacedImage:
        if self._mode == "none" and known_sha256:
            return PlacedImage(known_sha256, _name(known_sha256, _suffix_of(address)), None)
        try:
            content = self._get(address, task)
        except ImageUnreachable:
            if self._mode != "none":
                raise
            key = f"address:{hashlib.sha256(address.encode()).hexdigest()}"
            return PlacedImage(key, _name(key.partition(":")[2], _suffix_of(address)), None)
        key = hashlib.sha256(content).hexdigest()
        upright, suffix, size_hw = self._stand_up(content, address)
        settled = PlacedImage(key, _name(key, suffix), size_hw)
        self._put(settled.file_name, upright)
        return settled

    def _get(self, address: str, task: str) -> bytes:
        if self._fetch is None:
            raise ImageUnreachable(f"{shown(address)} is not fetched without Label Studio.", "Set LABEL_STUDIO_URL.")
        return self._fetch(address, task)

    def _stand_up(self, content: bytes, address: str) -> tuple[bytes, str, tuple[int, int]]:
        """The bytes as they are; a PNG of what is seen, of a photo that EXIF turns or whose end is missing: others would not."""
        try:
            found = read(content, self._max_pixels)
        except BadImage as error:
            wrong = f"{shown(address)} cannot be opened. {error.wrong}"
            raise BadImage(wrong, error.remedy, cause=error.cause, kind=error.kind) from error
        height, width = found.pixels.shape[:2]
        if found.is_as_stored:
            return content, SUFFIXES[found.format], (height, width)
        buffer = io.BytesIO()
        Pil.fromarray(found.pixels).save(buffer, "PNG")
        return buffer.getvalue(), ".png", (height, width)

    def _put(self, name: str, content: bytes) -> None:
        if self._mode == "none":
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / name
        if self._mode == "copy":
            file.write_bytes(content)
            return
        pooled = self._pool / name
        if not pooled.exists():
            self._pool.mkdir(parents=True, exist_ok=True)
            with replacing(pooled) as part:
                part.write_bytes(content)
        elif pooled.read_bytes() != content:  # whatever lies there under the name, it is not this image
            file.write_bytes(content)
        if not file.exists():
            _link(pooled, file)


def _link(source: Path, file: Path) -> None:
    try:
        os.link(source, file)
    except OSError:  # another disk
        file.symlink_to(source.resolve())


def _name(key: str, suffix: str) -> str:
    return check_name(f"{key[:KEY_LENGTH]}{suffix}", "An image")


def _suffix_of(address: str) -> str:
    suffix = Path(address.partition("?")[0]).suffix.lower()
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix if suffix in SUFFIXES.values() else ".png")
