"""The sections of the report in their order. Each has a time limit, and an error in one does not stop the others."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from backend.base import redaction
from backend.doctor import configuration, fonts, images, models, service, storage, studio, transport
from backend.doctor.context import DoctorContext
from backend.doctor.finding import UNREACHABLE, Finding, fail, failure_of, skip

Check = Callable[[DoctorContext], Iterator[Finding]]


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        needs: An earlier section; if anything failed there, this one is skipped.
        limit_s: Time limit in seconds.
        needs_settings: It is skipped if the settings cannot be used.
    """

    name: str
    check: Check
    needs: str = ""
    limit_s: float = 20.0
    needs_settings: bool = True


SECTIONS = (
    Section("Settings", configuration.check_settings, needs_settings=False),
    Section("Redis", transport.check_redis),
    Section("Workers", transport.check_workers, needs="Redis"),
    Section("Database", storage.check_database),
    Section("Disk", storage.check_disk),
    Section("Backend", service.check_backend),
    Section("Label Studio", studio.check_label_studio),
    Section("Project", studio.check_project, needs="Label Studio", limit_s=30.0),
    Section("Images", images.check_images, needs="Label Studio", limit_s=60.0),
    Section("Fonts", fonts.check_fonts),
    Section("Weights", models.check_weights, limit_s=60.0),
    Section("Device", models.check_device, limit_s=models.PROBE_TIMEOUT_S + 5.0),
)
"""In the order of the report; the slowest come last."""


def examine(context: DoctorContext, sections: Sequence[Section] = SECTIONS) -> Iterator[Finding]:
    """Findings of all sections, as soon as they are made; secrets are removed from them."""
    failed: set[str] = set()
    for section in sections:
        for finding in _run_or_skip(section, context, failed):
            if finding.state == "fail":
                failed.add(section.name)
            value, remedy = (" ".join(redaction.hide(text).split()) for text in (finding.value, finding.remedy))
            yield replace(finding, section=section.name, value=value, remedy=remedy)


def _run_or_skip(section: Section, context: DoctorContext, failed: set[str]) -> Iterator[Finding]:
    if context.reading.settings is None and section.needs_settings:
        yield skip(section.name, "not checked, because the settings cannot be used")
    elif section.needs in failed:
        yield skip(section.name, f"not checked: see {section.needs} first")
    else:
        yield from _run(section, context)


def _run(section: Section, context: DoctorContext) -> Iterator[Finding]:
    """A section's findings until its time limit. A thread cannot be stopped: one that hangs is left behind, and ends with the process."""
    findings: queue.Queue[Finding | None] = queue.Queue()
    deadline = time.monotonic() + section.limit_s
    threading.Thread(target=_check, args=(section, context, findings), daemon=True).start()
    while True:
        try:
            finding = findings.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            remedy = (
                "A service that this section asks does not answer. See the line above, and the log of that service."
            )
            yield fail(section.name, f"no answer within {section.limit_s:.0f} s", remedy, UNREACHABLE)
            return
        if finding is None:
            return
        yield finding


def _check(section: Section, context: DoctorContext, findings: queue.Queue[Finding | None]) -> None:
    try:
        for finding in section.check(context):
            findings.put(finding)
    except Exception as error:  # any error is a finding, and the other sections still run
        findings.put(failure_of(section.name, error))
    finally:
        findings.put(None)
