"""Options that several commands have."""

import pytest
import typer
from typer.testing import CliRunner

from backend.commands.cli import app
from backend.commands.options import read_project
from ris_core.errors import BadInput

NAMES = {"project", "from_project"}


def leaves(command, *path):
    children = getattr(command, "commands", None)
    if not children:
        return [(path, command)]
    return [leaf for name, child in children.items() for leaf in leaves(child, *path, name)]


OPTIONS = [
    pytest.param((*path, option.opts[0]), id=" ".join(path))
    for path, command in leaves(typer.main.get_command(app))
    for option in command.params
    if option.name in NAMES
]


@pytest.mark.parametrize("words", OPTIONS)
def test_each_command_names_what_is_no_number_of_a_project(words):
    with pytest.raises(BadInput, match=r"'abc' is no number of a project\. Give the one in the project's address"):
        CliRunner().invoke(app, [*words, "abc"], catch_exceptions=False)


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "٣", "99999999999", "9" * 5000])
def test_a_number_that_no_project_has_is_refused(text):
    with pytest.raises(BadInput, match="is no number of a project") as raised:
        read_project(text)
    assert len(str(raised.value)) < 200


def test_the_number_of_a_project_is_read():
    assert len(OPTIONS) > 20
    assert (read_project("3"), read_project("2147483647")) == (3, 2147483647)
