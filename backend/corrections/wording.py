"""When two sentences are the same."""


def fold(sentence: str) -> str:
    """A sentence's wording: equal for sentences that differ in case and blanks only."""
    return " ".join(sentence.casefold().split())
