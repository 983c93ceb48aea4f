"""The split of an image. It follows from the image's hash alone, so it does not change when the data set grows."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from ris_core.errors import BadInput

NAMES = ("train", "val", "test")


class SplitShares(NamedTuple):
    """Shares of the splits: each in [0, 1], their sum is 1."""

    train: float
    val: float
    test: float

    @classmethod
    def read(cls, text: str) -> "SplitShares":
        """Read "0.8/0.1/0.1".

        Raises:
            BadInput: If the text is not three such shares.
        """
        try:
            shares = cls(*(float(part) for part in text.split("/")))
        except (ValueError, TypeError) as error:
            raise BadInput(f"--split is {text!r}; write three shares, as in 0.8/0.1/0.1.") from error
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise BadInput(
                f"--split is {text!r}, whose sum is {sum(shares):g}. The sum must be 1, and no share negative."
            )
        return shares

    def choose(self, key: str) -> str:
        """The split for a key, such as an image's hash."""
        fraction = int.from_bytes(hashlib.sha256(f"split {key}".encode()).digest()[:8], "big") / 2**64
        return "train" if fraction < self.train else "val" if fraction < self.train + self.val else "test"


class SplitGroups:
    """Images that must be in one split: all of a group, and those of all groups that share an image. A union-find forest.

    Args:
        pairs: Image and group; an empty group is none.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._parent: dict[str, str] = {}
        for image, group in pairs:
            if group:
                self._join(f"image {image}", f"group {group}")

    def key_of(self, image: str) -> str:
        """The key from which an image's split follows: its own, or that of its group."""
        root = self._find(f"image {image}")
        return image if root == f"image {image}" else root

    def _join(self, one: str, two: str) -> None:
        # "group …" sorts before "image …", so the root is the first group by name and does not depend on the order of the pairs
        first, second = sorted((self._find(one), self._find(two)))
        self._parent[second] = first

    def _find(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            name = parent
        return name
