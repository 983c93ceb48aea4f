"""Users in Label Studio's JSON: where they stand, and another in their place."""

from collections.abc import Iterator, Set
from typing import Any

PEOPLE = frozenset(
    {
        "annotator",
        "annotators",
        "assigned_to",
        "assignee",
        "assignees",
        "comment_authors",
        "completed_by",
        "created_by",
        "deleted_by",
        "last_created_by",
        "members",
        "reviewed_by",
        "reviewer",
        "reviewers",
        "updated_by",
        "user",
        "user_id",
        "users",
    }
)
"""Where there is a user's number, or an object or a list of them; of drafts an e-mail address."""
CREATED_USERNAME = "created_username"
"""Where there is a user's name, address and number, as in "Ann Lee ann@example.com, 12"."""
NAMES = frozenset({"avatar", "email", "first_name", "initials", "last_name", "phone", "username"})
"""What only a user, written out, has beside a number."""
DATA = "data"
"""Where the data of a task is."""
TELLING = ("email", "username")
"""Names that are nobody else's."""


def find_names(value: Any, user: int) -> Iterator[str]:
    """Names by which a user is known and nobody else: e-mail addresses and names to log in with."""
    if isinstance(value, list):
        for one in value:
            yield from find_names(one, user)
    if not isinstance(value, dict):
        return
    if _is_user(value, user):
        yield from (name for key in TELLING if isinstance(name := value.get(key), str) and name)
    if _is_created_by(value.get(CREATED_USERNAME), user):
        before = value[CREATED_USERNAME].rpartition(",")[0].split()
        yield from before[-1:]
    for one in value.values():
        yield from find_names(one, user)


def replace_person(value: Any, user: int | None, pseudonym: int, names: Set[str]) -> bool:
    """Put another number in a user's place, in place, wherever it is, and take the names out; whether anything changed.

    Numbers in the data of tasks are the project's own; the names go there too.
    """
    if isinstance(value, list):
        return sum(replace_person(one, user, pseudonym, names) for one in value if isinstance(one, dict | list)) > 0
    if not isinstance(value, dict):
        return False
    changed = _is_user(value, user)
    if changed:
        value |= {"id": pseudonym, **dict.fromkeys(NAMES & set(value), "")}
    for key, one in value.items():
        if (other := _other(key, one, user, pseudonym, names)) != one:
            value[key] = other
            changed = True
        elif isinstance(one, dict | list) and key != "rle":
            changed |= replace_person(one, None if key == DATA else user, pseudonym, names)
    return changed


def _other(key: str, value: Any, user: int | None, pseudonym: int, names: Set[str]) -> Any:
    """What stands in a value's place."""
    if key == CREATED_USERNAME and _is_created_by(value, user):
        return f", {pseudonym}"
    if isinstance(value, str):
        return "" if value in names else value
    if key not in PEOPLE:
        return value
    if isinstance(value, list):
        return [_other(key, one, user, pseudonym, names) for one in value]
    return pseudonym if _is_number(value) and value == user else value


def _is_user(value: dict[str, Any], user: int | None) -> bool:
    return _is_number(value.get("id")) and value["id"] == user and bool(NAMES & set(value))


def _is_created_by(value: Any, user: int | None) -> bool:
    return isinstance(value, str) and value.rpartition(",")[2].strip() == str(user)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
