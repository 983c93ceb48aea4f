"""What Label Studio is answered: one entry a task, and messages beside the regions where there is a place for them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from backend.interactive.pending import CollectedAnswer
from backend.label_studio import messages, protocol
from backend.label_studio.messages import Message
from backend.label_studio.protocol import Json


@dataclass(frozen=True)
class PredictResponse:
    """The answer to a `/predict`.

    Attributes:
        results: One entry a task: a prediction, or `[]`, which stores nothing.
        kind: "interactive", "open" or "batch".
        outcomes: How many tasks were "answered", "unmatched" (nothing fits the expression), "idle" (nothing was asked), "encoding",
            "queued" or "refused" (batch), "superseded", "expired" or "failed".
        messages: How many messages of each kind annotators were given (`messages.Kind`).
    """

    results: list[Any]
    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        answer: CollectedAnswer,
        extra: Message | None,
        message_area: str | None,
        model_version: str,
        entries: Json | None = None,
    ) -> None:
        """Add an interactive task's entry.

        Args:
            extra: What is told besides what the answer says.
            message_area: Where messages go; None if there is no place for them.
            model_version: Version of an entry without regions.
            entries: What the entries of the prompt become; None to leave them alone.
        """
        message = messages.join(filter(None, (answer.message or messages.about_outcome(answer.outcome), extra)))
        prediction = answer.answer or protocol.prediction([], 0.0, model_version)
        self.outcomes[answer.outcome] += 1
        if message and message_area:
            self.messages[message.kind] += 1
        if entries:
            prediction = protocol.add_result(prediction, entries)
        if message_area and answer.outcome != "superseded":  # the answer to the newer request says more
            prediction = _with_message(prediction, message, message_area)
        self.results.append(prediction)


def _with_message(prediction: Json, message: Message | None, message_area: str) -> Json:
    """A prediction with what is told; without a message, with what takes away the last one."""
    regions = protocol.list_regions(prediction)
    if message:
        noted = {text for region in regions for text in protocol.read_untold(region)}
        protocol.note_untold(regions, [text for text in message.left_out if text not in noted])
    return protocol.add_message(prediction, message_area, message.text if message else None)
