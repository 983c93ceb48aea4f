"""Queries: the expressions to answer in one image, and their labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from backend.label_studio.label_config import Control, LabelConfig
from backend.label_studio.prompt import MAX_EXPRESSIONS, read_absent, split_expressions, split_label
from backend.runs.spec import BadRun, RunSpec
from ris_core.errors import BadExpression


@dataclass(frozen=True)
class Query:
    """One expression to answer in an image.

    Attributes:
        expression: Without a label prefix.
        label: The label of its regions; None to choose it as for an expression that an annotator types.
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
        BadRun: If the label config has too many labels to query each.
    """
    control = config.controls[0]
    if spec.per_label:
        if len(control.labels) > MAX_EXPRESSIONS:
            raise BadRun(
                f"{control.name} has {len(control.labels)} labels; a task takes {MAX_EXPRESSIONS} queries at most. "
                "Name the labels you want with --expression."
            )
        return tuple(Query(label, label, is_many=True) for label in control.labels)
    texts = spec.expressions if spec.expression_field is None else _read_texts(data, spec.expression_field, control)
    split_texts = [split_label(control, text) for text in texts]
    return merge(Query(expression, label) for label, expression in split_texts)


def merge(*groups: Iterable[Query]) -> tuple[Query, ...]:
    """All queries in order, each once."""
    return tuple(dict.fromkeys(query for group in groups for query in group))


def has_all(queries: Sequence[Query], subset: Sequence[Query]) -> bool:
    """Whether the first contain all of the second."""
    return set(subset) <= set(queries)


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
    expressions = tuple(text for text in texts if read_absent(text) is None)
    if not expressions:
        raise BadExpression(f"The task's field {key!r} says {texts[0]!r}: that names nothing to look for.")
    return expressions
