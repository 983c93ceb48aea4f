"""What can be learnt from a project's corrections as one HTML page that needs no other file."""

from collections.abc import Sequence

import numpy as np

from backend.corrections.learning import Study
from backend.corrections.statistics import JudgedProposal
from backend.corrections.words import WordRow
from backend.report import plots
from backend.report.html import data_uri, render_template
from backend.report.page import ReportTable
from ris_core.learning.figures import LEVEL, MEANINGS, Figure, Verdicts
from ris_core.learning.thresholds import LabelThreshold
from ris_core.learning.words import Words

WORD_COLUMNS = ("id", "accepted", "phrase", "means", "times", "people", "otherwise")
"""Of the table of words: the last three are how often it was said, by how many annotators, and how often it was not."""


def render_learning(
    learnt: Study, project: int, source: int, words: Sequence[WordRow] = (), accepted: Words | None = None
) -> str:
    """The whole page as HTML.

    Args:
        source: The project whose corrections it was learnt from.
        words: What the corrections of the project propose for its words.
        accepted: Those that were accepted.
    """
    accepted = accepted or Words()
    return render_template(
        "learning.html",
        project=project,
        source=source,
        learnt=learnt,
        figures=_figure_table(learnt),
        thresholds=_threshold_table(learnt),
        words=ReportTable(WORD_COLUMNS, [format_word(one, accepted) for one in words]) if words else None,
        remembered=format_memory(learnt),
        diagrams=[
            (name, _diagram(learnt, verdicts))
            for name, verdicts in (("Before", learnt.before), ("After", learnt.after))
        ],
    )


def format_figure(one: Figure) -> tuple[str, str, str, str]:
    """Its name, its value before and after, and the change with its interval."""
    change = f"{one.change:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    return (one.name, f"{one.before:.3f}", f"{one.after:.3f}", change)


def format_threshold(one: LabelThreshold) -> tuple[str, str, str, str, str]:
    """The label, its threshold, the answers from there on, how many of them are wrong, and the bound of that share."""
    threshold = "-" if one.threshold is None else f"{one.threshold:.2f}"
    return (one.label, threshold, f"{one.answers:,}", f"{one.wrong:,}", f"{one.most:.1%}")


def format_word(row: WordRow, accepted: Words) -> tuple[str, ...]:
    """A row of the table of words, as `WORD_COLUMNS` has it."""
    meaning = f"label {row.meaning}" if row.kind == "label" else row.meaning
    numbers = (f"{number:,}" for number in (row.times, row.people, row.others))
    return (row.id, "yes" if row.is_in(accepted) else "", row.phrase, meaning, *numbers)


def format_memory(learnt: Study) -> str:
    """What remembering regions is worth, as a sentence; empty if nobody asked."""
    one = learnt.remembered
    if one is None:
        return ""
    if not one.touched:
        return "Remembered: nothing, since no answer about a thing with a saved region was wrong."
    measured = (
        f"{one.touched:,} held-out answers on {one.images:,} images overlap what is meant by {one.before:.3f} without a memory "
        f"and {one.after:.3f} with one; lower bound of the gain: {one.low:+.3f}."
    )
    if one.memory is None:
        return f"Remembered: nothing, since no gain is sure. {measured}"
    regions = sum(map(len, one.memory.prototypes.values()))
    nouns = ", ".join(ascii(noun)[1:-1] for noun in sorted(one.memory.prototypes))
    return f"Remembered: {regions:,} regions of {nouns}. {measured}"


def _figure_table(learnt: Study) -> ReportTable:
    columns = ["figure", "before", "after", f"change, {LEVEL} % interval", "meaning"]
    return ReportTable(columns, [[*format_figure(one), MEANINGS[one.name]] for one in learnt.figures])


def _threshold_table(learnt: Study) -> ReportTable | None:
    """None if no thresholds were wanted."""
    columns = ["label", "threshold", "answers", "wrong", "at most wrong"]
    return ReportTable(columns, [format_threshold(one) for one in learnt.thresholds]) if learnt.thresholds else None


def _diagram(learnt: Study, verdicts: Verdicts) -> str:
    """How often answers are right, by their probability, as a data URI."""
    columns = np.clip(verdicts.probability, 0, 1).tolist(), learnt.evidence.is_right.tolist()
    judged = [JudgedProposal(*pair) for pair in zip(*columns, strict=True)]
    return data_uri("image/svg+xml", plots.reliability_diagram(judged).encode())
