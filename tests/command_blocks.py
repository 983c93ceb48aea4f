"""The docs' fenced blocks, and which of them are commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "demo/*.md", "label_config/*.md")
    for page in ROOT.glob(pattern)
)
REASONS = frozenset({"minutes", "gpu", "model hub", "data set", "docker", "another host"})
"""What a block may need that tests do not have; CONTRIBUTING.md explains them."""
COMMANDS = frozenset({"bash", "console"})
"""Languages of fences that hold commands."""
MARKER = re.compile(r"^ *<!-- *(needs|exits): *(.*?) *--> *$", re.MULTILINE)
FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *``` *$", re.DOTALL | re.MULTILINE)
PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Its file, from the root.
        line: Line of its opening fence, from 1.
        language: The word after the opening fence.
        needs: Why tests cannot run it; empty if they do.
        exits: Exit code of its last command.
        text: All between the fences.
    """

    page: str
    line: int
    language: str
    needs: frozenset[str]
    exits: int
    text: str

    @property
    def has_commands(self) -> bool:
        return self.language in COMMANDS

    @property
    def script(self) -> str:
        """What a reader types: all of it, or what follows a prompt, with its continued lines."""
        if self.language != "console":
            return self.text
        typed, goes_on = [], False
        for line in self.text.splitlines():
            if goes_on or line.startswith(PROMPT):
                typed.append(line if goes_on else line.removeprefix(PROMPT))
                goes_on = line.endswith("\\")
        return "".join(f"{line}\n" for line in typed)

    @property
    def commands(self) -> list[list[str]]:
        """The words of each line."""
        return [shlex.split(line, comments=True) for line in self.script.replace("\\\n", " ").splitlines()]


def read_blocks(page: str, markdown: str) -> Iterator[Block]:
    """Every fenced block of a page.

    Raises:
        ValueError: If a marker is not right above commands, or says something that is not known.
    """
    read = 0
    for fence in FENCE.finditer(markdown):
        line = markdown.count("\n", 0, fence.start()) + 1
        language, text = fence.groups()
        markers = _read_markers(markdown[: fence.start()])
        read += len(markers)
        if markers and language not in COMMANDS:
            raise ValueError(f"{page}:{line}: a marker stands above {language or 'a fence without language'!r}.")
        needs = frozenset(filter(None, re.split(", *", markers.get("needs", ""))))
        if unknown := needs - REASONS:
            raise ValueError(f"{page}:{line}: needs {sorted(unknown)}; known are {sorted(REASONS)}.")
        yield Block(page, line, language, needs, int(markers.get("exits", 0)), text)
    if read != len(MARKER.findall(markdown)):
        raise ValueError(f"{page}: a marker (<!-- needs: … -->, <!-- exits: … -->) is not right above a block.")


def read_inline_code(markdown: str) -> list[str]:
    """What stands between single backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", markdown))


def _read_markers(above: str) -> dict[str, str]:
    """Those on the lines right above a fence."""
    markers = {}
    for line in reversed(above.splitlines()):
        if not (marker := MARKER.fullmatch(line)):
            break
        markers[marker[1]] = marker[2]
    return markers


BLOCKS = [block for page in PAGES for block in read_blocks(str(page.relative_to(ROOT)), page.read_text("utf-8"))]
