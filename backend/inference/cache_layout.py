"""How encoded images, and what clicks are answered from, lie in the files of the feature cache.

Format 2 holds masks as COCO run lengths, compressed once more: neighbouring columns of a mask differ little, so bz2 halves them or
better. Format 1, of versions before 0.3, held them as bits.
"""

import bz2
import itertools
import json
from dataclasses import replace

import numpy as np

from backend.inference.cache_files import About, Arrays
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.types import EncodedImage, Proposals
from ris_core.types.prompts import PromptEmbedding
from ris_core.types.proposals import MaskMeasures

_FEATURE = "feature."


def compact(encoded: EncodedImage) -> EncodedImage:
    """The same, with masks as run lengths and their measures beside them."""
    proposals, masks = encoded.proposals, encoded.proposals.masks
    if isinstance(masks, RunLengthMasks) and proposals.stored_measures is not None:
        return encoded
    lengths = masks if isinstance(masks, RunLengthMasks) else RunLengthMasks.encode(masks)
    return replace(encoded, proposals=replace(proposals, masks=lengths, stored_measures=proposals.measures))


def size_bytes(encoded: EncodedImage) -> int:
    """Bytes that a compact encoding needs in memory."""
    measures = encoded.proposals.measures
    arrays = (*encoded.features.values(), encoded.proposals.boxes_xywh, measures.areas, measures.intersections)
    return sum(array.nbytes for array in arrays) + encoded.proposals.masks.nbytes


def pack_image(encoded: EncodedImage) -> tuple[Arrays, About]:
    """The arrays of a compact encoding, and what its file says about it."""
    proposals, masks = encoded.proposals, encoded.proposals.masks
    if not isinstance(masks, RunLengthMasks):
        raise TypeError("Pack what `compact` returns.")
    measures = proposals.measures
    arrays = {
        "masks": _squeeze(b"".join(masks.counts)),
        "mask_lengths": np.array([len(counts) for counts in masks.counts], np.uint32),
        "areas": measures.areas,
        "intersections": _squeeze(_upper(measures.intersections).tobytes()),
        "boxes_xywh": proposals.boxes_xywh,
        "predicted_iou": proposals.predicted_iou,
        "stability": proposals.stability,
        **{_FEATURE + name: array for name, array in encoded.features.items()},
    }
    return arrays, _about_image(encoded)


def unpack_image(arrays: Arrays, about: About) -> EncodedImage:
    """What `pack_image` packed.

    Raises:
        ValueError, KeyError, OSError: If it is damaged.
    """
    height, width = json.loads(about["size_hw"])
    lengths = arrays["mask_lengths"].tolist()
    content, ends = bz2.decompress(arrays["masks"].tobytes()), np.cumsum([0, *lengths]).tolist()
    if ends[-1] != len(content):
        raise ValueError(f"its masks have {len(content)} bytes instead of {ends[-1]}")
    counts = [content[begin:end] for begin, end in itertools.pairwise(ends)]
    shared = np.frombuffer(bz2.decompress(arrays["intersections"].tobytes()), np.uint16)
    proposals = Proposals(
        masks=RunLengthMasks(counts, (height, width)),
        boxes_xywh=arrays["boxes_xywh"],
        predicted_iou=arrays["predicted_iou"],
        stability=arrays["stability"],
        stored_measures=MaskMeasures(arrays["areas"], _whole(shared, len(lengths))),
    )
    return _image(arrays, about, proposals)


def unpack_former_image(arrays: Arrays, about: About) -> EncodedImage:
    """An encoding of format 1, which held masks as bits.

    Raises:
        ValueError, KeyError: If it is damaged.
    """
    height, width = json.loads(about["size_hw"])
    proposals = Proposals(
        masks=np.unpackbits(arrays["masks"], axis=-1, count=width).astype(bool),
        boxes_xywh=arrays["boxes_xywh"],
        predicted_iou=arrays["predicted_iou"],
        stability=arrays["stability"],
    )
    if proposals.masks.shape[1:] != (height, width):
        raise ValueError(f"masks are {proposals.masks.shape[1:]} instead of {(height, width)}")
    return _image(arrays, about, proposals)


def pack_embedding(embedding: PromptEmbedding) -> tuple[Arrays, About]:
    """The arrays that clicks are answered from, and what their file says about them."""
    about = {
        "image_sha256": embedding.image_sha256,
        "embed_fp": embedding.embed_fp,
        "size_hw": _write_size(embedding.size_hw),
    }
    return dict(embedding.arrays), about


def unpack_embedding(arrays: Arrays, about: About) -> PromptEmbedding:
    """What `pack_embedding` packed.

    Raises:
        ValueError, KeyError: If it is damaged.
    """
    height, width = json.loads(about["size_hw"])
    return PromptEmbedding(about["image_sha256"], (height, width), arrays, about["embed_fp"])


def _image(arrays: Arrays, about: About, proposals: Proposals) -> EncodedImage:
    height, width = json.loads(about["size_hw"])
    return EncodedImage(
        image_sha256=about["image_sha256"],
        size_hw=(height, width),
        proposals=proposals,
        features={name.removeprefix(_FEATURE): array for name, array in arrays.items() if name.startswith(_FEATURE)},
        encode_fp=about["encode_fp"],
    )


def _about_image(encoded: EncodedImage) -> About:
    return {
        "image_sha256": encoded.image_sha256,
        "encode_fp": encoded.encode_fp,
        "size_hw": _write_size(encoded.size_hw),
    }


def _squeeze(content: bytes) -> np.ndarray:
    return np.frombuffer(bz2.compress(content), np.uint8)


def _upper(shared: np.ndarray) -> np.ndarray:
    """The upper triangle with the diagonal: masks share samples mutually. There are at most 128 x 128 samples, so 16 bits hold each."""
    return shared[np.triu_indices(len(shared))].astype(np.uint16)


def _whole(upper: np.ndarray, count: int) -> np.ndarray:
    shared = np.zeros((count, count), np.int64)
    shared[np.triu_indices(count)] = upper
    return np.maximum(shared, shared.T)


def _write_size(size_hw: tuple[int, int]) -> str:
    return json.dumps([int(side) for side in size_hw])
