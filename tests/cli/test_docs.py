"""docs/cli.md and docs/exit-codes.md against the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoagent.cli import Exit

from .conftest import REPOSITORY, Cli

GROUPS = {
    "run": [],
    "chat": [],
    "eval": [],
    "finetune": [],
    "tools": ["list", "show", "call"],
    "runs": ["list", "show", "rate"],
    "models": ["list", "info", "use", "rollback", "verify"],
    "memory": ["add", "recall", "forget"],
}


def test_every_exit_code_is_documented() -> None:
    page = (REPOSITORY / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [
        code.value for code in Exit
    ]


@pytest.mark.parametrize("command", GROUPS)
def test_every_command_and_option_is_documented(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"## {command}: " in page
    for words in [(command, each) for each in GROUPS[command]] or [(command,)]:
        assert " ".join(words) in page
        helped = cli(*words, "--help")
        assert helped.code == 0
        for option in set(re.findall(r"(--[a-z][a-z-]+)", helped.out)) - {"--help"}:
            # An option has to be in the page, and those of chat are documented with run.
            assert option in page, f"{' '.join(words)} {option}"


def test_the_settings_example_is_valid(cli: Cli, home: Path) -> None:
    page = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    home.mkdir()
    (home / "config.toml").write_text(example, encoding="utf-8")
    (home / "my_tools.py").write_text(
        'from autoagent import tool\n\n\n@tool\ndef hi() -> str:\n    """Say hi."""\n    return "hi"\n',
        encoding="utf-8",
    )
    done = cli("tools", "list")
    assert done.code == 0
    assert done.out.startswith("hi ")
