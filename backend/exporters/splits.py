"""Which split an image belongs to: told by its hash alone, so that it stays where it is when data grows."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from ris_core.errors import BadInput

NAMES = ("train", "val", "test")


class SplitShares(NamedTuple):
    """Shares of the splits, from 0 to 1, together 1."""

    train: float
    val: float
    test: float

    @classmethod
    def read(cls, text: str) -> "SplitShares":
        """Shares of "0.8/0.1/0.1".

        Raises:
            BadInput: If it is anything else.
        """
        try:
            shares = cls(*(float(part) for part in text.split("/")))
        except (ValueError, TypeError) as error:
            raise BadInput(f"--split is {text!r}; write three shares, as in 0.8/0.1/0.1.") from error
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise BadInput(f"--split is {text!r}, which makes {sum(shares):g}; the shares must make 1.")
        return shares

    def choose(self, key: str) -> str:
        """The split of a key."""
        place = int.from_bytes(hashlib.sha256(f"split {key}".encode()).digest()[:8], "big") / 2**64
        return "train" if place < self.train else "val" if place < self.train + self.val else "test"


class SplitGroups:
    """Images that must stay together: all of a group, and all groups that share an image."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take pairs of an image and its group; an empty group is none."""
        self._parent: dict[str, str] = {}
        for image, group in pairs:
            if group:
                self._join(f"image {image}", f"group {group}")

    def key_of(self, image: str) -> str:
        """What decides the split of an image."""
        root = self._find(f"image {image}")
        return image if root == f"image {image}" else root

    def _join(self, one: str, two: str) -> None:
        # the root is the first group in the order of names, never an image
        first, second = sorted((self._find(one), self._find(two)))
        self._parent[second] = first

    def _find(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            name = parent
        return name
