import time

import pytest

from backend.base.errors import BadConfig
from backend.label_studio.xml_text import COMMENT, read_elements

SHAPES = {
    "beside each other": lambda n: "<View>" + '<Label value="Größe 😀"/>' * n + "</View>",
    "with comments": lambda n: "<View>" + "<!-- é --><Header value='→'/>\n" * n + "</View>",
    "in one another": lambda n: "<View>" * n + "ß" + "</View>" * n,
    "many attributes": lambda n: "<View " + " ".join(f'a{i}="ü>"' for i in range(n)) + "/>",
    "much text": lambda n: "<View>" + "ж" * 40 * n + "</View>",
}


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_offsets_are_in_characters(make):
    text = make(5)
    for element in read_elements(text):
        assert text[element.start] == "<"
        assert text[element.end - 1] == ">"
        if element.tag != COMMENT:
            assert text[element.start + 1 :].lower().startswith(element.tag)
            assert text[element.inside - 1] == ">"


def seconds(make, count):
    text = make(count)
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        read_elements(text)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_four_times_as_much_takes_about_four_times_as_long(make):
    """Something that looks back at all of the text for each element takes sixteen times as long."""
    count = 4000
    assert seconds(make, 4 * count) < 9 * seconds(make, count) + 0.02


def test_text_that_no_file_can_hold_is_refused():
    with pytest.raises(BadConfig):
        read_elements("<View name='\ud800'/>")
