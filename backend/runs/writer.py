"""The writer: writes predictions to Label Studio exactly once.

Label Studio takes the same prediction as often as it is sent. So an item is recorded as "writing" before its prediction is sent, and
whoever finds one in that state asks Label Studio whether the prediction is there, by the ids of its regions, before sending it again;
`own_predictions` recognises those without regions.
Predictions of other candidates go before it in the same request, so where it is, they are too.
The last byte of a request is held back until the run store has confirmed, and renewed, the supervisor's lease: a process that was
stopped meanwhile does not send it. What is written twice all the same is found by counting in the end (`sweep`), and deleted.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

import structlog

from backend.base.redaction import reason_of
from backend.label_studio.client import RequestRefused
from backend.label_studio.label_config import read_config
from backend.label_studio.protocol import Json, count_characters
from backend.runs import answers, own_predictions
from backend.runs.item import ItemState, RunItem
from backend.runs.leases import LeaseLost
from backend.runs.planner import GONE
from backend.runs.run import Run
from backend.runs.store import RunStore
from backend.runs.studio_client import RunClient

log = structlog.get_logger(__name__)

BATCH = 100
"""Predictions of one request: each makes Label Studio count the predictions of the whole project."""
BATCH_BYTES = 8 << 20
RENEWED_EVERY = 20
"""Look-ups after which the lease is renewed."""
MAX_REPAIRS = 5
"""Sweeps in a row that may find predictions missing or doubled. Then the run pauses: something else deletes or adds them."""


class PredictionWriter:
    """Writes a run's predictions, for its supervisor.

    Every method raises `LeaseLost` if another worker is the supervisor, `BadSettings` if Label Studio does not accept the token,
    and `Unreachable` if it does not answer: then it is not known what was written, and the items stay "writing".
    """

    def __init__(self, run_store: RunStore, studio: RunClient, run: Run, fence: int) -> None:
        self._run_store, self._studio, self._run, self._fence = run_store, studio, run, fence
        self._version = run.model_version or ""

    def settle(self) -> None:
        """Find out what became of the items that somebody was about to write."""
        while items := self._run_store.items.in_state(self._run.id, "writing"):
            for item in filter(own_predictions.needs_note, items):
                self._note_late(item)
            self._look_up(self._run_store.items.in_state(self._run.id, "writing"), "ready")
        while items := self._run_store.items.in_state(self._run.id, "replacing"):
            for item in items:
                self._remove_replaced(item)

    def push(self) -> float | None:
        """Write the next predictions; seconds that Label Studio took, None if there was nothing to write."""
        self.settle()
        ready = self._run_store.items.in_state(self._run.id, "ready", BATCH)
        tasks = [item.task for number, item in enumerate(ready) if self._note(item, number)]
        items = self._run_store.writes.take_ready(self._run.id, self._fence, BATCH, tasks)
        batch = self._make(items)
        if not batch:
            return None if not ready else 0.0
        began = time.monotonic()
        self._send(batch)
        return time.monotonic() - began

    def sweep(self) -> bool:
        """Compare Label Studio with the run store: delete what is there twice, write again what is missing; whether all was well.

        Where the numbers agree and the supervisor never changed, no task is looked at. Else tasks are looked at page by page, and
        those where something seems wrong once more, one by one.
        """
        versions = {self._version, *self._run_store.counts.versions(self._run.id)}
        expected = {one: self._run_store.counts.count_written(self._run.project, one) for one in versions}
        has = {one: self._studio.count_predictions(self._run.project, one) for one in versions}
        if self._fence == 1 and has == expected:
            return True
        is_well, after = True, -1
        while items := self._run_store.writes.list_expected(self._run.id, after):
            self._check()
            listed = self._studio.list_predictions(self._run.project, [item.task for item in items])
            is_well &= self._look_up([item for item in items if not self._is_there_once(item, listed)], "ready")
            after = items[-1].task
        log.info("swept", run=self._run.id, expected=expected, found=has, is_well=is_well)
        if not is_well and self._run_store.leases.note_repair(self._run.id, self._fence) > MAX_REPAIRS:
            note = (
                f"Predictions of this run were missing or doubled in Label Studio {MAX_REPAIRS} times in a row, though this was "
                f"repaired each time. Find out what deletes or adds them, then `ris run resume {self._run.id}`."
            )
            self._run_store.change(self._run.id, "paused", note, only_from=("running",))
            log.error("the run is paused", run=self._run.id, note=note)
        return is_well

    def _note(self, item: RunItem, number: int) -> bool:
        """Note which predictions an item's task has before it is written, if that can matter; False if nothing needs to be written."""
        if number % RENEWED_EVERY == 0:
            self._check()
        if not own_predictions.needs_note(item):
            return True
        predictions = self._studio.predictions_of(item.task)
        former = self._former(item)
        if former and self._run.spec.mode == "add" and not (self._run.spec.top_k or 1) > 1:
            contents = answers.list_contents(item)
            is_contained = bool(contents) and contents <= answers.list_contents(former)
            if is_contained and own_predictions.list_own(former, predictions, self._version).get(1):
                note = f"Nothing to add: the prediction of the run {former.run} has these masks for these words."
                self._move([item], "unchanged", note, "nothing to add")
                return False
        self._write_note(item, [int(one["id"]) for one in predictions])
        return True

    def _note_late(self, item: RunItem) -> None:
        """Note what was there before an item that an older version of this program may have sent, as far as that can be inferred."""
        predictions = self._studio.predictions_of(item.task)
        self._write_note(item, own_predictions.infer_before(item, self._former(item), predictions, self._version))

    def _write_note(self, item: RunItem, before: Sequence[int]) -> None:
        if not self._run_store.writes.note_before(self._run.id, self._fence, item.task, before):
            raise LeaseLost(f"The run {self._run.id} has another supervisor.")

    def _former(self, item: RunItem) -> RunItem | None:
        """The item that this one takes the place of."""
        return self._run_store.items.get(item.replaces, item.task) if item.replaces is not None else None

    def _make(self, items: Sequence[RunItem]) -> list[tuple[RunItem, list[Json]]]:
        """The predictions of as many items as one request may hold, each item's own last; the other items become "ready" again."""
        control = read_config(self._run.label_config or "").controls[0]
        batch: list[tuple[RunItem, list[Json]]] = []
        size = 0
        for number, item in enumerate(items):
            try:
                version = self._version_of(item)
                others = answers.make_candidate_predictions(item, control, version, self._run.spec.top_k or 1)
                predictions = [*others, answers.make_prediction(item, control, version)]
            except ValueError as error:
                self._move([item], "failed", reason_of(error), "label config")
                continue
            size += sum(map(count_characters, predictions))
            if batch and size > BATCH_BYTES:
                self._move(items[number:], "ready")
                break
            batch.append((item, predictions))
        return batch

    def _send(self, batch: Sequence[tuple[RunItem, list[Json]]]) -> None:
        items = [item for item, _ in batch]
        predictions = [prediction for _, its in batch for prediction in its]
        try:
            created = self._studio.import_predictions(self._run.project, predictions, self._check)
        except RequestRefused as error:
            self._send_apart(batch, error)
            return
        if created == len(predictions):
            self._confirm(items)
        else:
            log.warning("Label Studio dropped predictions", run=self._run.id, sent=len(predictions), created=created)
            self._look_up(items, "failed")

    def _send_apart(self, batch: Sequence[tuple[RunItem, list[Json]]], error: RequestRefused) -> None:
        """After a refusal, when nothing is written: leave out the tasks that are gone, then find the one that is refused by halving."""
        rest = [(item, its) for item, its in batch if self._studio.has_task(item.task)]
        missing = [item for item, _ in batch if item not in [one for one, _ in rest]]
        self._move(missing, "failed", GONE, "task gone")
        if len(rest) == 1 and not missing:
            self._move([rest[0][0]], "failed", str(error), "refused by Label Studio")
        elif rest:
            middle = len(rest) if missing else len(rest) // 2
            for part in (rest[:middle], rest[middle:]):
                if part:
                    self._send(part)

    def _is_there_once(self, item: RunItem, listed: Mapping[int, Sequence[Json]]) -> bool:
        """Whether a listing of Label Studio shows an item's prediction once; of its other candidates none twice."""
        ids = own_predictions.list_own(item, listed.get(item.task, ()), self._version)
        return bool(ids.get(1)) and not own_predictions.list_doubles(item, ids)

    def _look_up(self, items: Sequence[RunItem], if_missing: str) -> bool:
        """Ask Label Studio for each item's prediction; whether each was there once.

        Args:
            if_missing: "ready": send those again that are not there; "failed": Label Studio dropped them.
        """
        present: list[RunItem] = []
        absent: list[RunItem] = []
        is_well = True
        for number, item in enumerate(items):
            if number % RENEWED_EVERY == 0:
                self._check()
            ids = self._list_own(item)
            mine, doubles = ids.get(1, []), own_predictions.list_doubles(item, ids)
            for double in doubles:
                log.warning("a prediction was there twice", run=item.run, task=item.task, prediction=double)
                self._studio.delete_prediction(double)
            is_well &= bool(mine) and not doubles
            (present if mine else absent).append(item)
        self._confirm([item for item in present if item.state != "done"])
        if if_missing == "failed":
            self._move(absent, "failed", self._explain_drop(), "dropped by Label Studio")
        else:
            self._begin_again(absent)
        return is_well

    def _begin_again(self, absent: Iterable[RunItem]) -> None:
        """Send predictions again that are not there, unless their task is not there either."""
        for item in absent:
            if item.state == "writing" or self._studio.has_task(item.task):
                self._move([item], "ready")
            else:
                self._move([item], "failed", GONE, "task gone")

    def _confirm(self, items: Sequence[RunItem]) -> None:
        """Record items as written, after deleting what they replace."""
        self._move([item for item in items if item.replaces is None], "done")
        for item in items:
            if item.replaces is not None:
                self._replace(item)

    def _replace(self, item: RunItem) -> None:
        predictions = self._studio.predictions_of(item.task)
        old = own_predictions.list_replaced(item, self._former(item), predictions, self._version)
        if not old:
            self._move([item], "done")
            return
        # When a prediction is deleted, Label Studio forgets which annotations were made from it.
        annotations = [one for prediction in old for one in self._studio.annotations_from(item.task, prediction)]
        replaced = {"run": item.replaces, "predictions": old, "annotations": annotations}
        if not self._run_store.writes.move(self._run.id, self._fence, [item.task], "replacing", replaced=replaced):
            raise LeaseLost(f"The run {self._run.id} has another supervisor.")
        updated = self._run_store.items.get(self._run.id, item.task)
        if updated:
            self._remove_replaced(updated)

    def _remove_replaced(self, item: RunItem) -> None:
        self._check()
        for prediction in own_predictions.list_removable(item, self._studio.predictions_of(item.task), self._version):
            self._studio.delete_prediction(prediction)
        self._move([item], "done")

    def _list_own(self, item: RunItem) -> dict[int, list[int]]:
        """Ids of an item's predictions in Label Studio, oldest first, by the rank of their candidates; 1 is its own."""
        return own_predictions.list_own(item, self._studio.predictions_of(item.task), self._version)

    def _move(
        self, items: Sequence[RunItem], state: ItemState, error: str | None = None, reason: str | None = None
    ) -> None:
        tasks = [item.task for item in items]
        if not tasks:
            return
        if self._run_store.writes.move(self._run.id, self._fence, tasks, state, error, reason) != len(tasks):
            # Too late: another supervisor may have sent the same. The run goes on, so that a sweep finds what is there twice.
            self._run_store.change(self._run.id, "running", "swept once more", only_from=("done",))
            raise LeaseLost(f"The run {self._run.id} has another supervisor.")

    def _version_of(self, item: RunItem) -> str:
        """The version that answered an item; another one than the run's if the run went on with a newer version."""
        return item.model_version or self._version

    def _check(self) -> None:
        self._run_store.leases.renew(self._run.id, self._fence)

    def _explain_drop(self) -> str:
        control = read_config(self._run.label_config or "").controls[0]
        return (
            "Label Studio dropped the prediction without saying why. Its label config may have changed since the run began: "
            f"it needs {control.name} with the labels {', '.join(control.labels)}."
        )
