"""What the methods check of their settings."""

from collections.abc import Iterable, Mapping

from ris_core.errors import BadInput, UnknownName


def check_weights(**settings: float) -> None:
    """Weights are in [0, 1].

    Raises:
        BadInput: Names the one that is not.
    """
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise BadInput(f"{name} is {value}; give a weight in [0, 1].")


def check_counts(**settings: int) -> None:
    """Counts are at least 1.

    Raises:
        BadInput: Names the one that is not.
    """
    for name, value in settings.items():
        if value < 1:
            raise BadInput(f"{name} is {value}; give at least 1.")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """A setting is one of its choices.

    Raises:
        BadInput: Names them.
    """
    if value not in choices:
        raise BadInput(f"{name} is {value!r}; give one of {', '.join(choices)}.")


def check_quirks(method: str, quirks: Iterable[str], available: Mapping[str, str]) -> frozenset[str]:
    """The quirks, all of them known to the method.

    Raises:
        UnknownName: Names those that are not.
    """
    unknown = sorted(set(quirks) - set(available))
    if unknown:
        raise UnknownName(
            f"The method {method!r} has no quirk {', '.join(unknown)}. Available: {', '.join(available)}."
        )
    return frozenset(quirks)
