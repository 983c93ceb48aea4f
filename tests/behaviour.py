"""A small corpus and what today's code makes of it: `python -m tests.behaviour` records it in `tests/data/behaviour.json`.

Two parts, as the code's versions have two numbers: what is kept of an image, and what is answered. A part is recorded anew only
under a new number of `ris_core.behaviour`, so that no change of answers goes out under an old version.
"""

import hashlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image as Pil

from demo.gallery import GALLERY
from ris_core import behaviour, load_segmenter
from ris_core.errors import BadExpression
from ris_core.geometry import duplicates, mask_cleaning, placement
from ris_core.language import grammar, lexicon
from ris_core.methods import guided
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image

FILE = Path(__file__).parent / "data" / "behaviour.json"
SCENES = (GALLERY[0], GALLERY[2])
ASKED = (
    "the orange frog", "the frog", "the tree", "the big tree", "the second thing from the left", "everything green",
    "the biggest thing", "the thing left of the tree", "the crab that is not blue", "not the orange frog", "the kitten",
    "the two trees", "the frog closest to the center", "the leftmost crab", "the car and the tree",
)  # fmt: skip
READ = (
    "the man", "man in blue shirt", "a woman who holds an umbrella", "the boy without a hat", "the girl not wearing glasses",
    "the second zebra from the left", "third cup from right", "the last car on the right", "the tallest tree behind the house",
    "the smaller of the two dogs", "all cups except the red one", "everyone but the man", "not the red car", "two dogs and a cat",
    "the bowl between the plates", "the chair nearest to the window", "the lamp farthest from the door", "front left donut",
    "upper right corner sandwich", "the one in the middle", "person on the far left", "the grey colored sofa",
    "the black and white cow", "the bottom most orange", "the dog's bowl", "cat on top of the suitcase", "the pencil closest to the "
    "center", "bike that's leaning on the wall", "the only blue bottle", "please find the horse facing us", "kid with the ball",
    "the car which is neither red nor blue", "biggest slice of pizza", "left half of the bench", "the umbrella above the child",
    "four chairs", "every bird", "sheep", "the other giraffe", "no helmet", "woman's left hand", "cake with 3 candles",
)  # fmt: skip


def observe() -> dict[str, dict[str, Any]]:
    """What today's code makes of the corpus, by part."""
    segmenter = load_segmenter("demo")
    images = [Image.open(one.draw()) for one in SCENES]
    encoded = [segmenter.encode(image) for image in images]
    found = {f"{n}: {text}": _ask(segmenter, one, text) for n, one in enumerate(encoded) for text in ASKED}
    return {
        "encode": {
            "number": behaviour.ENCODE_BEHAVIOUR,
            "decoded": {name: _look_at(Image.open(data).pixels) for name, data in _files()},
            "proposals": [
                [*map(float, row)]
                for one in encoded
                for row in zip(*one.proposals.boxes_xywh.T, one.proposals.predicted_iou, strict=True)
            ],
            "features": [float(np.abs(one.features[name]).mean()) for one in encoded for name in sorted(one.features)],
        },
        "answer": {
            "number": behaviour.ANSWER_BEHAVIOUR,
            "constants": {
                module.__name__: _digest_constants(module)
                for module in (lexicon, grammar, placement, duplicates, guided)
            },
            "read": {text: repr(segmenter.parser.parse(text).referents) for text in READ},
            "found": found,
            "cleaned": [int(mask_cleaning.clean(mask, px).sum()) for mask in _masks() for px in (0.0, 1.5)],
        },
    }


def is_same(one: Any, other: Any) -> bool:
    """Whether two observations agree; numbers within what processors differ by."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.isclose(one, other, rtol=0.01, atol=0.02))
    return bool(one == other)


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Where two observations do not agree, in words."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from differences(one.get(key), other.get(key), f"{where}/{key}")
    elif not is_same(one, other):
        yield f"{where}: {str(one)[:200]} is now {str(other)[:200]}"


def main() -> int:
    """Record; refuses where what is observed changed and its number did not."""
    now = observe()
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for part, recorded in before.items():
        if recorded["number"] == now[part]["number"] and not is_same(recorded, now[part]):
            print(*differences(recorded, now[part], part), sep="\n", file=sys.stderr)
            print(f"Raise {part.upper()}_BEHAVIOUR in ris_core/behaviour.py first.", file=sys.stderr)
            return 1
    FILE.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _ask(segmenter: Segmenter, encoded: EncodedImage, text: str) -> dict[str, Any]:
    try:
        prediction = segmenter.segment(encoded, text)
    except BadExpression:
        return {"decision": "refused"}
    chosen = list(prediction.selected)
    boxes = prediction.boxes_xywh[chosen].astype(float).tolist()
    return {"decision": prediction.decision, "boxes": boxes, "scores": [float(prediction.scores[i]) for i in chosen]}


def _digest_constants(module: ModuleType) -> str:
    """Of every table and threshold of a module: what a word means changes what is read, also in sentences that are not here."""
    named = {name: _plain(value) for name, value in sorted(vars(module).items()) if name.lstrip("_").isupper()}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted([str(key), _plain(one)] for key, one in value.items())
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else repr(value)


def _look_at(pixels: np.ndarray) -> list[float]:
    """Size, and the mean of each channel in each quarter of the picture, in [0, 255]."""
    height, width = pixels.shape[:2]
    halves_y, halves_x = (slice(height // 2), slice(height // 2, None)), (slice(width // 2), slice(width // 2, None))
    means = [pixels[y, x].mean((0, 1)) for y in halves_y for x in halves_x]
    return [float(height), float(width), *np.concatenate(means).round(1).tolist()]


def _files() -> Iterator[tuple[str, bytes]]:
    """A small picture in every way in which pictures are stored."""
    ramp = np.linspace(0, 1, 48 * 32).reshape(32, 48)
    colours = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1)
    rgb = Pil.fromarray((colours * 255).astype(np.uint8))
    turned = Pil.Exif()
    turned[0x0112] = 6
    alpha = rgb.copy()
    alpha.putalpha(Pil.fromarray((ramp * 255).astype(np.uint8)))
    kinds: Mapping[str, tuple[Pil.Image, str, dict[str, Any]]] = {
        "rgb": (rgb, "PNG", {}),
        "jpeg": (rgb, "JPEG", {"quality": 95}),
        "turned": (rgb, "JPEG", {"quality": 95, "exif": turned.tobytes()}),
        "cmyk": (rgb.convert("CMYK"), "JPEG", {"quality": 95}),
        "grey": (rgb.convert("L"), "PNG", {}),
        "palette": (rgb.quantize(16), "PNG", {}),
        "transparent": (alpha, "PNG", {}),
        "16 bit": (Pil.fromarray((ramp * 65535).astype(np.uint16)), "PNG", {}),
        "12 bit in 16": (Pil.fromarray((ramp * 4080).astype(np.uint16)), "PNG", {}),
        "float in 0 to 1": (Pil.fromarray(ramp.astype(np.float32)), "TIFF", {}),
        "int32": (Pil.fromarray((ramp * 1_000_000).astype(np.int32)), "TIFF", {}),
    }
    for name, (image, kind, how) in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **how)
        yield name, buffer.getvalue()


def _masks() -> Iterator[np.ndarray]:
    """Discs with specks, holes and ragged rims."""
    y, x = np.mgrid[:96, :128]
    for seed, radius in ((1, 20), (2, 35)):
        noise = np.random.default_rng(seed).normal(0, 60, (96, 128))
        mask = (y - 48) ** 2 + (x - 64) ** 2 + noise < radius**2
        mask[10:13, 10:13], mask[46:49, 62:65] = True, False
        yield mask


if __name__ == "__main__":
    sys.exit(main())
