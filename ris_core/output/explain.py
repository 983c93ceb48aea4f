"""An answer of the method `guided` in words: how it was read, and what moved each candidate up or down."""

from collections.abc import Mapping

from ris_core.types import Expression, Prediction

FITS = 0.5
"""From this fit on a clause speaks for a candidate."""
DECISIONS = {
    "match": "Match: what is marked with * answers.",
    "ambiguous": "Ambiguous: another thing fits nearly as well as the one marked with *.",
    "no_match": "No match: nothing here is likely enough to be meant.",
}


def explain(prediction: Prediction) -> str:
    """Lines for a person: the reading, the decision, then a line a candidate, best first.

    Of a method that does not tell its terms apart the candidates' lines have the score only.
    """
    referents, reading = prediction.expression.referents, read_as(prediction.expression)
    lines = [f"Read as {reading}."] if reading else []
    if prediction.expression.unused:
        lines.append(f"Not used: {', '.join(prediction.expression.unused)}.")
    lines.append(DECISIONS[prediction.decision])
    labels = [
        label for r in referents for label in (*(c.label for c in r.clauses), *(f"not {e.label}" for e in r.excluded))
    ]
    for i, parts in enumerate(prediction.parts):
        fits = {label: parts[label] for label in labels if label in parts}
        reason = f": {_move(i + 1, parts, fits)}" if "look_rank" in parts else ""
        lines.append(f"{'*' if i in prediction.selected else ' '} #{i + 1}, score {prediction.scores[i]:.2f}{reason}")
    return "\n".join(lines)


def read_as(expression: Expression) -> str:
    """How an expression was read, as a phrase; empty if it was not."""
    return " and ".join(_count(referent.number) + referent.label for referent in expression.referents)


def _move(rank: int, parts: Mapping[str, float], fits: Mapping[str, float]) -> str:
    """'3rd by look (0.41), moved up by "left of the dog" (0.93)'."""
    look_rank = round(parts["look_rank"])
    look = f"{_ordinal(look_rank)} by look ({parts['look']:.2f})"
    best_first = sorted(fits, key=lambda label: -fits[label])
    if not fits:
        return look
    fitting, failing = [x for x in best_first if fits[x] >= FITS], [x for x in best_first if fits[x] < FITS]
    if look_rank > rank:
        return f"{look}, " + (
            f"moved up by {_quote(fitting, fits)}" if fitting else f"others fit {_quote(failing, fits)} less"
        )
    if look_rank < rank:
        return f"{look}, " + (
            f"moved down by {_quote(failing, fits)}" if failing else f"others fit {_quote(fitting, fits)} better"
        )
    return f"{look}, with {_quote(best_first, fits)}"


def _quote(labels: list[str], fits: Mapping[str, float]) -> str:
    return ", ".join(f'"{label}" ({fits[label]:.2f})' for label in labels)


def _count(number: int | None) -> str:
    return "every " if number is None else "" if number == 1 else f"{number} x "


def _ordinal(rank: int) -> str:
    ending = "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"
