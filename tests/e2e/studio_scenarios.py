"""One scenario for each stand-in for Label Studio: what is there, and what the product asks of the real one and of the stand-in."""

import functools
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import pytest

from backend.base.errors import BadSettings, ImageUnreachable, Unreachable
from backend.corrections.reconciler import reconcile
from backend.corrections.store import open_correction_store
from backend.db.request_store import open_request_store
from backend.doctor import studio as doctor
from backend.label_studio import protocol
from backend.label_studio.client import LabelStudioClient, RequestRefused
from backend.label_studio.connect import carry_out, connect
from backend.label_studio.connection_plan import WantedConnection, make_plan
from backend.label_studio.images import ImageFetcher
from backend.runs.spec import BadRun, RunSpec
from backend.runs.studio_client import RunClient
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.doctor import test_studio
from tests.backend.fake_label_studio import FOREIGN, FakeLabelStudio, FakeTokens
from tests.backend.interactive import test_predict
from tests.backend.runs.fake_studio import FakeStudio
from tests.backend.stand_in import StandIn
from tests.backend.stand_in_tasks import Row
from tests.e2e.exchanges import Exchange, noting

GONE = 10**9
"""A number that nothing has."""


class Site(NamedTuple):
    """A Label Studio: the real one, or a stand-in."""

    url: str
    token: str
    project: int
    stand_in: Any = None


class Real:
    """The real Label Studio, and how things come to be there."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token, self.api = url, token, LabelStudioClient(url, token, 120.0)

    def add_project(self, label_config: str, tasks: Sequence[dict[str, Any]] = ()) -> tuple[Site, list[int]]:
        """A new project, and the ids of its tasks."""
        body = {"title": "Stand-ins", "label_config": label_config}
        project = self.api.request("POST", "/api/projects/", body)["id"]
        if tasks:
            self.api.request("POST", f"/api/projects/{project}/import", list(tasks))
        listed = self.api.request("GET", f"/api/tasks?project={project}&page_size=100")["tasks"]
        return Site(self.url, self.token, project), sorted(task["id"] for task in listed)

    def annotate(self, task: int, **more: Any) -> int:
        return self.api.request("POST", f"/api/tasks/{task}/annotations/", {"result": [], **more})["id"]

    def list_tasks(self, project: int) -> list[dict[str, Any]]:
        path = f"/api/tasks?project={project}&page_size=100&fields=all&resolve_uri=false"
        return self.api.request("GET", path)["tasks"]

    def predict(self, project: int, task: int, version: str) -> None:
        body = [{"task": task, "result": [], "score": 0.5, "model_version": version}]
        assert self.api.request("POST", f"/api/projects/{project}/import/predictions", body) == {"created": 1}

    def make_token(self) -> str:
        """A personal access token; a user has one at most."""
        self.api.request("POST", "/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
        return self.api.request("POST", "/api/token/", {})["token"]


class Compared(NamedTuple):
    """What a scenario brought."""

    stand_in: type[StandIn]
    real: list[Exchange]
    found: list[Exchange]


Serve = Callable[[Callable], SimpleNamespace]


def ask_both(real: Site, stand_in: Site, ask: Callable[[Site], None]) -> tuple[list[Exchange], list[Exchange]]:
    exchanges = []
    for site in (real, stand_in):
        with noting() as seen:
            ask(site)
        exchanges.append(seen)
    return exchanges[0], exchanges[1]


def refused(*arguments: Any) -> None:
    """Ask for something that is refused."""
    studio, *request = arguments
    with suppress(RequestRefused, Unreachable, BadSettings):
        studio.request(*request)
        raise AssertionError(f"{request} was not refused")


def region(name: str, label: str) -> dict[str, Any]:
    value = {"format": "rle", "rle": [0, 0, 0, 64], "brushlabels": [label]}
    size = {"original_width": 4, "original_height": 4}
    return {"id": "r1", "type": "brushlabels", "from_name": name, "to_name": "image", **size, "value": value}


def runs(studio: Real, serve: Serve, _folder: Path) -> Compared:
    """Planning, writing and looking up predictions."""
    fake = FakeStudio()
    data = [{"image": f"/data/upload/1/{i}.png"} for i in range(4)]
    real, tasks = studio.add_project(fake.project["label_config"], data)
    gone = tasks.pop()
    studio.api.request("DELETE", f"/api/tasks/{gone}/")
    other, _ = studio.add_project(fake.project["label_config"])
    views = []
    for project in (real.project, other.project):
        shown = {"title": "All", "filters": {"conjunction": "and", "items": []}, "ordering": ["tasks:id"]}
        views.append(studio.api.request("POST", "/api/dm/views/", {"project": project, "data": shown})["id"])
    annotation = studio.annotate(tasks[0], lead_time=2.0)
    fake.project["id"], fake.views = real.project, {views[0]: real.project, views[1]: other.project}
    fake.tasks = dict(zip(tasks, data, strict=False))
    fake.annotations = {tasks[0]: [{"id": annotation, "lead_time": 2.0}]}
    made = [{"task": task, "result": [region("brush", "Red")], "score": 0.5, "model_version": "v"} for task in tasks]

    def ask(site: Site) -> None:
        api = RunClient(site.url, site.token, 120.0)
        spec = functools.partial(RunSpec, site.project, expressions=("x",))
        for view in (None, views[0]):
            api.label_config(spec(view=view))
            assert len(api.list_tasks(spec(view=view), 0)[0]) == api.count_tasks(spec(view=view)) == 3
        for wrong in (spec(view=views[1]), spec(view=GONE), RunSpec(GONE, expressions=("x",))):
            with pytest.raises(BadRun):
                api.label_config(wrong)
        assert api.list_tasks(spec(view=views[0]), 5) == ((), None)
        assert api.list_tasks(spec(), tasks[-1]) == ((), None)
        assert len(api.list_tasks(spec(only_unlabelled=True), 0)[0]) == 2
        assert len(api.list_tasks(spec(tasks=tuple(tasks[:2])), 0)[0]) == 2
        assert api.import_predictions(site.project, made, lambda: None) == 3
        if site.stand_in:
            site.stand_in.drops = {tasks[1]}
        foreign = {**made[1], "result": [region("nowhere", "Red")], "model_version": "w"}
        other = {**made[2], "model_version": "w"}
        assert api.import_predictions(site.project, [foreign], lambda: None) == 0
        assert api.import_predictions(site.project, [foreign, other], lambda: None) == 1
        with pytest.raises(RequestRefused):
            api.import_predictions(site.project, [{**made[0], "task": gone}], lambda: None)
        [prediction] = api.predictions_of(tasks[0])
        assert (api.predictions_of(gone), api.has_task(tasks[0]), api.has_task(gone)) == ([], True, False)
        listed = api.list_predictions(site.project, [*tasks, gone])
        assert listed == {task: api.predictions_of(task) for task in tasks}
        assert api.annotations_from(tasks[0], prediction["id"]) == api.annotations_from(gone, prediction["id"]) == []
        assert api.count_predictions(site.project, "v") == 3
        api.show_version(site.project, "v")
        with pytest.raises(RequestRefused):
            api.show_version(site.project, "never made")
        api.list_tasks(spec(), 0)
        for _ in range(2):
            api.delete_prediction(prediction["id"])

    return Compared(FakeStudio, *ask_both(real, Site(serve(fake).url, "token", real.project, fake), ask))


def corrections(studio: Real, serve: Serve, folder: Path) -> Compared:
    """What is asked when webhooks got lost: after each change all of it once more."""
    config = FakeTasks(0).project["label_config"]
    real, tasks = studio.add_project(config, [{"image": f"/data/upload/1/{i}.png"} for i in range(4)])
    for task in tasks:
        studio.predict(real.project, task, "v")
    listed = {task["id"]: task for task in studio.list_tasks(real.project)}
    kept, lost = (listed[task]["predictions"][0]["id"] for task in tasks[:2])
    first = studio.annotate(tasks[0], result=[region("brush", "Object")], parent_prediction=kept, lead_time=3.0)
    second = studio.annotate(tasks[1], parent_prediction=lost)
    studio.annotate(tasks[2], was_cancelled=True)
    studio.annotate(tasks[3])
    fake = FakeTasks(real.project)
    site = Site(serve(fake).url, "token", real.project, fake)
    changes = [
        ("GET", "/api/version"),
        ("DELETE", f"/api/predictions/{lost}/"),
        ("DELETE", f"/api/annotations/{second}/"),
        ("DELETE", f"/api/tasks/{tasks[3]}/"),
    ]
    run_stores = {}
    for name in ("real", "fake"):
        url = f"sqlite:///{folder / name}.sqlite3"
        open_request_store(url).close()
        run_stores[name] = open_correction_store(url)
    exchanges: tuple[list[Exchange], list[Exchange]] = ([], [])
    for method, path in changes:
        studio.api.request(method, path)
        fake.tasks = {task["id"]: task for task in studio.list_tasks(real.project)}
        fake.predictions = {one["id"]: one for task in fake.tasks.values() for one in task["predictions"]}

        def ask(site: Site) -> None:
            api, run_store = (
                LabelStudioClient(site.url, site.token, 120.0),
                run_stores["fake" if site.stand_in else "real"],
            )
            reconcile(api, run_store, site.project, is_thorough=True)

        for seen, more in zip(exchanges, ask_both(real, site, ask), strict=True):
            seen.extend(more)

    def ask_for_what_is_not_there(site: Site) -> None:
        api = LabelStudioClient(site.url, site.token, 120.0)
        reconcile(api, run_stores["fake" if site.stand_in else "real"], site.project, with_predictions=True)
        without_fraction = {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime"}
        item = {**without_fraction, "value": "2026-01-01T00:00:00Z"}
        query = f'{{"filters":{{"conjunction":"and","items":[{item}]}}}}'.replace("'", '"')
        refused(api, "GET", f"/api/tasks?project={site.project}&page_size=1&query={query}")
        refused(api, "GET", f"/api/tasks?project={GONE}&page_size=1&query={{}}")
        included = "id,annotations_ids"
        [listed, *_] = api.request("GET", f"/api/tasks?project={site.project}&page_size=9&include={included}")["tasks"]
        assert listed["annotations_ids"] == ""
        for kind, number in itertools.product(("annotations", "predictions", "tasks"), (GONE,)):
            refused(api, "GET", f"/api/{kind}/{number}/")
        for path in (f"annotations/{first}/", f"predictions/{kept}/", f"tasks/{tasks[0]}/"):
            api.request("GET", f"/api/{path}")

    for seen, more in zip(exchanges, ask_both(real, site, ask_for_what_is_not_there), strict=True):
        seen.extend(more)
    assert all(len(run_store.live_annotations(real.project)) == 2 for run_store in run_stores.values())
    return Compared(FakeTasks, *exchanges)


class Backend:
    """An ML backend that can be told not to let anybody in."""

    def __init__(self, serve: Serve) -> None:
        self.is_open, self.url = True, serve(self._answer).url

    def _answer(self, request: SimpleNamespace) -> tuple[int, dict[str, str], bytes]:
        is_let_in = self.is_open or request.path == "/health"
        return (200, {}, b'{"model_version": "demo-1", "status": "UP"}') if is_let_in else (401, {}, b"{}")


def connecting(studio: Real, serve: Serve, _folder: Path) -> Compared:
    """Connecting, again, elsewhere, and what Label Studio refuses."""
    backend, moved = Backend(serve), Backend(serve)
    real, [task] = studio.add_project(FOREIGN, [{"i": "/data/upload/1/a.png"}])
    fake = FakeLabelStudio()
    fake.project |= {"id": real.project, "label_config": FOREIGN}
    fake.tasks = [Row(task, {"i": "/data/upload/1/a.png"}, [], [])]
    unfit = "Successfully connected, but it doesn't look like a valid ML backend."
    refusals = {
        "http://127.0.0.1:9": (400, "Validation error", "Can't connect to ML backend, health check failed."),
        "http://ris.invalid:9": (500, "Can't resolve hostname", None),
        "ftp://127.0.0.1:9": (403, "The provided URL was not allowed.", None),
        backend.url: (400, "Validation error", unfit),
    }

    def ask(site: Site) -> None:
        api = LabelStudioClient(site.url, site.token, 120.0)
        with pytest.raises(BadSettings):
            connect(api, GONE, backend.url)
        backend.is_open = False
        for url, (status, detail, why) in refusals.items():
            if site.stand_in:
                more = {"validation_errors": {"non_field_errors": [why]}} if why else {}
                site.stand_in.refusals = {"POST ml": (status, {"detail": detail, **more})}
            refused(api, "POST", "/api/ml", {"url": url, "project": site.project})
        backend.is_open = True
        if site.stand_in:
            site.stand_in.refusals = {}
        for url in (backend.url, backend.url, moved.url):
            connect(api, site.project, url, ("user", "pass"), "secret")
        [row] = api.request("GET", f"/api/ml?project={site.project}")
        refused(api, "PATCH", f"/api/ml/{row['id']}", {"title": "half of it"})
        if site.stand_in:
            site.stand_in.rows["webhooks"].clear()
            site.stand_in.versions = {"demo-1": 1}
            site.stand_in.tasks[0].predictions.append({"id": 1, "model_version": "demo-1"})
        else:
            for webhook in studio.api.request("GET", f"/api/webhooks/?project={site.project}"):
                studio.api.request("DELETE", f"/api/webhooks/{webhook['id']}/")
            studio.predict(site.project, task, "demo-1")
        connect(api, site.project, moved.url, ("user", "pass"), "secret")
        carry_out(api, make_plan(api, site.project, WantedConnection(moved.url, ("user", "pass"), "secret")))
        if site.stand_in:
            why = {"non_field_errors": ["Validation failed on : 'value' is a required property"]}
            site.stand_in.refusals = {"POST validate": (400, {"detail": "Validation error", "validation_errors": why})}
        refused(
            api, "POST", f"/api/projects/{site.project}/validate/", {"label_config": '<View><Image name="a"/></View>'}
        )

    return Compared(FakeLabelStudio, *ask_both(real, Site(serve(fake).url, "token", real.project, fake), ask))


def tokens(studio: Real, serve: Serve, _folder: Path) -> Compared:
    """A personal access token, and one that is none."""
    real, _ = studio.add_project(test_studio.CONFIG)
    personal = studio.make_token()
    real = real._replace(token=personal)

    def ask(site: Site) -> None:
        path = f"/api/projects/{site.project}/"
        LabelStudioClient(site.url, site.token, 120.0).request("GET", path)
        refused(LabelStudioClient(site.url, "a.b.c", 120.0), "GET", path)
        refused(LabelStudioClient(site.url, "f" * 40, 120.0), "GET", path)

    return Compared(FakeTokens, *ask_both(real, Site(serve(FakeTokens(personal)).url, personal, real.project), ask))


def upload(studio: Real, project: int) -> str:
    """The address of a picture that is uploaded."""
    answer = httpx.post(
        f"{studio.url}/api/projects/{project}/import?commit_to_project=false",
        files={"file": ("a.png", test_studio.make_png())},
        headers={"Authorization": f"Token {studio.token}"},
        timeout=120.0,
        trust_env=False,
    )
    [number] = answer.raise_for_status().json()["file_upload_ids"]
    return f"/data/{studio.api.request('GET', f'/api/import/file-upload/{number}')['file']}"


def fetch(site: Site, picture: str) -> None:
    """A picture, one that is gone, and one with a token that is none."""
    fetcher = ImageFetcher(site.url, site.token, timeout_s=60.0)
    assert fetcher.fetch(picture)
    with pytest.raises(ImageUnreachable):
        fetcher.fetch(f"{picture.rpartition('/')[0]}/gone.png")
    with pytest.raises(ImageUnreachable):
        ImageFetcher(site.url, "f" * 40, timeout_s=60.0).fetch(picture)


def examining(studio: Real, serve: Serve, _folder: Path) -> Compared:
    """What the doctor looks at."""
    backend = Backend(serve)
    real, _ = studio.add_project(test_studio.CONFIG)
    picture = upload(studio, real.project)
    studio.api.request("POST", f"/api/projects/{real.project}/import", [{"image": picture}])
    studio.api.request("POST", "/api/ml", {"url": backend.url, "project": real.project, "title": "x"})
    fake = test_studio.FakeStudio(lambda: [{"title": "x", "url": backend.url}], tasks=(picture,))
    fake.picture = lambda name: test_studio.make_png() if "gone" not in name else None
    fake.project |= {"id": real.project, "model_version": "x", "title": "Stand-ins"}

    def ask(site: Site) -> None:
        case: Any = SimpleNamespace(
            settings=SimpleNamespace(label_studio_url=site.url), api_key=site.token, project=site.project
        )
        assert [finding.state for finding in doctor.check_label_studio(case)] == ["ok"] * 3
        api = LabelStudioClient(site.url, site.token, 60.0)
        doctor.find_project(api, site.project)
        with pytest.raises(BadSettings):
            doctor.find_project(api, GONE)
        assert [row["state"] for row in api.request("GET", f"/api/ml?project={site.project}")] == ["CO"]
        page = f"/api/tasks?project={site.project}&page_size=5&fields=task_only&resolve_uri=false"
        assert len(api.request("GET", page)["tasks"]) == 1
        stranger = LabelStudioClient(site.url, "f" * 40, 60.0)
        for path in (page, "/api/current-user/whoami", f"/api/projects/{site.project}/"):
            refused(stranger, "GET", path)
        fetch(site, picture)

    stand_in = Site(serve(fake).url, test_studio.TOKEN, real.project, fake)
    return Compared(test_studio.FakeStudio, *ask_both(real, stand_in, ask))


def encoding_ahead(studio: Real, serve: Serve, _folder: Path) -> Compared:
    """The next tasks that nobody has labelled, and their pictures."""
    fake = test_predict.FakeStudio()
    rows = fake.task_rows()
    real, tasks = studio.add_project(test_predict.CONFIG, [row.data for row in rows])
    studio.annotate(tasks[2])
    fake.project["id"] = real.project
    picture = upload(studio, real.project)

    def ask(site: Site) -> None:
        api = LabelStudioClient(site.url, site.token, 60.0)
        first = 1 if site.stand_in else tasks[0]
        assert len(api.request("GET", protocol.next_tasks_path(site.project, str(first), 5))["tasks"]) == 5
        fetch(site, "/data/upload/7/1.png" if site.stand_in else picture)

    return Compared(
        test_predict.FakeStudio, *ask_both(real, Site(serve(fake).url, test_predict.TOKEN, real.project, fake), ask)
    )


SCENARIOS = (runs, corrections, connecting, tokens, examining, encoding_ahead)
