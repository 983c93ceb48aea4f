"""The section "Fonts"."""

from collections.abc import Iterator

from backend.base.fonts import SCRIPTS, find_fonts
from backend.doctor.context import DoctorContext
from backend.doctor.finding import Finding, ok, skip, warn


def check_fonts(context: DoctorContext) -> Iterator[Finding]:
    """Which scripts the plots of `ris report` can draw."""
    try:
        lacking = [script for script, characters in SCRIPTS.items() if find_fonts(characters)[1]]
    except ImportError:
        yield skip("Plots", "matplotlib is not installed", "pip install 'label-studio-ris[export]'")
        return
    if not lacking:
        yield ok("Plots", f"{', '.join(SCRIPTS)} labels are drawn with fonts of this machine")
        return
    yield warn(
        "Plots",
        f"no font of this machine draws {', '.join(lacking)} labels",
        "Install one, on Debian with `apt install fonts-noto-cjk`. Until then a report leaves them to the fonts of its reader.",
    )
