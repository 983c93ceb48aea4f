"""Readings written down in one line, for tables of expectations."""

from ris_core.language.values import Clause, Referent


def outline(referent: Referent) -> str:
    """ "red apple: left of (dog)", "2 dog", "all cat - (black cat)", "dog: rank left 2"."""
    number = {1: "", None: "all "}.get(referent.number, f"{referent.number} ")
    clauses = "; ".join(outline_clause(clause) for clause in referent.clauses)
    excluded = "".join(f" - ({outline(other)})" for other in referent.excluded)
    return number + (referent.phrase or "anything") + (f": {clauses}" if clauses else "") + excluded


def outline_clause(clause: Clause) -> str:
    """ "at left", "left of (dog)", "rank near 1 (tree)", "not at left", "part left"."""
    landmarks = " ".join(f"({outline(landmark)})" for landmark in clause.landmarks)
    words = {
        "position": f"at {clause.keyword}",
        "relation": f"{clause.keyword} of {landmarks}",
        "part": f"part {clause.keyword}",
        "rank": f"rank {clause.keyword} {clause.rank} {landmarks}".strip(),
    }
    return ("not " if clause.is_negated else "") + words[clause.kind]
