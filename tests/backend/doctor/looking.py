"""Looking at one section of the report."""

from collections.abc import Callable, Iterator

from backend.doctor.context import DoctorContext
from backend.doctor.examination import Section, examine
from backend.doctor.finding import Finding

MakeContext = Callable[..., DoctorContext]
"""Makes a context from environment variables, a project and an address."""


def look(check: Callable[[DoctorContext], Iterator[Finding]], context: DoctorContext) -> dict[str, Finding]:
    """What one section finds, by name."""
    return {finding.name: finding for finding in examine(context, [Section("Section", check)])}
