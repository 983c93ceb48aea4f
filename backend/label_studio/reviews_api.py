"""What quality review asks of Label Studio's API: who reviews, and a task's annotations, of which it makes some and marks some."""

from typing import Any

import httpx

from backend.label_studio.client import RequestRefused
from backend.label_studio.predictions_api import PredictionsClient
from backend.label_studio.protocol import Json


class ReviewClient(PredictionsClient):
    """Label Studio's API, with what writes approvals."""

    def read_user(self) -> int:
        """Number of the user whom the token belongs to."""
        return int(self.request("GET", "/api/current-user/whoami")["id"])

    def annotations_of(self, task: int) -> list[Json] | None:
        """The annotations of a task that are not skipped; None if the task is gone."""
        annotations: list[Json] | None = self._get(f"/api/tasks/{task}/annotations/")
        return annotations

    def annotate(self, task: int, prediction: Json, unique_id: str) -> bool:
        """Make an annotation of a prediction; False if one with this `unique_id` is there already.

        Args:
            unique_id: A UUID. Label Studio has a unique index of them, so whatever is sent twice is made once.
        """
        body = {
            "result": prediction["result"],
            "parent_prediction": prediction["id"],
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
