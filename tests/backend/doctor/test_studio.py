"""Real HTTP on loopback; tests/e2e asks the real Label Studio."""

import base64
import io
import json
import time
from collections.abc import Callable

import pytest
from PIL import Image

from backend.db.project_store import ProjectConnection
from backend.db.request_store import RequestStore
from backend.doctor import images, service, studio
from backend.label_studio.check import Check
from tests.backend.doctor.looking import MakeContext, look
from tests.backend.stand_in import Answer, Call, recorded, route
from tests.backend.stand_in_tasks import Row, TaskRoutes, UploadRoutes

pytestmark = pytest.mark.slow

NOW = time.time()
TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View><TextArea name="prompt" toName="image"/><Header value="x"/><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels></View>"""


@pytest.mark.parametrize(
    ("version", "state"), [("demo.global_local.1", "ok"), ("demo.loading", "warn")], ids=["ready", "no worker yet"]
)
def test_backend_says_its_model(make_context: MakeContext, serve, version: str, state: str):
    backend = serve(lambda _: (200, {}, json.dumps({"model_version": version}).encode()))
    findings = look(service.check_backend, make_context(PORT=backend.port, BASIC_AUTH_USER="u", BASIC_AUTH_PASS="p"))
    assert (findings["Address"].state, findings["Model"].state, findings["Model"].value) == ("ok", state, version)


def personal_token(expires_at: float) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": expires_at}).encode()).decode().rstrip("=")
    return f"header.{body}.signature"


@pytest.mark.parametrize(
    ("token", "state", "says"),
    [
        pytest.param(TOKEN, "ok", "legacy token", id="legacy"),
        pytest.param(personal_token(NOW + 1e9), "ok", "personal access token", id="personal"),
        pytest.param(personal_token(NOW + 3.2 * 86400), "warn", "valid for 3 more days", id="expires soon"),
        pytest.param("a.b.c", "ok", "personal access token", id="does not say when it expires"),
    ],
)
def test_token_is_told_by_its_form(token: str, state: str, says: str):
    finding = studio.judge_token(token, NOW)
    assert (finding.state, says in finding.value, token in finding.value) == (state, True, False)


class FakeStudio(TaskRoutes, UploadRoutes):
    """Label Studio with one project, as far as the doctor asks it.

    Args:
        backends: Called when it would look at its ML backends; what they have besides what all have.
        tasks: Addresses of the tasks' images.
    """

    token = TOKEN

    def __init__(
        self, backends: Callable[[], list[dict]] = list, config: str = CONFIG, tasks: tuple[str | None, ...] = ()
    ):
        super().__init__(1, config)
        self.project["title"] = "Mine"
        self.backends = backends
        self.tasks = [Row(i, {"image": url} if url else {}, [], []) for i, url in enumerate(tasks, 1)]

    def task_rows(self) -> list[Row]:
        return self.tasks

    def picture(self, name: str) -> bytes:
        return make_png()

    @route("GET", "/api/version", 200)
    def _version(self, _call: Call) -> Answer:
        return 200, recorded("version")

    @route("GET", "/api/current-user/whoami", 200, 401)
    def _who(self, _call: Call) -> Answer:
        return 200, recorded("user", email="somebody@example.com")

    @route("GET", "/api/ml", 200)
    def _ml(self, _call: Call) -> Answer:
        return 200, [recorded("ML backend", **one) for one in self.backends()]

    @route("GET", "/data/local-files/", 200)
    def _local_file(self, _call: Call) -> Answer:
        return 200, make_png()


def make_png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, "PNG")
    return stream.getvalue()


def test_label_studio_says_who_we_are(make_context: MakeContext, serve):
    context = make_context(LABEL_STUDIO_URL=serve(FakeStudio()).url, LABEL_STUDIO_API_KEY=TOKEN)
    findings = look(studio.check_label_studio, context)
    assert [finding.state for finding in findings.values()] == ["ok", "ok", "ok"]
    assert ("1.23.2" in findings["Address"].value, findings["User"].value) == (True, "somebody@example.com")


@pytest.mark.parametrize(
    ("url", "token", "project", "state", "code", "says"),
    [
        pytest.param("studio", "f" * 40, None, "fail", 2, "LABEL_STUDIO_API_KEY", id="wrong token"),
        pytest.param("studio", "", None, "fail", 2, "LABEL_STUDIO_API_KEY", id="no token"),
        pytest.param("http://127.0.0.1:1", TOKEN, None, "fail", 4, "LABEL_STUDIO_URL", id="nobody there"),
        pytest.param("", TOKEN, None, "warn", 0, "LABEL_STUDIO_URL", id="not set"),
        pytest.param("", TOKEN, 1, "fail", 2, "LABEL_STUDIO_URL", id="not set, but a project is named"),
    ],
)
def test_label_studio_that_does_not_know_us(make_context, serve, url, token, project, state, code, says):
    url = serve(FakeStudio()).url if url == "studio" else url
    findings = look(studio.check_label_studio, make_context(project, LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY=token))
    last = list(findings.values())[-1]
    assert (last.state, last.exit_code, says in last.remedy) == (state, code, True)


@pytest.mark.parametrize(
    ("xml", "state", "says"),
    [
        pytest.param(CONFIG, "ok", "prompt prompt; masks go to brush (brush)", id="suits"),
        pytest.param(
            CONFIG.replace("<Header", '<Image name="b" value="$b"/><Header'), "ok", "one of 2", id="two images"
        ),
        pytest.param(CONFIG.replace("TextArea", "Text"), "fail", "nowhere to type", id="no prompt"),
        pytest.param("<View/>", "fail", "no <Image>", id="no image"),
        pytest.param(
            CONFIG.replace('value="$image"', 'value="$images[0]"'), "fail", "one entry of a list", id="a list"
        ),
        pytest.param(CONFIG.replace("<Image", '<Image valueList="$i"'), "fail", "valueList", id="several at once"),
        pytest.param(
            CONFIG.replace("<Image", '<Repeater on="$p"><Image').replace('"$image"/>', '"$image"/></Repeater>'),
            "fail",
            "Repeater",
            id="repeated",
        ),
        pytest.param(
            CONFIG.replace("<BrushLabels", '<BrushLabels value="$labels"'), "fail", "task's data", id="dynamic"
        ),
        pytest.param(CONFIG.replace('name="prompt"', 'name="say"'), "warn", 'typed into "say"', id="another name"),
        pytest.param(CONFIG.replace('name="prompt"', 'name="comment"'), "fail", "nowhere to type", id="a comment"),
    ],
)
def test_label_config_is_judged(xml: str, state: str, says: str):
    finding = studio.judge_config(xml, 1)
    assert (finding.state, says in finding.value, bool(finding.remedy)) == (state, True, state != "ok")


def test_project_that_is_not_there_is_named(make_context: MakeContext, serve):
    context = make_context(4242, LABEL_STUDIO_URL=serve(FakeStudio()).url, LABEL_STUDIO_API_KEY=TOKEN)
    [finding] = look(studio.check_project, context).values()
    assert (finding.exit_code, "no project 4242" in finding.value) == (2, True)


@pytest.mark.parametrize(
    ("row_state", "arrives", "state", "says"),
    [
        pytest.param("CO", True, "ok", "its /setup arrived", id="reached"),
        pytest.param("CO", False, "fail", "did not arrive here", id="another backend is reached"),
        pytest.param("DI", False, "fail", "does not reach http://ris:9090: DI", id="not reached"),
    ],
)
def test_label_studio_reaches_us_if_its_setup_arrives(
    make_context, serve, store: RequestStore, row_state, arrives, state, says
):
    def ask_backends() -> list[dict]:
        if arrives:
            store.projects.save_connection(ProjectConnection(1, "http://studio", "t", CONFIG))
        row = {"id": 1, "url": "http://ris:9090/", "title": "x", "state": row_state, "readable_state": row_state}
        return [row]

    store.projects.save_connection(ProjectConnection(1, "http://studio", "t", CONFIG))
    url = serve(FakeStudio(ask_backends)).url
    sql = store._engine.url.render_as_string()
    context = make_context(1, "http://ris:9090", LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY=TOKEN, DATABASE_URL=sql)
    finding = studio.check_reach(context, studio.open_studio(context), 1, "http://ris:9090")
    assert (finding.state, says in finding.value, finding.exit_code) == (state, True, 4 * (state == "fail"))


def test_backend_that_is_not_connected_is_a_bad_setting(make_context: MakeContext, serve):
    context = make_context(1, LABEL_STUDIO_URL=serve(FakeStudio()).url, LABEL_STUDIO_API_KEY=TOKEN)
    finding = studio.check_reach(context, studio.open_studio(context), 1, "http://ris:9090")
    assert (finding.exit_code, finding.remedy) == (2, "Run: ris connect --project 1 --url http://ris:9090")


@pytest.mark.parametrize(
    ("point", "state", "says"),
    [
        (Check("interactive", "ok", "Auto-Annotation is offered"), "ok", ""),
        (
            Check("interactive", "change", "offers Auto-Annotation"),
            "fail",
            "Run: ris connect (interactive: offers",
        ),
        (Check("label config", "change", "gets a place for messages"), "warn", "Run: ris connect"),
        (Check("webhook", "problem", "is blocked", "Unblock it."), "fail", "Unblock it."),
    ],
)
def test_point_of_a_connection_is_a_finding(point: Check, state: str, says: str):
    finding = studio.judge_point(point, "ris connect")
    assert (finding.state, says in finding.remedy, finding.exit_code) == (state, True, 2 * (state == "fail"))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/data/upload/1/a.png", "upload"),
        ("http://studio:8080/data/upload/1/a.png", "upload"),
        ("/data/local-files/?d=a/b.png", "local files"),
        ("http://elsewhere/data/upload/1/a.png", "elsewhere"),
        ("https://user:pw@images.example.org:81/a.png", "images.example.org:81"),
        ("s3://bucket/a.png", "s3 storage"),
        ("data:image/png;base64,xx", "data URI"),
        ("http://[bad", "bad address"),
    ],
)
def test_kind_of_an_image_is_where_it_comes_from(url: str, kind: str):
    assert images.kind_of(url, {"studio:8080"}) == kind


def test_one_image_of_each_kind_is_fetched(make_context: MakeContext, serve):
    fake = serve(FakeStudio(tasks=("/data/upload/1/a.png", "/data/upload/1/b.png", "/data/local-files/?d=c.png", None)))
    findings = look(images.check_images, make_context(1, LABEL_STUDIO_URL=fake.url, LABEL_STUDIO_API_KEY=TOKEN))
    assert {name: finding.state for name, finding in findings.items()} == {
        "upload": "ok",
        "local files": "ok",
        "Images": "warn",
    }
    assert "task 1: 40x30 px" in findings["upload"].value
    assert "task 4" in findings["Images"].value
    assert [r.path for r in fake.seen if r.path.startswith("/data/")] == [
        "/data/upload/1/a.png",
        "/data/local-files/?d=c.png",
    ]


def test_image_that_may_not_be_fetched_is_said_with_the_remedy(make_context: MakeContext, serve):
    fake = serve(FakeStudio(tasks=("http://elsewhere.example/a.png",)))
    findings = look(images.check_images, make_context(1, LABEL_STUDIO_URL=fake.url, LABEL_STUDIO_API_KEY=TOKEN))
    assert (findings["elsewhere.example"].state, "IMAGE_HOSTS" in findings["elsewhere.example"].remedy) == (
        "fail",
        True,
    )
