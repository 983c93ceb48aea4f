"""The smallest edit that makes a project's label config work with expressions.

The author's text stays as it is around what is put in: formatting, comments and names. Nothing is renamed or removed, so
annotations that were made with the config stay valid.
"""

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from string import Template
from xml.sax.saxutils import escape

from backend.base.errors import BadConfig
from backend.label_studio.config_tags import KINDS
from backend.label_studio.label_config import (
    MESSAGE_NAME,
    LabelConfig,
    NoControl,
    find_message_area,
    read_config,
)
from backend.label_studio.page_layout import (
    has_layout,
    limit_height,
    make_message,
    make_prompt,
    update_layout,
)
from backend.label_studio.xml_text import (
    Element,
    around,
    children,
    insert_after,
    insert_attribute,
    insert_before,
    keeps,
    read_elements,
)

MASK_TAG = Template("""\
<BrushLabels name="$name" toName="$image" smart="false">
  <Label value="$label" background="#A100FF"/>
</BrushLabels>""")


@dataclass(frozen=True)
class ConfigEdit:
    """A label config before and after.

    Attributes:
        before, after: The XML; the same if nothing is to be done.
        changes: What is put in, a phrase each.
        config: What the backend reads from it afterwards.
    """

    before: str
    after: str
    changes: tuple[str, ...]
    config: LabelConfig

    @property
    def diff(self) -> str:
        """Unified diff; empty if nothing is to be done."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), "label config", "label config, edited", lineterm=""
        )
        return "\n".join(lines)


class LabelNeeded(BadConfig):
    """A config without a control that takes masks, and no label was named for one."""


def edit_config(xml: str, label: str | None = None, prompt: str | None = None) -> ConfigEdit:
    """Put in what is missing: a control for masks, an input for expressions, a place for messages, `smart="false"`.

    Args:
        label: Label of the control for masks, if there is none yet.
        prompt: Name of the TextArea that expressions are typed into, as the project's settings have it.

    Raises:
        LabelNeeded: If there is no control for masks and no label.
        BadConfig: If the config cannot be read, or nothing that is put in makes it one that can be answered: its image is
            repeated or one of several, its labels come from the tasks, the message's name is used for something else, or there
            is no TextArea of that name.
    """
    text, changes = xml, []
    steps = (
        partial(_add_masks, label=label),
        partial(_add_prompt, prompt=prompt),
        partial(_add_message, prompt=prompt),
        partial(_join_prompt, before=xml),
        _switch_smart_off,
        update_layout,
        _limit_height,
    )
    for step in steps:
        text, change = step(text)
        changes += [change] if change else []
    assert keeps(read_elements(xml), read_elements(text))
    return ConfigEdit(xml, text, tuple(changes), read_config(text).with_prompt(prompt))


def _add_masks(text: str, label: str | None) -> tuple[str, str]:
    try:
        read_config(text)
    except NoControl:
        elements = read_elements(text)
        image = _first_image(elements)
        name = _free_name("brush", elements)
        block = MASK_TAG.substitute(name=name, image=_quote(image), label=_quote(label or "Object"))
        added = _put_above(text, image, block)
        read_config(added)  # raises if something else is wrong
        if not label:
            raise LabelNeeded(
                "The label config has no control with labels that a mask can be returned to. "
                "Name the label of one that is added: --label Object."
            ) from None
        return added, f'a control for masks, "{name}", with the label "{label}"'
    return text, ""


def _add_prompt(text: str, prompt: str | None) -> tuple[str, str]:
    """Unless one is named as such, or stands in a config that was connected before: a field for remarks is left alone."""
    config = read_config(text)
    if prompt and prompt not in config.text_areas:
        there = ", ".join(map(repr, config.text_areas)) or "none"
        raise BadConfig(
            f"The label config has no TextArea {prompt!r} of the image {config.image_name!r}; there is {there}.",
            'Name one of them with --prompt, or take the setting away with --prompt "".',
        )
    if prompt or (config.prompts and (config.is_prompt_named or find_message_area(text))):
        return text, ""
    name = _free_name("prompt", read_elements(text))
    block = make_prompt(name, _quote(config.image_name))
    others = ", ".join(f'"{other}"' for other in config.text_areas)
    left = f"; {others} stays as it is (--prompt takes another)" if others else ""
    return _put_above(text, config.image_name, block), f'an input for expressions, "{name}"{left}'


def _add_message(text: str, prompt: str | None) -> tuple[str, str]:
    """Right under the input, or under the View that no other control shares with it; above the image in any case."""
    if find_message_area(text):
        return text, ""
    config, elements = read_config(text).with_prompt(prompt), read_elements(text)
    if any(element.name == MESSAGE_NAME for element in elements):
        raise BadConfig(
            f'The label config uses the name "{MESSAGE_NAME}" for something else than what annotators are told.',
            "Give that another name.",
        )
    image = _find_image(elements, config.image_name)
    value = _quote(image.attributes["value"])
    block = make_message(MESSAGE_NAME, _free_name(f"{MESSAGE_NAME}_for", elements), value)
    area = next(element for element in elements if element.name == config.prompts[0])
    if area.start > image.start:
        return _put_above(text, config.image_name, block), "a place for messages"
    *_, parent = around(elements, area)
    with_names = [element for element in elements if parent.start < element.start < parent.end and element.name]
    under = parent if parent.depth and with_names == [area] else area
    return insert_after(text, under.end, block), "a place for messages"


def _join_prompt(text: str, before: str) -> tuple[str, str]:
    """Have a prompt that was just put in belong to the text of the messages, so that answers can tidy its entries."""
    config, area = read_config(text), find_message_area(text)
    prompt = next((one for one in read_elements(text) if one.name and one.name == next(iter(config.prompts), "")), None)
    if prompt is None or area is None or prompt.name in {element.name for element in read_elements(before)}:
        return text, ""
    tag = text[prompt.start : prompt.inside].replace(
        f'toName="{_quote(config.image_name)}"', f'toName="{_quote(area)}"'
    )
    return text[: prompt.start] + tag + text[prompt.inside :], ""


def _switch_smart_off(text: str) -> tuple[str, str]:
    """On controls that take masks, where the author has not decided.

    They default to smart, and then the Auto-Detect tool picks them instead of a click or box tool.
    """
    names = {control.name for control in read_config(text).controls}
    undecided = [
        element
        for element in read_elements(text)
        if element.tag in KINDS and element.name in names and "smart" not in element.attributes
    ]
    for element in reversed(undecided):  # from the end: offsets before it stay
        text = insert_attribute(text, element, 'smart="false"')
    quoted = ", ".join(f'"{element.name}"' for element in undecided)
    return text, f'smart="false" on {quoted}' if undecided else ""


def _limit_height(text: str) -> tuple[str, str]:
    """Beside our own layout only: what else stands above the picture in others' is not known."""
    if not has_layout(text):
        return text, ""
    config = read_config(text)
    limited = limit_height(text, config.image_name, config.controls[0].labels)
    return limited, "a height of the picture that keeps it in view" if limited != text else ""


def _find_image(elements: Sequence[Element], name: str) -> Element:
    return next(element for element in elements if element.tag == "image" and element.name == name)


def _first_image(elements: Sequence[Element]) -> str:
    for element in elements:
        if element.tag == "image" and element.depth:
            return element.name
    raise BadConfig("The label config has no <Image> in its <View>.", 'Add <Image name="image" value="$image"/>.')


def _free_name(wanted: str, elements: Sequence[Element]) -> str:
    names = {element.name.lower() for element in elements}
    return next(name for i in itertools.count(1) if (name := wanted if i == 1 else f"{wanted}_{i}") not in names)


def _quote(value: str) -> str:
    """For an attribute in double quotes."""
    return escape(value, {'"': "&quot;"})


def _put_above(text: str, image_name: str, lines: str) -> str:
    """Put lines at the top of the View that holds an image, or of the next one around it that is no row.

    If there is no such View, as in layouts with the labels beside the image, the image gets one.
    """
    elements = read_elements(text)
    image = _find_image(elements, image_name)
    columns = [view for view in around(elements, image) if not _IS_ROW.search(view.attributes.get("style", ""))]
    if columns:
        inside = children(elements, columns[-1])
        first = next(child for child in inside if child.tag not in ("style", "header"))  # the image at the latest
        return insert_before(text, first.start, lines)
    text = insert_after(text, image.end, "</View>")
    indented = "\n".join(f"  {line}" for line in lines.splitlines())
    return insert_before(text, image.start, f'<View style="flex: 1; width: 100%">\n{indented}')


_IS_ROW = re.compile(r"display\s*:\s*(inline-)?(grid|flex(?!.*direction\s*:\s*column\s*(;|$)))", re.I | re.S)
"""A style that does not put children below each other in their order."""
