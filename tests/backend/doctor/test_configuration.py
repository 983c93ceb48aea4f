"""Settings, in the environment and in `.env`."""

from pathlib import Path

import pytest

from backend.doctor import configuration
from backend.doctor.examination import SECTIONS, examine
from backend.doctor.finding import exit_code
from backend.settings.environment import Settings
from tests.backend.doctor.looking import MakeContext, look

pytestmark = pytest.mark.slow


def test_every_setting_is_listed_with_its_origin(make_context: MakeContext, tmp_path: Path):
    (tmp_path / ".env").write_text("THREADS=3\nPORT=1\nWEBHOOK_SECRET=hunter2\n")
    findings = look(configuration.check_settings, make_context(PORT=2, LABEL_STUDIO_HOST="http://studio", REDIS_URL=""))
    seen = {name: (findings[name].value, findings[name].origin) for name in findings}
    assert len(findings) == len(Settings.model_fields) + 1
    assert seen["THREADS"] == ("3", ".env")
    assert seen["PORT"] == ("2", "environment")
    assert seen["WEBHOOK_SECRET"] == ("set", ".env")
    assert seen["LABEL_STUDIO_URL"] == ("http://studio", "environment (LABEL_STUDIO_HOST)")
    assert (seen["HOST"], seen["BASIC_AUTH_PASS"]) == (("127.0.0.1", "default"), ("not set", "default"))
    assert {finding.state for finding in findings.values()} == {"ok"}


def test_all_settings_that_cannot_be_used_are_named_and_nothing_else_is_tried(make_context: MakeContext):
    findings = list(examine(make_context(PORT="many", THREADS=0)))
    assert {f.name: f.value for f in findings if f.state == "fail"} == {"PORT": "many", "THREADS": "0"}
    assert [f.section for f in findings if f.state == "skip"] == [section.name for section in SECTIONS[1:]]
    assert exit_code(findings) == 2


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [("RIS_PROFLE", "Write RIS_PROFILE"), ("RIS_NONSENSE", "Remove it"), ("DATABASE_URI", "Write DATABASE_URL")],
)
def test_misspelt_setting_is_named(make_context: MakeContext, variable: str, remedy: str):
    finding = look(configuration.check_settings, make_context(**{variable: "hunter2"}))[variable]
    assert (finding.state, finding.remedy.startswith(remedy), "hunter2" in finding.value) == ("warn", True, False)


def test_variables_of_other_programs_are_not_misspelt_settings(make_context: MakeContext):
    context = make_context(LABEL_STUDIO_PORT="8080", HOSTNAME="h", REDIS_HOST="r", LABEL_STUDIO_USERNAME="u")
    assert context.reading.unknown == ()


@pytest.mark.parametrize("variable", ["BASIC_AUTH_USER", "BASIC_AUTH_PASS"])
def test_half_a_login_is_a_failure(make_context: MakeContext, variable: str):
    finding = look(configuration.check_settings, make_context(**{variable: "hunter2"}))["Credentials"]
    assert (finding.exit_code, "both, or none" in finding.remedy) == (2, True)


def test_a_secret_that_cannot_be_used_is_not_shown(make_context: MakeContext):
    findings = list(examine(make_context(LABEL_STUDIO_API_KEY="hunter2-of-mïne", REDIS_URL="redis://:hunter2/x@host")))
    said = "\n".join(f"{finding.value} {finding.remedy}" for finding in findings)
    assert {f.name for f in findings if f.state == "fail"} == {"LABEL_STUDIO_API_KEY", "REDIS_URL"}
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("variable", "text"),
    [("LABEL_STUDIO_URL", "0123456789abcdef-hunter2"), ("IMAGE_HOSTS", "me:hunter2@images.example")],
)
def test_a_secret_in_a_setting_of_another_kind_is_not_shown(make_context: MakeContext, variable: str, text: str):
    findings = list(examine(make_context(**{variable: text})))
    assert {f.name for f in findings if f.state == "fail"} == {variable}
    assert "hunter2" not in "\n".join(f"{finding.value} {finding.remedy}" for finding in findings)


def test_host_that_others_reach_needs_credentials(make_context: MakeContext):
    finding = look(configuration.check_settings, make_context(HOST="0.0.0.0"))["Credentials"]
    assert (finding.exit_code, "BASIC_AUTH_USER" in finding.remedy) == (2, True)
