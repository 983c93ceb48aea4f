"""What is kept of an image, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ris_core.arrays import Array
from ris_core.types.proposals import Proposals


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """Everything about an image that does not depend on the expression.

    Attributes:
        image_sha256: Digest of the image's bytes.
        size_hw: Height and width of the image in pixels.
        proposals: Its N mask proposals.
        features: Arrays by name: of the proposals, with N for their first axis, or of the whole image on a grid.
        encode_fp: Digest of what made the arrays and of which there are: proposer, encoder, weights, preprocessing.
    """

    image_sha256: str
    size_hw: tuple[int, int]
    proposals: Proposals
    features: Mapping[str, Array]
    encode_fp: str
