"""What quality review asks of Label Studio's API: who reviews, and a task's annotations, of which it makes some and marks some."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from backend.label_studio.client import RequestRefused
from backend.label_studio.drawn_regions import DrawnRegion, read_drawn
from backend.label_studio.predictions_api import PredictionsClient
from backend.label_studio.protocol import Json, list_regions


@dataclass(frozen=True)
class Drawing:
    """An annotation or a prediction of a task.

    Attributes:
        regions: By id.
        prediction: Number of the prediction that an annotation was made of; None of others.
        results: As Label Studio has them.
    """

    id: int
    regions: Mapping[str, DrawnRegion]
    is_ground_truth: bool
    prediction: int | None
    results: list[Json]


class ReviewClient(PredictionsClient):
    """Label Studio's API, with what writes approvals."""

    def read_user(self) -> int:
        """Number of the user whom the token belongs to."""
        return int(self.request("GET", "/api/current-user/whoami")["id"])

    def find_user(self, email: str) -> int | None:
        """Number of the user with an e-mail address, among those that the token may see; None if there is none."""
        users = self.request("GET", "/api/users/")
        found = [one["id"] for one in users if str(one.get("email", "")).casefold() == email.casefold()]
        return int(found[0]) if found else None

    def read_annotations(self, task: int) -> list[Drawing] | None:
        """The annotations of a task that are not skipped; None if the task is gone."""
        annotations: list[Json] | None = self._get(f"/api/tasks/{task}/annotations/")
        return None if annotations is None else [_read_drawing(one) for one in annotations]

    def read_predictions(self, task: int) -> list[Drawing]:
        """The predictions of a task, the oldest first; none if the task is gone."""
        return [_read_drawing(one) for one in self.predictions_of(task)]

    def annotate(self, task: int, prediction: Drawing, unique_id: str) -> bool:
        """Make an annotation of a prediction; False if one with this `unique_id` is there already.

        Args:
            unique_id: A UUID. Label Studio has a unique index of them, so whatever is sent twice is made once.
        """
        body = {
            "result": prediction.results,
            "parent_prediction": prediction.id,
            "unique_id": unique_id,
            "lead_time": 0.0,
        }
        try:
            self.request("POST", f"/api/tasks/{task}/annotations/", body)
        except RequestRefused as error:
            if error.status != httpx.codes.CONFLICT:
                raise
            return False
        return True

    def mark_ground_truth(self, annotation: int) -> Any:
        """Set the ground-truth flag of an annotation; Label Studio takes it from all others of the task."""
        return self.request("PATCH", f"/api/annotations/{annotation}/", {"ground_truth": True})


def _read_drawing(drawing: Json) -> Drawing:
    results = list_regions(drawing)
    regions = {region.id: region for region in read_drawn(results)[0]}
    is_ground_truth = bool(drawing.get("ground_truth"))  # a prediction has none
    return Drawing(int(drawing["id"]), regions, is_ground_truth, drawing.get("parent_prediction"), results)
