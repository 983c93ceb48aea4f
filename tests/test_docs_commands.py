"""The commands that the docs name exist; `e2e/test_docs_commands.py` runs their blocks."""

import importlib.util
import re
import shlex
from collections.abc import Iterator, Sequence

import click
import pytest
import typer

from backend.commands.cli import app
from tests.command_blocks import BLOCKS, PAGES, REASONS, ROOT, Block, read_blocks, read_inline_code

LANGUAGES = {"bash", "console", "text", "python"}
RIS = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
INLINE = [(page, code) for page in PAGES for code in read_inline_code(page.read_text("utf-8"))]
ELSEWHERE = {"--batch", "--help", "--no-deps", "--workers"}
"""Options of other programs (training, pip), and of every one."""


def find_command(words: Sequence[str]) -> tuple[click.Command, list[str]]:
    """The command that words after `ris` name, and what is left of them.

    Raises:
        AssertionError: If there is none.
    """
    command, rest = RIS, list(words)
    while rest and rest[0] != "--help" and (known := getattr(command, "commands", None)):
        name = rest.pop(0)
        assert name in known, f"`ris {' '.join(words)}`: no command {name!r}; there are {', '.join(known)}"
        command = known[name]
    return command, rest


def check_words(words: Sequence[str]) -> None:
    """The command, its options and as many arguments exist; values may be placeholders, and what is required may be left out."""
    command, rest = find_command(words)
    options = {name: param for param in command.params for name in (*param.opts, *param.secondary_opts)}
    room = sum(param.nargs if param.nargs > 0 else len(rest) for param in command.params if is_argument(param))
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if not word.startswith("--"):
            room -= word != "…"
            continue
        assert word in options or word == "--help", f"`ris {' '.join(words)}`: no option {word}"
        if rest and not value and not getattr(options.get(word), "is_flag", True):
            rest.pop(0)
    assert room >= 0, f"`ris {' '.join(words)}`: too many arguments"


def is_argument(param: click.Parameter) -> bool:
    return param.param_type_name == "argument"


def ris_of(block: Block) -> Iterator[list[str]]:
    """What follows `ris`, of every line with one."""
    for words in block.commands:
        for at, word in enumerate(words):
            if word == "ris" or word.endswith("/ris"):
                yield words[at + 1 :]
                break


def options_of(command: click.Command) -> set[str]:
    own = {name for param in command.params for name in param.opts}
    return own.union(*map(options_of, getattr(command, "commands", {}).values()))


def test_every_block_says_what_it_is():
    assert {block.language for block in BLOCKS} <= LANGUAGES


def test_commands_do_not_hide_in_text():
    typed = re.compile(r"^ *(\$ |ris |make |curl |docker |\.venv/)", re.MULTILINE)
    assert [
        f"{block.page}:{block.line}" for block in BLOCKS if block.language == "text" and typed.search(block.text)
    ] == []


def test_contributing_explains_every_reason():
    [told] = re.findall(r"The reasons are (.*?); several", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert set(re.findall(r"`([^`]+)`", told)) == REASONS


@pytest.mark.parametrize(
    ("markdown", "says"),
    [
        ("<!-- needs: a rest -->\n```bash\nls\n```\n", "known are"),
        ("<!-- needs: gpu -->\n\n```bash\nls\n```\n", "not right above"),
        ("<!-- needs: gpu -->\n```text\nls\n```\n", "stands above"),
    ],
    ids=["unknown reason", "too far above", "no commands"],
)
def test_marker_that_means_nothing_is_refused(markdown: str, says: str):
    with pytest.raises(ValueError, match=says):
        list(read_blocks("page.md", markdown))


def test_markers_and_prompts_are_read():
    session = "$ ris run \\\n  list\nrun  done\n$ ls\n"
    [block] = read_blocks(
        "page.md", f"Look:\n\n<!-- needs: gpu, model hub -->\n<!-- exits: 2 -->\n```console\n{session}```\n"
    )
    assert (block.line, block.needs, block.exits) == (5, {"gpu", "model hub"}, 2)
    assert block.commands == [["ris", "run", "list"], ["ls"]]


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.has_commands], ids=lambda b: f"{b.page}:{b.line}")
def test_every_ris_command_of_a_block_is_complete(block: Block):
    """Also of those that cannot run here."""
    for words in ris_of(block):
        command, rest = find_command(words)
        command.make_context(str(command.name), rest)  # raises if something is missing or has a wrong type


@pytest.mark.parametrize("code", sorted({code for _, code in INLINE if code.startswith("ris ")}))
def test_every_ris_command_in_a_sentence_exists(code: str):
    check_words(shlex.split(code)[1:])


def test_every_option_in_a_sentence_exists():
    named = {option for _, code in INLINE for option in re.findall(r"^--[a-z-]+", code)}
    assert named - options_of(RIS) - ELSEWHERE == set()


def test_every_make_target_in_a_sentence_exists():
    named = {word for _, code in INLINE if code.startswith("make ") for word in code.split()[1:] if "=" not in word}
    assert named - TARGETS == set()


def test_every_module_in_a_sentence_exists():
    named = {match[1] for _, code in INLINE if (match := re.match(r"(?:\S+/)?python -m ([\w.]+)", code))}
    assert named
    assert {name for name in named if importlib.util.find_spec(name) is None} == set()


@pytest.mark.parametrize("words", ["corrections purge", "run start --projekt 3", "segment a.png frog extra"])
def test_what_does_not_exist_is_found(words: str):
    with pytest.raises(AssertionError, match=r"no command|no option|too many"):
        check_words(words.split())
