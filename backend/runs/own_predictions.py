"""Which of a task's predictions are an item's own, and which it may take the place of.

Regions have ids that only their run gives, so a prediction with regions is told by them. One without any shows only its
version, which others have too: the run that is replaced, or Label Studio, which keeps what opening a task gave. So before an
item's prediction is sent its task's predictions are noted, where that can matter: what was there before is never taken for
the item's own, and what came after it never for what it replaces. Where it cannot be told, nothing is deleted.
"""

from collections.abc import Sequence

from backend.label_studio.protocol import Json, list_regions
from backend.runs import answers
from backend.runs.item import RunItem


def needs_note(item: RunItem) -> bool:
    """Whether what a task has must be known before an item's prediction is sent."""
    return item.before is None and (item.replaces is not None or is_empty(item))


def is_empty(item: RunItem) -> bool:
    """Whether nothing was found."""
    return not answers.list_handed_out(item)


def list_own(item: RunItem, predictions: Sequence[Json], version: str) -> dict[int, list[int]]:
    """Ids of an item's predictions among those of its task, oldest first, by the rank of their candidates; 1 is its own.

    Args:
        version: Its run's, which items without one of their own were to be answered by.
    """
    ids: dict[int, list[int]] = {}
    for one in predictions:
        rank = answers.read_rank(item, one, item.model_version or version)
        is_known_by_ids = bool(list_regions(one))
        if rank and (is_known_by_ids or int(one["id"]) not in (item.before or ())):
            ids.setdefault(rank, []).append(int(one["id"]))
    return ids


def list_doubles(item: RunItem, own: dict[int, list[int]]) -> list[int]:
    """Of an item's predictions those that are there too often; never one without regions, which may be another's.

    Without its own prediction an item is sent again with all others, so those are too many then.
    """
    mine = own.get(1, [])
    return [one for rank, of in own.items() if rank > 1 or not is_empty(item) for one in of[1 if mine else 0 :]]


def list_replaced(item: RunItem, former: RunItem | None, predictions: Sequence[Json], version: str) -> list[int]:
    """Ids of a former item's predictions that this one takes the place of: those that were there before it was sent."""
    own = list_own(former, predictions, version) if former else {}
    before = set(item.before or ())
    if former and is_empty(former):
        mine = [one for one in own.pop(1, []) if one in before]
        # the first that came after the former looked; without that look, the only one
        own[1] = mine[:1] if former.before is not None or len(mine) == 1 else []
    return [one for of in own.values() for one in of if one in before]


def infer_before(item: RunItem, former: RunItem | None, predictions: Sequence[Json], version: str) -> list[int]:
    """What must have been there before an item of an older version of this program, that may have been sent, and noted nothing.

    Where neither has regions, one prediction without any is the former's, and of several the newest is the item's.
    """
    mine = [one for of in list_own(item, predictions, version).values() for one in of]
    if former and is_empty(item) and is_empty(former):
        mine = mine[-1:] if len(mine) > 1 else []
    return [int(one["id"]) for one in predictions if int(one["id"]) not in mine]


def list_removable(item: RunItem, predictions: Sequence[Json], version: str) -> list[int]:
    """Of what an item that is being replaced has on record as replaced, what may be deleted.

    An older version of this program may have put the item's own on that record: the newest that could be it stays.
    """
    listed = [int(one) for one in (item.replaced or {}).get("predictions", ())]
    if item.before is not None:
        return [one for one in listed if one in item.before]
    mine = [one for of in list_own(item, predictions, version).values() for one in of]
    return [one for one in listed if one not in mine or one != max(mine)]
