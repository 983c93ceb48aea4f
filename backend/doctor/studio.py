"""The sections "Label Studio" and "Project": whether we reach Label Studio, and whether a project of it reaches us."""

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
from backend.label_studio import connect, projects_api, protocol
from backend.label_studio.check import Check
from backend.label_studio.client import TOKEN_REMEDY, LabelStudioClient, RequestRefused
from backend.label_studio.label_config import read_config
from backend.label_studio.reachability import how_to_be_reached

TIMEOUT_S = 8.0
"""For one answer of Label Studio, which may call our backend first, for up to 4 s."""
SOON_S = 14 * 86400.0
"""A token that expires sooner is a `warn`."""
CONNECTED = "CO"
"""State of an ML backend that Label Studio has just reached."""
MINOR_POINTS = frozenset({"label config", "model version", "webhook events"})
"""Points of a connection that are only a `warn`: annotators still get their masks, and nothing is lost."""
REPORTED_ELSEWHERE = frozenset({"model", "annotations"})
"""Points that repeat the finding "Reached", or matter only while a label config is edited."""
NO_PROJECT = skip("Project", "no project was given", "To check one, run: ris doctor --project NUMBER")


def open_studio(context: DoctorContext) -> LabelStudioClient:
    """A client for the Label Studio of the settings; the caller closes it.

    Raises:
        BadSettings: If the settings name none.
    """
    if not context.settings.label_studio_url:
        raise BadSettings("LABEL_STUDIO_URL is not set.", TOKEN_REMEDY)
    return LabelStudioClient(context.settings.label_studio_url, context.api_key, TIMEOUT_S)


def check_label_studio(context: DoctorContext) -> Iterator[Finding]:
    """Whether it answers, its version, the token, and the user that the token belongs to."""
    if not context.settings.label_studio_url and context.project is None:
        yield warn(
            "Address",
            "LABEL_STUDIO_URL is not set",
            f"Images cannot be fetched without it if legacy tokens are disabled. {TOKEN_REMEDY}",
        )
        return
    with closing(open_studio(context)) as studio:
        yield ok("Address", f"{studio.url} answers, version {projects_api.read_release(studio)}")
        if not context.api_key:
            yield fail("Token", "LABEL_STUDIO_API_KEY is not set", TOKEN_REMEDY, BAD)
            return
        yield judge_token(context.api_key, time.time())
        yield ok("User", projects_api.read_user_email(studio))


def check_project(context: DoctorContext) -> Iterator[Finding]:
    """The label config of a project, each point of its connection, and whether its Label Studio reaches the backend."""
    if context.project is None:
        yield NO_PROJECT
        return
    with closing(open_studio(context)) as studio:
        project = find_project(studio, context.project)
        yield ok("Project", f"{context.project}, {project.get('title')!r}, {project.get('task_number')} tasks")
        row = _connected_row(studio, context.project)
        config = judge_config(str(project.get("label_config") or ""), context.project, _settings_of(row).get("prompt"))
        yield config
        url = context.url or (str(row["url"]) if row else context.settings.local_url)
        secret = context.settings.webhook_secret
        points = connect.inspect(
            studio, context.project, url, secret.get_secret_value() if secret else None, context.settings.credentials
        )
        for point in points:
            is_reported = point.name == "label config" and (config.state == "fail" or point.state == "ok")
            if point.name not in REPORTED_ELSEWHERE and not is_reported:
                yield judge_point(point, _connect_command(context, url))
        yield check_reach(context, studio, context.project, url)


def find_project(studio: LabelStudioClient, number: int) -> Mapping[str, Any]:
    """A project as Label Studio describes it.

    Raises:
        BadSettings: If there is none of that number.
    """
    try:
        return projects_api.read_project_json(studio, number)
    except RequestRefused as error:
        raise BadSettings(
            f"Label Studio has no project {number} that this user may see.",
            "Check the number: it is in the address of the project's page.",
        ) from error


def judge_token(token: str, now: float) -> Finding:
    """The kind of a token, and how long a personal one is still valid.

    Args:
        now: Seconds since 1970.
    """
    if token.count(".") != 2:  # a personal token is a JWT: header.payload.signature
        return ok("Token", "legacy token")
    left_s = (_read_expiry(token) or now + 2 * SOON_S) - now  # a token that cannot be read is not reported as expiring
    if left_s < SOON_S:
        days = max(0.0, left_s / 86400)
        return warn(
            "Token", f"personal access token, valid for {days:.0f} more days", "Create a new one in Label Studio."
        )
    return ok("Token", "personal access token")


def check_reach(context: DoctorContext, studio: LabelStudioClient, project: int, url: str) -> Finding:
    """Whether Label Studio calls the backend of a project at an address, and the call arrives at this backend."""
    before = read_setup(context.settings.sql_url, project)
    rows = projects_api.list_ml_backends(studio, project)  # Label Studio calls our /health and /setup for this
    after = read_setup(context.settings.sql_url, project)
    row = next((row for row in rows if row["url"].rstrip("/") == url.rstrip("/")), None)
    if row is None:
        return fail("Reached", f"the project has no ML backend at {url}", f"Run: {_connect_command(context, url)}", BAD)
    if row.get("state") != CONNECTED:
        value = f"Label Studio does not reach {url}: {row.get('error_message') or row.get('readable_state')}"
        return fail("Reached", value, f"If Backend above is ok: {how_to_be_reached(url)}", UNREACHABLE)
    if after is None or (before is not None and after.received_at == before.received_at):
        remedy = (
            "Another backend answers there, or it has another RIS_STATE_DIR or DATABASE_URL. Give both the same values."
        )
        return fail("Reached", f"Label Studio reaches {url}, but its /setup did not arrive here", remedy, UNREACHABLE)
    return ok("Reached", f"Label Studio reaches {url}, and its /setup arrived")


def judge_config(xml: str, project: int, prompt: object = None) -> Finding:
    """Whether a label config has an image, a prompt and a control for masks.

    Args:
        prompt: Name of the TextArea that the project's settings give for the prompt; None if they give none.
    """
    try:
        config = read_config(xml).with_prompt(prompt if isinstance(prompt, str) else None)
    except BadConfig as error:
        return failure_of("Label config", error)
    images = len(re.findall(r"<Image[\s/>]", xml))
    controls = ", ".join(f"{control.name} ({control.kind})" for control in config.controls)
    value = f"image {config.image_name} from ${config.image_key}{f', one of {images} images' if images > 1 else ''}"
    if not config.prompts:
        remedy = f'Add a <TextArea name="prompt">, as `ris connect --project {project}` does.'
        return fail("Label config", f"{value}, but nowhere to type an expression", remedy, BAD)
    if not config.is_prompt_named:
        value = (
            f'{value}; text typed into "{config.prompts[0]}" is answered, although the field is not marked as a prompt'
        )
        remedy = (
            f'If this is right, run: ris connect --project {project} --prompt "{config.prompts[0]}". '
            'If not, add a <TextArea name="prompt">.'
        )
        return warn("Label config", value, remedy)
    return ok("Label config", f"{value}; prompt {', '.join(config.prompts)}; masks go to {controls}")


def judge_point(point: Check, command: str) -> Finding:
    """A point of the connection as a finding.

    Args:
        command: The command that corrects it.
    """
    name = point.name.capitalize()
    if point.state == "ok":
        return ok(name, point.detail)
    if point.state == "problem":
        return fail(name, point.detail, point.remedy or f"For details, run: {command} --check", BAD)
    problem, remedy = "differs from what `ris connect` sets up", f"Run: {command} ({point.name}: {point.detail})"
    return warn(name, problem, remedy) if point.name in MINOR_POINTS else fail(name, problem, remedy, BAD)


def _connect_command(context: DoctorContext, url: str) -> str:
    return f"ris connect --project {context.project}{'' if url == context.settings.local_url else f' --url {url}'}"


def _connected_row(studio: LabelStudioClient, project: int) -> Mapping[str, Any] | None:
    """The ML backend of a project that `ris connect` has added; None if there is none."""
    rows = projects_api.list_ml_backends(studio, project)
    return next((row for row in rows if row.get("title") == connect.TITLE), None)


def _settings_of(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The project's settings, which Label Studio stores with the ML backend."""
    return protocol.read_setup({"extra_params": row.get("extra_params") if row else None}).extra_params


def _read_expiry(token: str) -> float | None:
    """When a personal access token expires, in seconds since 1970; None if it cannot be read."""
    body = token.split(".")[1]
    try:  # JWTs leave out the padding of base64
        return float(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"])
    except (ValueError, KeyError, TypeError):
        return None
