"""The synthetic benchmark: scenes of fixed seeds, each expression with its exact targets.

`ris eval --dataset scenes` runs it. Training uses seeds from 10,000,000 upwards; nothing was ever trained or tuned on the
scenes of the split "test", and settings are chosen on those of "tune" only.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from demo.everyday_places import make_everyday_expressions
from demo.expressions import make_expressions
from demo.free_style import FreeExpression, read_free_expressions
from demo.other_expressions import make_other_expressions
from demo.other_worlds import make_other_scene
from demo.scenes import Scene, make_scene
from ris_core.errors import UnknownName
from ris_core.evaluation.dataset import Dataset, DatasetItem, EvaluationImage, EvaluationSample
from ris_core.types import Image

SEEDS = {"test": range(300), "tune": range(500_000, 500_200)}
"""Seeds of the scenes that the tables are about, by split."""
# fmt: off
UNSEEN_SEEDS = {
    "test": (
        1020, 1021, 1026, 1045, 1046, 1058, 1068, 1075, 1087, 1091, 1092, 1100, 1105, 1113, 1114, 1116, 1155, 1162, 1168, 1201,
        1204, 1206, 1209, 1212, 1216, 1230, 1240, 1245, 1246, 1254, 1266, 1277, 1299, 1302, 1307, 1318, 1338, 1369, 1385, 1387,
        1390, 1396, 1399, 1400, 1401, 1427, 1437, 1460, 1471, 1485, 1489, 1492, 1521, 1532, 1550, 1554, 1556, 1560, 1565, 1589,
    ),
    "tune": (),
}
# fmt: on
"""Seeds from 1,000 to 1,599 whose scenes ask about a drawing that training never used."""
EVERYDAY_SEEDS = {"test": range(700_000, 700_060), "tune": range(710_000, 710_060)}
"""Of the scenes of everyday places."""
OTHER_SEEDS = {
    "second": {"test": range(800_000, 800_060)},
    "practice": {"tune": range(810_000, 810_120)},
    "held": {"test": range(820_000, 820_030)},
}
"""Of the scenes of the other worlds (`demo.other_worlds`), by world and split."""
UNSEEN = "drawings never trained on"
"""Name of the part with those objects, reported apart."""
DIGESTED = 3
"""Scenes that the digest of the benchmark is made from."""


def read_scenes(split: str = "test") -> Dataset:
    """The benchmark; scenes are drawn when they are needed.

    Args:
        split: A name of `SEEDS`.

    Raises:
        UnknownName: If there is no such split.
    """
    if split not in SEEDS:
        raise UnknownName(f"The scenes have no split named {split!r}. Available: {', '.join(SEEDS)}.")
    seen = [DatasetItem(f"scene-{seed}", partial(draw_case, seed)) for seed in SEEDS[split]]
    unseen = [DatasetItem(f"unseen-{seed}", partial(draw_unseen_case, seed), UNSEEN) for seed in UNSEEN_SEEDS[split]]
    return Dataset("scenes", split, (*seen, *unseen), digest=_digest(SEEDS[split]))


def read_free_scenes(split: str = "test") -> Dataset:
    """The same generator's scenes with expressions as people type them (`demo.free_style`).

    Raises:
        UnknownName: If there is no such split.
    """
    expressions = read_free_expressions(split)
    items = [DatasetItem(f"free-{seed}", partial(draw_free_case, seed, split)) for seed in _seeds_of(expressions)]
    return Dataset(
        "scenes, free style", split, tuple(items), digest=hashlib.sha256(repr(expressions).encode()).hexdigest()[:16]
    )


def draw_free_case(seed: int, split: str) -> EvaluationImage:
    """A scene with what was written about it by hand."""
    scene = make_scene(seed)
    own = [one for one in read_free_expressions(split) if one.seed == seed]
    samples = [
        EvaluationSample(f"{seed}.{number}", one.text, one.targets, one.kind, _same_noun(scene, one.targets))
        for number, one in enumerate(own)
    ]
    return EvaluationImage(
        Image.from_array(scene.image), np.array([thing.mask for thing in scene.objects]), tuple(samples)
    )


def read_everyday_scenes(split: str = "test") -> Dataset:
    """Scenes of seeds of their own, asked for places as people use them (`demo.everyday_places`).

    Raises:
        UnknownName: If there is no such split.
    """
    if split not in EVERYDAY_SEEDS:
        raise UnknownName(f"The everyday scenes have no split named {split!r}. Available: {', '.join(EVERYDAY_SEEDS)}.")
    items = [DatasetItem(f"everyday-{seed}", partial(draw_everyday_case, seed)) for seed in EVERYDAY_SEEDS[split]]
    made = [make_everyday_expressions(make_scene(seed)) for seed in EVERYDAY_SEEDS[split][:DIGESTED]]
    return Dataset(
        "scenes, everyday places", split, tuple(items), digest=hashlib.sha256(repr(made).encode()).hexdigest()[:16]
    )


def draw_everyday_case(seed: int) -> EvaluationImage:
    """A scene with what people would say of where its things are."""
    scene = make_scene(seed)
    samples = [
        EvaluationSample(f"{seed}.{number}", one.text, one.targets, one.kind, _same_noun(scene, one.targets))
        for number, one in enumerate(make_everyday_expressions(scene))
    ]
    return EvaluationImage(
        Image.from_array(scene.image), np.array([thing.mask for thing in scene.objects]), tuple(samples)
    )


def read_second_scenes(split: str = "test") -> Dataset:
    """Scenes and expressions by another hand, which nothing is fitted on.

    Raises:
        UnknownName: If there is no such split.
    """
    return _read_other_scenes("second", split)


def read_practice_scenes(split: str = "tune") -> Dataset:
    """Scenes and expressions by the same other hand, with other drawings, to fit on.

    Raises:
        UnknownName: If there is no such split.
    """
    return _read_other_scenes("practice", split)


def read_held_scenes(split: str = "test") -> Dataset:
    """A third set of drawings, in layouts that the other two lack.

    Raises:
        UnknownName: If there is no such split.
    """
    return _read_other_scenes("held", split)


SCENE_READERS: dict[str, Callable[..., Dataset]] = {
    "templates": read_scenes,
    "free": read_free_scenes,
    "everyday": read_everyday_scenes,
    "second": read_second_scenes,
    "practice": read_practice_scenes,
    "held": read_held_scenes,
}
"""What `ris eval --style` names."""


def _read_other_scenes(world: str, split: str) -> Dataset:
    seeds = OTHER_SEEDS[world]
    if split not in seeds:
        raise UnknownName(f"The {world} scenes have no split named {split!r}. Available: {', '.join(seeds)}.")
    items = [DatasetItem(f"{world}-{seed}", partial(draw_other_case, world, seed)) for seed in seeds[split]]
    digest = hashlib.sha256()
    for seed in seeds[split][:DIGESTED]:
        scene = make_other_scene(world, seed)
        digest.update(scene.image.tobytes() + repr(make_other_expressions(scene)).encode())
    return Dataset(f"scenes, {world} world", split, tuple(items), digest=digest.hexdigest()[:16])


def draw_other_case(world: str, seed: int) -> EvaluationImage:
    """A scene of another world with all its expressions."""
    scene = make_other_scene(world, seed)
    samples = [
        EvaluationSample(f"{seed}.{number}", one.text, one.targets, one.kind, _same_noun(scene, one.targets))
        for number, one in enumerate(make_other_expressions(scene))
    ]
    return EvaluationImage(
        Image.from_array(scene.image), np.array([thing.mask for thing in scene.objects]), tuple(samples)
    )


def _seeds_of(expressions: Sequence[FreeExpression]) -> Sequence[int]:
    return tuple(dict.fromkeys(one.seed for one in expressions))


def draw_case(seed: int) -> EvaluationImage:
    """A scene with all its expressions."""
    return _case(make_scene(seed), wanted=None)


def draw_unseen_case(seed: int) -> EvaluationImage:
    """A scene with only the objects whose drawing was held out, and the expressions about them alone."""
    scene = make_scene(seed, held_out=True)
    return _case(scene, wanted=frozenset(i for i, thing in enumerate(scene.objects) if thing.held_out))


def _case(scene: Scene, wanted: frozenset[int] | None) -> EvaluationImage:
    kept = [i for i in range(len(scene.objects)) if wanted is None or i in wanted]
    samples = []
    for number, expression in enumerate(make_expressions(scene) if kept else []):
        if wanted is not None and not (expression.targets and wanted.issuperset(expression.targets)):
            continue
        samples.append(
            EvaluationSample(
                id=f"{scene.seed}.{number}",
                text=expression.text,
                targets=tuple(kept.index(i) for i in expression.targets),
                kind=expression.kind,
                same_class=_same_noun(scene, expression.targets),
            )
        )
    objects = np.array([scene.objects[i].mask for i in kept], bool).reshape(-1, *scene.image.shape[:2])
    return EvaluationImage(Image.from_array(scene.image), objects, tuple(samples))


def _same_noun(scene: Scene, targets: tuple[int, ...]) -> int:
    """How many objects share the noun of the only target; 0 if it is not the only one."""
    if len(targets) != 1:
        return 0
    return sum(thing.noun == scene.objects[targets[0]].noun for thing in scene.objects)


def _digest(seeds: range) -> str:
    """Changes when the scenes or the expressions do."""
    digest = hashlib.sha256()
    for seed in seeds[:DIGESTED]:
        scene = make_scene(seed)
        digest.update(scene.image.tobytes() + repr(make_expressions(scene)).encode())
    return digest.hexdigest()[:16]
