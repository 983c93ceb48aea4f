"""What webhooks did not bring: Label Studio gives one a second and never repeats it, so its tasks are asked for by `updated_at`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog

from backend.corrections.annotations import Event, Layout, Version, read_layout, read_time, read_version
from backend.corrections.drawn import read_drawn
from backend.corrections.ledger import Ledger, Prediction
from backend.label_studio.client import LabelStudio, Refused
from ris_core.errors import BadInput

log = structlog.get_logger(__name__)

PAGE = 50
"""Tasks of one request; each comes with all its annotations and predictions."""
LIST_PAGE = 1000
"""Tasks of one request that only lists ids."""
OVERLAP_S = 60.0
"""So much is asked for again: what is saved in one moment can be seen in a later one."""


def reconcile(
    studio: LabelStudio, ledger: Ledger, project: int, *, is_thorough: bool = False, with_predictions: bool = False
) -> int:
    """Add what is missing; how many facts were.

    Args:
        is_thorough: Also find annotations that went with their tasks: lists every task of the project.
        with_predictions: Also keep every prediction, for those who want data sets of them.

    Raises:
        Unreachable: If Label Studio or the database does not answer.
        BadSettings: If its token is not accepted.
        Refused: If there is no such project.
    """
    layout = read_layout(studio.request("GET", f"/api/projects/{project}/").get("label_config"))
    known = ledger.live_annotations(project)  # before anything is asked: what comes meanwhile is not missing there
    until = _newest(studio, project)
    since = None if with_predictions else ledger.seen_until(project)
    added = 0
    for task in _changed_tasks(studio, project, since):
        expected = [id for id, of in known.items() if of == str(task["id"])]
        added += _add_task(ledger, project, task, expected, layout, with_predictions)
    for prediction in sorted(ledger.unknown_predictions(project)):
        added += _add_prediction(studio, ledger, project, prediction, layout)
    if is_thorough:
        added += _find_vanished(studio, ledger, project, known)
    if until:
        ledger.set_seen_until(project, until)
    if added:
        log.info("reconciled", project=project, added=added)
    return added


def _add_task(
    ledger: Ledger,
    project: int,
    task: Mapping[str, Any],
    expected: Sequence[int],
    layout: Layout,
    with_predictions: bool,
) -> int:
    data = {str(task["id"]): task.get("data") or {}}
    listed = task.get("annotations") or []
    versions = tuple(_read_all(listed, project, data, layout))
    here = {annotation.get("id") for annotation in listed}
    gone = tuple(id for id in expected if id not in here)
    predictions = [
        _read_prediction(one, project, str(task["id"]), data[str(task["id"])], layout)
        for one in (task.get("predictions") or [] if with_predictions else [])
    ]
    return ledger.add(Event(project, versions, gone), "api", predictions)


def _read_all(listed: Any, project: int, data: Mapping[str, Any], layout: Layout) -> Iterator[Version]:
    for annotation in listed:
        try:
            yield read_version(annotation, project, data, layout)
        except BadInput as error:
            log.warning("an annotation cannot be read", project=project, error=str(error))


def _add_prediction(studio: LabelStudio, ledger: Ledger, project: int, prediction: int, layout: Layout) -> int:
    """A prediction that an annotation began with; one that is deleted is not known and stays so."""
    try:
        found = studio.request("GET", f"/api/predictions/{prediction}/")
    except Refused as error:
        if error.status == 404:
            return 0
        raise
    task = str(found["task"])
    data = studio.request("GET", f"/api/tasks/{task}/?resolve_uri=false").get("data") or {}
    return ledger.add(Event(project), "api", [_read_prediction(found, project, task, data, layout)])


def _read_prediction(
    prediction: Mapping[str, Any], project: int, task: str, data: Mapping[str, Any], layout: Layout
) -> Prediction:
    return Prediction(
        prediction=int(prediction["id"]),
        project=project,
        task=task,
        created_at=read_time(prediction.get("created_at")),
        model_version=str(prediction.get("model_version") or ""),
        regions=read_drawn(prediction.get("result"), layout.gestures)[0],
        task_data=data,
        image=layout.image_of(data),
    )


def _find_vanished(studio: LabelStudio, ledger: Ledger, project: int, known: Iterable[int]) -> int:
    """Mark annotations that Label Studio does not list any more."""
    here: set[int] = set()
    for task in _pages(studio, project, [], LIST_PAGE, {"include": "id,annotations_ids"}):
        here |= {int(id) for id in str(task.get("annotations_ids") or "").split(",") if id.strip()}
    gone = tuple(id for id in known if id not in here)
    return ledger.add(Event(project, deleted=gone), "api")


def _newest(studio: LabelStudio, project: int) -> str | None:
    """Label Studio's time of the latest change: what changes from now on is later."""
    query = {"ordering": ["-tasks:updated_at"]}
    [*newest] = studio.request("GET", _path(project, query, 1, {}))["tasks"]
    return str(newest[0]["updated_at"]) if newest else None


def _changed_tasks(studio: LabelStudio, project: int, since: str | None) -> Iterator[Mapping[str, Any]]:
    conditions = []
    if since:
        start = datetime.fromisoformat(since) - timedelta(seconds=OVERLAP_S)
        text = start.isoformat().replace("+00:00", "Z")
        conditions = [{"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": text}]
    return _pages(studio, project, conditions, PAGE, {"fields": "all"})


def _pages(
    studio: LabelStudio, project: int, conditions: list[dict[str, Any]], size: int, more: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    """Tasks in the order of their ids, each page asked for by the last id: numbered pages shift when tasks change meanwhile."""
    last = 0
    while True:
        after = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
        query = {"filters": {"conjunction": "and", "items": [*conditions, after]}, "ordering": ["tasks:id"]}
        tasks = studio.request("GET", _path(project, query, size, more))["tasks"]
        yield from tasks
        if len(tasks) < size:
            return
        last = int(tasks[-1]["id"])


def _path(project: int, query: Mapping[str, Any], size: int, more: Mapping[str, str]) -> str:
    given = {"project": project, "page_size": size, "resolve_uri": "false", "query": json.dumps(query), **more}
    return "/api/tasks?" + urlencode(given)
