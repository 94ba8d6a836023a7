"""Asking for permission on a terminal, and what the rules of the settings make of calls."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from autoagent.cli.approval import understood
from autoagent.cli.exits import Exit
from autoagent.security import Answer, Request, Sandbox
from autoagent.store import Store
from autoagent.store.page import page

from .conftest import Cli, assert_one_line, call

Start = Callable[..., subprocess.Popen[str]]
Typed = Callable[..., tuple[int, str]]

TOOLS = '''
from autoagent import tool

@tool(effects=("network",))
def ring(who: str) -> str:
    """Ring a bell."""
    print("ding dong")
    return f"rang {who}"

@tool(effects=("network",))
def post(url: str, body: str) -> str:
    """Post a text."""
    return "posted"
'''


@pytest.fixture(autouse=True)
def _tools(workspace: Path) -> None:
    (workspace / "mine.py").write_text(TOOLS, encoding="utf-8")
    (workspace / "a.txt").write_text("one\ntwo\n", encoding="utf-8")


@pytest.fixture
def typed(process: Start) -> Typed:
    """``typed("y\\n", "tools", "call", …)`` on a terminal: exit code and screen."""

    def on_terminal(answers: str, *arguments: str) -> tuple[int, str]:
        master, slave = pty.openpty()
        environment = {"TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": "1"}
        running = process(*arguments, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        screen, left = b"", answers.splitlines(keepends=True)
        with suppress(OSError):  # the terminal closes with its last process
            while chunk := os.read(master, 4096):
                screen += chunk
                if left and screen.count(b"y/N: ") > len(answers.splitlines()) - len(left):
                    os.write(master, left.pop(0).encode())
        os.close(master)
        shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.decode("utf-8", "replace"))  # bold and dim
        return running.wait(timeout=30), shown.replace("\r\n", "\n")

    return on_terminal


def settings(home: Path, **tables: Any) -> None:
    home.mkdir(exist_ok=True)
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in tables.items()]
    (home / "config.toml").write_text("[permissions]\n" + "".join(lines), encoding="utf-8")


CALL = ("tools", "call", "ring", '{"who": "Tom"}', "--tools", "mine.py")


@pytest.mark.parametrize("answer", ["y\n", "YES\n", "r\n", "what?\ny\n", "yes but later\nr\n"])
def test_a_yes_lets_the_call_happen(typed: Typed, answer: str) -> None:
    code, screen = typed(answer, *CALL)
    assert (code, "rang Tom" in screen) == (Exit.OK, True)
    assert 'May I? ring(who="Tom")' in screen
    assert "This would use the network." in screen
    assert screen.count("y/N: ") == answer.count("\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("\n", "was refused"),
        ("n\n", "was refused"),
        ("\x04", "was refused"),
        ("n ask Ann\n", "was refused (network): ask Ann"),
    ],
)
def test_anything_like_a_no_and_the_end_of_input_is_one(typed: Typed, answer: str, said: str) -> None:
    code, screen = typed(answer, *CALL)
    assert code == Exit.DENIED
    assert f"permission for ring {said}" in screen
    assert "rang" not in screen


def test_always_is_kept_in_the_settings_of_the_project(typed: Typed, cli: Cli, home: Path) -> None:
    code, screen = typed("a\n", *CALL)
    assert (code, "rang Tom" in screen) == (Exit.OK, True)
    assert "r and a mean: ring" in screen
    assert "ring" in (home / "config.toml").read_text(encoding="utf-8")
    again = cli(*CALL)
    assert (again.code, again.out) == (Exit.OK, "rang Tom\n")


def test_a_change_is_shown_as_a_diff_before_it_happens(typed: Typed, home: Path, workspace: Path) -> None:
    settings(home, ask=["write_file(*.txt)"])
    write = ("tools", "call", "write_file", '{"path": "a.txt", "content": "one\\n2"}')
    code, screen = typed("n\n", *write)
    assert code == Exit.DENIED
    assert re.search(r"│ --- a\.txt\s+│ \+\+\+ a\.txt\s+│ @@.*\s+│  one\s+│ -two\s+│ \+2\n", screen)
    assert "Asked because the rule write_file(*.txt) says ask." in screen
    assert "[a]lways" not in screen  # the rule would ask again
    assert "r means: write_file(a.txt)" in screen
    assert (workspace / "a.txt").read_text(encoding="utf-8") == "one\ntwo\n"
    code, _ = typed("y\n", *write)
    assert (workspace / "a.txt").read_text(encoding="utf-8") == "one\n2\n"


def test_the_real_command_is_shown_and_cannot_play_with_the_terminal(typed: Typed) -> None:
    command = "echo " + "x" * 300 + "; rm -rf a\x1b[2J\x1b[1;1H\rls\nMay I? ls y/N: "
    code, screen = typed(
        "n\n", "tools", "call", "run_shell", json.dumps({"command": command}), "--unsafe-no-sandbox"
    )
    assert code == Exit.DENIED
    assert "x" * 300 in screen.replace("\n", "")
    assert "rm -rf a" in screen
    assert "\x1b[2J" not in screen
    assert "       │ May I? ls" in screen
    assert len(re.findall(r"^ *May I\?", screen, re.MULTILINE)) == 1


FILLING = "x = 1\n" * 300


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("run_python", {"code": f"--- 1\n+++ 2\n{FILLING}print('EVIL')"}),  # Python, and nearly a diff
        ("run_shell", {"command": f"--- a\n+++ b\n{FILLING}echo EVIL"}),
        ("post", {"url": "https://example.org", "body": "a" * 200 + "EVIL"}),
        ("write_file", {"path": "a.txt", "content": f"{FILLING}EVIL\n"}),
    ],
)
def test_nothing_that_is_executed_or_written_is_hidden(
    typed: Typed, home: Path, tool: str, arguments: dict[str, str]
) -> None:
    settings(home, ask=["write_file"])
    call = ("tools", "call", tool, json.dumps(arguments), "--tools", "mine.py", "--unsafe-no-sandbox")
    code, screen = typed("n\n", *call)
    assert (code, screen.count("EVIL")) == (Exit.DENIED, 1)
    assert "…" not in screen.partition("│")[2]  # only what the preview shows is shortened, before it
    assert ("run_shell, with exactly this command" in screen) == (tool == "run_shell")


def test_nobody_to_ask_means_no_and_says_what_would_be_a_yes(cli: Cli, home: Path) -> None:
    done = cli(*CALL)
    assert (done.code, done.out) == (Exit.DENIED, "")
    refused = "permission for ring was refused (network): nobody is there to ask; "
    assert done.err == f"{refused}--allow ring, --yes or an allow rule in the settings allows it\n"
    assert cli(*CALL, "--allow", "ring").out == "rang Tom\n"
    settings(home, ask=["ring"])
    done = cli(*CALL, "--allow", "ring")  # which does not lift a rule that asks
    assert done.err == (
        "permission for ring was refused (the rule ring says ask): nobody is there to ask; --yes allows it\n"
    )


def test_the_record_tells_a_person_from_yes_and_from_nobody(cli: Cli, home: Path) -> None:
    script = [["ring"], call("ring", who="Tom"), call("finish", answer="done")]
    chat = ("chat", "--tools", "mine.py", "--no-memory")
    told = cli(*chat, script=[*script, *script], stdin=b"Ring\n/yolo\nRing again\n").out
    assert "nobody is there to ask; --allow ring, --yes or" in told
    cli("run", "-g", "Ring", "--tools", "mine.py", "--yes", script=script)
    store = Store(home)
    said = [store.load(run.run_id).steps[1].observations[0].permission for run in store.runs()]
    assert [(each.granted, each.by) for each in said if each] == [
        (True, "yes"),
        (True, "yes"),
        (False, "policy"),
    ]
    assert "allowed by --yes: network" in page(store, "last")


def test_what_a_tool_prints_is_not_its_result(cli: Cli) -> None:
    done = cli(*CALL, "--yes")
    assert (done.code, done.out, done.err) == (Exit.OK, "rang Tom\n", "ding dong\n")


def test_yes_lifts_no_deny(cli: Cli, home: Path) -> None:
    settings(home, deny=["ring"])
    done = cli(*CALL, "--yes")
    assert (done.code, done.out) == (Exit.DENIED, "")
    assert done.err == "ring is not permitted here (the rule ring)\n"


LOOKS: list[tuple[str, dict[str, str], str]] = [
    ("list_files", {}, "a.txt\nkeys/\nmine.py"),
    ("list_files", {"folder": "keys"}, "open.txt"),
    ("find_file", {"name": "keys"}, "No file matches keys."),
    ("find_file", {"name": "*.txt"}, "a.txt\nkeys/open.txt"),
    ("search_files", {"text": "hunter"}, "keys/open.txt:1: hunter of none"),
    ("search_pattern", {"pattern": "h.nter", "folder": "keys"}, "keys/open.txt:1: hunter of none"),
]


@pytest.mark.parametrize("rule", ["read_file(keys/door*)", "*(keys/door*)"])
def test_what_may_not_be_read_is_not_found_either(cli: Cli, home: Path, workspace: Path, rule: str) -> None:
    (workspace / "keys").mkdir()
    (workspace / "keys" / "door.txt").write_text("hunter2", encoding="utf-8")
    (workspace / "keys" / "open.txt").write_text("hunter of none", encoding="utf-8")
    (workspace / "door.lnk").symlink_to("keys/door.txt")
    settings(home, deny=[rule])
    for tool, arguments, found in LOOKS:
        assert cli("tools", "call", tool, json.dumps(arguments)).out == f"{found}\n"
    settings(home, deny=[])
    script: list[Any] = [["look"], call("search_files", text="hunter"), call("finish", answer="looked")]
    cli("run", "-g", "Search all files for hunter", "--deny", rule, script=script)
    (seen,) = Store(home).load("last").steps[1].observations
    assert seen.content == "keys/open.txt:1: hunter of none"


@pytest.mark.parametrize("words", ["", "n", "no", "N because", "no, use a copy"])
def test_words_that_mean_no(words: str) -> None:
    answer = understood(words + "\n", Request("t", {}, ()))
    assert answer is not None
    assert not answer.granted
    assert answer.feedback == {"N because": "because", "no, use a copy": "use a copy"}.get(words, "")


@pytest.mark.parametrize("words", ["yep", "a", "always", "y n", "yes please", "Y!", "ja"])
def test_words_that_mean_nothing_are_asked_about_again(words: str) -> None:
    assert understood(words, Request("t", {}, ())) is None  # "always" is not offered here


def test_words_that_mean_yes() -> None:
    request = Request("t", {}, (), scopes=("once", "run", "always"))
    assert [understood(word, request) for word in ("y", "Run\n", " a ")] == [
        Answer(True, "once"),
        Answer(True, "run"),
        Answer(True, "always"),
    ]


def test_tools_are_listed_with_what_the_rules_say(cli: Cli, home: Path) -> None:
    settings(home, allow=["finetune"], ask=["delete_*"], deny=["write_file(secret/**)", "raed_file"])
    done = cli("tools", "list", "--tools", "mine.py")
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert lines["ring"].endswith("network · ask · " + str(Path("mine.py").absolute()))
    assert lines["finetune"].endswith("train · allow")
    assert lines["delete_file"].endswith("write · ask")
    assert lines["write_file"].endswith("write · allow, some calls otherwise")
    assert lines["http_get"].endswith("network · not available")
    assert lines["run_shell"].endswith("not available" if Sandbox().blocked else "execute · allow")
    assert done.err == "autoagent: note: the rule raed_file is about no tool there is\n"
    shown = cli("tools", "show", "write_file").out
    assert "rule       deny write_file(secret/**)" in shown
    assert "from       built in" in shown


def test_a_tool_that_cannot_work_says_what_is_missing(cli: Cli) -> None:
    done = cli("tools", "call", "http_get", '{"url": "https://example.org"}', "--yes")
    assert_one_line(done, Exit.USAGE, "http_get is not available: no host is allowed")
    assert "http_get" not in cli("tools", "list", "--goal", "get https://example.org").out


def test_without_a_sandbox_programs_are_refused_or_run_on_ones_own_word(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AUTOAGENT_SANDBOX", "bubblewrap")
    call = ("tools", "call", "run_shell", '{"command": "echo hello"}')
    assert_one_line(cli(*call), Exit.USAGE, "apt install bubblewrap")
    assert cli(*call, "--unsafe-no-sandbox").code == Exit.DENIED
    assert cli(*call, "--unsafe-no-sandbox", "--yes").out == "hello\n"


def test_a_run_without_a_sandbox_says_so_aloud(cli: Cli) -> None:
    done = cli("run", "--goal", "say hello", "--unsafe-no-sandbox", "--yes", script=["Hello."])
    assert "warning: no sandbox" in done.err
    assert "warning: no sandbox" not in cli("run", "--goal", "say hello", script=["Hello."]).err
