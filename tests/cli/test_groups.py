"""``autoagent tools``, ``runs``, ``models``, ``memory``, and what stands above the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.models.versions import Versions
from autoagent.store import Store

from .conftest import Cli

GREET = '''
from autoagent import tool


@tool
def greet(name: str, loud: bool = False) -> str:
    """Greet a person.

    Args:
        name: Who.
        loud: Whether to shout.
    """
    return f"Hello {name}{'!' if loud else '.'}"
'''


@pytest.fixture(autouse=True)
def _greeter(workspace: Path) -> None:
    (workspace / "mine.py").write_text(GREET, encoding="utf-8")


def test_no_command_prints_help(cli: Cli) -> None:
    done = cli()
    assert done.code == 0
    assert "finetune" in done.out


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"autoagent \d+\.\d+\.\d+\n", cli("--version").out)


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("runs", "nonsense"), ("tools", "show"), ("runs", "rate", "last", "great")]
)
def test_a_command_that_is_not_there_is_one_line(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert done.code == Exit.USAGE
    assert done.err.startswith("autoagent: error: ")
    assert done.err.count("\n") == 1


def test_tools_are_listed_with_ones_own_first(cli: Cli) -> None:
    lines = cli("tools", "list", "--tools", "mine.py").out.splitlines()
    assert re.match(r"greet +Greet a person  read", lines[0])
    assert any(re.match(r"write_file +.*  write · allow$", line) for line in lines)


def test_a_tool_called_by_hand_that_raises_is_one_line_with_its_place(cli: Cli, workspace: Path) -> None:
    code = 'from autoagent import tool\n\n\n@tool\ndef bang() -> int:\n    """Bang."""\n    return 1 // 0\n'
    (workspace / "odd.py").write_text(code, encoding="utf-8")
    done = cli("tools", "call", "bang", "{}", "--tools", "odd.py")
    assert done.code == Exit.ERROR
    assert done.err.startswith("autoagent: error: tool bang raised ZeroDivisionError: ")
    assert done.err.endswith("odd.py, line 7)\n")
    assert done.err.count("\n") == 1


def test_the_ranking_for_a_goal_is_what_a_run_would_show(cli: Cli, home: Path) -> None:
    goal = "How many days between 2024-01-01 and 2024-03-01?"
    listed = [line.split()[0] for line in cli("tools", "list", "-g", goal).out.splitlines()]
    cli("run", "-g", goal)
    assert tuple(listed) == Store(home).load("last").tools
    assert listed[0] == "days_between"
    assert {"finish", "decline"} <= set(listed)


def test_a_tool_is_shown_with_arguments_and_schema(cli: Cli) -> None:
    done = cli("tools", "show", "greet", "--tools", "mine.py")
    assert "loud: boolean, by default false – Whether to shout." in done.out
    schema = json.loads(done.out[done.out.index("{") :])
    assert schema["function"]["name"] == "greet"


def test_a_tool_is_called_by_hand(cli: Cli, workspace: Path) -> None:
    done = cli("tools", "call", "greet", '{"name": "Ann", "loud": true}', "--tools", "mine.py")
    assert (done.code, done.out) == (0, "Hello Ann!\n")
    cli("tools", "call", "write_file", '{"path": "a.txt", "content": "x"}', "-w", "sub")
    assert (workspace / "sub" / "a.txt").read_text(encoding="utf-8").strip() == "x"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("read_file", '{"path": "nothing.txt"}'), Exit.ERROR, "nothing.txt"),
        (("read_file", '{"path": "../mine.py"}'), Exit.ERROR, "outside the workspace"),
        (("read_file", '{"file": "mine.py"}'), Exit.USAGE, "path"),
        (("read_file", "mine.py"), Exit.USAGE, "not JSON"),
        (("read_file", '["mine.py"]'), Exit.USAGE, "JSON object"),
        (("reed_file", "{}"), Exit.USAGE, "did you mean read_file"),
        (("finetune", "{}"), Exit.DENIED, "--yes"),
    ],
)
def test_a_call_that_fails_says_why(cli: Cli, arguments: tuple[str, ...], code: Exit, words: str) -> None:
    done = cli("tools", "call", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_runs_are_listed_newest_first(cli: Cli) -> None:
    cli("run", "-g", "the first", "--expect", "42")
    cli("run", "-g", "the second", "--expect", "43")
    second, first = cli("runs", "list").out.splitlines()
    assert re.search(r"✓ finished +the first$", first)
    assert re.search(r"✗ finished +the second$", second)
    assert cli("runs", "list", "-n", "1").out.splitlines() == [second]
    assert [run["goal"] for run in cli("runs", "list", "--json").json] == ["the second", "the first"]


def test_no_runs_say_how_to_start_one(cli: Cli, home: Path) -> None:
    done = cli("runs", "list")
    assert (done.code, done.out) == (0, "")
    assert "autoagent run" in done.err
    assert not home.exists()


def test_a_run_is_shown_as_it_was_seen(cli: Cli) -> None:
    live = cli("run", "-g", "What is 6 * 7?", "--expect", "42").out
    shown = cli("runs", "show").out
    assert shown.splitlines()[:8] == live.splitlines()[:8]
    assert "verdict  ✓ verified by check" in shown
    assert cli("runs", "show", "last", "--json").json["answer"] == "42"


def test_a_run_is_rated(cli: Cli, home: Path) -> None:
    cli("run", "-g", "What is 6 * 7?")
    done = cli("runs", "rate", "last", "bad", "--note", "too short")
    assert re.fullmatch(r"r\w+ is rated bad\n", done.out)
    assert Store(home).load("last").verdict.reason == "too short"
    assert "✗ refuted by user: too short" in cli("runs", "show").out


@pytest.mark.parametrize("arguments", [("show", "zzz"), ("show",), ("rate", "zzz", "good")])
def test_a_run_that_is_not_there_is_one_line(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli("runs", *arguments)
    assert done.code == Exit.USAGE
    assert done.err.count("\n") == 1


@pytest.fixture
def version(home: Path, tmp_path: Path) -> str:
    """A version with files that nobody loads."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return Versions(home).add(folder, parent="embedded", method="sft", note="first try").name


def test_versions_are_listed_used_and_rolled_back(cli: Cli, version: str) -> None:
    embedded, first = cli("models", "list").out.splitlines()
    assert embedded.startswith("→ embedded")
    assert first.startswith(f"  {version}")
    assert "sft · from embedded · not promoted · first try" in first
    assert cli("models", "use", version).out == f"now in use: {version} (before: embedded)\n"
    assert cli("models", "list", "--json").json["current"] == version
    assert cli("models", "info", "--json").json["note"] == "first try"
    assert cli("models", "rollback").out == f"now in use: embedded (before: {version})\n"
    assert cli("models", "rollback").code == Exit.USAGE


def test_changed_weights_are_noticed(cli: Cli, home: Path, version: str) -> None:
    assert cli("models", "verify").out.startswith(f"{version}: unchanged, ")
    weights = home / "models" / version / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"others!")
    done = cli("models", "verify", version)
    assert done.code == Exit.USAGE
    assert "have changed" in done.err


def test_what_is_remembered_can_be_found_and_forgotten(cli: Cli) -> None:
    entry = cli("memory", "add", "the wifi password is 4411").out.strip()
    assert cli("memory", "recall", "wifi pasword").out == f"{entry}  the wifi password is 4411\n"
    assert cli("memory", "forget", entry).out == "forgot 1\n"
    assert cli("memory", "recall", "wifi password").out == ""
    assert cli("memory", "forget", entry).code == Exit.USAGE


def test_settings_that_name_a_model_are_mentioned_when_another_is_taken_into_use(
    cli: Cli, home: Path
) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text('model = "my/model"\n', encoding="utf-8")
    done = cli("models", "use", "embedded")
    assert done.code == 0
    assert done.err == "note: your settings name the model my/model; runs use that one\n"
