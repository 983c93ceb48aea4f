"""Against a small stand-in that answers as Label Studio 1.23.2 was recorded to; tests/e2e asks the real one."""

from typing import Any

import pytest

from backend.base.errors import BadSettings
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import ANNOTATION_EVENTS, TITLE, carry_out, connect, inspect
from backend.label_studio.connection_plan import ConnectionPlan, WantedConnection, make_plan
from tests.backend.fake_label_studio import FOREIGN, PROJECT, FakeLabelStudio

URL = "http://127.0.0.1:9"
CREDENTIALS = ("user", "hunter2")
SECRET = "sesame"


@pytest.fixture
def fake() -> FakeLabelStudio:
    return FakeLabelStudio()


@pytest.fixture
def client(fake: FakeLabelStudio, serve) -> LabelStudioClient:
    return LabelStudioClient(serve(fake).url, "0" * 40)


@pytest.fixture
def connected(fake: FakeLabelStudio, client: LabelStudioClient) -> FakeLabelStudio:
    """With everything as it should be, and nothing written since."""
    connect(client, PROJECT, URL, CREDENTIALS, SECRET)
    fake.writes.clear()
    return fake


def plan(client: LabelStudioClient, **wanted: Any) -> ConnectionPlan:
    return make_plan(
        client,
        PROJECT,
        WantedConnection(**{"url": URL, "credentials": CREDENTIALS, "webhook_secret": SECRET, **wanted}),
    )


def states(client: LabelStudioClient) -> dict[str, str]:
    """Of all points that are not as they should be."""
    points = inspect(client, PROJECT, URL, SECRET, CREDENTIALS)
    return {point.name: point.state for point in points if point.state != "ok"}


def test_new_backend_is_interactive_and_sends_its_credentials(fake: FakeLabelStudio, client: LabelStudioClient):
    connection = connect(client, PROJECT, f"{URL}/", CREDENTIALS, SECRET)
    [row] = fake.rows["ml"]
    assert (connection.backend, connection.model_version) == (row["id"], "demo-1")
    assert (row["url"], row["project"], row["is_interactive"]) == (URL, PROJECT, True)
    assert (row["auth_method"], row["basic_auth_user"], row["basic_auth_pass"]) == ("BASIC_AUTH", *CREDENTIALS)


@pytest.mark.parametrize(
    ("credentials", "secret", "expected"),
    [
        pytest.param(("user", "pass"), "secret", {"Authorization": "Bearer secret"}, id="secret"),
        pytest.param(("user", "pass"), None, {"Authorization": "Basic dXNlcjpwYXNz"}, id="basic auth only"),
        pytest.param(None, None, {}, id="open backend"),
    ],
)
def test_webhook_gets_what_lets_it_in(fake: FakeLabelStudio, client: LabelStudioClient, credentials, secret, expected):
    connect(client, PROJECT, URL, credentials, secret)
    [webhook] = fake.rows["webhooks"]
    assert webhook["headers"] == expected
    assert (webhook["send_for_all_actions"], webhook["actions"]) == (False, list(ANNOTATION_EVENTS))


def test_connecting_twice_writes_nothing(connected: FakeLabelStudio, client: LabelStudioClient):
    again = connect(client, PROJECT, URL, CREDENTIALS, SECRET)
    assert (again.backend, again.webhook, connected.writes) == (1, 1, [])


def test_inspection_of_a_connected_project_finds_nothing_to_do(connected: FakeLabelStudio, client: LabelStudioClient):
    assert states(client) == {}
    assert connected.writes == []


def test_backend_at_a_new_address_is_moved_with_its_webhook(connected: FakeLabelStudio, client: LabelStudioClient):
    connect(client, PROJECT, "http://127.0.0.1:9091", CREDENTIALS, SECRET)
    assert [row["url"] for row in connected.rows["ml"]] == ["http://127.0.0.1:9091"]
    assert [row["url"] for row in connected.rows["webhooks"]] == ["http://127.0.0.1:9091/webhook"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [pytest.param("CO", URL, id="reached where it is"), pytest.param("DI", "http://127.0.0.1:9091", id="not reached")],
)
def test_backend_is_left_where_it_is_reached_unless_it_shall_move(
    connected, client: LabelStudioClient, state, expected
):
    connected.rows["ml"][0]["state"] = state
    assert plan(client, url="http://127.0.0.1:9091", moves=False).wanted.url == expected


def test_backend_connected_by_hand_is_taken_over(fake: FakeLabelStudio, client: LabelStudioClient):
    fake.add("ml", {"url": f"{URL}/", "title": "made by hand", "is_interactive": False})
    connect(client, PROJECT, URL)
    [row] = fake.rows["ml"]
    assert (row["title"], row["is_interactive"]) == (TITLE, True)


def test_somebody_elses_backend_is_left_alone(fake: FakeLabelStudio, client: LabelStudioClient):
    other = fake.add("ml", {"url": "http://elsewhere:9090", "title": "other"})
    before = dict(other)
    connect(client, PROJECT, URL)
    assert (len(fake.rows["ml"]), fake.rows["ml"][0]) == (2, before)


def test_lost_webhook_is_made_again(connected: FakeLabelStudio, client: LabelStudioClient):
    connected.rows["webhooks"].clear()
    connect(client, PROJECT, URL, CREDENTIALS, SECRET)
    assert [webhook["url"] for webhook in connected.rows["webhooks"]] == [f"{URL}/webhook"]


def test_headers_and_events_that_somebody_added_are_kept(connected: FakeLabelStudio, client: LabelStudioClient):
    connected.rows["webhooks"][0] |= {"headers": {"X-Team": "a"}, "actions": ["TASKS_CREATED"]}
    connect(client, PROJECT, URL, CREDENTIALS, SECRET)
    [webhook] = connected.rows["webhooks"]
    assert webhook["headers"] == {"X-Team": "a", "Authorization": f"Bearer {SECRET}"}
    assert set(webhook["actions"]) == {"TASKS_CREATED", *ANNOTATION_EVENTS}


DEFECTS = {
    "not interactive": ("ml", {"is_interactive": False}, {"interactive": "change"}),
    "no password": ("ml", {"basic_auth_pass_is_set": False}, {"credentials": "change"}),
    "wrong password": ("ml", {"state": "ER", "error_message": "401 Client Error"}, {"model": "change"}),
    "not reached": ("ml", {"state": "DI"}, {"model": "problem"}),
    "bad setting": ("ml", {"extra_params": {"min_score": "high"}}, {"project settings": "problem"}),
    "webhook off": ("webhooks", {"is_active": False}, {"webhook": "change"}),
    "no authorization": ("webhooks", {"headers": {}}, {"webhook authorization": "change"}),
    "all events": ("webhooks", {"send_for_all_actions": True}, {"webhook events": "change"}),
    "an event missing": ("webhooks", {"actions": list(ANNOTATION_EVENTS[:3])}, {"webhook events": "change"}),
}


@pytest.mark.parametrize(("kind", "defect", "expected"), DEFECTS.values(), ids=DEFECTS)
def test_inspection_finds_what_is_not_as_it_should_be(connected, client: LabelStudioClient, kind, defect, expected):
    connected.rows[kind][0] |= defect
    assert states(client) == expected
    assert connected.writes == []


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if "problem" not in defect[2].values()])
def test_connecting_mends_what_it_finds(connected: FakeLabelStudio, client: LabelStudioClient, name: str):
    kind, defect, _ = DEFECTS[name]
    connected.rows[kind][0] |= defect
    connect(client, PROJECT, URL, CREDENTIALS, SECRET)
    assert connected.writes == [f"PATCH {kind}"]
    if name == "wrong password":  # which Label Studio keeps to itself
        assert connected.rows["ml"][0]["basic_auth_pass"] == CREDENTIALS[1]
        connected.rows["ml"][0]["state"] = "CO"
    connected.rows["ml"][0]["basic_auth_pass_is_set"] = True
    assert states(client) == {}


def test_points_hold_no_secret(fake: FakeLabelStudio, client: LabelStudioClient):
    fake.add("ml", {"url": URL, "extra_params": {"token": SECRET, "profile": "demo"}})
    points = str(inspect(client, PROJECT, URL, SECRET, CREDENTIALS))
    assert "profile 'demo'" in points
    assert [secret for secret in (SECRET, CREDENTIALS[1], "0" * 40) if secret in points] == []


@pytest.mark.parametrize(
    ("earlier", "given", "expected"),
    [
        pytest.param(None, {"profile": "demo"}, {"profile": "demo"}, id="first"),
        pytest.param(
            {"mine": 1, "min_score": 0.5}, {"min_score": 0.2}, {"mine": 1, "min_score": 0.2}, id="others stay"
        ),
        pytest.param('{"mine": 1}', {"profile": "demo"}, {"mine": 1, "profile": "demo"}, id="typed into the form"),
        pytest.param({"profile": "demo", "mine": 1}, {"profile": None}, {"mine": 1}, id="taken away"),
        pytest.param({"mine": 1}, {}, {"mine": 1}, id="nothing given"),
    ],
)
def test_project_settings_are_merged(connected: FakeLabelStudio, client: LabelStudioClient, earlier, given, expected):
    connected.rows["ml"][0]["extra_params"] = earlier
    carry_out(client, plan(client, settings=given))
    assert connected.rows["ml"][0]["extra_params"] == expected
    assert plan(client, settings=given).backend is None


@pytest.mark.parametrize(
    ("shown", "versions", "expected"),
    [
        pytest.param("", {}, "", id="no predictions yet"),
        pytest.param(TITLE, {"demo-1": 3}, "demo-1", id="predictions are there"),
        pytest.param("", {"demo-1": 3}, "demo-1", id="nothing was chosen"),
        pytest.param("theirs", {"theirs": 5, "demo-1": 3}, "theirs", id="somebody chose"),
        pytest.param("demo-1", {"demo-1": 3}, "demo-1", id="set already"),
    ],
)
def test_model_version_is_set_where_label_studio_takes_it(connected, client, shown, versions, expected):
    connected.project["model_version"], connected.versions = shown, versions
    connect(client, PROJECT, URL, CREDENTIALS, SECRET)
    assert connected.project["model_version"] == expected
    assert states(client) == {}


def test_label_config_is_edited_when_it_is_asked_for(connected: FakeLabelStudio, client: LabelStudioClient):
    connected.project |= {"label_config": FOREIGN, "total_annotations_number": 2}
    made = plan(client)
    assert [point.detail for point in made.points if point.name == "annotations"] != []
    carry_out(client, made)
    assert connected.writes == ["PATCH projects"]
    assert (connected.project["label_config"], states(client)) == (made.edit.after, {})


def test_label_config_is_left_to_itself_by_connect(fake: FakeLabelStudio, client: LabelStudioClient):
    fake.project["label_config"] = FOREIGN
    connect(client, PROJECT, URL)
    assert fake.project["label_config"] == FOREIGN


@pytest.mark.parametrize(
    ("config", "refusals", "says"),
    [
        pytest.param("<View></View>", {}, "has no <Image>", id="nothing to be segmented"),
        pytest.param(
            FOREIGN, {"POST validate": (400, {"detail": "Bad tag"})}, "Bad tag", id="not taken by Label Studio"
        ),
    ],
)
def test_label_config_that_cannot_be_edited_is_a_problem(connected, client: LabelStudioClient, config, refusals, says):
    connected.project["label_config"], connected.refusals = config, refusals
    [point] = [point for point in plan(client).points if point.state == "problem"]
    assert (point.name, plan(client).edit) == ("label config", None)
    assert says in point.detail
    assert point.remedy


def test_unknown_project_is_named(client: LabelStudioClient):
    with pytest.raises(BadSettings, match="no project 99"):
        connect(client, 99, URL)


UNREACHED = {
    "detail": "Validation error",
    "validation_errors": {"non_field_errors": ["Can't connect to ML backend, health check failed."]},
}
UNFIT = {
    "detail": "Validation error",
    "validation_errors": {"non_field_errors": ["Successfully connected but it doesn't look like a valid ML backend."]},
}


@pytest.mark.parametrize(
    ("runs", "refusal", "says"),
    [
        pytest.param(True, (403, {"detail": "not allowed"}), ["blocks", "ML_BLOCK_LOCAL_IP=false"], id="blocked"),
        pytest.param(True, (400, UNREACHED), ["does not reach", "runs", "host.docker.internal"], id="not reached"),
        pytest.param(False, (400, UNREACHED), ["does not reach", "Nor does this machine"], id="does not run"),
        pytest.param(True, (500, {"detail": "Can't resolve"}), ["does not reach", "runs"], id="name not known"),
        pytest.param(True, (400, UNFIT), ["cannot use what answers", "look like a valid"], id="not understood"),
    ],
)
def test_refused_address_says_why_and_what_to_do(fake, client: LabelStudioClient, serve, runs, refusal, says):
    fake.refusals["POST ml"] = refusal
    url = serve(lambda _: (200, {}, b'{"model_version": "demo-1"}')).url if runs else URL
    with pytest.raises(BadSettings) as raised:
        connect(client, PROJECT, url)
    assert [part for part in says if part not in str(raised.value)] == []


def test_wrong_credentials_are_told_from_an_address_that_is_not_reached(fake, client: LabelStudioClient, serve):
    fake.refusals["POST ml"] = (400, UNFIT)
    url = serve(lambda request: (200 if request.path == "/health" else 401, {}, b"{}")).url
    with pytest.raises(BadSettings, match="does not accept these credentials"):
        connect(client, PROJECT, url, CREDENTIALS)


def test_webhook_that_alone_is_blocked_leaves_a_model_that_a_later_run_completes(fake, client: LabelStudioClient):
    fake.refusals["POST webhooks"] = (403, {"detail": "not allowed"})
    for _ in range(2):
        with pytest.raises(BadSettings, match=r"blocks its webhook.*SSRF_PROTECTION_ENABLED=false"):
            connect(client, PROJECT, URL)
    fake.refusals.clear()
    connect(client, PROJECT, URL)
    assert (len(fake.rows["ml"]), len(fake.rows["webhooks"])) == (1, 1)
