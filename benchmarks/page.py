"""`ris bench page`: what an annotator waits for in the real page of Label Studio, by the documented way: keys and Auto-Accept."""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import connect
from backend.local import stack
from benchmarks.labelling_page import LabellingPage, find_chromium, open_browser
from demo import label_studio, up
from demo.gallery import GALLERY, Exhibit
from demo.scenes import make_scene
from demo.up import BACKEND_USER, Demo
from ris_core.errors import BadInput

LARGE = (4000, 3000)
"""Width and height of the large pictures, in pixels."""
FIRST_SEED = 700
"""Of the scenes that nobody asked about before."""
_CONFIG = Path(__file__).parents[1] / "label_config" / "recommended.xml"


@dataclass(frozen=True)
class PageReport:
    """Seconds, one number for each task.

    Attributes:
        tasks_s: From the prompt that is ready to that of the next task, without the time to type.
        small_s, large_s: From Enter to the mask: scenes of the demo, and pictures of 12 megapixels; each was encoded before.
        opened_s: The same for pictures that are opened one after the other at an even pace, encoded ahead while others are looked at.
    """

    tasks_s: tuple[float, ...]
    small_s: tuple[float, ...]
    large_s: tuple[float, ...]
    opened_s: tuple[float, ...]

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps(asdict(self), indent=1)

    def to_markdown(self) -> str:
        """As a table."""
        rows: Mapping[str, Sequence[float]] = {
            "one task by keys, without typing": self.tasks_s,
            "Enter to mask, scenes of the demo": self.small_s,
            "Enter to mask, 12 megapixels": self.large_s,
            "Enter to mask, pictures opened one after the other": self.opened_s,
        }
        lines = [f"| {name} | {len(of)} | {_percentiles(of)} |" for name, of in rows.items() if of]
        return "\n".join(["| seconds | tasks | p50 | p95 |", "| --- | --- | --- | --- |", *lines])


def measure(
    folder: Path, tasks: int, pictures: int, every_s: float, tell: Callable[[str], None] = lambda _: None
) -> PageReport:
    """Sit at the page of a Label Studio of its own, which is stopped in the end.

    Args:
        folder: For its state; empty.
        tasks: How many are done by keys.
        pictures: How many are opened one after the other; 0 for none.
        every_s: At which pace.

    Raises:
        BadInput: If no Chromium is installed.
        Unreachable: If Label Studio is not installed, or a service does not start.
    """
    program = find_chromium()
    if program is None:
        raise BadInput("No Chromium was found.", "Install one: `make chromium`.")
    tell("starting Label Studio")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the report alone goes to standard output
            demo = up.start(folder, label_studio_port=0, backend_port=0)
        with open_browser(program) as browser:
            desk = _Desk(browser, demo, folder)
            tell("tasks by keys")
            tasks_s, small_s = desk.work(tasks)
            tell("large pictures")
            large_s = desk.ask_large()
            tell(f"{pictures} pictures, one every {every_s:g} s")
            return PageReport(tasks_s, small_s, large_s, desk.open_at_a_pace(pictures, every_s))
    finally:
        list(stack.down(folder))


class _Desk:
    """An annotator at the page."""

    def __init__(self, browser: Browser, demo: Demo, folder: Path) -> None:
        self._demo = demo
        self._client = LabelStudioClient(demo.url, demo.secrets.token, up.ANSWER_TIMEOUT_S)
        self._page = LabellingPage.log_in(browser, demo.url, folder, label_studio.EMAIL, demo.secrets.password)

    def work(self, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Do tasks by keys; seconds of each but the first, and from Enter to the mask."""
        exhibits = [GALLERY[i % len(GALLERY)] for i in range(count)]
        project, tasks = self._add_project([self._address_of(exhibit) for exhibit in exhibits])
        texts = {task: exhibit.expression for task, exhibit in zip(tasks, exhibits, strict=True)}
        page, keyboard = self._page, self._page.page.keyboard
        page.open_stream(project)
        page.switch_auto_accept(True)
        page.prompt.focus()
        tasks_s, waits_s = [], []
        for number in range(count):
            task, began = page.task, time.perf_counter()
            keyboard.insert_text(texts[task])
            waits_s.append(self._enter())
            keyboard.press("Tab")
            keyboard.press("Control+Enter")
            if number < count - 1:
                page.await_next(task)
                keyboard.press("Tab")
                tasks_s.append(time.perf_counter() - began)
        return tuple(tasks_s), tuple(waits_s)

    def ask_large(self) -> tuple[float, ...]:
        """Ask about a picture of 12 megapixels that was asked about once."""
        file = io.BytesIO()
        Image.open(io.BytesIO(GALLERY[0].draw())).resize(LARGE).save(file, "JPEG", quality=90)
        project, [task] = self._add_project([self._upload("large.jpg", file.getvalue())])
        self._page.open_task(project, task)
        self._page.switch_auto_accept(True)
        waits = []
        for text in ("the tree", "the orange frog", "the pink car", "the gray car", "the pink frog", "the green tree"):
            self._page.prompt.fill(text)
            waits.append(self._enter())
        return tuple(waits[1:])

    def open_at_a_pace(self, count: int, every_s: float) -> tuple[float, ...]:
        """Open pictures one after the other and ask about each at once."""
        if not count:
            return ()
        scenes = [make_scene(FIRST_SEED + i) for i in range(count)]
        addresses = []
        for i, scene in enumerate(scenes):
            file = io.BytesIO()
            Image.fromarray(scene.image).save(file, "PNG")
            addresses.append(self._upload(f"scene-{i}.png", file.getvalue()))
        project, tasks = self._add_project(addresses)
        waits = []
        for task in tasks:
            due = time.perf_counter() + every_s
            self._page.open_task(project, task)
            self._page.prompt.fill("the largest thing")
            waits.append(self._enter())
            time.sleep(max(0.0, due - time.perf_counter()))
        return tuple(waits)

    def _enter(self) -> float:
        """Press Enter; seconds until the mask is there."""
        began = time.perf_counter()
        with self._page.page.expect_response(lambda answer: "interactive-annotating" in answer.url):
            self._page.prompt.press("Enter")
        self._page.await_answer()
        return time.perf_counter() - began

    def _address_of(self, exhibit: Exhibit) -> str:
        return str(self._client.request("GET", f"/api/tasks/{self._demo.tasks[exhibit]}/")["data"]["image"])

    def _upload(self, name: str, picture: bytes) -> str:
        answer = httpx.post(
            f"{self._demo.url}/api/projects/{self._demo.project}/import?commit_to_project=false",
            files={"file": (name, picture)},
            headers={"Authorization": f"Token {self._demo.secrets.token}"},
            timeout=up.ANSWER_TIMEOUT_S,
            trust_env=False,
        )
        [number] = answer.raise_for_status().json()["file_upload_ids"]
        return f"/data/{self._client.request('GET', f'/api/import/file-upload/{number}')['file']}"

    def _add_project(self, addresses: Sequence[str]) -> tuple[int, list[int]]:
        config = _CONFIG.read_text(encoding="utf-8")
        project = self._client.request("POST", "/api/projects/", {"title": "Bench", "label_config": config})["id"]
        self._client.request("POST", f"/api/projects/{project}/import", [{"image": one} for one in addresses])
        secrets = self._demo.secrets
        credentials = (BACKEND_USER, secrets.backend_password)
        connect(self._client, project, self._demo.backend_url, credentials, secrets.webhook_secret)
        tasks = self._client.request("GET", f"/api/tasks?project={project}&page_size=1000")["tasks"]
        return project, sorted(task["id"] for task in tasks)


def _percentiles(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} | {np.percentile(seconds, 95):.2f}"
