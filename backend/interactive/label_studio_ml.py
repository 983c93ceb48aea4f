"""The backend for users of `label-studio-ml start`: a `LabelStudioMLBase` subclass for label-studio-ml 1.0.9 and 2.x.

It queues the same jobs as our own HTTP app, so a worker must run, and is configured by the same environment variables.
Prefer `ris serve`: the server of 1.0.9 has no authentication and loses webhooks that come in the same second.
"""

import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from backend.interactive import predict
from backend.interactive.events import keep_event
from backend.label_studio import protocol

try:
    from label_studio_ml.model import LabelStudioMLBase
except ModuleNotFoundError as error:
    raise ImportError("The adapter needs label-studio-ml. Run: pip install 'label-studio-ris[adapter]'") from error

BASE_TAKES_PROJECT = "project_id" in inspect.signature(LabelStudioMLBase.__init__).parameters
"""2.x is made for a project; 1.0.9 for a label config."""


@functools.cache
def _predict_service() -> predict.PredictService:
    """One for the process: the servers make a model for every request."""
    return predict.open_predict_service()


class RisBackend(LabelStudioMLBase):  # type: ignore[misc]  # label-studio-ml has no types
    """Hands Label Studio's requests to the predict service.

    Args:
        project_id: Project, as 2.x gives it: "7" or "7.1795166623".
        label_config: The project's label config.
        train_output: Given by 1.0.9, not used.
    """

    def __init__(
        self, project_id: str | None = None, label_config: str | None = None, train_output: Any = None, **kwargs: Any
    ) -> None:
        if BASE_TAKES_PROJECT:
            super().__init__(project_id=project_id, label_config=label_config)
        else:
            super().__init__(label_config=label_config, train_output=train_output, **kwargs)
            self.project_id = project_id
        self._config = label_config or ""

    def setup(self) -> None:
        """2.x calls this when a model is made: report the worker's version."""
        if BASE_TAKES_PROJECT:
            self.set("model_version", _predict_service().projects.model_version(protocol.read_project(self.project_id)))

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """One entry a task: a prediction, or `[]`, which stores nothing.

        Args:
            tasks: As Label Studio sends them.
            context: The annotator's action; None outside interactive use.
            kwargs: What else the servers pass on: login and password, not used.
        """
        body = {
            "tasks": list(tasks),
            "project": self.project_id,
            "label_config": self._config,
            "params": {"context": context},
        }
        call = protocol.read_predict(body)
        self._remember_connection(call)
        return _predict_service().predict(call).results

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Keep an event for later: 1.0.9 passes `event` and `data` by name, 2.x by position. Nothing is trained here."""
        event = kwargs.get("event") or next((argument for argument in args if isinstance(argument, str)), None)
        data = kwargs.get("data") or next((argument for argument in args if isinstance(argument, Mapping)), {})
        if event:
            keep_event(_predict_service().store, json.dumps({**data, "action": event}).encode())
        return {}

    def _remember_connection(self, call: protocol.PredictCall) -> None:
        """1.0.9 hands over Label Studio's address and token when a model is made, but not the project; its tasks name it."""
        project = next((task.project for task in call.tasks if task), None)
        if project is not None and getattr(self, "hostname", None):
            setup = {
                "project": project,
                "schema": self._config,
                "hostname": self.hostname,
                "access_token": self.access_token,
            }
            _predict_service().projects.set_up(protocol.read_setup(setup))
