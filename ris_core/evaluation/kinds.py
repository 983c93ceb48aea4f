"""Kinds of expressions, and which kind one is where a data set does not say: told from how it is read."""

from ris_core.types import Expression

KINDS = (
    "noun",
    "attribute",
    "position",
    "relation",
    "between",
    "superlative",
    "ordinal",
    "plural",
    "negation",
    "no_target",
    "unreadable",
)
"""Every kind that a data set or `kind_of` may name, in the order of the tables; "unreadable" has no word to read."""


def kind_of(expression: Expression) -> str:
    """What is hardest about an expression: one of `KINDS`.

    It is a "negation" if something is excluded, else a "plural" if several things are meant or their number is open, else what
    its clauses make it, else an "attribute" if the noun has other words beside it. A rank of 1 is a "superlative".
    """
    if not expression.referents:  # not read
        return "attribute" if len(expression.text.split()) > 1 else "noun"
    first = expression.referents[0]
    if first.excluded or any(clause.is_negated for clause in first.clauses):
        return "negation"
    if len(expression.referents) > 1 or first.number != 1:
        return "plural"
    clause_kinds = {clause.keyword if clause.keyword == "between" else clause.kind for clause in first.clauses}
    if "part" in clause_kinds:
        clause_kinds.add("position")
    if "rank" in clause_kinds:
        return (
            "ordinal" if any(clause.kind == "rank" and clause.rank > 1 for clause in first.clauses) else "superlative"
        )
    for kind in ("between", "relation", "position"):
        if kind in clause_kinds:
            return kind
    return "attribute" if first.phrase != first.head else "noun"
