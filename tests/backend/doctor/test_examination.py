"""What is said, and what never is."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest
import typer
from typer.testing import CliRunner

from backend.base.errors import BadSettings
from backend.base.redaction import HIDDEN
from backend.commands.doctor import FIELDS, doctor
from backend.doctor.context import DoctorContext
from backend.doctor.examination import SECTIONS, Section, examine
from backend.doctor.finding import Finding, exit_code, fail, failure_of, ok, skip, warn
from tests.backend.doctor.looking import MakeContext

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef0123456789abcdef01234567"
QUICK_SECTIONS = [section for section in SECTIONS if section.name != "Device"]
"""All that does not load torch."""


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and everything that the command prints."""
    app = typer.Typer()
    app.command()(doctor)
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


def test_remedy_is_what_the_error_says_whatever_stands_in_its_text():
    error = BadSettings("The file “a. b) (c.png” is wrong.", "Do this. And that.")
    finding = failure_of("File", error)
    assert (finding.value, finding.remedy) == ("The file “a. b) (c.png” is wrong", "Do this. And that.")
    assert str(error) == "The file “a. b) (c.png” is wrong. Do this. And that."


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        pytest.param([ok("a", ""), warn("b", "", "x"), skip("c", "")], 0, id="nothing failed"),
        pytest.param([fail("a", "", "", 3), fail("b", "", "", 2), fail("c", "", "", 4)], 4, id="service first"),
        pytest.param([fail("a", "", "", 3), fail("b", "", "", 2)], 2, id="settings before weights"),
        pytest.param([fail("a", "", "", 1), fail("b", "", "", 3)], 3, id="weights before the unforeseen"),
    ],
)
def test_exit_code_is_that_of_the_most_important_failure(findings: list[Finding], code: int):
    assert exit_code(findings) == code


def test_check_that_raises_or_hangs_is_a_finding_and_the_others_go_on(make_context: MakeContext):
    def break_down(_case: DoctorContext) -> Iterator[Finding]:
        yield ok("before", "seen")
        raise KeyError("x")

    def hang(_case: DoctorContext) -> Iterator[Finding]:
        time.sleep(30)
        yield ok("never", "")

    sections = [Section("A", break_down), Section("B", hang, limit_s=0.1), Section("C", hang, needs="A")]
    findings = list(examine(make_context(), [*sections, Section("D", lambda _: iter([ok("after", "")]))]))
    assert [(f.section, f.state) for f in findings] == [
        *(("A", "ok"), ("A", "fail"), ("B", "fail"), ("C", "skip"), ("D", "ok"))
    ]
    assert ("KeyError" in findings[1].value, "within 0 s" in findings[2].value) == (True, True)
    assert exit_code(findings) == 4


def test_every_failure_of_a_machine_where_nothing_runs_has_a_remedy(make_context: MakeContext):
    make = {"PORT": 1, "RIS_PROFILE": "base", "LABEL_STUDIO_URL": "http://127.0.0.1:1", "LABEL_STUDIO_API_KEY": TOKEN}
    context = make_context(project=1, REDIS_URL="redis://127.0.0.1:1", MODEL_DIR="/none", **make)
    findings = list(examine(context, QUICK_SECTIONS))
    assert {f.section for f in findings} == {section.name for section in QUICK_SECTIONS}
    assert {f.section for f in findings if f.state == "fail"} == {"Redis", "Backend", "Label Studio", "Weights"}
    assert [f.name for f in findings if f.state in ("warn", "fail") and not f.remedy] == []


@pytest.fixture
def secretive(make_context: MakeContext, serve) -> Callable[..., tuple[DoctorContext, list[str]]]:
    """A context with a secret in every setting that can hold one, and a Label Studio that says them all back."""

    def make(at: str = "@", sql: str = "postgresql+psycopg") -> tuple[DoctorContext, list[str]]:
        redis, database, password, hook = secrets = [f"secret-{i}-of-mine" for i in range(4)]
        login = b64encode(f"label-studio:{password}".encode()).decode()
        echo = serve(lambda request: (400, {}, json.dumps([request.headers, *secrets, TOKEN, login]).encode()))
        context = make_context(
            project=1,
            REDIS_URL=f"redis://user:{redis}{at}127.0.0.1:1/0?password={redis}",
            DATABASE_URL=f"{sql}://user:{database}{at}127.0.0.1:1/db?password={database}",
            LABEL_STUDIO_URL=echo.url,
            LABEL_STUDIO_API_KEY=f"{TOKEN}\r\n",
            BASIC_AUTH_USER="label-studio",
            BASIC_AUTH_PASS=password,
            WEBHOOK_SECRET=hook,
            PORT=echo.port,
        )
        return context, [TOKEN, login, *secrets]

    return make


@pytest.mark.parametrize(
    ("at", "sql", "failed"),
    [
        pytest.param("@", "postgresql+psycopg", "Label Studio", id="addresses"),
        pytest.param("/x#@", "postgresql+psycopg", "Settings", id="malformed addresses"),
        pytest.param("@", "nosuch", "Settings", id="unknown database"),
    ],
)
def test_no_finding_holds_a_secret(secretive, at: str, sql: str, failed: str):
    context, secrets = secretive(at, sql)
    findings = list(examine(context, QUICK_SECTIONS))
    said = "\n".join(str(getattr(finding, field)) for finding in findings for field in FIELDS)
    assert [secret for secret in secrets if secret in said] == []
    assert HIDDEN in next(f.value for f in findings if f.section == failed and f.state == "fail")


def test_command_prints_no_secret(secretive):
    _, secrets = secretive()
    code, said = run("--project", "1")
    assert code == 4
    assert [secret for secret in secrets if secret in said] == []
    assert "auto means " in said  # the last section was reached


def test_json_is_one_document_of_findings(make_context: MakeContext):
    make_context(PORT="many")
    code, said = run("--json")
    document = json.loads(said)
    assert all(tuple(finding) == FIELDS for finding in document)
    [failure] = [finding for finding in document if finding["state"] == "fail"]
    assert (code, failure["name"], failure["value"], failure["origin"]) == (2, "PORT", "many", "environment")


def test_lines_are_aligned_below_their_section(make_context: MakeContext):
    make_context(PORT="many")
    code, said = run()
    lines = said.splitlines()
    assert code == 2
    assert "  fail  PORT                       many  [environment]" in lines
    assert lines.index("Settings") < lines.index("Redis")
    assert lines[-1].endswith(f"1 fail, {len(SECTIONS) - 1} skip")
    assert "\x1b" not in said
