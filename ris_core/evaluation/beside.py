"""Another run over the same expressions, such as one with other components, joined to this one for a paired comparison."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ris_core.errors import BadInput
from ris_core.evaluation.journal import read_journal
from ris_core.evaluation.record import EvaluatedExpression, EvaluatedImage
from ris_core.evaluation.runner import ORACLE


@dataclass(frozen=True)
class EarlierRun:
    """A run that was made before.

    Attributes:
        folder: Where it lies.
        dataset: Name, split and digest of what was asked.
        records: By `image_id`.
        names: What its methods are called beside others, by their own names: "hybrid_gl (demo-paper)".
        calibrated: By the new names, whether the scores claim to be probabilities.
    """

    folder: Path
    dataset: Sequence[str]
    records: Mapping[str, EvaluatedImage]
    names: Mapping[str, str]
    calibrated: Mapping[str, bool]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the journal of a run.

        Args:
            folder: The `--out` of the run.

        Raises:
            BadInput: If there is no journal in it, or it cannot be read.
        """
        header, records = read_journal(folder / "journal.jsonl")
        names = {name: f"{name} ({version.partition('.')[0]})" for name, version in header["methods"].items()}
        calibrated = {label: header["calibrated"][name] for name, label in names.items()}
        return cls(folder, header["dataset"], records, names, calibrated)

    def join(self, records: Sequence[EvaluatedImage], dataset: Sequence[str]) -> list[EvaluatedImage]:
        """These records with its outcomes added; the proposals and the oracle stay those of the records.

        Raises:
            BadInput: If it asked something else, or lacks one of the images.
        """
        if list(dataset) != list(self.dataset):
            raise BadInput(
                f"{self.folder} is a run over {' '.join(self.dataset)}, this one is over {' '.join(dataset)}. Compare runs over "
                "the same expressions."
            )
        missing = [record.image_id for record in records if record.image_id not in self.records]
        if missing:
            raise BadInput(
                f"{self.folder} lacks {len(missing):,} of the images, {missing[0]} among them. Let that run finish, or give "
                "this one the same --limit."
            )
        return [replace(record, asked=list(self._ask(record))) for record in records]

    def _ask(self, record: EvaluatedImage) -> Iterator[EvaluatedExpression]:
        for expression, other in zip(record.asked, self.records[record.image_id].asked, strict=True):
            outcomes = {self.names[name]: outcome for name, outcome in other.outcomes.items() if name != ORACLE}
            yield replace(expression, outcomes={**expression.outcomes, **outcomes})
