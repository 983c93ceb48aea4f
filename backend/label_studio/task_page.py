"""Where people see a task."""

from urllib.parse import quote


def link_to_task(studio_url: str, project: int, task: str) -> str:
    """Address of a task's page in Label Studio; empty if its own is not known, or is none of the web."""
    if not studio_url.lower().startswith(("http://", "https://")):  # what Label Studio calls itself may be javascript:…
        return ""
    return f"{studio_url.rstrip('/')}/projects/{project}/data?task={quote(task, safe='', errors='replace')}"
