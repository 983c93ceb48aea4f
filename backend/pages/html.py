"""Templates that escape every value; nothing is marked as safe."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ris_core.output.plain_text import page

_QUOTED = re.compile(r'"(.*?)"(?= mostly has the label "|$)')
"""What a reason of suspicion quotes; whatever quotation marks that has itself."""


def render_template(name: str, **values: Any) -> str:
    """A template of this room as HTML."""
    return page(_templates().get_template(name).render(values))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("backend.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["moment"] = lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["quoted_parts"] = _QUOTED.split
    return environment
