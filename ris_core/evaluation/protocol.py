"""How answers are counted: ours, or as the papers' released code counts them.

Q-GTOVERLAP  Where two polygons of one object overlap, the pixels are background. Ours: foreground.
Q-EMPTY-GL   Images without a proposal are left out of every number (Global-Local). Ours: their answers are empty
             and count with an IoU of 0.
Q-EMPTY-HY   An image without a proposal ends the run (HybridGL). Ours: as above.
"""

from ris_core.errors import UnknownName

QUIRKS = frozenset({"Q-GTOVERLAP", "Q-EMPTY-GL", "Q-EMPTY-HY"})
"""Every quirk of counting that can be switched on."""

PROTOCOLS = {
    "fixed": frozenset[str](),
    "paper": frozenset({"Q-GTOVERLAP", "Q-EMPTY-GL"}),
    "paper-hybrid": frozenset({"Q-GTOVERLAP", "Q-EMPTY-HY"}),
}
"""Quirks by the name of the protocol; the papers' two differ in what they do without proposals."""


def read_protocol(name: str) -> frozenset[str]:
    """Quirks of a protocol.

    Args:
        name: A name of `PROTOCOLS`, or quirks of `QUIRKS` joined by commas.

    Raises:
        UnknownName: If it is neither.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    quirks = frozenset(name.split(","))
    unknown = sorted(quirks - QUIRKS)
    if unknown:
        raise UnknownName(
            f"No protocol or quirk named {unknown[0]!r}. Protocols: {', '.join(PROTOCOLS)}; quirks, joined by commas: "
            f"{', '.join(sorted(QUIRKS))}."
        )
    return quirks
