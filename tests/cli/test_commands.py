"""The table of commands against the commands, and names of the package against where they are."""

from __future__ import annotations

import importlib

import pytest

import autoagent
from autoagent.cli import Exit
from autoagent.cli.commands import COMMANDS, load

from .conftest import Cli, assert_one_line


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_line_of_its_help(cli: Cli, name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.help.strip().splitlines()[0] == COMMANDS[name].summary
    done = cli(name, "--help")
    assert done.code == 0
    assert f"autoagent {name} " in done.out


def test_all_commands_are_in_the_help_and_none_of_them_is_needed_for_it(cli: Cli) -> None:
    shown = cli("--help").out
    assert all(f"│ {name} " in shown for name in COMMANDS)


def test_a_flag_is_not_shown_as_if_it_took_a_value(cli: Cli) -> None:
    for arguments in ((), ("run",), ("runs", "list"), ("config", "show")):
        shown = cli(*arguments, "--help").out
        assert "--help" in shown
        assert "<bool>" not in shown


def test_a_mistyped_tool_names_the_nearest(cli: Cli) -> None:
    assert_one_line(cli("tools", "show", "calcualte"), Exit.USAGE, "did you mean calculate?")
    assert_one_line(cli("tools", "call", "qqqq"), Exit.USAGE, "see `autoagent tools list`")


def test_a_mistyped_command_names_the_nearest(cli: Cli) -> None:
    assert_one_line(cli("doktor"), Exit.USAGE, "No such command 'doktor'. Did you mean 'doctor'?")
    assert_one_line(cli("runs", "lst"), Exit.USAGE, "No such command 'lst'. Did you mean 'list'?")


def test_every_name_of_the_package_is_found_where_it_says() -> None:
    for name in autoagent.__all__:
        home = importlib.import_module(f"autoagent.{autoagent._PLACES[name]}")
        assert getattr(autoagent, name) is getattr(home, name)
    assert set(autoagent.__all__) <= set(dir(autoagent))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        autoagent.nothing  # noqa: B018


def test_a_command_that_is_loaded_late_is_like_the_others(cli: Cli) -> None:
    late = load("runs").commands["correct"]
    stub = load("runs", whole=False).commands["correct"]
    assert late.help.strip().splitlines()[0] == stub.help
    assert "│ correct " in cli("runs", "--help").out
    assert "--finish" in cli("runs", "correct", "--help").out
