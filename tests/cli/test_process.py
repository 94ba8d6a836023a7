"""What only a process of its own shows: signals, pipes, terminals, imports."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from autoagent.cli import Exit
from autoagent.store import Store

from .conftest import REPOSITORY

Start = Callable[..., "subprocess.Popen[str]"]
SLEEPER = '''
import time

from autoagent import tool


@tool
def wait(seconds: int) -> str:
    """Wait for some seconds."""
    time.sleep(seconds)
    return "waited"


@tool(effects=("network",))
def ring(who: str) -> str:
    """Ring a bell far away."""
    return f"rang {who}"
'''
WAITING = "[['wait'], ToolCall(name='wait', arguments={'seconds': 60})]"
RINGING = """[
    ["ring"],
    ToolCall(name="ring", arguments={"who": "Tom"}),
    ToolCall(name="finish", arguments={"answer": "ok"}),
]"""


@pytest.fixture(autouse=True)
def _tools_file(workspace: Path) -> None:
    (workspace / "mine.py").write_text(SLEEPER, encoding="utf-8")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)]
)
def test_a_signal_ends_the_run_with_its_record(
    process: Start, home: Path, number: signal.Signals, code: Exit
) -> None:
    arguments = ("run", "-g", "Wait for some seconds", "--tools", "mine.py", "--output-format", "stream-json")
    running = process(*arguments, script=WAITING)
    assert running.stdout is not None
    while '"type": "call"' not in running.stdout.readline():
        assert running.poll() is None
    out, err = interrupted(running, number)
    assert running.returncode == code
    assert "Traceback" not in err
    assert '"ending": "interrupted"' in out.splitlines()[-1]
    assert Store(home).load("last").ending == "interrupted"


def interrupted(running: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    """Signal until the process ends: Python notices a signal between two steps of its own only, so that one
    which comes in the microsecond before a tool begins to wait is noticed when the wait is over."""
    for _ in range(5):
        running.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return running.communicate(timeout=8)
    raise AssertionError("the process did not end")


def test_a_reader_that_goes_away_is_no_traceback(process: Start, home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = process("run", "-g", "Ring far away", "--tools", "mine.py", script=RINGING, stdout=writing)
    os.close(writing)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (Exit.BROKEN_PIPE, "")
    assert Store(home).load("last").ending == "interrupted"


def on_terminal(process: Start, typed: str, *arguments: str, **more: Any) -> tuple[int, str]:
    """Run on a terminal of 60 columns and type ``typed`` when asked; exit code and screen."""
    master, slave = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "60", **more.pop("env", {})}
    running = process(*arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, **more)
    os.close(slave)
    screen = b""
    with suppress(OSError):  # the terminal closes with its last process
        while chunk := os.read(master, 4096):
            screen += chunk
            if typed and b"y/N" in screen:
                os.write(master, typed.encode())
                typed = ""
    os.close(master)
    return running.wait(timeout=30), screen.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("typed", "code", "seen"), [("y\n", Exit.OK, "rang Tom"), ("\n", Exit.DENIED, "refused")]
)
def test_a_terminal_is_asked_for_permission(process: Start, typed: str, code: Exit, seen: str) -> None:
    arguments = ("run", "-g", "Ring a bell far away", "--tools", "mine.py")
    returned, screen = on_terminal(process, typed, *arguments, script=RINGING)
    assert returned == code
    assert "May I?" in screen
    assert 'ring(who="Tom")' in screen
    assert "use the network" in screen
    assert seen in screen
    assert ("rang Tom" in screen) == (typed == "y\n")


def test_colours_are_for_terminals_that_want_them(process: Start) -> None:
    arguments = ("run", "-g", "Ring a bell far away", "--tools", "mine.py", "--yes")
    colour = re.compile(r"\x1b\[[0-9;]*3\dm")
    assert colour.search(on_terminal(process, "", *arguments, script=RINGING)[1])
    plain = on_terminal(process, "", *arguments, script=RINGING, env={"NO_COLOR": "1"})[1]
    assert not colour.search(plain)


def test_lines_fit_a_narrow_terminal(process: Start) -> None:
    goal = "Ring a bell far away " * 5
    arguments = ("run", "-g", goal, "--tools", "mine.py", "--yes")
    _, screen = on_terminal(process, "", *arguments, script=RINGING)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    lines = [piece for line in plain.split("\n") for piece in line.split("\r")]
    assert max(map(len, lines)) <= 60
    assert plain.count("\n         ") > 3


def test_chat_reads_goals_and_rates(process: Start, home: Path) -> None:
    lines = "Ring far away\n/good well done\n/nothing\n/runs\n/tools\n/exit\n"
    arguments = ("chat", "--tools", "mine.py", "--yes")
    running = process(*arguments, script=RINGING, stdin=subprocess.PIPE)
    out, err = running.communicate(lines, timeout=30)
    assert running.returncode == 0
    assert "answer   ok" in out
    assert "is rated good" in out
    assert "no /nothing" in out
    assert "read_file" in out
    assert err == ""
    (run,) = Store(home).runs()
    assert (run.verdict.by, run.verdict.status, run.verdict.reason) == ("user", "verified", "well done")


def test_a_mistake_does_not_end_the_chat(process: Start) -> None:
    running = process("chat", "--no-memory", script=RINGING, stdin=subprocess.PIPE)
    out, err = running.communicate("/good\n   \nRing\n", timeout=30)
    assert running.returncode == 0
    assert "no run to rate" in out
    assert "answer   ok" in out
    assert err == ""


HEAVY = ("torch", "transformers", "chromadb", "llguidance", "tokenizers")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["tools", "list"], ["runs", "list"], ["models", "list"], []]
)
def test_what_needs_no_model_imports_none(arguments: list[str], home: Path) -> None:
    code = (
        "import sys\nfrom autoagent.cli import main\nmain(sys.argv[1:])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "AUTOAGENT_HOME": str(home)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"
    assert not home.exists()
