"""Fit the calibrator of the method `guided` for the profile demo: `python -m demo.tune_guided`.

Uses scenes that neither trained nor measure anything: seeds from 500,000. First the look is fitted (does a proposal show a
phrase?), then the answer (is the best one right?), also where the words fit several things or the place is wrong. Every figure
comes from two halves of the scenes, each judged by what was fitted on the other; what is stored is fitted on all.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from demo.expressions import SceneExpression, make_expressions
from demo.scenes import Scene, SceneObject, make_scene
from ris_core import Image, load_segmenter
from ris_core.errors import BadInput
from ris_core.geometry import masks
from ris_core.language.lexicon import COLOURS
from ris_core.methods._calibration import FOLDER, SUFFIX, Calibrator, Logistic
from ris_core.methods._judging import Judge
from ris_core.methods.guided import GuidedMethod, answer_features
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Expression

FIRST_SEED = 500_000
RIGHT_IOU = 0.5
"""From this IoU a mask is right."""
CLEARLY_ELSEWHERE = 0.15
"""Distance from the middle of the picture, or from a landmark, as a share of its width."""
BINS = 10
"""Bins of equal width for the reliability figures."""


@dataclass(frozen=True, eq=False)
class CalibrationSample:
    """A scene as the method sees it.

    Attributes:
        asked: What is asked of it, with the parse.
        iou: (O, N), of its objects with the proposals.
    """

    scene: Scene
    encoded: EncodedImage
    asked: list[tuple[SceneExpression, Expression]]
    iou: Float[ndarray, "o n"]


def read_samples(segmenter: Segmenter, seeds: Sequence[int]) -> Iterator[CalibrationSample]:
    """Encode scenes and parse their expressions; scenes without proposals are left out."""
    for seed in seeds:
        scene = make_scene(seed)
        encoded = segmenter.encode(Image.from_array(scene.image))
        expressions = [*make_expressions(scene), *_harder(scene)]
        if len(encoded.proposals):
            yield CalibrationSample(
                scene=scene,
                encoded=encoded,
                asked=[(expression, segmenter.parser.parse(expression.text)) for expression in expressions],
                iou=masks.iou(np.stack([thing.mask for thing in scene.objects]), np.asarray(encoded.proposals.masks)),
            )


def fit(segmenter: Segmenter, samples: Sequence[CalibrationSample]) -> Calibrator:
    """Fit both models; every answer counts as one, so the threshold is 0."""
    texts = _texts(segmenter, samples)
    look = _fit_look(segmenter, samples, texts)
    answers = _answers(segmenter, samples, texts, look)
    return Calibrator(look, Logistic.fit(answers.features, answers.is_right), no_match_below=0.0)


def cross_check(segmenter: Segmenter, samples: Sequence[CalibrationSample]) -> tuple[float, dict[str, object]]:
    """The threshold that tells best between targets and none, and the figures with it, by halves."""
    texts, parts = _texts(segmenter, samples), []
    for half in (0, 1):
        fitted = fit(segmenter, samples[half::2])
        answers = _answers(segmenter, samples[1 - half :: 2], texts, fitted.look)
        presence = fitted.presence(answers.features)
        parts.append((fitted.answer(answers.features), presence, answers.is_right, answers.has_target))
    return _figures(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _harder(scene: Scene) -> Iterator[SceneExpression]:
    """What `make_expressions` leaves out because it has no one answer.

    A noun that the scene has several of, meant for one of them: who answers is right as often as chance allows. And a thing that
    is there, but clearly elsewhere: nothing is meant.
    """
    rng = np.random.default_rng([scene.seed, 9])
    groups: dict[str, list[int]] = defaultdict(list)
    for i, thing in enumerate(scene.objects):
        groups[thing.noun].append(i)
    for noun, group in groups.items():
        if len(group) > 1:
            yield SceneExpression(f"the {noun}", "ambiguous", (group[rng.integers(len(group))],))
    width = scene.image.shape[1]
    lone = [(scene.objects[group[0]].centre_xy[0] / width, noun) for noun, group in groups.items() if len(group) == 1]
    beside = [
        f"the {noun} on the {'right' if x < 0.5 else 'left'}" for x, noun in lone if abs(x - 0.5) > CLEARLY_ELSEWHERE
    ]
    pairs = [(noun, other, x, y) for x, noun in lone for y, other in lone if abs(x - y) > CLEARLY_ELSEWHERE]
    related = [f"the {noun} {'right' if x < y else 'left'} of the {other}" for noun, other, x, y in pairs]
    for texts in (beside, related):
        if texts:
            yield SceneExpression(texts[rng.integers(len(texts))], "misplaced", ())


@dataclass(frozen=True, eq=False)
class _Answers:
    """The best proposal of each of M expressions."""

    features: dict[str, Float[ndarray, "m"]]
    is_right: Bool[ndarray, "m"]
    has_target: Bool[ndarray, "m"]


def _method(segmenter: Segmenter) -> GuidedMethod:
    if not isinstance(segmenter.method, GuidedMethod):
        raise BadInput(f"The profile's method is {segmenter.method_name}; only 'guided' has a calibrator to fit.")
    return segmenter.method


def _texts(segmenter: Segmenter, samples: Sequence[CalibrationSample]) -> dict[str, Float[ndarray, "e"]]:
    expressions = [expression for sample in samples for _, expression in sample.asked]
    asked = sorted({text for expression in expressions for text in segmenter.method.texts(expression).values()})
    return dict(zip(asked, segmenter.encoder.encode_texts(asked), strict=True))


def _fit_look(
    segmenter: Segmenter, samples: Sequence[CalibrationSample], texts: Mapping[str, Float[ndarray, "e"]]
) -> Logistic:
    columns: dict[str, list[Float[ndarray, "n"]]] = defaultdict(list)
    truth: list[Bool[ndarray, "n"]] = []
    for sample in samples:
        judge = _judge(segmenter, sample, texts)
        referents = [r for _, expression in sample.asked for top in expression.referents for r in top.things]
        for phrase, head in sorted({(referent.phrase, referent.head) for referent in referents if referent.phrase}):
            called = [_is_called(thing, phrase, head) for thing in sample.scene.objects]
            truth.append((sample.iou * np.array(called)[:, None] >= RIGHT_IOU).any(0))
            for name, values in judge.features(phrase).items():
                columns[name].append(values)
    return Logistic.fit({name: np.concatenate(parts) for name, parts in columns.items()}, np.concatenate(truth))


def _answers(
    segmenter: Segmenter, samples: Sequence[CalibrationSample], texts: Mapping[str, Float[ndarray, "e"]], look: Logistic
) -> _Answers:
    rows, is_right, has_target = [], [], []
    for sample in samples:
        judge = replace(_judge(segmenter, sample, texts), probability=look)
        for asked, expression in sample.asked:
            referent = expression.referents[0]
            judged = judge.judge(referent)
            best = judged.fit.argmax()
            rows.append([values[best] for values in answer_features(judged, judge.same, referent.number).values()])
            is_right.append(bool((sample.iou[list(asked.targets), best] >= RIGHT_IOU).any()))
            has_target.append(bool(asked.targets))
    names = answer_features(judged, judge.same, referent.number)
    return _Answers(dict(zip(names, np.array(rows).T, strict=True)), np.array(is_right), np.array(has_target))


def _judge(segmenter: Segmenter, sample: CalibrationSample, texts: Mapping[str, Float[ndarray, "e"]]) -> Judge:
    encoder = segmenter.encoder
    return _method(segmenter).judge(sample.encoded, texts, encoder.logit_scale, encoder.logit_bias)


def _is_called(thing: SceneObject, phrase: str, head: str) -> bool:
    return thing.noun == head and all(word in thing.colours for word in phrase.split() if word in COLOURS)


def _figures(
    said: Float[ndarray, "m"],
    presence: Float[ndarray, "m"],
    is_right: Bool[ndarray, "m"],
    has_target: Bool[ndarray, "m"],
) -> tuple[float, dict[str, object]]:
    there, absent = presence[has_target], presence[~has_target]
    threshold = float(max(np.unique(presence.round(2)), key=lambda t: (there >= t).sum() + (absent < t).sum()))
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    reliability = [
        {
            "answers": int((bins == b).sum()),
            "said": float(said[bins == b].mean()),
            "right": float(is_right[bins == b].mean()),
        }
        for b in np.unique(bins)
    ]
    gaps = [row["answers"] * abs(row["said"] - row["right"]) for row in reliability]
    return threshold, {
        "expected_calibration_error": sum(gaps) / len(said),
        "targets_answered": float((there >= threshold).mean()),
        "absences_told": float((absent < threshold).mean()),
        "reliability": reliability,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=250)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="measuring uses those below 500,000")
    parser.add_argument("--out", type=Path, default=FOLDER / f"demo{SUFFIX}")
    a = parser.parse_args()
    segmenter = load_segmenter("demo", method={"name": "guided", "calibration": ""})
    samples = list(read_samples(segmenter, range(a.first_seed, a.first_seed + a.scenes)))
    threshold, figures = cross_check(segmenter, samples)
    fingerprints = {"proposer": segmenter.proposer.fingerprint, "encoder": segmenter.encoder.fingerprint}
    digests = {name: fingerprint["digest"] for name, fingerprint in fingerprints.items()}
    about = {"weights": digests, "first_seed": a.first_seed, "scenes": a.scenes, **figures}
    replace(fit(segmenter, samples), no_match_below=threshold, about=about).save(a.out)
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
