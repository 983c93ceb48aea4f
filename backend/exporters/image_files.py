"""The image files of a data set: named by their hash, and copied, linked or not included."""

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
from backend.exporters.staging import remove_if_empty
from backend.label_studio.image_addresses import shown
from ris_core.errors import BadImage, BadInput
from ris_core.images.decoding import read
from ris_core.output.file_names import check_name

Mode = Literal["copy", "link", "none"]
Fetch = Callable[[str, str], bytes]
"""The bytes behind an address, for a task; raises `ImageUnreachable`."""

KEY_LENGTH = 16
"""Characters of the hash in a file's name; 64 bits, so a collision among 100,000 images is not to be expected."""
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}


@dataclass(frozen=True)
class PlacedImage:
    """An image whose name in the data set is decided.

    Attributes:
        key: sha256 of its bytes; if they are not known, "address:" and the sha256 of its address.
        file_name: Name of its file in the data set.
        size_hw: Upright height and width in pixels; None if the bytes are not known.
    """

    key: str
    file_name: str
    size_hw: tuple[int, int] | None


class ImageFiles:
    """Places images in a data set, each once.

    Args:
        mode: "copy" them into the folder, "link" them there from a pool that all data sets share, or "none".
        folder: Folder of the images.
        fetch: Gets the bytes of an image; None if nothing can be fetched.
        pool: Folder of linked images: hard links if it is on the same disk, else symbolic links.
        max_pixels: Largest image that is opened.

    Raises:
        BadInput: If image files are wanted and nothing can be fetched.
    """

    def __init__(self, mode: Mode, folder: Path, fetch: Fetch | None, pool: Path, max_pixels: int) -> None:
        self._mode, self._folder, self._fetch, self._pool = mode, folder, fetch, pool
        self._max_pixels = max_pixels
        self._placed: dict[str, PlacedImage] = {}
        if mode != "none" and fetch is None:
            raise BadInput(
                "Images cannot be fetched without Label Studio.", "Set LABEL_STUDIO_URL, or give --no-images."
            )

    def place(self, address: str, task: str, sha256: str | None = None) -> PlacedImage:
        """Decide an image's name, and copy or link its file.

        Args:
            sha256: Hash of its bytes, if it is known; in the mode "none" they are not fetched then.

        Raises:
            ImageUnreachable: If its file is wanted and cannot be fetched.
            BadImage: If it cannot be opened.
        """
        if address not in self._placed:
            self._placed[address] = self._place(address, task, sha256)
        return self._placed[address]

    def keep_only(self, file_names: Set[str]) -> None:
        """Delete the images that the data set does not name: of tasks from which nothing was exported."""
        if self._mode == "none" or not self._folder.exists():
            return
        for file in list(self._folder.iterdir()):
            if file.name not in file_names and not file.is_dir():
                file.unlink()
        remove_if_empty(self._folder)

    def _place(self, address: str, task: str, sha256: str | None) -> PlacedImage:
        if self._mode == "none" and sha256:
            return PlacedImage(sha256, _name(sha256, _suffix_of(address)), None)
        try:
            content = self._fetch_bytes(address, task)
        except ImageUnreachable:
            if self._mode != "none":
                raise
            key = f"address:{hashlib.sha256(address.encode()).hexdigest()}"
            return PlacedImage(key, _name(key.partition(":")[2], _suffix_of(address)), None)
        key = hashlib.sha256(content).hexdigest()
        file_content, suffix, size_hw = self._to_upright(content, address)
        image = PlacedImage(key, _name(key, suffix), size_hw)
        self._write(image.file_name, file_content)
        return image

    def _fetch_bytes(self, address: str, task: str) -> bytes:
        if self._fetch is None:
            raise ImageUnreachable(f"{shown(address)} is not fetched without Label Studio.", "Set LABEL_STUDIO_URL.")
        return self._fetch(address, task)

    def _to_upright(self, content: bytes, address: str) -> tuple[bytes, str, tuple[int, int]]:
        """An image's bytes for a data set, the suffix of its file, and its height and width.

        They are its own bytes, unless EXIF rotates it or its end is missing. Then they are a PNG of the upright pixels, since
        other readers ignore EXIF, or refuse the file.
        """
        try:
            decoded = read(content, self._max_pixels)
        except BadImage as error:
            problem = f"{shown(address)} cannot be opened. {error.wrong}"
            raise BadImage(problem, error.remedy, cause=error.cause, kind=error.kind) from error
        height, width = decoded.pixels.shape[:2]
        if decoded.is_as_stored:
            return content, SUFFIXES[decoded.format], (height, width)
        buffer = io.BytesIO()
        Pil.fromarray(decoded.pixels).save(buffer, "PNG")
        return buffer.getvalue(), ".png", (height, width)

    def _write(self, name: str, content: bytes) -> None:
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
        elif pooled.read_bytes() != content:  # a damaged or foreign file has the name
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
