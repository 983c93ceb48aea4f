import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core.output.plain_text import lines, markdown, one_line, to_json, whole

ANY = st.text(st.characters(codec=None))


@given(ANY)
def test_nothing_reaches_a_terminal_but_text(text):
    shown = one_line(text)
    shown.encode()
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 or one in "\u2028\u2029\u202e\ufffe\uffff" for one in shown)
    assert one_line("a" + shown) == "a" + shown


@given(ANY)
def test_json_is_read_back_and_is_one_line_for_every_reader(text):
    line = to_json({text: [text]})
    assert len(line.splitlines()) == 1
    assert json.loads(line.encode()) == {whole(text): [whole(text)]}


@pytest.mark.parametrize("text", ["plain", "naïve 训练 😀", "خانه\u200cها", "👨\u200d👩\u200d👧"])
def test_text_of_every_script_stays(text):
    assert one_line(text) == whole(text) == text


def test_what_commands_a_terminal_is_written_out():
    assert one_line("a\x1b[2Jb\rc\nd\u202ee\ud800\x9b") == r"a\x1b[2Jb\rc\nd\u202ee\ud800\x9b"
    assert one_line("a\uffff\ufffe") == r"a\uffff\ufffe"
    assert lines("a\r\nb\x07\nc") == "a\nb\\x07\nc"


MARKUP = {
    "cell": ("a | b", r"a \| b"),
    "lines": ("a\n\n# b\r\nc", "a # b c"),
    "html": ("<script>x</script> &lt;", "&lt;script&gt;x&lt;/script&gt; &amp;lt;"),
    "link": ("[x](javascript:y)", r"\[x\](javascript:y)"),
    "picture": ("![x](y)", r"!\[x\](y)"),
    "code": ("`x`", r"\`x\`"),
    "emphasis": ("*a* _b_ ~~c~~", r"\*a\* \_b\_ \~\~c\~\~"),
    "formula": ("$x$", r"\$x\$"),
    "backslash": ("\\| x", r"\\\| x"),
    "surrogate": ("a\ud800", "a\ufffd"),
    "plain": ("CC-BY-4.0, 3.5 (a)", "CC-BY-4.0, 3.5 (a)"),
}


@pytest.mark.parametrize(("text", "shown"), MARKUP.values(), ids=MARKUP)
def test_markdown_shows_it_as_it_is(text, shown):
    assert markdown(text) == shown
