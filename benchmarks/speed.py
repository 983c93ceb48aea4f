"""`ris bench speed`: seconds of each stage of a profile's components on one device, and the memory they take.

Weights that are not here can be replaced by random ones of the true size: the arithmetic is the same, what SAM proposes is not, so
encoding is timed on made masks and proposing without the masks that would be kept. Or SAM's filters are switched off, and as many masks
are kept as one says: so a first prompt is timed whole.
"""

import json
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
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
UNFILTERED = {
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "min_area_ratio": 0.0,
    "max_mask_iou": 1.0,
}
"""Settings of a SAM that drops no mask: random weights call all their masks bad."""
TEXTS = ("the red apple left of the dog", "a photo of a red apple", "the dog")


@dataclass(frozen=True)
class Stage:
    """One stage's timings in seconds, the slowest first run apart; `first_cpu_s` is processor time, of all threads."""

    name: str
    first_s: float
    first_cpu_s: float
    median_s: float
    fastest_s: float


@dataclass(frozen=True)
class SpeedReport:
    """Where it ran, and what each stage took.

    Attributes:
        peak_gpu_bytes: Most memory that was taken of the GPU at once; None on a CPU.
        peak_bytes: Most memory of the process until the end of the measurement.
    """

    profile: str
    is_random: bool
    device: str
    threads: int
    torch: str
    stages: tuple[Stage, ...]
    peak_gpu_bytes: int | None
    peak_bytes: int

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps({**vars(self), "stages": [vars(stage) for stage in self.stages]}, indent=1)

    def to_markdown(self) -> str:
        """As a table of milliseconds."""
        rows = [
            f"| {s.name} | {s.first_cpu_s:.2f} | {s.first_s * 1e3:.1f} | {s.median_s * 1e3:.2f} | {s.fastest_s * 1e3:.2f} |"
            for s in self.stages
        ]
        about = f"Profile `{self.profile}`{' with random weights' if self.is_random else ''}, {self.device}, torch {self.torch}"
        memory = (
            f"; at most {self.peak_gpu_bytes / 2**20:.0f} MiB of the GPU" if self.peak_gpu_bytes is not None else ""
        )
        memory += f"; at most {self.peak_bytes / 2**20:.0f} MiB of memory"
        head = ["| stage | first, CPU s | first, ms | median, ms | fastest, ms |", "| --- | --- | --- | --- | --- |"]
        return "\n".join([f"{about}{memory}.", "", *head, *rows])


def measure(
    profile: str,
    device: str = "auto",
    repeats: int = 10,
    random_weights: bool = False,
    kept: int = 0,
    long_px: int = SIZE_HW[1],
) -> SpeedReport:
    """Time the stages of a profile.

    Args:
        profile: Its name.
        device: A torch device, or "auto" for a GPU if there is one.
        repeats: Times that each stage is run after its first run; what SAM's image encoder says is remembered then.
        random_weights: Make weights of the true size up, instead of using the profile's own.
        kept: If above 0, SAM's filters are switched off and so many of its masks are kept and encoded.
        long_px: Width of the image, which is 4:3.

    Raises:
        UnknownName: If there is no such profile.
        WeightsMissing: If its weights are not here and none are made up.
    """
    device = str(pick_device(device))
    sections = read_profile(profile)
    if kept:
        sections["proposer"]["settings"] |= UNFILTERED | {"max_proposals": kept}
    with ExitStack() as stack:
        store = weights.WeightStore()
        if random_weights:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ris-bench-")))
            other = stack.enter_context(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")))
            store = other.submit(make_up, sections, folder).result()  # its memory is no part of a first prompt's
        built = {
            kind: catalog.build(
                f"{kind}s", sections[kind]["name"], {**sections[kind]["settings"], "store": store, "device": device}
            )
            for kind in ("proposer", "encoder")
        }
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    none_kept = random_weights and not kept
    stages = tuple(
        _time(name, step, repeats, device) for name, step in _steps(built, make_image(long_px), kept, none_kept)
    )
    return SpeedReport(
        profile=profile,
        is_random=random_weights,
        device=_describe(device),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        stages=stages,
        peak_gpu_bytes=torch.cuda.max_memory_allocated() if device.startswith("cuda") else None,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _steps(
    built: Mapping[str, Any], image: Image, kept: int, none_kept: bool
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Stages by name; with `kept` in the order of a first prompt, on the proposals that were kept."""
    if kept:
        yield "SAM's image encoder", lambda: built["proposer"].embed(image)
        found: list[Proposals] = []
        yield "proposals of an encoded image", lambda: found.append(built["proposer"].propose(image))
        proposals = found[-1]
    else:
        yield "proposals of an image" + " (none kept)" * none_kept, lambda: built["proposer"].propose(image)
        proposals = make_proposals(image.size_hw)
    yield f"features of {len(proposals)} proposals", lambda: built["encoder"].encode(image, proposals)
    yield (
        f"{len(TEXTS)} new texts",
        lambda: built["encoder"].encode_texts([f"{text} {time.perf_counter_ns()}" for text in TEXTS]),
    )


def make_image(long_px: int = SIZE_HW[1]) -> Image:
    """Twenty plain rectangles on a gradient, the same each time; 4:3."""
    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    ramp = np.linspace(60, 200, width, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy()
    for row, column in rng.integers(0, 400, (20, 2)):
        pixels[row : row + 70, column : column + 90] = rng.integers(0, 256, 3, dtype=np.uint8)
    size_wh = long_px, long_px * height // width
    return Image.from_array(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_NEAREST).astype(np.uint8))


def make_proposals(size_hw: tuple[int, int] = SIZE_HW) -> Proposals:
    """Ellipses of all sizes, the same each time."""
    rng = np.random.default_rng(1)
    y, x = (np.mgrid[: size_hw[0], : size_hw[1]].T / size_hw[::-1] * SIZE_HW[::-1]).T
    centres, radii = rng.uniform((40, 40), (440, 600), (PROPOSALS, 2)), rng.uniform(15, 140, (PROPOSALS, 2))
    masks = [((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1 for (cy, cx), (ry, rx) in zip(centres, radii, strict=True)]
    return Proposals.from_masks(np.stack(masks))


def _time(name: str, step: Callable[[], object], repeats: int, device: str) -> Stage:
    seconds, cpu_seconds = [], []
    for _ in range(1 + repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    first, later = seconds[0], seconds[1:] or seconds
    return Stage(name, first, cpu_seconds[0], statistics.median(later), min(later))


def make_up(sections: Mapping[str, Any], folder: Path) -> weights.WeightStore:
    """A store of random weights for a profile of published ones."""
    import open_clip
    from safetensors.torch import save_file

    from ris_core.proposers.sam import ARCHITECTURES

    proposer, encoder = sections["proposer"]["settings"], sections["encoder"]["settings"]
    if proposer["architecture"] == "tiny":
        return weights.WeightStore()  # in the repository
    sam, clip = folder / "sam.pth", folder / "clip.safetensors"
    torch.save(ARCHITECTURES[proposer["architecture"]]().state_dict(), sam)
    state = open_clip.create_model(encoder["model"]).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, clip)
    made = {proposer["weights"]: sam, encoder["weights"]: clip}
    return weights.WeightStore(
        offline=True, registry={name: Weight(name=name, path=str(path)) for name, path in made.items()}
    )


def _describe(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"CPU ({platform.machine()})"
