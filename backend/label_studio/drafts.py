"""Drafts: what Label Studio saved last of an annotation that is not submitted. They come with what an annotator asks.

Label Studio saves one at most every five seconds: what was done since is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.label_studio.brush import decode_brush
from backend.label_studio.label_config import LabelConfig
from backend.label_studio.protocol import Json, Task, pack_rle
from ris_core.geometry.masks import Rle, from_rle

SAME_NUMBER = 1e-3
"""Percent: corners that are nearer were not moved."""


@dataclass(frozen=True)
class Draft:
    """One annotator's drafts of a task.

    Attributes:
        user: Whose they are.
        saved_at: When the newest was saved, as Label Studio writes it.
        prompts: Ids of the prompts' results in them.
        results: What is drawn in them, by id.
    """

    user: int
    saved_at: str
    prompts: frozenset[str]
    results: Mapping[str, tuple[Json, ...]] = field(repr=False)


def read_draft(task: Task, config: LabelConfig) -> Draft | None:
    """The drafts that came with a task; None if there are none, or nothing says whose they are."""
    if task.user is None:
        return None
    lists = [result_list for draft in task.drafts if isinstance(result_list := draft.get("result"), list)]
    listed = [result for result_list in lists for result in result_list if isinstance(result, Mapping)]
    with_ids = [dict(result) for result in listed if isinstance(result.get("id"), str)]
    results: dict[str, tuple[Json, ...]] = {}
    for result in with_ids:
        results[result["id"]] = (*results.get(result["id"], ()), result)
    return Draft(
        user=task.user,
        saved_at=max((str(draft.get("updated_at", "")) for draft in task.drafts), default=""),
        prompts=frozenset(result["id"] for result in with_ids if result.get("from_name") in config.prompts),
        results=results,
    )


def is_as_handed_out(result: Json, handed_out: Json, mask: Rle) -> bool:
    """Whether a region of a draft is as it was handed out: neither painted on, nor moved, nor given another label.

    Args:
        result: From the draft.
        handed_out: The region as it was handed out; a brush may lack its run lengths.
        mask: Its mask.
    """
    value, expected = result.get("value"), handed_out["value"]
    kind = handed_out["type"]
    if result.get("type") != kind or not isinstance(value, Mapping) or value.get(kind) != expected.get(kind):
        return False
    if kind == "brushlabels":
        return _is_same_brush(value, mask)
    return all(_is_same(value.get(name), numbers) for name, numbers in expected.items() if name not in (kind, "closed"))


def _is_same_brush(value: Mapping[str, Any], mask: Rle) -> bool:
    """Label Studio keeps new strokes beside the run lengths until the region is submitted."""
    packed = pack_rle(value.get("rle"))
    if packed is None or value.get("touches") or value.get("maskDataURL"):
        return False
    height, width = mask["size"]
    try:
        return np.array_equal(decode_brush(packed, (height, width)), from_rle(mask))
    except ValueError:
        return False


def _is_same(value: object, expected: object) -> bool:
    try:
        one, two = np.array(value, float), np.array(expected, float)
    except (TypeError, ValueError):
        return False
    return one.shape == two.shape and np.allclose(one, two, rtol=0, atol=SAME_NUMBER)
