"""Label Studio as runs use it."""

from backend.label_studio.predictions_api import PredictionsClient
from backend.runs.spec import BadRun, RunSpec

TIMEOUT_S = 40.0
"""Longest that Label Studio may be silent; shorter than a supervisor's lease, so that nothing is on its way when that ends."""


class RunClient(PredictionsClient):
    """Label Studio's API with the time limit of a run; a `RunSpec` says which tasks are meant.

    Args:
        url, token: As `LabelStudioClient` takes them.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float | None = None) -> None:
        super().__init__(url, token, timeout_s or TIMEOUT_S)

    def label_config(self, spec: RunSpec) -> str:
        """The label config of a run's project.

        Raises:
            BadRun: If there is no such project, or the run's view belongs to another project.
        """
        label_config = self.find_label_config(spec.project)
        if label_config is None:
            raise BadRun(
                f"There is no project {spec.project} at {self.url} that the token may see. "
                "The address of a project's page contains its id."
            )
        if spec.view is not None and self.find_view_project(spec.view) != spec.project:
            raise BadRun(
                f"The project {spec.project} has no view {spec.view}. "
                "The address of the Data Manager contains the view's id, after tab=."
            )
        return label_config
