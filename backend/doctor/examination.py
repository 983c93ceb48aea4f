"""The sections of the report, and going through them: each within its time, none that ends the others."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from backend.base import redaction
from backend.doctor import configuration, images, models, service, storage, studio, transport
from backend.doctor.context import DoctorContext
from backend.doctor.finding import UNREACHABLE, Finding, fail, failure_of, skip

Check = Callable[[DoctorContext], Iterator[Finding]]


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        needs: A section before it; if anything failed there, this one would only fail as well and is skipped.
        limit_s: How long it may take, in seconds.
        needs_settings: Whether it is skipped if the settings cannot be used.
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
    Section("Weights", models.check_weights, limit_s=60.0),
    Section("Device", models.check_device, limit_s=models.PROBE_TIMEOUT_S + 5.0),
)
"""In the order in which they are shown: what takes longest comes last. Without usable settings only the first is looked at."""


def examine(case: DoctorContext, sections: Sequence[Section] = SECTIONS) -> Iterator[Finding]:
    """Everything that there is to say, as it is found; no secret among it."""
    failed: set[str] = set()
    for section in sections:
        for finding in _visit(section, case, failed):
            if finding.state == "fail":
                failed.add(section.name)
            value, remedy = (" ".join(redaction.hide(text).split()) for text in (finding.value, finding.remedy))
            yield replace(finding, section=section.name, value=value, remedy=remedy)


def _visit(section: Section, case: DoctorContext, failed: set[str]) -> Iterator[Finding]:
    if case.reading.settings is None and section.needs_settings:
        yield skip(section.name, "not looked at, since the settings cannot be used")
    elif section.needs in failed:
        yield skip(section.name, f"not looked at; see {section.needs} first")
    else:
        yield from _within_time(section, case)


def _within_time(section: Section, case: DoctorContext) -> Iterator[Finding]:
    """What a section finds, as long as it has time; then it is left behind in its thread."""
    found: queue.Queue[Finding | None] = queue.Queue()
    deadline = time.monotonic() + section.limit_s
    threading.Thread(target=_check, args=(section, case, found), daemon=True).start()
    while True:
        try:
            finding = found.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            remedy = "Something that it asks hangs: see the line before, and that service's log."
            yield fail(section.name, f"no answer within {section.limit_s:.0f} s", remedy, UNREACHABLE)
            return
        if finding is None:
            return
        yield finding


def _check(section: Section, case: DoctorContext, found: queue.Queue[Finding | None]) -> None:
    try:
        for finding in section.check(case):
            found.put(finding)
    except Exception as error:  # whatever goes wrong in here is a finding, and the others are still looked at
        found.put(failure_of(section.name, error))
    finally:
        found.put(None)
