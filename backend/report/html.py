"""Pages that need no other file: templates that escape every value, and pictures that are embedded."""

from base64 import b64encode
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ris_core.output.plain_text import page


def render_template(name: str, **values: Any) -> str:
    """A template of this room as HTML. What others wrote is escaped; nothing is marked as safe."""
    return page(_templates().get_template(name).render(values))


def data_uri(media_type: str, content: bytes) -> str:
    """Content as an address that holds it."""
    return f"data:{media_type};base64,{b64encode(content).decode()}"


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("backend.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
