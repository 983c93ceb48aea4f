"""The section "Backend": the HTTP server on this machine."""

from collections.abc import Iterator

from backend.doctor.context import DoctorContext
from backend.doctor.finding import Finding, ok, warn
from backend.label_studio.reachability import ask_backend
from backend.transport import worker_registry


def check_backend(context: DoctorContext) -> Iterator[Finding]:
    """Whether our backend answers at HOST and PORT, and accepts the credentials of the settings."""
    version = ask_backend(context.settings.local_url, context.settings.credentials)
    yield ok(
        "Address",
        f"{context.settings.local_url} answers, {'with' if context.settings.credentials else 'without'} credentials",
    )
    if worker_registry.is_loading(version):
        yield warn("Model", version, "No worker has been ready yet; see Workers.")
    else:
        yield ok("Model", version)
