"""The HTTP backend of this machine."""

from collections.abc import Iterator

from backend.doctor.context import DoctorContext
from backend.doctor.finding import Finding, ok, warn
from backend.label_studio.reachability import ask_backend
from backend.transport import worker_registry


def check_backend(case: DoctorContext) -> Iterator[Finding]:
    """Whether it runs at HOST and PORT, is ours, and knows the credentials of the settings."""
    version = ask_backend(case.settings.local_url, case.settings.credentials)
    yield ok(
        "Address",
        f"{case.settings.local_url} answers, {'with' if case.settings.credentials else 'without'} credentials",
    )
    if worker_registry.is_loading(version):
        yield warn("Model", version, "No worker has been ready yet; see Workers.")
    else:
        yield ok("Model", version)
