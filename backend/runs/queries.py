"""Queries: what is asked of one image, and for which label."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from backend.label_studio.label_config import Control, LabelConfig
from backend.label_studio.prompt import MAX_EXPRESSIONS, read_absent, split_expressions, split_label
from backend.runs.spec import BadRun, RunSpec
from ris_core.errors import BadExpression


@dataclass(frozen=True)
class Query:
    """One expression asked of an image.

    Attributes:
        expression: Without a label prefix.
        label: The label of its regions; None to choose it as for what annotators type.
        is_many: Hand out several instances, not only the best.
    """

    expression: str
    label: str | None = None
    is_many: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read `to_json`'s values."""
        return cls(**values)


def make_queries(spec: RunSpec, config: LabelConfig, data: Mapping[str, Any]) -> tuple[Query, ...]:
    """The queries of a task; none for a run that only warms the cache.

    Args:
        data: The task's data.

    Raises:
        BadExpression: If the task's own field holds no expression, or too many.
        BadRun: If the label config has too many labels to ask for each.
    """
    control = config.controls[0]
    if spec.per_label:
        if len(control.labels) > MAX_EXPRESSIONS:
            raise BadRun(
                f"{control.name} has {len(control.labels)} labels; a task is asked for {MAX_EXPRESSIONS} at most. "
                "Name those you want with --expression."
            )
        return tuple(Query(label, label, is_many=True) for label in control.labels)
    texts = spec.expressions if spec.expression_field is None else _read_texts(data, spec.expression_field, control)
    found = []
    for text in texts:
        label, bare = split_label(control, text)
        found.append(Query(bare, label))
    return merge(found)


def merge(*groups: Iterable[Query]) -> tuple[Query, ...]:
    """All queries in order, each once."""
    return tuple(dict.fromkeys(query for group in groups for query in group))


def has_all(known: Sequence[Query], wanted: Sequence[Query]) -> bool:
    """Whether nothing is wanted that was not asked already."""
    return set(wanted) <= set(known)


def _read_texts(data: Mapping[str, Any], key: str, control: Control) -> tuple[str, ...]:
    value: Any = data.get(key)
    if value is None and "." in key:
        value = data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    entries = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) for entry in entries):
        entries = []
    texts = split_expressions(";".join(entries), control)
    if not texts:
        raise BadExpression(f"The task has no expression in the field {key!r}. Import one, or name another field.")
    wanted = tuple(text for text in texts if read_absent(text) is None)
    if not wanted:
        raise BadExpression(f"The task's field {key!r} says {texts[0]!r}: nothing is meant, so nothing is looked for.")
    return wanted
