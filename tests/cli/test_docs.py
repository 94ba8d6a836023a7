"""docs/cli.md and docs/exit-codes.md against the program; what all pages show is in tests/test_docs.py."""

from __future__ import annotations

import re

from autoagent.cli import Exit
from autoagent.cli.commands import COMMANDS
from autoagent.cli.reference import brought_up_to_date, marked

from .conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_exit_code_is_documented() -> None:
    page = (REPOSITORY / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [
        code.value for code in Exit
    ]


def test_the_reference_has_a_place_for_every_command() -> None:
    assert marked(PAGE) == ["", *COMMANDS]
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == list(COMMANDS)


def test_the_reference_is_up_to_date() -> None:
    assert brought_up_to_date(PAGE) == PAGE, "python -m autoagent.cli.reference docs/cli.md"


def test_the_reference_names_options_arguments_values_and_defaults() -> None:
    for row in (
        "| `-w, --workspace DIR` | Folder the agent may read and write. By default `.`. |",
        "| `--plan auto\\|ask\\|off` |",
        "| `--files / --no-files` |",
        "| `RUN` | A run id, the beginning of one, or: last. By default `last`. |",
    ):
        assert row in PAGE
    assert "    autoagent runs rate [OPTIONS] RUN good|bad\n" in PAGE
    assert "are those of [run](#run)" in PAGE.partition("## chat\n")[2].partition("## init\n")[0]
