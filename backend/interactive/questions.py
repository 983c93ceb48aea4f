"""What is asked of a task: read from an annotator's action, or from the data of a task that was opened. Nothing is queued here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from backend.db.request_store import RequestStore
from backend.inference.refinement_state import RefinementStates, RefinementTarget
from backend.interactive.projects import Projects, TaskContext
from backend.label_studio import messages, protocol
from backend.label_studio.drafts import Draft, read_draft
from backend.label_studio.gestures import Gesture, is_about_other_image, is_pointing, read_gesture
from backend.label_studio.label_config import LabelConfig
from backend.label_studio.messages import Message
from backend.label_studio.prompt import (
    ParsedPrompt,
    find_asked,
    list_absent,
    read_absent,
    read_prompt,
    split_expressions,
)
from backend.label_studio.protocol import Json, PredictCall, Task


@dataclass(frozen=True)
class Question:
    """What is asked of one task.

    Attributes:
        body: What a worker needs to know to answer, as the request is stored.
        source_id: Id of the prompt or the gesture that asks; empty if nobody typed or clicked.
        needs_worker: There is something to be found out. If not, the message is all there is to say.
        message: What the annotator is told, whatever the answer is.
    """

    task: Task
    body: Json
    source_id: str = ""
    needs_worker: bool = True
    message: Message | None = None


class QuestionReader:
    """Reads what is asked. It remembers the last text of each prompt, because only the entry that changed is asked.

    Args:
        store: Where the last texts of prompts are.
        projects: The projects' label configs and settings.
        refinement_states: What annotators were offered last: a click may correct it.
    """

    def __init__(self, store: RequestStore, projects: Projects, refinement_states: RefinementStates) -> None:
        self._store, self._projects, self._refinement_states = store, projects, refinement_states

    def read(self, task: Task, call: PredictCall) -> Question | None:
        """What an annotator's action asks; None if it does not concern us, so that the last message stays.

        Raises:
            BadInput: If the label config, a setting or the prompt cannot be used.
            Unreachable: If the database is down.
        """
        context = self._projects.read(task, call)
        draft = read_draft(task, context.config)
        if prompt := read_prompt(call.context, context.config):
            return self._read_prompt(context, prompt, draft)
        if gesture := read_gesture(call.context, context.config):
            return self._read_gesture(context, gesture, draft)
        message = _explain_unanswered(call.context, context.config)
        return Question(task, context.body, needs_worker=False, message=message) if message else None

    def read_opened(self, task: Task, call: PredictCall) -> Question:
        """The expressions in the data of a task that was opened; the image is to be encoded even if there are none.

        Raises:
            BadInput: If the label config or a setting cannot be used.
            Unreachable: If the database is down.
        """
        context = self._projects.read(task, call)
        field = context.settings.expression_field or context.config.expression_key
        texts = split_expressions(protocol.read_field(task.data, field) or "", context.config.controls[0])
        expressions = [text for text in texts if read_absent(text) is None]
        return Question(task, {**context.body, "expressions": expressions}, needs_worker=bool(expressions))

    def _read_prompt(self, context: TaskContext, prompt: ParsedPrompt, draft: Draft | None) -> Question:
        task = context.task
        last_texts = self._store.projects.get_prompt(task.project, task.id, prompt.id)
        texts = find_asked(prompt.texts, last_texts, context.config.controls[0])
        self._store.projects.save_prompt(task.project, task.id, prompt.id, prompt.texts)
        absent = list_absent(texts)
        expressions = [text for text in texts if read_absent(text) is None]
        body = {**context.body, "expressions": expressions, "draft": draft.saved_at if draft else None}
        message = messages.say("absent", ", ".join(absent)) if absent else None
        return Question(task, body, prompt.id, needs_worker=bool(expressions), message=message)

    def _read_gesture(self, context: TaskContext, gesture: Gesture, draft: Draft | None) -> Question:
        """Clicks or a box; they correct what was offered for an expression, if the draft says whose that was."""
        task, body = context.task, {**context.body, "gesture": gesture.to_json()}
        state = self._refinement_states.find(task.project, task.id, draft) if draft else None
        if draft and state:
            body["mends"] = asdict(RefinementTarget.of(state, draft))
        has_mask = state is not None and bool(state.offer.before(gesture.id))
        if not gesture.is_positive and not has_mask:  # only "not this", and no mask to take it from
            return Question(task, body, gesture.id, needs_worker=False, message=messages.say("click"))
        return Question(task, body, gesture.id)


def _explain_unanswered(context: Sequence[Json] | None, config: LabelConfig) -> Message | None:
    """What is told about an action that is neither a prompt nor a click or box; None after a submit."""
    if is_about_other_image(context, config):
        return messages.say("other_image", config.image_name)
    return messages.say("click") if is_pointing(context, config) else None
