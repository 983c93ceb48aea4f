"""`ris bench replay`: what it takes to answer the past prompts of a project again, from features that are in the cache.

The ledger is made through the stores, as requests and annotations make it, with seeded masks: of five prompts an image four are kept
or corrected, and one means nothing. No two expressions are alike, so every one is parsed and encoded anew. Features and masks are made:
what they show does not change what they cost. The images of a small pool stand in the cache under as many names as there are images.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from backend.corrections.judged_answers import read_past_prompts
from backend.corrections.replay import replay, summarise
from backend.corrections.store import CorrectionStore
from backend.db.records import Answer, Region
from backend.db.request_store import RequestStore, open_request_store
from backend.inference.expressions import AnswerOptions
from backend.inference.feature_cache import FeatureCache
from backend.label_studio.annotations import AnnotationEvent, AnnotationVersion
from backend.label_studio.drawn_regions import DrawnRegion
from backend.label_studio.label_config import read_config
from benchmarks.next_expression import CONFIG, build_segmenter, make_encoded, make_sentences
from ris_core.geometry import masks
from ris_core.geometry.masks import Rle
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage

PROJECT = 1
SIZE_HW, PROPOSALS = (480, 640), 100
PER_IMAGE = 5
"""Prompts of an image."""
POOL = 20
"""Different images."""
CANDIDATES = 5
CACHE_BYTES = 1 << 40
WHOLE = 10_000
"""Prompts for which the time is told."""


@dataclass(frozen=True)
class ReplayCost:
    """What answering again took, in seconds.

    Attributes:
        prompts, images: How many were answered again.
        read_s, answer_s, summarise_s: CPU time of reading the ledger, of answering with judging, and of the intervals.
        wall_s: Time by the clock of all three.
    """

    profile: str
    is_random: bool
    prompts: int
    images: int
    read_s: float
    answer_s: float
    summarise_s: float
    wall_s: float

    @property
    def whole_min(self) -> float:
        """CPU minutes of `WHOLE` prompts, as each of these costs."""
        return (self.read_s + self.answer_s + self.summarise_s) / self.prompts * WHOLE / 60

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps({**asdict(self), "minutes_of_10000": self.whole_min})

    def to_markdown(self) -> str:
        """A table."""
        told = "random weights of the true size" if self.is_random else "its own weights"
        height, width = SIZE_HW
        return "\n".join(
            [
                f"Profile `{self.profile}` with {told}; {self.images:,} images of {width} x {height} pixels with {PROPOSALS} proposals.",
                "",
                f"| prompts | ledger, CPU s | answers, CPU s | intervals, CPU s | clock, s | {WHOLE:,} prompts, CPU min |",
                "| ---: | ---: | ---: | ---: | ---: | ---: |",
                f"| {self.prompts:,} | {self.read_s:.1f} | {self.answer_s:.1f} | {self.summarise_s:.1f} | {self.wall_s:.1f} | "
                f"{self.whole_min:.1f} |",
            ]
        )


def measure(
    profile: str, device: str, prompts: int, random_weights: bool, tell: Callable[[str], None] = print
) -> ReplayCost:
    """Make a ledger and answer its prompts again.

    Args:
        profile: Its name.
        prompts: How many; rounded up to whole images.
        random_weights: Make weights of the true size up.
        tell: Is told what is being done.
    """
    images = -(-prompts // PER_IMAGE)
    with ExitStack() as stack:
        segmenter = build_segmenter(profile, device, random_weights, stack)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ris-bench-")))
        cache = FeatureCache(folder / "features", CACHE_BYTES)
        store = open_request_store(f"sqlite:///{folder / 'ris.sqlite3'}")
        stack.callback(store.close)
        correction_store = CorrectionStore(store.engine)
        pool = [_encode(segmenter, seed) for seed in range(POOL)]
        sentences = make_sentences()
        for number in range(images):
            if number % 100 == 0:
                tell(f"making the ledger, image {number:,} of {images:,}")
            encoded = replace(pool[number % POOL], image_sha256=_name(number))
            cache.put(encoded)
            _label(store, correction_store, number, encoded, [next(sentences) for _ in range(PER_IMAGE)])
        tell(f"answering {images * PER_IMAGE:,} prompts again")
        return _time(profile, random_weights, correction_store, segmenter, cache)


def _time(
    profile: str, is_random: bool, correction_store: CorrectionStore, segmenter: Segmenter, cache: FeatureCache
) -> ReplayCost:
    control, options = read_config(CONFIG).controls[0], AnswerOptions(top_k=CANDIDATES)
    began, marks = time.perf_counter(), [time.process_time()]
    with correction_store.reading() as db:
        past = list(read_past_prompts(db, PROJECT))
    marks.append(time.process_time())
    replayed = list(replay(past, segmenter, lambda image: cache.get(segmenter.encode_fp, image), control, options))
    marks.append(time.process_time())
    summarise(replayed)
    marks.append(time.process_time())
    images = len({one.past.image for one in replayed})
    read_s, answer_s, summarise_s = np.diff(marks).tolist()
    wall_s = time.perf_counter() - began
    return ReplayCost(profile, is_random, len(replayed), images, read_s, answer_s, summarise_s, wall_s)


def _encode(segmenter: Segmenter, seed: int) -> EncodedImage:
    return replace(make_encoded(segmenter, SIZE_HW, PROPOSALS, seed), encode_fp=segmenter.encode_fp)


def _label(
    store: RequestStore, correction_store: CorrectionStore, number: int, encoded: EncodedImage, texts: Sequence[str]
) -> None:
    """Answer a task's expressions, and save what an annotator left: the answer, or another candidate, or that it means nothing."""
    rng, now = np.random.default_rng(number), time.time()
    regions, absent = [], []
    for k, text in enumerate(texts):
        chosen = rng.choice(PROPOSALS, CANDIDATES, replace=False).tolist()
        rles = masks.to_rles(masks.take(encoded.proposals.masks, chosen))
        id = f"r{number}-{k}"
        _answer(store, str(number), encoded, text, rles, id)
        if k == PER_IMAGE - 1:
            absent.append(f"none: {text}")
        else:
            saved = rles[0] if k else rles[1]
            regions.append(DrawnRegion(id, "label", "Thing", text, "meta", "manual", None, None, saved))
    version = AnnotationVersion(
        annotation=number,
        project=PROJECT,
        task=str(number),
        annotator=1,
        created_at=now,
        updated_at=now + 1.0,
        lead_time_s=20.0,
        was_cancelled=False,
        is_reviewed=False,
        parent_prediction=None,
        task_data={},
        image=None,
        regions=tuple(regions),
        texts=(("prompt", tuple(absent)),),
    )
    correction_store.add(AnnotationEvent(PROJECT, (version,)), "api")


def _answer(store: RequestStore, task: str, encoded: EncodedImage, text: str, rles: Sequence[Rle], region: str) -> None:
    body: dict[str, object] = {
        "data": {},
        "label_config": CONFIG,
        "hostname": None,
        "expressions": [text],
        "extra_params": {},
    }
    request = store.add_request("interactive", task, body, lifetime_s=3600, project=PROJECT)
    store.start_request(request)
    candidates = [
        {"rank": i + 1, "score": 0.5, "bbox_xywh": [0, 0, 1, 1], "mask": rle, "parts": {"look": 0.5, "look_rank": 1.0}}
        for i, rle in enumerate(rles)
    ]
    height, width = encoded.size_hw
    about = (text, "Thing", "match", "base.guided.00000000", encoded.encode_fp, encoded.image_sha256, height, width)
    record = Answer(*about, candidates, [0], [Region(region, 1, "label", "Thing")])
    store.finish_request(request, {"result": []}, [record])


def _name(number: int) -> str:
    return f"{number:064x}"
