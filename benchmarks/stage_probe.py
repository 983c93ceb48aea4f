"""What one version of this project takes for the stages of a prompt, in a process of its own. `benchmarks.stages` runs it.

    PYTHONPATH=CHECKOUT python -P stage_probe.py GROUP [PICTURE]

It runs with the code of `CHECKOUT`, which may be of an earlier version: so it imports nothing that came later, and looks for what has
another name now. It prints one JSON object: CPU seconds by stage.
"""

import importlib
import inspect
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

SMALL_HW, LARGE_HW = (480, 640), (3000, 4000)
KEPT = 60
UNFILTERED = {
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "min_area_ratio": 0.0,
    "max_mask_iou": 1.0,
    "max_proposals": KEPT,
}
"""Settings of a SAM that drops no mask: random weights call all their masks bad."""
EXPRESSIONS, WARM_UPS = 60, 10
"""Expressions that are asked of `demo`, and those before them."""
ANSWERS = "answers"
"""The group whose picture is given."""
WIDTH = 512
"""Numbers of a feature of CLIP ViT-B/16."""
IMAGE_SHA256, ENCODE_FP = "0" * 64, "bench"
CONFIG = """<View><Image name="image" value="$image"/><TextArea name="prompt" toName="image"/>
<BrushLabels name="label" toName="image"><Label value="Thing"/></BrushLabels></View>"""


def main() -> None:
    """Measure a group of stages and print them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="ris-bench-") as folder:
        stages = {**GROUPS, ANSWERS: _measure_answers}[sys.argv[1]](Path(folder))
    print(json.dumps(stages))


def _measure_sam(folder: Path) -> dict[str, float]:
    proposer = _build("base", folder, ("proposer",), UNFILTERED)["proposer"]
    image = _make_image(SMALL_HW)
    encoding = _cpu_s(lambda: proposer.embed(image))
    return {"SAM's image encoder": encoding, "proposals at 256 points": _cpu_s(lambda: proposer.propose(image))}


def _measure_clip(folder: Path) -> dict[str, float]:
    encoder = _build("base", folder, ("encoder",))["encoder"]
    image = _make_image(SMALL_HW)
    return {
        f"features of {count} proposals": _cpu_s(lambda: encoder.encode(image, _make_proposals(count, SMALL_HW)))  # noqa: B023
        for count in (20, 60, 100)
    }


def _measure_papers(folder: Path) -> dict[str, float]:
    stages = {}
    for profile in ("paper-gl", "paper"):
        encoder = _build(profile, folder, ("encoder",))["encoder"]
        proposals = _make_proposals(20, SMALL_HW)
        encode = partial(encoder.encode, _make_image(SMALL_HW), proposals)
        stages[f"features of 20 proposals, {profile}"] = _cpu_s(encode)
    return stages


def _measure_expression(folder: Path, size_hw: tuple[int, int], count: int) -> dict[str, float]:
    """One more expression on a picture that is encoded already, as a worker answers it: from its cache to the region."""
    _elsewhere(_fill_cache, folder, size_hw, count)
    answering, cache = _import("backend.inference.expressions", "backend.answering"), _open_cache(folder)
    label_config = _import("backend.label_studio.label_config")
    segmenter = _make_segmenter(_build("base", folder, ("encoder", "method")))
    [control] = label_config.read_config(CONFIG).controls
    options = _options(answering)

    def answer(text: str) -> None:
        encoded = cache.get(ENCODE_FP, IMAGE_SHA256)
        answering.answer_expression(segmenter, encoded, text, control, "1", **options)

    answer("the dog")  # what is made once for all expressions
    nouns = iter(
        ("horse", "boat", "lamp", "chair", "clock", "plate", "shirt", "fence", "river", "wheel", "glove", "truck")
    )
    seconds = [_cpu_s(lambda: answer(f"the {next(nouns)} left of the {next(nouns)}")) for _ in range(5)]
    texts = [_cpu_s(lambda: segmenter.encoder.encode_texts([f"a {n} {k}" for k in range(2)])) for n in "abcde"]  # noqa: B023
    return {
        "one more expression": float(np.median(seconds)),
        "its two phrases as bare texts": float(np.median(texts)),
        "memory, MiB": _read_peak_mib(),
    }


def _open_cache(folder: Path) -> Any:
    return _import("backend.inference.feature_cache", "backend.feature_cache").FeatureCache(folder / "cache", 1 << 32)


def _fill_cache(folder: Path, size_hw: tuple[int, int], count: int) -> None:
    rng, method = np.random.default_rng(0), _build("base", folder, ("method",))["method"]
    features = {name: rng.standard_normal((count, WIDTH)).astype(np.float32) for name in method.features}
    encoded = _import("ris_core.types").EncodedImage
    _open_cache(folder).put(encoded(IMAGE_SHA256, size_hw, _make_proposals(count, size_hw), features, ENCODE_FP))


def _elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do something in a process of its own: its memory is no part of a prompt's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        return other.submit(work, *arguments).result()


def _read_peak_mib() -> float:
    """The most memory that this process has taken; `getrusage` would count what started it too."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _measure_answers(_folder: Path) -> dict[str, float]:
    """What `demo` takes for an answer about a picture that is encoded already, without HTTP, queue and database."""
    answering, label_config = (
        _import("backend.inference.expressions", "backend.answering"),
        _import("backend.label_studio.label_config"),
    )
    segmenter = _import("ris_core").load_segmenter("demo")
    encoded = segmenter.encode(_import("ris_core.types").Image.open(Path(sys.argv[2]).read_bytes()))
    [control], texts = label_config.read_config(CONFIG).controls, make_sentences()
    options = _options(answering)

    def answer(count: int) -> None:
        for text in itertools.islice(texts, count):
            answering.answer_expression(segmenter, encoded, text, control, "1", **options)

    answer(WARM_UPS)
    return {"an answer": _cpu_s(lambda: answer(EXPRESSIONS)) / EXPRESSIONS}


GROUPS: Mapping[str, Callable[[Path], dict[str, float]]] = {
    "sam": _measure_sam,
    "clip": _measure_clip,
    "papers": _measure_papers,
    "expression": lambda folder: _measure_expression(folder, SMALL_HW, 100),
    "expression, 12 megapixels": lambda folder: _measure_expression(folder, LARGE_HW, 100),
}


def run(code: Path, group: str, *arguments: str) -> dict[str, float]:
    """Measure a group with the code of a checkout."""
    command = (sys.executable, "-P", str(Path(__file__).resolve()), group, *arguments)
    env = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=code, env=env, check=True, stdout=subprocess.PIPE)
    stages: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return stages


def _options(answering: Any) -> dict[str, Any]:
    """Five candidates, as each version takes them."""
    return {"options": answering.AnswerOptions(top_k=5)} if hasattr(answering, "AnswerOptions") else {"top_k": 5}


def _import(*names: str) -> Any:
    """The first of these modules that there is: some were renamed."""
    for name in names:
        with suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    raise ModuleNotFoundError(" or ".join(names))


def _build(profile: str, folder: Path, kinds: tuple[str, ...], proposer: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Components of a profile, with random weights of the true size."""
    catalog, profiles = _import("ris_core.profiles.catalog", "ris_core.catalog"), _import("ris_core.profiles")
    sections = profiles.read_profile(profile)
    sections["proposer"]["settings"] |= proposer
    if kinds != ("method",):
        speed = _import("backend.bench.speed", "benchmarks.speed")
        store = _elsewhere(speed.make_up if hasattr(speed, "make_up") else speed._make_up, sections, folder)
    return {
        kind: catalog.build(
            f"{kind}s",
            sections[kind]["name"],
            sections[kind]["settings"] | ({} if kind == "method" else {"store": store, "device": "cpu"}),
        )
        for kind in kinds
    }


def _make_segmenter(built: Mapping[str, Any]) -> Any:
    profiles = _import("ris_core.profiles")
    segmenter = _import("ris_core.segmentation.segmenter", "ris_core.segmenter").Segmenter
    store = _import("ris_core.runtime.weights", "ris_core.weights")
    store = (store.WeightStore if hasattr(store, "WeightStore") else store.Store)()
    takes = len(inspect.signature(profiles.load_parser).parameters)
    parser = profiles.load_parser(*("base", store, "")[:takes])
    known = {
        "profile": "base",
        "method_name": "guided",
        "proposer": _NoProposer(),
        "encoder": built["encoder"],
        "method": built["method"],
        "parser": parser,
        "version_prefix": "base",
    }
    return segmenter(**{name: known[name] for name in inspect.signature(segmenter).parameters if name in known})


class _NoProposer:
    fingerprint: Mapping[str, object] = {"component": "made"}


def make_sentences() -> Iterator[str]:
    """Expressions of things and colours that the demo's models know, no two the same."""
    colours, nouns = ("pink", "orange", "green", "gray", "red", "blue"), ("frog", "tree", "car")
    places = ("left of", "above", "below", "right of")
    for place, (colour, noun, other, of) in itertools.product(
        places, itertools.product(colours, nouns, colours, nouns)
    ):
        yield f"the {colour} {noun} {place} the {other} {of}"


def _make_image(size_hw: tuple[int, int]) -> Any:
    ramp = np.linspace(60, 200, size_hw[1]).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (*size_hw, 3)).copy()
    return _import("ris_core.types").Image.from_array(pixels)


def _make_proposals(count: int, size_hw: tuple[int, int]) -> Any:
    """Things from a sixteenth to a half of the picture's sides."""
    rng = np.random.default_rng(0)
    y, x = np.arange(size_hw[0])[:, None], np.arange(size_hw[1])[None]
    stack = np.zeros((count, *size_hw), bool)
    for mask in stack:
        (cy, cx), (ry, rx) = rng.uniform(0.1, 0.9, 2) * size_hw, rng.uniform(1 / 32, 1 / 4, 2) * size_hw
        mask[:] = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return _import("ris_core.types").Proposals.from_masks(stack)


def _cpu_s(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


if __name__ == "__main__":
    main()
