"""Fonts of the machine, in a process of its own: matplotlib looks for folders of fonts once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

ROOT = Path(__file__).parents[3]
LABEL = "漢字"

DRAW = """
import warnings; warnings.simplefilter("error")
from backend.report.plots import outcome_bars
print(outcome_bars({LABEL: {"accepted": 3}, "dog": {"edited": 1}}))
""".replace("LABEL", repr(LABEL))
EXAMINE = """
from backend.doctor.fonts import check_fonts
[finding] = check_fonts(None)
print(finding.state, finding.value, finding.remedy)
"""


def make_font(file: Path, characters: str, name: str = "Tiny CJK") -> None:
    """A font whose characters are squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"uni{ord(character):04X}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): name for character, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular", "psName": name.replace(" ", "")})
    builder.setupOS2()
    builder.setupPost()
    file.parent.mkdir(parents=True, exist_ok=True)
    builder.save(file)


def run(code: str, home: Path) -> str:
    """What code prints where only the fonts below `home` are there, beside matplotlib's own."""
    alone = (
        f"import matplotlib.font_manager as own\nown.X11FontDirectories[:] = [{str(home)!r}]\n"
        "own._get_fontconfig_fonts = lambda: []\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", alone + code], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_labels_in_chinese_are_drawn_with_a_font_of_the_machine(tmp_path):
    make_font(tmp_path / "fonts" / "tiny.ttf", LABEL)
    (tmp_path / "fonts" / "broken.ttf").write_bytes(b"no font")
    svg = run(DRAW, tmp_path)
    assert len(set(re.findall('id="(TinyCJK-.*?)"', svg))) == len(LABEL)
    assert "<text" not in svg


def test_without_such_a_font_the_readers_browser_draws_them(tmp_path):
    svg = run(DRAW, tmp_path)
    assert f">{LABEL}</text>" in svg


@pytest.mark.parametrize(
    ("characters", "says"),
    [
        ("", "warn no font of this machine draws Chinese, Japanese, Korean"),
        ("漢字汉语日本語ひらカタ", "draws Korean labels Install"),
        ("漢字汉语日本語ひらカタ한국어", "ok Chinese"),
    ],
)
def test_the_doctor_names_the_scripts_that_no_font_draws(tmp_path, characters, says):
    if characters:
        make_font(tmp_path / "tiny.ttf", characters)
    assert says in run(EXAMINE, tmp_path)


CAPTION = """
import numpy as np
from PIL import Image, ImageDraw
from backend.base.fonts import load_font
def draw(text):
    canvas = Image.new("L", (60, 40))
    ImageDraw.Draw(canvas).text((2, 2), text, 255, load_font(text, 20))
    return np.asarray(canvas)
print(len({draw(text).tobytes() for text in TEXTS}))
"""


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        (("dog", "cat"), 2),
        (("Ж", "Я", "λ"), 3),  # in matplotlib's own font, and not in Pillow's
        (("字", "犬"), 2),  # the made font has the first only
        (("", "字\x00"), 2),
    ],
)
def test_captions_are_drawn_with_a_font_that_has_their_characters(tmp_path, texts, count):
    make_font(tmp_path / "fonts" / "tiny.ttf", "字")
    assert int(run(CAPTION.replace("TEXTS", repr(texts)), tmp_path)) == count


def test_captions_are_drawn_without_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", code + CAPTION.replace("TEXTS", repr(("a", "字")))],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("2\n", "")
