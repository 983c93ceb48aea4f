"""Drafts: what Label Studio saved last of an annotation that is not submitted. They come with what an annotator asks.

Label Studio saves one at most every five seconds: what was done since is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.label_studio.brush import decode_brush
from backend.label_studio.label_config import LabelConfig
from backend.label_studio.protocol import Json, Task, pack_rle, text_of
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


@dataclass(frozen=True)
class PageRegion:
    """A region of ours that is drawn in the page, as far as Label Studio has that saved.

    Attributes:
        expression: The words that it was found for.
        rank: Rank of the candidate that was asked for; None of one that the expression itself selects.
        is_refined: Clicks or a box made it.
    """

    id: str
    expression: str
    rank: int | None
    is_refined: bool


@dataclass(frozen=True)
class Page:
    """What Label Studio has saved of the page in which something was typed.

    Attributes:
        saved_at: When, as Label Studio writes it; empty if nothing is.
        results: What is drawn, by id.
        untouched: Ids of those that are as the task's predictions have them.
    """

    saved_at: str
    results: Mapping[str, tuple[Json, ...]] = field(repr=False)
    untouched: frozenset[str] = frozenset()

    def list_regions(self) -> tuple[PageRegion, ...]:
        """The regions that were found for words."""
        return tuple(region for result in self.results.values() if (region := _read_region(result[0])))


def read_page(task: Task, prompt_id: str, config: LabelConfig) -> Page:
    """What is drawn in the page of a prompt.

    It is in the draft or the annotation that has the prompt in it. A prompt that is not saved yet may be in a draft that has
    no prompt; without one, the page is as it was opened: with the task's predictions.
    """
    saved = (*task.drafts, *task.annotations)
    own = [one for one in saved if prompt_id in {result.get("id") for result in _list_results(one)}]
    if not own:
        own = [draft for draft in task.drafts if not any(_is_prompt(one, config) for one in _list_results(draft))]
    if not own and not task.drafts:
        own = list(task.predictions)
    results: dict[str, tuple[Json, ...]] = {}
    for result in (dict(result) for one in own for result in _list_results(one)):
        if isinstance(result.get("id"), str) and not _is_prompt(result, config):
            results[result["id"]] = (*results.get(result["id"], ()), result)
    predicted = {one.get("id"): one.get("value") for each in task.predictions for one in _list_results(each)}
    untouched = {
        id for id, of in results.items() if id in predicted and all(one.get("value") == predicted[id] for one in of)
    }
    return Page(max((text_of(one.get("updated_at")) for one in own), default=""), results, frozenset(untouched))


def _list_results(saved: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    results = saved.get("result")
    return [result for result in results if isinstance(result, Mapping)] if isinstance(results, list) else []


def _is_prompt(result: Mapping[str, Any], config: LabelConfig) -> bool:
    return result.get("from_name") in config.prompts


def _read_region(result: Json) -> PageRegion | None:
    """The region, if its `meta` says what it was found for."""
    meta = result.get("meta")
    texts = meta.get("text") if isinstance(meta, Mapping) else None
    if not isinstance(texts, list) or not texts or not isinstance(texts[0], str):
        return None
    notes = meta.get("ris") if isinstance(meta, Mapping) else None
    notes = notes if isinstance(notes, Mapping) else {}
    rank = notes.get("rank")
    return PageRegion(
        str(result["id"]), texts[0], rank if isinstance(rank, int) else None, notes.get("by") in ("click", "box")
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
