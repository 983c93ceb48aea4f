"""The specification of a run: which tasks, which queries, and what to do with the answers."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ris_core.errors import BadInput

Kind = Literal["predict", "warm"]
Mode = Literal["new", "add", "replace"]

MAX_TOP_K = 20
LONGEST_NAME = 100
"""Characters of a run's name."""
_RANGE = re.compile(r"\s*(\d{1,15})\s*(?:-\s*(\d{1,15})\s*)?")
_MAX_LISTED = 100_000
"""Tasks that may be named one by one."""


class BadRun(BadInput):
    """A run that cannot be created, or an action that its state does not allow."""


@dataclass(frozen=True)
class RunSpec:
    """What to do with a project's tasks.

    Attributes:
        project: Label Studio's project.
        kind: "predict": masks; "warm": only fill the feature cache.
        expressions: For every task, each with or without a "Label: " prefix.
        expression_field: Field of the task's data that holds its own expressions: text with ";" between several, or a list.
        per_label: Use every label of the label config as an expression, with several instances each.
        tasks: Only these; None for all.
        view: Only those that this tab of the Data Manager shows.
        only_unlabelled: Only those that nobody has labelled.
        leave_out: Not these, as those whose regions were approved when the run was started.
        min_score: In [0, 1]: candidates that score less are not handed out.
        top_k: Candidates kept with every answer; None for the workers' own number.
        name: For people.
        push: Write predictions to Label Studio; else they stay in the run store.
        notify: Address that gets a POST when the run ends or pauses.
        mode: What to do where this model version has answered other queries: refuse ("new"), answer these too in one
            prediction ("add"), or replace those by these ("replace").
        preview: Answer so many tasks first, then wait until the run is resumed.
        pilot: As `preview`, with tasks drawn at random; `min_score` can be chosen when the run is resumed.
        prompts: Of a "warm" run: also encode what clicks and boxes are answered from.
        watch: Tasks that are imported later join, until the run is finished by hand.
    """

    project: int
    kind: Kind = "predict"
    expressions: tuple[str, ...] = ()
    expression_field: str | None = None
    per_label: bool = False
    tasks: tuple[int, ...] | None = None
    view: int | None = None
    only_unlabelled: bool = False
    leave_out: tuple[int, ...] = ()
    min_score: float | None = None
    top_k: int | None = None
    name: str = ""
    push: bool = True
    notify: str | None = None
    mode: Mode = "new"
    preview: int = 0
    pilot: int = 0
    prompts: bool = False
    watch: bool = False

    def __post_init__(self) -> None:
        sources = [bool(self.expressions), self.expression_field is not None, self.per_label]
        if sum(sources) != (self.kind == "predict"):
            raise BadRun(
                "A run needs one source of expressions. Give --expression, --expression-field or --per-label."
                if not any(sources)
                else "A run has one source of expressions; a run that only warms the cache has none. Leave the others out."
            )
        if any(not text.strip() for text in self.expressions):
            raise BadRun("An expression is empty. Write what the mask should show.")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise BadRun(f"min_score is {self.min_score}; give a number from 0 to 1.")
        if self.top_k is not None and not 1 <= self.top_k <= MAX_TOP_K:
            raise BadRun(f"top_k is {self.top_k}; give a number from 1 to {MAX_TOP_K}.")
        if self.pilot and (self.preview or self.kind == "warm"):
            raise BadRun(
                "A pilot is for a run that answers expressions, and takes the place of a preview. Leave one out."
            )
        if len(self.leave_out) > _MAX_LISTED:
            raise BadRun(f"leave_out names {len(self.leave_out):,} tasks; at most {_MAX_LISTED:,} can be left out.")
        if self.view is not None and (self.tasks is not None or self.only_unlabelled):
            raise BadRun("A view chooses its tasks itself. Leave out --tasks and --only-unlabelled, or --view.")
        if self.watch and (self.view is not None or self.tasks is not None):
            raise BadRun("A run that watches takes a whole project. Leave out --view and --tasks, or --watch.")
        if self.notify is not None and not re.match(r"\s*https?:", self.notify, re.IGNORECASE):
            raise BadRun("notify is not an address. Give one that begins with https:// or http://.")
        if len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise BadRun(f"The name has more than {LONGEST_NAME} characters, or some that do not print. Shorten it.")

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read `to_json`'s values."""
        lists = {
            name: tuple(values[name]) for name in ("expressions", "tasks", "leave_out") if values.get(name) is not None
        }
        return cls(**{**values, **lists})

    @property
    def first(self) -> int:
        """How many tasks are answered before the run waits; 0 if it does not."""
        return self.preview or self.pilot

    @property
    def about(self) -> str:
        """The queries, in few words."""
        if self.kind == "warm":
            return "fill the cache"
        if self.per_label:
            return "every label"
        return "; ".join(self.expressions) if self.expressions else f"the field {self.expression_field!r}"


def read_tasks(text: str) -> tuple[int, ...]:
    """The ids of "1,5,10-20", in order and once each.

    Raises:
        BadRun: If it is not such a list.
    """
    ids: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not match or last < first or len(ids) + last - first >= _MAX_LISTED:
            raise BadRun(f"tasks is {text[:80]!r}; give ids and ranges, at most {_MAX_LISTED}: 1,5,10-20.")
        ids.update(range(first, last + 1))
    return tuple(sorted(ids))
