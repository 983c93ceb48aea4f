"""What is asked of a task: read from an annotator's action, or from the data of a task that was opened. Nothing is queued here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from backend.db.project_store import PromptMemory
from backend.db.request_store import RequestStore
from backend.inference.refinement_state import RefinementStates, RefinementTarget, read_choice
from backend.interactive.projects import Projects, TaskContext
from backend.label_studio import messages, protocol
from backend.label_studio.drafts import Draft, Page, read_draft, read_page
from backend.label_studio.gestures import Gesture, is_about_other_image, is_pointing, read_gesture
from backend.label_studio.label_config import Control, LabelConfig
from backend.label_studio.label_names import fold
from backend.label_studio.messages import Message
from backend.label_studio.prompt import (
    ParsedPrompt,
    PromptEntries,
    find_asked,
    is_again,
    list_absent,
    read_absent,
    read_command,
    read_prompt,
    split_expressions,
    split_label,
)
from backend.label_studio.protocol import Json, PredictCall, Task
from ris_core.errors import BadExpression


@dataclass(frozen=True)
class AskedPrompt:
    """A prompt that asks.

    Attributes:
        name: Of its control.
        config: The label config that it belongs to.
        entries: Its entries.
        kept: Of the one that is asked, what stays whatever the answer is.
        shown: The entries as the page shows them.
    """

    name: str
    config: LabelConfig
    entries: PromptEntries
    kept: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """What is asked of one task.

    Attributes:
        body: What a worker needs to know to answer, as the request is stored.
        source_id: Id of the prompt or the gesture that asks; empty if nobody typed or clicked.
        needs_worker: There is something to be found out. If not, the message is all there is to say.
        message: What the annotator is told, whatever the answer is.
        asked: The prompt that asks; None where nobody typed.
    """

    task: Task
    body: Json
    source_id: str = ""
    needs_worker: bool = True
    message: Message | None = None
    asked: AskedPrompt | None = None


@dataclass(frozen=True)
class _EntryReading:
    """An entry of a prompt, read.

    Attributes:
        expressions: What is to be looked for.
        kept: What is said without being looked for, and is kept: that something is absent.
        messages: What the annotator is told at once.
        told: Expressions whose masks are there already, folded.
    """

    expressions: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    told: tuple[str, ...] = ()


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
        """The expressions in the data of a task that was opened, else the project's standing ones.

        The image is to be encoded even if there are none.

        Raises:
            BadInput: If the label config or a setting cannot be used.
            Unreachable: If the database is down.
        """
        context = self._projects.read(task, call)
        config, settings = context.config, context.settings
        own_text = protocol.read_field(task.data, settings.expression_field or config.expression_key)
        texts = split_expressions(own_text or settings.standing or "", config.controls[0])
        expressions = [text for text in texts if read_absent(text) is None]
        prompt = next((name for name in config.prompts if name in config.cleaned_prompts), None)
        is_in_input = config.is_prefilled and bool(own_text)
        asked, source_id = None, ""
        if expressions and prompt and not is_in_input:
            asked = AskedPrompt(prompt, config, PromptEntries(("; ".join(texts),), 0), (), ())
            source_id = protocol.new_region_id()
        body = {**context.body, "expressions": expressions}
        return Question(task, body, source_id, needs_worker=bool(expressions), asked=asked)

    def show_entry(self, question: Question) -> Json | None:
        """The entry of the prompt with which an opened task comes answered, as a result; None if there is none.

        The annotator can edit it, or go on from it: "next" is about what was answered.
        """
        asked, task = question.asked, question.task
        if asked is None:
            return None
        self._store.projects.save_prompt(task.project, task.id, question.source_id, asked.entries.texts)
        entry = protocol.prompt_result(asked.name, asked.config.cleaned_prompts[asked.name], asked.entries.texts)
        return {**entry, "id": question.source_id}

    def _read_prompt(self, context: TaskContext, prompt: ParsedPrompt, draft: Draft | None) -> Question | None:
        task, control = context.task, context.config.controls[0]
        memory = self._store.projects.get_prompt(task.project, task.id, prompt.id)
        entries = find_asked(prompt.texts, memory.texts)
        if entries is None:  # the last entry was taken away
            return Question(task, context.body, prompt.id, needs_worker=False)
        entries = _read_again(entries)
        page = read_page(task, prompt.id, context.config)
        reading = _read_entry(entries.asked, control, page, memory.told)
        self._store.projects.save_prompt(task.project, task.id, prompt.id, prompt.texts, reading.told)
        body = {
            **context.body,
            "expressions": reading.expressions,
            "draft": draft.saved_at if draft else None,
            **self._find_target(task, prompt.id, entries, memory, page),
        }
        asked = AskedPrompt(prompt.name, context.config, entries, reading.kept, prompt.texts)
        return Question(task, body, prompt.id, bool(reading.expressions), messages.join(reading.messages), asked)

    def _find_target(
        self, task: Task, prompt_id: str, entries: PromptEntries, memory: PromptMemory, page: Page
    ) -> dict[str, Json]:
        """What may be replaced, where something is asked for again or another candidate is."""
        is_repeated = fold(entries.asked) in map(fold, (*memory.texts, *memory.told))
        if not is_repeated and not any(read_choice(part) for part in entries.asked.split(";")):
            return {}
        state = self._refinement_states.get(task.project, task.id, prompt_id)
        return {"mends": asdict(RefinementTarget.of_prompt(prompt_id, state, page))}

    def tidy(self, question: Question, answered: Sequence[str] | None) -> Json | None:
        """The prompt's entries without commands, and without what brought nothing, as a result; None to leave them alone.

        Label Studio takes them only where the label config has the prompt belong to the text of the messages. What could not be
        answered for another reason stays, to be asked again.

        Args:
            answered: What was asked and brought something; None if that is not known.
        """
        asked, task = question.asked, question.task
        to_name = asked.config.cleaned_prompts.get(asked.name) if asked else None
        if asked is None or to_name is None or (answered is None and question.needs_worker):
            return None
        entries = asked.entries.keep([*asked.kept, *(answered or ())], asked.config.controls[0])
        if entries == asked.shown:
            return None
        memory = self._store.projects.get_prompt(task.project, task.id, question.source_id)
        self._store.projects.save_prompt(task.project, task.id, question.source_id, entries, memory.told)
        return protocol.prompt_result(asked.name, to_name, entries)

    def _read_gesture(self, context: TaskContext, gesture: Gesture, draft: Draft | None) -> Question:
        """Clicks or a box; they correct what was offered for an expression, if the draft says whose that was."""
        task, body = context.task, {**context.body, "gesture": gesture.to_json()}
        state = self._refinement_states.find(task.project, task.id, draft) if draft else None
        recent = () if draft else self._refinement_states.find_recent(task.project, task.id)
        message = None
        if state is None and len(recent) == 1:  # Label Studio has not saved yet whose click this is
            state, message = recent[0], messages.about_correction(recent[0].offer.answer.expression)
        elif recent:
            message = messages.say("alone")
        if state:
            body["mends"] = asdict(RefinementTarget.of(state, draft))
        has_mask = state is not None and bool(state.offer.before(gesture.id))
        if not gesture.is_positive and not has_mask:  # only "not this", and no mask to take it from
            return Question(task, body, gesture.id, needs_worker=False, message=messages.say("click"))
        return Question(task, body, gesture.id, message=message)


def _read_again(entries: PromptEntries) -> PromptEntries:
    """Of "again" the entry before it, as if that were asked now."""
    others = [text for text in entries.texts if not is_again(text)]
    return PromptEntries(tuple(others), len(others) - 1) if is_again(entries.asked) and others else entries


def _read_entry(text: str, control: Control, page: Page, told: Sequence[str]) -> _EntryReading:
    """What an entry asks.

    Args:
        page: What is drawn already: the same for the same words is not offered again, unless the annotator was told that.
        told: What they were told of last.
    """
    if command := read_command(text):
        return _EntryReading(messages=(messages.say(command),))
    try:
        parts = split_expressions(text, control)
    except BadExpression as error:
        return _EntryReading(messages=(messages.about_error(error),))
    kept = tuple(part for part in parts if read_absent(part) is not None)
    there = {fold(one.expression) for one in page.list_regions() if one.rank is None and not one.is_refined}
    words = {part: fold(split_label(control, part)[1]) for part in parts if part not in kept}
    repeated = tuple(part for part, folded in words.items() if folded in there and folded not in told)
    absent = list_absent(kept)
    remarks = [messages.say("absent", ", ".join(absent))] if absent else []
    if repeated:
        remarks.append(messages.about_repeated(repeated))
    return _EntryReading(
        tuple(part for part in words if part not in repeated),
        kept,
        tuple(remarks),
        tuple(words[part] for part in repeated),
    )


def _explain_unanswered(context: Sequence[Json] | None, config: LabelConfig) -> Message | None:
    """What is told about an action that is neither a prompt nor a click or box; None after a submit."""
    if is_about_other_image(context, config):
        return messages.say("other_image", config.image_name)
    return messages.say("click") if is_pointing(context, config) else None
