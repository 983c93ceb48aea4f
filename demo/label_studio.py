"""A Label Studio of the demo's own: its process and login, a project of scenes, and asking the way its page does."""

import json
import secrets
import uuid
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from backend.base.errors import Unreachable
from backend.base.processes import Program
from backend.base.redaction import reason_of
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import MESSAGE_NAME
from demo.gallery import GALLERY, Exhibit

VERSION = "1.23.2"
"""The Label Studio that the demo is made for."""
TITLE = "Referring expressions demo"
EMAIL = "demo@example.com"
PROMPT = "prompt"
"""Name of the TextArea in the label config that expressions are typed into."""
UPLOAD_TIMEOUT_S = 30.0
_ROOT = Path(__file__).resolve().parent.parent
_COMMAND = _ROOT / ".venv-ls" / "bin" / "label-studio"
_TRY_PX = 44
"""Height of the line with the expression to try."""
_LABEL_CONFIG = _ROOT / "label_config" / "recommended.xml"


@dataclass(frozen=True)
class Secrets:
    """What the demo's programs know each other by; made once per state folder."""

    password: str
    token: str
    backend_password: str
    webhook_secret: str


def is_installed() -> bool:
    """Whether Label Studio is there."""
    return _COMMAND.exists()


def load_secrets(state_dir: Path) -> Secrets:
    """The secrets of a state folder, made on first use; only this user can read the file."""
    file = state_dir / "demo-secrets.json"
    if file.exists():
        return Secrets(**json.loads(file.read_text(encoding="utf-8")))
    made = Secrets(secrets.token_hex(5), secrets.token_hex(20), secrets.token_urlsafe(24), secrets.token_urlsafe(24))
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(made)), encoding="utf-8")
    return made


def make_program(port: int, known: Secrets, state_dir: Path) -> Program:
    """Label Studio without a browser, on loopback, with its data in the state folder.

    Raises:
        Unreachable: If it is not installed.
    """
    if not is_installed():
        raise Unreachable(
            f"Label Studio is not installed in {_COMMAND.parent.parent}. Run `make demo`, which installs it."
        )
    data_dir = state_dir / "label-studio"
    data_dir.mkdir(mode=0o700, exist_ok=True)
    url = f"http://localhost:{port}"
    arguments = ("start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1", "--log-level", "ERROR")
    env = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_HOST": url,
        "LABEL_STUDIO_USERNAME": EMAIL,
        "LABEL_STUDIO_PASSWORD": known.password,
        "LABEL_STUDIO_USER_TOKEN": known.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # Both, or the backend on loopback is refused: one is for the backend, the other for its webhook.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        # Nothing is sent to anybody.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    return Program("label-studio", (str(_COMMAND), *arguments), env, url, VERSION)


def make_label_config() -> str:
    """The recommended label config, with a line that shows the expression to try."""
    root = ET.fromstring(_LABEL_CONFIG.read_text(encoding="utf-8"))
    root.insert(0, ET.Element("Header", {"value": "Try: $try", "size": "5"}))
    [image] = root.iter("Image")
    image.set("maxHeight", image.attrib["maxHeight"].replace(")", f" - {_TRY_PX}px)"))
    return ET.tostring(root, encoding="unicode")


def ensure_project(label_studio: LabelStudioClient) -> tuple[int, bool]:
    """The demo's project, made if it is not there; its id, and whether it is new."""
    for project in label_studio.request("GET", "/api/projects/?page_size=1000")["results"]:
        if project["title"] == TITLE:
            return project["id"], False
    about = "Scenes that the demo models know. Open one, switch Auto-Annotation on, type an expression, press Enter."
    project = {"title": TITLE, "description": about, "label_config": make_label_config()}
    made = label_studio.request("POST", "/api/projects/", project)
    return made["id"], True


def ensure_tasks(
    label_studio: LabelStudioClient, token: str, project: int, state_dir: Path
) -> tuple[dict[Exhibit, int], int]:
    """A task for each scene, uploaded where it is missing; task ids by scene, and how many are new."""
    ids = _task_ids(label_studio, project)
    missing = [exhibit for exhibit in GALLERY if exhibit not in ids]
    if missing:
        tasks = [_make_task(label_studio.url, token, project, exhibit, state_dir) for exhibit in missing]
        label_studio.request("POST", f"/api/projects/{project}/import", tasks)
        ids = _task_ids(label_studio, project)
    return ids, len(missing)


def ask(label_studio: LabelStudioClient, backend: int, task: int, expression: str) -> list[dict[str, Any]]:
    """Ask for an expression the way the labelling page does; the regions it would show.

    If the task has a prediction with the mask already, as after a bulk run, the answer says so: it is asked once more.

    Args:
        backend: Label Studio's id of the ML backend.

    Raises:
        Unreachable: If the backend did not answer Label Studio, or answered without a region; says what it told.
    """
    typed = {
        "value": {"text": [expression]},
        "id": uuid.uuid4().hex[:10],
        "from_name": PROMPT,
        "to_name": "image",
        "type": "textarea",
        "origin": "manual",
    }
    body = {"task": task, "context": {"result": [typed]}}
    for _ in range(2):
        answer = label_studio.request("POST", f"/api/ml/{backend}/interactive-annotating", body)
        if errors := answer.get("errors"):
            raise Unreachable(
                f"Label Studio got no answer from the backend: {errors[0]}. Look into backend.log and worker.log."
            )
        results = answer["data"]["result"]
        if regions := [result for result in results if result["type"] != "textarea"]:
            return regions
    told = [text for result in results if result["from_name"] == MESSAGE_NAME for text in result["value"]["text"]]
    raise Unreachable(
        f'"{expression}" got no mask in task {task}. The backend told: {" ".join(told) or "nothing"} '
        "Look into worker.log and backend.log."
    )


def _task_ids(label_studio: LabelStudioClient, project: int) -> dict[Exhibit, int]:
    page = label_studio.request("GET", f"/api/tasks?project={project}&page_size=1000&fields=all")
    by_key = {(task["meta"].get("seed"), task["data"].get("try")): task["id"] for task in reversed(page["tasks"])}
    return {exhibit: by_key[key] for exhibit in GALLERY if (key := (exhibit.seed, exhibit.expression)) in by_key}


def _make_task(url: str, token: str, project: int, exhibit: Exhibit, state_dir: Path) -> dict[str, Any]:
    """Upload a scene's picture; the task that shows it."""
    file = state_dir / "scenes" / exhibit.file_name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(exhibit.draw())
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Token {token}"}, timeout=UPLOAD_TIMEOUT_S, trust_env=False
    ) as http:
        try:
            picture = {"file": (file.name, file.read_bytes(), "image/png")}
            # Not committed: the upload alone would become a task without an expression to try.
            uploaded = (
                http.post(f"/api/projects/{project}/import?commit_to_project=false", files=picture)
                .raise_for_status()
                .json()
            )
            stored = (
                http.get(f"/api/import/file-upload/{uploaded['file_upload_ids'][0]}").raise_for_status().json()["file"]
            )
        except httpx.HTTPError as error:
            raise Unreachable(
                f"{file.name} cannot be uploaded to Label Studio: {reason_of(error)}. Look into label-studio.log."
            ) from error
    return {"data": {"image": f"/data/{stored}", "try": exhibit.expression}, "meta": {"seed": exhibit.seed}}
