"""`ris bench speed`: seconds of each stage of a profile's components on one device, and the memory they take.

Weights that are not here can be replaced by random ones of the true size: the arithmetic is the same, what SAM proposes is not, so
encoding is timed on made masks and proposing without the masks that would be kept.
"""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ris_core.profiles import catalog, read_profile
from ris_core.runtime import weights
from ris_core.runtime.devices import pick_device
from ris_core.runtime.registry import Weight
from ris_core.types import Image, Proposals

SIZE_HW = 480, 640
"""Size of the image that is measured on: that of most pictures in COCO."""
PROPOSALS = 40
TEXTS = ("the red apple left of the dog", "a photo of a red apple", "the dog")


@dataclass(frozen=True)
class Stage:
    """One stage's timings in seconds, the slowest first run apart."""

    name: str
    first_s: float
    median_s: float
    fastest_s: float


@dataclass(frozen=True)
class SpeedReport:
    """Where it ran, and what each stage took.

    Attributes:
        peak_gpu_bytes: Most memory that was taken of the GPU at once; None on a CPU.
    """

    profile: str
    is_random: bool
    device: str
    threads: int
    torch: str
    stages: tuple[Stage, ...]
    peak_gpu_bytes: int | None

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps({**vars(self), "stages": [vars(stage) for stage in self.stages]}, indent=1)

    def to_markdown(self) -> str:
        """As a table of milliseconds."""
        rows = [
            f"| {s.name} | {s.first_s * 1e3:.1f} | {s.median_s * 1e3:.2f} | {s.fastest_s * 1e3:.2f} |"
            for s in self.stages
        ]
        about = f"Profile `{self.profile}`{' with random weights' if self.is_random else ''}, {self.device}, torch {self.torch}"
        memory = (
            f"; at most {self.peak_gpu_bytes / 2**20:.0f} MiB of the GPU" if self.peak_gpu_bytes is not None else ""
        )
        head = ["| stage | first, ms | median, ms | fastest, ms |", "| --- | --- | --- | --- |"]
        return "\n".join([f"{about}{memory}.", "", *head, *rows])


def measure(profile: str, device: str = "auto", repeats: int = 10, random_weights: bool = False) -> SpeedReport:
    """Time the stages of a profile.

    Args:
        profile: Its name.
        device: A torch device, or "auto" for a GPU if there is one.
        repeats: Times that each stage is run after its first run.
        random_weights: Make weights of the true size up, instead of using the profile's own.

    Raises:
        UnknownName: If there is no such profile.
        WeightsMissing: If its weights are not here and none are made up.
    """
    device = str(pick_device(device))
    sections = read_profile(profile)
    with ExitStack() as stack:
        store = weights.WeightStore()
        if random_weights:
            store = make_up(sections, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ris-bench-"))))
        built = {
            kind: catalog.build(
                f"{kind}s", sections[kind]["name"], {**sections[kind]["settings"], "store": store, "device": device}
            )
            for kind in ("proposer", "encoder")
        }
    image, proposals = make_image(), make_proposals()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    work: dict[str, Callable[[], object]] = {
        "proposals of an image" + (" (none kept)" if random_weights else ""): lambda: built["proposer"].propose(image),
        f"features of {PROPOSALS} proposals": lambda: built["encoder"].encode(image, proposals),
        f"{len(TEXTS)} new texts": lambda: built["encoder"].encode_texts(
            [f"{text} {time.perf_counter_ns()}" for text in TEXTS]
        ),
    }
    stages = tuple(_time(name, step, repeats, device) for name, step in work.items())
    return SpeedReport(
        profile=profile,
        is_random=random_weights,
        device=_describe(device),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        stages=stages,
        peak_gpu_bytes=torch.cuda.max_memory_allocated() if device.startswith("cuda") else None,
    )


def make_image() -> Image:
    """Twenty plain rectangles on a gradient, the same each time."""
    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    ramp = np.linspace(60, 200, width, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy()
    for row, column in rng.integers(0, 400, (20, 2)):
        pixels[row : row + 70, column : column + 90] = rng.integers(0, 256, 3, dtype=np.uint8)
    return Image.from_array(pixels)


def make_proposals() -> Proposals:
    """Ellipses of all sizes, the same each time."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    centres, radii = rng.uniform((40, 40), (440, 600), (PROPOSALS, 2)), rng.uniform(15, 140, (PROPOSALS, 2))
    masks = [((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1 for (cy, cx), (ry, rx) in zip(centres, radii, strict=True)]
    return Proposals.from_masks(np.stack(masks))


def _time(name: str, step: Callable[[], object], repeats: int, device: str) -> Stage:
    seconds = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    first, *later = seconds
    return Stage(name, first, statistics.median(later), min(later))


def make_up(sections: Mapping[str, Any], folder: Path) -> weights.WeightStore:
    """A store of random weights for a profile of published ones."""
    import open_clip
    from safetensors.torch import save_file
    from segment_anything import sam_model_registry

    proposer, encoder = sections["proposer"]["settings"], sections["encoder"]["settings"]
    if proposer["architecture"] not in sam_model_registry:
        return weights.WeightStore()  # in the repository
    sam, clip = folder / "sam.pth", folder / "clip.safetensors"
    torch.save(sam_model_registry[proposer["architecture"]]().state_dict(), sam)
    state = open_clip.create_model(encoder["model"]).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, clip)
    made = {proposer["weights"]: sam, encoder["weights"]: clip}
    return weights.WeightStore(
        offline=True, registry={name: Weight(name=name, path=str(path)) for name, path in made.items()}
    )


def _describe(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"CPU ({platform.machine()})"
