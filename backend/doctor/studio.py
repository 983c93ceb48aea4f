"""Label Studio: whether we reach it, as whom, and whether a project of its reaches us."""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from backend.base.errors import BadConfig, BadSettings
from backend.doctor.context import DoctorContext
from backend.doctor.finding import BAD, UNREACHABLE, Finding, fail, failure_of, ok, skip, warn
from backend.doctor.setups import read_setup
from backend.label_studio import connect, protocol
from backend.label_studio.check import Check
from backend.label_studio.client import TOKEN_REMEDY, LabelStudioClient, RequestRefused
from backend.label_studio.label_config import read_config
from backend.label_studio.reachability import how_to_be_reached

TIMEOUT_S = 8.0
"""For one answer of Label Studio; it asks our backend before some of them, for up to 4 s."""
SOON_S = 14 * 86400.0
"""A token that expires sooner is worth a word."""
CONNECTED = "CO"
"""State of an ML backend that Label Studio has just reached."""
NOT_SERIOUS = frozenset({"label config", "model version", "webhook events"})
"""Points of a connection that may be otherwise, and annotators still get their masks and nothing is lost."""
TOLD_ELSEWHERE = frozenset({"model", "annotations"})
"""Points that say no more than the finding "Reached", or that only matter to who edits a label config."""
NO_PROJECT = skip("Project", "none was named", "Look at one with: ris doctor --project NUMBER")


def open_studio(case: DoctorContext) -> LabelStudioClient:
    """Label Studio as the settings name it; to be closed.

    Raises:
        BadSettings: If they do not.
    """
    if not case.settings.label_studio_url:
        raise BadSettings("LABEL_STUDIO_URL is not set.", TOKEN_REMEDY)
    return LabelStudioClient(case.settings.label_studio_url, case.api_key, TIMEOUT_S)


def check_label_studio(case: DoctorContext) -> Iterator[Finding]:
    """Whether it answers, which one it is, and whom it takes us for."""
    if not case.settings.label_studio_url and case.project is None:
        yield warn(
            "Address", "LABEL_STUDIO_URL is not set", f"Images need it where legacy tokens are off. {TOKEN_REMEDY}"
        )
        return
    with closing(open_studio(case)) as studio:
        release = studio.request("GET", "/api/version").get("release")
        yield ok("Address", f"{studio.url} answers, version {release}")
        if not case.api_key:
            yield fail("Token", "LABEL_STUDIO_API_KEY is not set", TOKEN_REMEDY, BAD)
            return
        yield judge_token(case.api_key, time.time())
        user = studio.request("GET", "/api/current-user/whoami")
        yield ok("User", str(user.get("email")))


def check_project(case: DoctorContext) -> Iterator[Finding]:
    """Whether a project's label config suits, and its Label Studio reaches the backend, with all that a connection needs."""
    if case.project is None:
        yield NO_PROJECT
        return
    with closing(open_studio(case)) as studio:
        project = find_project(studio, case.project)
        yield ok("Project", f"{case.project}, {project.get('title')!r}, {project.get('task_number')} tasks")
        known = _known_row(studio, case.project)
        config = judge_config(str(project.get("label_config") or ""), case.project, _settings_of(known).get("prompt"))
        yield config
        url = case.url or (str(known["url"]) if known else case.settings.local_url)
        secret = case.settings.webhook_secret
        points = connect.inspect(
            studio, case.project, url, secret.get_secret_value() if secret else None, case.settings.credentials
        )
        for point in points:
            is_told = point.name == "label config" and (config.state == "fail" or point.state == "ok")
            if point.name not in TOLD_ELSEWHERE and not is_told:
                yield judge_point(point, _connect_command(case, url))
        yield check_reach(case, studio, case.project, url)


def find_project(studio: LabelStudioClient, number: int) -> Mapping[str, Any]:
    """A project as Label Studio describes it.

    Raises:
        BadSettings: If there is none of that number.
    """
    try:
        return studio.request("GET", f"/api/projects/{number}/")
    except RequestRefused as error:
        raise BadSettings(
            f"Label Studio has no project {number} that this user may see.", "Its number is in the address of its page."
        ) from error


def judge_token(token: str, now: float) -> Finding:
    """What kind of token it is, and how long a personal one is valid.

    Args:
        now: Seconds since 1970.
    """
    if token.count(".") != 2:
        return ok("Token", "legacy token")
    left_s = (_read_expiry(token) or now + 2 * SOON_S) - now
    if left_s < SOON_S:
        days = max(0.0, left_s / 86400)
        return warn(
            "Token", f"personal access token, valid for {days:.0f} more days", "Make a new one in Label Studio."
        )
    return ok("Token", "personal access token")


def check_reach(case: DoctorContext, studio: LabelStudioClient, project: int, url: str) -> Finding:
    """Whether a project's Label Studio calls the backend at an address, and the call comes in here."""
    before = read_setup(case.settings.sql_url, project)
    rows = studio.request("GET", f"/api/ml?project={project}")  # Label Studio calls our /health and /setup for this
    after = read_setup(case.settings.sql_url, project)
    row = next((row for row in rows if row["url"].rstrip("/") == url.rstrip("/")), None)
    if row is None:
        return fail("Reached", f"the project has no ML backend at {url}", f"Run: {_connect_command(case, url)}", BAD)
    if row.get("state") != CONNECTED:
        seen = f"Label Studio does not reach {url}: {row.get('error_message') or row.get('readable_state')}"
        return fail("Reached", seen, f"If Backend above is well: {how_to_be_reached(url)}", UNREACHABLE)
    if after is None or (before is not None and after.received_at == before.received_at):
        remedy = (
            "Another backend answers there, or it runs with another RIS_STATE_DIR or DATABASE_URL. Give both the same."
        )
        return fail("Reached", f"Label Studio reaches {url}, but its /setup did not arrive here", remedy, UNREACHABLE)
    return ok("Reached", f"Label Studio reaches {url}, and its /setup arrived")


def judge_config(xml: str, project: int, prompt: object = None) -> Finding:
    """Whether a label config has an image, a prompt and somewhere to put masks.

    Args:
        prompt: Name of the TextArea that the project's settings name for its prompt.
    """
    try:
        config = read_config(xml).with_prompt(prompt if isinstance(prompt, str) else None)
    except BadConfig as error:
        return failure_of("Label config", error)
    images = len(re.findall(r"<Image[\s/>]", xml))
    controls = ", ".join(f"{control.name} ({control.kind})" for control in config.controls)
    seen = f"image {config.image_name} from ${config.image_key}{f', one of {images} images' if images > 1 else ''}"
    if not config.prompts:
        remedy = f'Add a <TextArea name="prompt">, as `ris connect --project {project}` does.'
        return fail("Label config", f"{seen}, but nowhere to type an expression", remedy, BAD)
    if not config.is_prompt_named:
        seen = f'{seen}; what is typed into "{config.prompts[0]}" is answered, though it is not named as a prompt'
        remedy = (
            f'Right? Then run: ris connect --project {project} --prompt "{config.prompts[0]}". '
            'Else add a <TextArea name="prompt">.'
        )
        return warn("Label config", seen, remedy)
    return ok("Label config", f"{seen}; prompt {', '.join(config.prompts)}; masks go to {controls}")


def judge_point(point: Check, command: str) -> Finding:
    """What `ris connect` thinks of a part of the connection.

    Args:
        command: The command that sets right what is not as it should be.
    """
    name = point.name.capitalize()
    if point.state == "ok":
        return ok(name, point.detail)
    if point.state == "problem":
        return fail(name, point.detail, point.remedy or f"See what it says: {command} --check", BAD)
    wrong, remedy = "is not as it should be", f"Run: {command} ({point.name}: {point.detail})"
    return warn(name, wrong, remedy) if point.name in NOT_SERIOUS else fail(name, wrong, remedy, BAD)


def _connect_command(case: DoctorContext, url: str) -> str:
    return f"ris connect --project {case.project}{'' if url == case.settings.local_url else f' --url {url}'}"


def _known_row(studio: LabelStudioClient, project: int) -> Mapping[str, Any] | None:
    """The ML backend that `ris connect` has added."""
    rows = studio.request("GET", f"/api/ml?project={project}")
    return next((row for row in rows if row.get("title") == connect.TITLE), None)


def _settings_of(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The project's settings, which are kept with its ML backend."""
    return protocol.read_setup({"extra_params": row.get("extra_params") if row else None}).extra_params


def _read_expiry(token: str) -> float | None:
    """When a personal access token expires, in seconds since 1970; None if it does not say."""
    body = token.split(".")[1]
    try:
        return float(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
    except (ValueError, KeyError, TypeError):
        return None
