"""The plots of the report as SVG; equal numbers give equal bytes."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.text import Text

from backend.base.fonts import find_fonts
from backend.corrections.outcome_kinds import KINDS
from backend.corrections.statistics import JudgedProposal
from ris_core.evaluation.confidence import binned, calibration_error, reliability
from ris_core.output.plain_text import one_line, whole

BINS = 20
"""Bars of a histogram."""
LONGEST_NAME = 60
"""Characters of a group's name on an axis; the rest is cut."""
# a fixed salt: matplotlib otherwise gives SVG elements random ids
_STYLE: Any = {"svg.hashsalt": "report", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def outcome_bars(counts: Mapping[str, Mapping[str, int]]) -> str:
    """A horizontal bar for each group, divided by outcome in per cent.

    Args:
        counts: Regions by group and outcome.
    """
    figure, axes = _figure(6.4, 0.8 + 0.32 * len(counts))
    names, positions = list(counts)[::-1], np.arange(len(counts))  # matplotlib draws the first bar at the bottom
    totals = np.array([max(sum(counts[name].values()), 1) for name in names])
    left = np.zeros(len(names))
    for outcome, kind in KINDS.items():
        share = np.array([counts[name].get(outcome, 0) for name in names]) / totals * 100
        if share.any():
            axes.barh(positions, share, left=left, color=kind.colour, label=outcome, height=0.7)
        left += share
    axes.set_yticks(positions, [_axis_text(name) for name in names])
    axes.set_xlabel("per cent of regions")
    axes.set_xlim(0, 100)
    if len(axes.patches):
        axes.legend(ncols=4, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return _svg(figure)


def histogram(values: Mapping[str, Sequence[float]], label: str, limits: tuple[float, float] | None = None) -> str:
    """Overlaid histograms, each in per cent of its own values.

    Args:
        values: Samples by name; empty ones are left out.
        label: Title of the x axis.
        limits: Range of the x axis; without it, from 0 to the largest 98th percentile. Values outside count in the outer bins.
    """
    figure, axes = _figure(4.2, 2.6)
    samples = {name: sample for name, sample in values.items() if len(sample)}
    top = max((float(np.percentile(sample, 98)) for sample in samples.values()), default=1.0)
    low, high = limits or (0.0, top or 1.0)
    edges = np.linspace(low, high, BINS + 1)
    for name, sample in samples.items():
        clipped = np.clip(sample, low, high)
        axes.hist(
            clipped,
            bins=edges,
            weights=np.full(len(clipped), 100 / len(clipped)),
            alpha=0.6,
            label=f"{name} ({len(sample)})",
        )
    axes.set_xlabel(label)
    axes.set_ylabel("per cent")
    if samples:
        axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _svg(figure)


def reliability_diagram(judged: Sequence[JudgedProposal]) -> str:
    """The share of right proposals over their score, in bins, beside the diagonal of perfect calibration."""
    figure, axes = _figure(4.2, 3.2)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    if judged:
        score, is_right = (np.array(column) for column in zip(*judged, strict=True))
        score = score.clip(0, 1)
        bins = [bin for bin in reliability(score, is_right) if bin.n]
        axes.plot([bin.score for bin in bins], [bin.right for bin in bins], marker="o", color="#3d7fc4")
        for bin in bins:
            axes.annotate(
                str(bin.n), (bin.score or 0, bin.right or 0), xytext=(3, 4), textcoords="offset points", fontsize=7
            )
        error = float(calibration_error(binned(score, is_right).sum(axis=0)[None])[0])
        axes.set_title(f"expected calibration error {error:.3f}", fontsize=9)
    axes.set_xlabel("score of the proposal")
    axes.set_ylabel("share right (IoU at least 0.5)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return _svg(figure)


def _axis_text(name: str) -> str:
    """A group's name on one line, cut at `LONGEST_NAME`; "$" is escaped, since matplotlib reads it as the start of a formula."""
    text = one_line(whole(name))
    return (text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…").replace("$", r"\$")


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def _svg(figure: Figure) -> str:
    style, buffer = _STYLE | _choose_fonts(figure.findobj(Text)), io.StringIO()
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _choose_fonts(texts: Sequence[Any]) -> Mapping[str, str]:
    """Give texts the machine's fonts for what matplotlib's own lacks; the style with which texts that no font has stay texts.

    The reader's browser draws those.
    """
    files, missing = find_fonts("".join(text.get_text() for text in texts))
    families = []
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it warns of a font that has one weight only
    for file in files:
        fontManager.addfont(file)
        families.append(get_font(file).family_name)
    for text in texts if families else ():
        text.set_family(["DejaVu Sans", *families])
    return {"svg.fonttype": "none"} if missing else {}
