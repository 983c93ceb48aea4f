"""What is known of Label Studio's projects: their connection, label config and settings, and which model version answers them."""

from dataclasses import dataclass

import redis
import structlog

from backend.base.errors import Unreachable
from backend.db.project_store import ProjectConnection
from backend.db.request_store import RequestStore
from backend.label_studio.label_config import LabelConfig, find_message_area, read_config
from backend.label_studio.protocol import Json, PredictCall, SetupCall, Task
from backend.settings.project import ProjectSettings, read_project_settings
from backend.transport import worker_registry
from ris_core.errors import RisError
from ris_core.learning.lesson import split_version

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TaskContext:
    """A task with what its project says about it.

    Attributes:
        config: The label config, with the prompt that the project's settings name.
        settings: The project's settings.
        body: What a worker needs to know of the task, as the request is stored; never a token.
    """

    task: Task
    config: LabelConfig
    settings: ProjectSettings
    body: Json


class Projects:
    """The projects that Label Studio has told about. Threads may share it.

    Args:
        store: Where their connections are.
        conn: Redis, in which workers report their model versions.
        profile: Name of the workers' own profile, until a worker has said more.
    """

    def __init__(self, store: RequestStore, conn: redis.Redis, profile: str) -> None:
        self._store, self._conn = store, conn
        self._versions: dict[str | None, str] = {
            None: worker_registry.loading_version(profile)
        }  # by profile; None is the workers' own
        self._learned: dict[int | None, str] = {}  # versions with what was learnt for a project
        self._profiles: dict[int | None, str | None] = {}  # of the projects that have been read

    def set_up(self, call: SetupCall) -> None:
        """Remember a project's connection."""
        if call.project is None:
            return
        connection = ProjectConnection(
            project=call.project,
            hostname=call.hostname or "",
            access_token=call.access_token or "",
            label_config=call.label_config,
            extra_params=call.extra_params,
        )
        try:
            self._read_settings(call.project, connection)
        except RisError as error:
            log.warning("a project's settings cannot be used", project=call.project, error=str(error))
        # Also one whose settings are wrong: annotators are told so when they ask.
        self._store.projects.save_connection(connection)

    def known_version(self, project: int | None = None) -> str:
        """Model version that answers a project, as far as it is known without asking anybody.

        Args:
            project: None for the version of the workers' own profile.
        """
        profile = self._profiles.get(project)
        version = self._versions.get(profile, worker_registry.loading_version(profile))
        learned = self._learned.get(project, version)
        return learned if split_version(learned)[0] == version else version

    def model_version(self, project: int | None = None) -> str:
        """Model version that answers a project, as a worker reported it last; `loading_version` before that.

        Args:
            project: One that may have a profile of its own; None for the version of the workers' own profile.
        """
        try:
            if project is not None and project not in self._profiles:
                self._read_settings(project, self._store.projects.get_connection(project))
            profile = self._profiles.get(project)
            if version := worker_registry.model_version(self._conn, profile):
                self._versions[profile] = version
                self._learned[project] = self._store.lessons.name_version(project, version)
        except RisError as error:
            log.warning("the model version is not known", project=project, error=str(error))
        return self.known_version(project)

    def read(self, task: Task, call: PredictCall) -> TaskContext:
        """A task with its project's label config and settings.

        Raises:
            BadConfig: If the label config cannot be used.
            BadProjectSetting: If one of the project's settings cannot.
            Unreachable: If the database is down.
        """
        connection = self._store.projects.get_connection(task.project)
        label_config = call.label_config or (connection.label_config if connection else "")
        settings = self._read_settings(task.project, connection)
        body: Json = {
            "data": dict(task.data),
            "label_config": label_config,
            "hostname": (connection.hostname if connection else "") or None,
            "expressions": [],
            "extra_params": dict(connection.extra_params) if connection else {},
        }
        return TaskContext(task, read_config(label_config).with_prompt(settings.prompt), settings, body)

    def read_batch(self, call: PredictCall) -> tuple[str, str | None]:
        """Label config of a call, and the field that its project names for expressions; None for the label config's."""
        connection = self._store.projects.get_connection(call.project)
        label_config = call.label_config or (connection.label_config if connection else "")
        return label_config, read_project_settings(connection.extra_params if connection else {}).expression_field

    def find_message_area(self, task: Task, call: PredictCall) -> str | None:
        """Name of the object that messages about a task belong to; None if its label config has no place for them."""
        try:
            connection = None if call.label_config else self._store.projects.get_connection(task.project)
        except Unreachable:
            return None
        return find_message_area(connection.label_config if connection else call.label_config)

    def _read_settings(self, project: int | None, connection: ProjectConnection | None) -> ProjectSettings:
        self._profiles.setdefault(project, None)  # known from now on, even if its settings cannot be read
        settings = read_project_settings(connection.extra_params if connection else {})
        self._profiles[project] = settings.profile
        return settings
