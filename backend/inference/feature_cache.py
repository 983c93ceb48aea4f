"""Encoded images, on disk and the last used ones in memory.

    <folder>/v2/images/…       encodings that expressions are answered from
    <folder>/v2/clicks/…       embeddings that clicks and boxes are answered from: larger, and counted apart
    <folder>/<encode_fp>/…     encodings of versions before 0.3, and `prompt-<embed_fp>` their embeddings

Files of former versions are read and written anew in the present format. They are never deleted here: a worker of such a version may
still use them.
"""

import contextlib
import threading
from pathlib import Path

from cachetools import LRUCache

from backend.inference import cache_layout
from backend.inference.cache_files import CacheFiles, FileFormat
from ris_core.types import EncodedImage
from ris_core.types.prompts import PromptEmbedding

FORMAT = FileFormat("2")
FORMER_FORMAT = FileFormat("1", needs_checksum=False, is_former=True)
_FORMER_PROMPT = "prompt-"


class FeatureCache:
    """Encoded images by what made them and which image it is. Threads may share it, and processes its folder.

    Args:
        folder: Where the files are; made when it is needed.
        max_bytes: Size of all files of encodings together that is kept to; 0 keeps nothing.
        max_click_bytes: The same of embeddings for clicks; as many as of encodings, if it is not given.
        open_bytes: How much memory the encodings that were used last may take, so that no file is read for them.

    Attributes:
        images, clicks: The files of encodings, and those of embeddings for clicks.
    """

    def __init__(self, folder: Path, max_bytes: int, max_click_bytes: int | None = None, open_bytes: int = 0) -> None:
        self.folder = folder
        self.images = CacheFiles(folder / "v2" / "images", max_bytes, FORMAT)
        self.clicks = CacheFiles(
            folder / "v2" / "clicks", max_bytes if max_click_bytes is None else max_click_bytes, FORMAT
        )
        self._former = CacheFiles(folder, 0, FORMER_FORMAT)
        self._open = OpenEncodings(open_bytes)

    def get(self, encode_fp: str, image_sha256: str) -> EncodedImage | None:
        """The encoded image, or None if it is not here."""
        if encoded := self._open.get(encode_fp, image_sha256):
            self.images.touch(encode_fp, image_sha256)
            return encoded
        about = {"image_sha256": image_sha256, "encode_fp": encode_fp}
        if encoded := self.images.read(encode_fp, image_sha256, about, cache_layout.unpack_image):
            self._open.put(encoded)
            return encoded
        if former := self._former.read(encode_fp, image_sha256, about, cache_layout.unpack_former_image):
            return self.put(former)
        return None

    def put(self, encoded: EncodedImage) -> EncodedImage:
        """Keep an encoded image, and delete others if there is no room; a full disk only costs the entry.

        Returns:
            The same in the form in which it is kept, which needs far less memory.
        """
        encoded = cache_layout.compact(encoded)
        self.images.keep(encoded.encode_fp, encoded.image_sha256, *cache_layout.pack_image(encoded))
        self._open.put(encoded)
        return encoded

    def get_embedding(self, embed_fp: str, image_sha256: str) -> PromptEmbedding | None:
        """What clicks and boxes on an image are answered from, or None if it is not here."""
        about = {"image_sha256": image_sha256, "embed_fp": embed_fp}
        if embedding := self.clicks.read(embed_fp, image_sha256, about, cache_layout.unpack_embedding):
            return embedding
        former = self._former.read(_FORMER_PROMPT + embed_fp, image_sha256, about, cache_layout.unpack_embedding)
        if former:
            self.put_embedding(former)
        return former

    def put_embedding(self, embedding: PromptEmbedding) -> None:
        """Keep what clicks and boxes on an image are answered from, as `put` keeps encoded images."""
        self.clicks.keep(embedding.embed_fp, embedding.image_sha256, *cache_layout.pack_embedding(embedding))

    def size_bytes(self) -> int:
        """Size of all files of encodings together."""
        return self.images.size_bytes()

    def click_bytes(self) -> int:
        """Size of all files of embeddings for clicks together."""
        return self.clicks.size_bytes()

    def former_bytes(self) -> int:
        """Size of all files that versions before 0.3 left; they count towards no limit."""
        return self._former.size_bytes()


class OpenEncodings:
    """The encodings that were used last, in memory. An annotator asks several expressions about one image, one after the other."""

    def __init__(self, max_bytes: int) -> None:
        self._encodings: LRUCache[tuple[str, str], EncodedImage] = LRUCache(
            max_bytes, getsizeof=cache_layout.size_bytes
        )
        self._lock = threading.Lock()

    def get(self, encode_fp: str, image_sha256: str) -> EncodedImage | None:
        """An encoding, or None if it is not here."""
        with self._lock:
            return self._encodings.get((encode_fp, image_sha256))

    def put(self, encoded: EncodedImage) -> None:
        """Keep a compact encoding, as long as it is used oftener than others; one above the limit is not kept."""
        with self._lock, contextlib.suppress(ValueError):  # of one above the limit
            self._encodings[encoded.encode_fp, encoded.image_sha256] = encoded
