"""How the labelling page looks: the input for expressions, the line for messages, and the room that is left to the picture.

All of it stands above the picture at a fixed height, so that the picture does not move. Checked in Label Studio 1.23.2.
"""

import re
from collections.abc import Sequence
from string import Template

from backend.label_studio.xml_text import Element, insert_attribute, read_elements

PROMPT_STYLE = """\
.ris-prompt { position: relative; z-index: 3; height: 40px; }
.ris-prompt [data-testid="textarea-control"] { display: flex; align-items: center; gap: 8px; height: 40px; margin: 0 !important; }
.ris-prompt form { flex: 3 1 0; min-width: 0; margin: 0; padding: 0; border: 0; }
.ris-prompt .ant-form-item-control-input-content { display: flex; flex-flow: row nowrap; align-items: center; gap: 8px; }
.ris-prompt input { flex: 1; }
.ris-prompt [data-testid="textarea-counts"] { display: none; }
.ris-prompt [data-testid="textarea-submit-section"] { width: auto !important; margin: 0; }
.ris-prompt form + div { flex: 2 1 0; min-width: 0; margin: 0 !important; }
.ris-prompt form + div .lsf-row { margin: 0; }
.ris-prompt [data-testid="htx-textbox-content"] { min-height: 0; padding: 1px 12px; }
.ris-prompt form + div:is(:hover, :focus-within) { position: absolute; right: 0; top: 4px; width: 60%; max-height: 300px; }
.ris-prompt form + div:is(:hover, :focus-within) { overflow-y: auto; padding: 4px; background: var(--color-neutral-background); }
.ris-prompt form + div:is(:hover, :focus-within) { box-shadow: 0 4px 12px rgba(0, 0, 0, 0.4); }
.ris-prompt form + div:not(:hover, :focus-within) .lsf-row:not(:last-child) { display: none; }
.ris-prompt form + div:not(:hover, :focus-within) [data-testid="htx-textbox-delete-button"] { display: none; }
.ris-prompt form + div:not(:hover, :focus-within) p { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.ris-hint { position: absolute; z-index: 4; margin-top: 40px; pointer-events: none; }
.lsf-editor:has([data-testid="bottombar-auto-annotation-toggle"]:checked) .ris-hint { display: none; }
[class*="toast-viewport"] { top: 8px; bottom: auto !important; }
[class*="toast-viewport"] * { pointer-events: none !important; }"""
"""The input with its newest entry beside it; the others show on hover and focus. Toasts cover nothing that is clicked."""

MESSAGE_STYLE = """\
.ris-message { position: relative; height: 44px; overflow: hidden; }
.ris-message:hover { overflow: visible; z-index: 2; }
.ris-message [data-testid="textarea-control"] { margin: 0 !important; }
.ris-message [data-testid="textarea-regions"] { margin: 0 !important; }
.ris-message [data-testid="htx-textbox-content"] { min-height: 0; padding: 3px 12px; background: var(--color-neutral-surface); }
.ris-message [data-testid="htx-textbox-content"] { border: none; border-left: 4px solid #617ADA; }
.lsf-main-content.lsf-requesting .ris-message::after { content: 'Segmenting…'; position: absolute; inset: 0; padding: 4px 12px; }
.lsf-main-content.lsf-requesting .ris-message::after { color: #617ADA; background: var(--color-neutral-background); }"""
"""Two lines, whether something stands there or not; while an answer is waited for, that is said in their place."""

HINT = "Switch Auto-Annotation on, at the bottom; then type what you mean and press Enter."

PROMPT_TAG = Template("""\
<View className="ris-prompt">
  <Style>
$style
  </Style>
  <View className="ris-hint">
    <Header value="$hint" size="6"/>
  </View>
  <TextArea name="$name" toName="$image" placeholder="the dog left of the bench" editable="true" rows="1" showSubmitButton="true"/>
</View>""")
"""The input for expressions."""

MESSAGE_TAG = Template("""\
<View className="ris-message">
  <Style>
$style
  </Style>
  <View style="display:none"><Text name="$object" value="$value"/></View>
  <TextArea name="$name" toName="$object" maxSubmissions="0" visibleWhen="choice-selected" whenTagName="$name"/>
</View>""")
"""Where annotators are told what became of an expression. Of a control that is "not visible" nothing is saved.

It belongs to a hidden text, since a result of the image would be given the labels that are active in the page. That shows
the image's field, as exports ask for one field only, and stands before the image, whose kind then counts for the field.
"""

ABOVE_PX = 272
"""Height of everything in the page but the picture and the labels: Label Studio's bars, its margins, the input, the message."""
LABEL_ROW_PX = 34
LABELS_WIDTH_PX = 740
"""Width of a row of labels on a screen of 1366 pixels, between the list of tasks and the panel of regions."""
LABEL_PX, CHARACTER_PX = 56, 7.5
"""Width of a label without its text, and about that of a character."""
_OLD_PROMPT = re.compile(
    r"\.(?P<prefix>ris-|)prompt \[data-testid=\"textarea-control\"\][^}]*column-reverse; max-height: 136px"
)
_OLD_MESSAGE = re.compile(r"\.(?P<prefix>ris-|)message \{ min-height: 36px; \}")


def make_prompt(name: str, image: str) -> str:
    """The input for expressions, with its layout. Args are escaped already."""
    return PROMPT_TAG.substitute(style=_indent(PROMPT_STYLE), hint=HINT, name=name, image=image)


def make_message(name: str, object_name: str, value: str) -> str:
    """The place for messages, with its layout. Args are escaped already."""
    return MESSAGE_TAG.substitute(style=_indent(MESSAGE_STYLE), name=name, object=object_name, value=value)


def has_layout(text: str) -> bool:
    """Whether a label config has the layout of this version."""
    return "prompt { position: relative; z-index: 3; height: 40px; }" in text


def update_layout(text: str) -> tuple[str, str]:
    """Write the layout of this version in the place of that of an earlier one; the label config of others is left alone.

    Returns:
        The label config, and what was changed; empty if nothing was.
    """
    old = [element for element in read_elements(text) if element.tag == "style" and _renew(_inside(text, element))]
    for element in reversed(old):  # from the end: offsets before it stay
        lines = _renew(_inside(text, element))
        head, indent = text[: element.inside], " " * (_column(text, element) + 2)
        tail = text[_end_tag(text, element) :]
        body = "".join(f"\n{indent}{line}" for line in lines.splitlines())
        text = f"{head}{body}\n{' ' * _column(text, element)}{tail}"
    return text, "the page's new layout: the picture stays in view and does not move" if old else ""


def limit_height(text: str, image_name: str, labels: Sequence[str]) -> str:
    """Have the picture lie wholly in view, whatever its shape; where the author has not decided that.

    Args:
        labels: Those that stand in a row above it.
    """
    image = next(one for one in read_elements(text) if one.tag == "image" and one.name == image_name)
    if "maxheight" in image.attributes:
        return text
    return insert_attribute(text, image, f'maxHeight="{picture_height(labels)}"')


def picture_height(labels: Sequence[str]) -> str:
    """The most that a picture's height may be below the input, the message and some labels, as CSS."""
    rows, at = 1, 0.0
    for label in labels:
        width = LABEL_PX + CHARACTER_PX * len(label)
        rows, at = (rows + 1, width) if at and at + width > LABELS_WIDTH_PX else (rows, at + width)
    return f"calc(100vh - {ABOVE_PX + LABEL_ROW_PX * rows}px)"


def _renew(style: str) -> str:
    """The rules of this version for those of an earlier one, for the classes that it used; empty for others' rules."""
    parts = []
    for pattern, rules in ((_OLD_PROMPT, PROMPT_STYLE), (_OLD_MESSAGE, MESSAGE_STYLE)):
        if match := pattern.search(style):
            parts.append(rules.replace(".ris-", f".{match['prefix']}"))
    return "\n".join(parts)


def _inside(text: str, element: Element) -> str:
    return text[element.inside : _end_tag(text, element)]


def _end_tag(text: str, element: Element) -> int:
    return max(element.inside, text.rfind("</", element.inside, element.end))


def _column(text: str, element: Element) -> int:
    return element.start - (text.rfind("\n", 0, element.start) + 1)


def _indent(rules: str) -> str:
    return "\n".join(f"    {rule}" for rule in rules.splitlines())
