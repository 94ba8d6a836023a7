"""The chat on a terminal of its own: typed at as a person would, its screen read as a person would."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

from autoagent.cli import Exit
from autoagent.store import Store

from .conftest import DRIVER, REPOSITORY

CTRL_C, CTRL_D, UP, TAB, ALT_ENTER = "\x03", "\x04", "\x1b[A", "\t", "\x1b\r"
TOOLS = '''
import time
from pathlib import Path
from autoagent import tool


@tool
def wait(seconds: float) -> str:
    """Wait for some seconds."""
    if not Path("hurry.txt").exists():
        time.sleep(seconds)
    return "waited"


@tool(effects=("network",))
def ring(who: str) -> str:
    """Ring a bell far away."""
    return f"rang {who}"


@tool
def broken() -> str:
    """Break."""
    raise RuntimeError("no such luck")
'''
FINISH = "ToolCall(name='finish', arguments={'answer': 'all done'})"
ANSWERS = f"[['say it'], ('1. say it', {FINISH})]"
WAITS = (
    f"[['wait'], *[ToolCall(name='wait', arguments={{'seconds': each}}) for each in (1.2, 0.1)], {FINISH}]"
)
RINGS = f"[['ring'], ToolCall(name='ring', arguments={{'who': 'Tom'}}), {FINISH}]"
WRITES = (
    f"[['write'], ToolCall(name='write_file', arguments={{'path': 'new.txt', 'content': 'hi'}}), {FINISH}]"
)
BREAKS = "[['break'], ToolCall(name='broken', arguments={})]"
ECHOES = """lambda messages, expect: (
    ['look'] if type(expect).__name__ == 'Json'
    else ToolCall(name='finish', arguments={'answer': f'{len(messages)} messages'})
)"""


class Terminal:
    """A chat on a terminal; ``seen`` waits until the screen shows something."""

    def __init__(self, running: pexpect.spawn[bytes], columns: int, rows: int) -> None:
        self.running = running
        self._screen = pyte.HistoryScreen(columns, rows, history=2000)
        self._screen.write_process_input = self.type  # it answers where the cursor is
        self._stream = pyte.ByteStream(self._screen)

    def type(self, keys: str) -> None:
        self.running.send(keys)

    def enter(self, line: str) -> None:
        self.type(line + "\r")

    @property
    def shown(self) -> str:
        """What is on the screen and what has left it at the top."""
        above = [
            "".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top
        ]
        return "\n".join(line.rstrip() for line in [*above, *self._screen.display])

    def at_the_bottom(self, pattern: str) -> None:
        """Wait until the last line that is not empty shows a pattern."""
        self._until(
            lambda: bool(re.search(pattern, self._lines()[-1].rstrip())), f"{pattern}, at the bottom,", 20
        )

    def _lines(self) -> list[str]:
        return [line for line in self._screen.display if line.strip()] or [""]

    def seen(self, pattern: str, *, seconds: float = 20) -> str:
        """Wait for a pattern; the whole screen."""
        return self._until(lambda: bool(re.search(pattern, self.shown)), pattern, seconds)

    def ready(self, count: int = 1) -> str:
        """Wait until so many prompts were shown, and return the screen."""
        return self._until(lambda: len(re.findall(r"^›", self.shown, re.M)) >= count, f"prompt {count}", 20)  # noqa: RUF001

    def _until(self, holds: Callable[[], bool], what: str, seconds: float) -> str:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what} is not on the screen:\n{self.shown}"
            try:
                self._stream.feed(self.running.read_nonblocking(65536, timeout=0.1))
            except pexpect.TIMEOUT:
                pass
            except pexpect.EOF:
                time.sleep(0.05)  # its last process is about to end
        return self.shown

    def leave(self) -> int:
        """Ctrl-D once a prompt waits for it; the exit code."""
        self.seen(r"› *\s+scripted · window|window.*\s+›")  # noqa: RUF001
        self.type(CTRL_D)
        self._until(lambda: not self.running.isalive(), "the end", 20)
        self.running.close()
        return self.running.exitstatus or 0

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size, as one does with the mouse."""
        self._screen.resize(rows, columns)
        self.running.setwinsize(rows, columns)

    def hang_up(self) -> int:
        """Close the terminal, as its window is closed; the exit code."""
        self.running.ptyproc.fileobj.close()
        self.running.closed = self.running.ptyproc.closed = True  # or it would close the number again
        end = time.monotonic() + 20
        while (ended := os.waitpid(self.running.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < end, "still alive without its terminal"
            time.sleep(0.05)
        self.running.ptyproc.terminated = True
        return os.waitstatus_to_exitcode(ended[1])


Begin = Callable[..., Terminal]


@pytest.fixture
def terminal(home: Path, workspace: Path) -> Iterator[Begin]:
    (workspace / "mine.py").write_text(TOOLS, encoding="utf-8")
    (workspace / "groceries.txt").write_text("eggs\n", encoding="utf-8")
    started: list[Terminal] = []

    def begin(
        *options: str, script: str = ANSWERS, columns: int = 80, rows: int = 24, **environment: str
    ) -> Terminal:
        path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"AUTOAGENT_HOME": str(home), "PYTHONPATH": path, "TERM": "xterm"}
        arguments = ["chat", "--tools", "mine.py", "--no-memory", *options]
        running = pexpect.spawn(
            sys.executable,
            ["-c", DRIVER.format(script=script), *arguments],
            cwd=str(workspace),
            env={**os.environ, **own, **environment},
            dimensions=(rows, columns),
        )
        running.delaybeforesend = None
        running.ptyproc.delayafterclose = running.delayafterclose = 0.05
        running.ptyproc.delayafterterminate = running.delayafterterminate = 1.0  # busy machines take long
        started.append(Terminal(running, columns, rows))
        return started[-1]

    yield begin
    for each in started:
        each.running.close(force=True)


def test_goals_history_commands_and_leaving(terminal: Begin, home: Path) -> None:
    chat = terminal()
    assert "Type a goal, or /help." in chat.ready()
    chat.enter("/good")
    chat.seen("no run to rate")
    chat.enter("Say it")
    screen = chat.seen("answer   all done")
    assert "1. say it" in screen
    chat.ready(3)
    chat.at_the_bottom(r"scripted · window \d+/4,096")
    chat.enter("/good just right")
    chat.seen("is rated good")
    chat.enter("/rusn")
    chat.seen(r"no /rusn: did you mean /runs\?")
    chat.enter("/runs")
    chat.seen(r"✓ finished +Say it")
    chat.enter("/context")
    chat.seen(r"earlier goals and answers: 1")
    assert chat.leave() == Exit.OK
    (run,) = Store(home).runs()
    assert (run.verdict.by, run.verdict.status, run.verdict.reason) == ("user", "verified", "just right")
    again = terminal()
    again.ready()
    for _ in range(5):  # back to the goal
        again.type(UP)
    again.seen("› Say it")  # noqa: RUF001


def test_completion_and_lines_that_go_on(terminal: Begin, home: Path) -> None:
    chat = terminal(script=ECHOES)
    chat.ready()
    chat.type("/he")
    chat.seen("what there is")
    chat.enter(TAB)
    chat.ready(2)  # keys that come before it are echoed by the terminal itself
    chat.type("Look into @gro")
    chat.seen("groceries.txt")
    chat.type(TAB)
    chat.seen("Look into groceries.txt")
    chat.type("\\\rand then" + ALT_ENTER + "stop")
    chat.seen("groceries.txt\n  and then\n  stop")
    chat.enter("")
    chat.seen("answer")
    assert Store(home).find("last").goal == "Look into groceries.txt\nand then\nstop"
    chat.ready(3)
    chat.type("\x1b[200~one\ntwo\x1b[201~")  # as a terminal hands over what was pasted
    chat.seen("one\n  two")
    chat.type(CTRL_C)
    chat.ready(4)
    chat.type("/tools ri")
    chat.seen("Ring a bell far away")
    chat.enter(TAB)
    chat.seen("effects: network")
    assert len(Store(home).runs()) == 1


def test_a_conversation_goes_on_until_it_is_forgotten(terminal: Begin) -> None:
    chat = terminal("--plan", "off", script=ECHOES)
    chat.ready()
    chat.enter("First")
    chat.seen("answer   2 messages")
    chat.ready(2)
    chat.enter("Second")
    chat.seen("answer   4 messages")
    chat.ready(3)
    chat.enter("/new")
    chat.ready(4)
    chat.enter("Third")
    chat.seen(r"(?s)/new.*answer   2 messages")


def test_ctrl_c_once_stops_after_the_step_and_takes_feedback(terminal: Begin, home: Path) -> None:
    chat = terminal("--plan", "off", script=WAITS.replace("['wait'], ", ""))
    chat.ready()
    chat.enter("Wait")
    chat.seen("running wait")
    chat.at_the_bottom("step 0/16")
    chat.type(CTRL_C)
    chat.seen("stopping after this step")
    chat.seen("told ›")  # noqa: RUF001
    assert "waited" in chat.shown
    chat.enter("use fewer seconds")
    chat.seen("told: use fewer seconds")
    chat.seen("answer   all done")
    assert Store(home).find("last").ending == "finished"
    assert any("use fewer seconds" in each.content for each in Store(home).messages("last"))


def test_ctrl_c_twice_stops_now_and_resume_goes_on(terminal: Begin, home: Path, workspace: Path) -> None:
    chat = terminal(script=WAITS.replace("1.2", "30"))
    chat.ready()
    chat.enter("Wait")
    chat.seen("running wait")
    chat.type(CTRL_C)
    chat.seen("stopping after this step")
    began = time.monotonic()
    chat.type(CTRL_C)
    chat.seen("/resume goes on with it")
    assert time.monotonic() - began < 5
    assert Store(home).find("last").ending == "interrupted"
    chat.ready(2)
    chat.enter("/stop")
    assert "no /stop" in chat.ready(3)
    chat.at_the_bottom(r"window \d+/4,096$")
    assert chat.leave() == Exit.OK
    (workspace / "hurry.txt").touch()
    again = terminal(script=ANSWERS.replace("['say it'], ", ""))
    again.ready()
    again.enter("/resume")
    again.seen("resumed  Wait")
    again.seen("answer   all done")
    again.enter("/resume")
    again.seen("no run to go on with")


def test_stop_at_the_question_ends_the_run(terminal: Begin, home: Path) -> None:
    chat = terminal(script=WAITS)
    chat.ready()
    chat.enter("Wait")
    chat.seen("running wait")
    chat.type(CTRL_C)
    chat.seen("told ›")  # noqa: RUF001
    chat.enter("/stop")
    chat.seen("/resume goes on with it")
    assert Store(home).find("last").ending == "interrupted"


def test_permission_is_asked_inline_and_yolo_answers(terminal: Begin, home: Path) -> None:
    chat = terminal(script=RINGS)
    chat.ready()
    chat.enter("Ring")
    chat.seen("y/N")
    chat.enter("y")
    chat.seen("answer   all done")
    chat.ready(2)
    asked = Store(home).load("last").steps[1].observations[0].permission
    assert asked is not None
    assert (asked.granted, asked.by) == (True, "user")
    chat.enter("/yolo")
    chat.seen("/confirm asks again")
    chat.ready(3)
    chat.at_the_bottom("yes to all")
    chat.enter("Ring again")
    chat.seen(r"(?s)Ring again.*answer   all done")
    assert chat.shown.count("May I?") == 1
    chat.enter("/confirm")
    chat.seen("asked for permission again")
    chat.enter("Ring once more")
    chat.seen(r"(?s)Ring once more.*y/N")
    chat.type(CTRL_C)
    chat.seen("/resume goes on with it")


def test_plans_are_edited_inline(terminal: Begin) -> None:
    chat = terminal()
    chat.ready()
    chat.enter("/plan ask")
    chat.seen("let me edit the plan first")
    chat.enter("Say it")
    chat.seen("Enter to follow it")
    chat.enter("look; say it twice")
    chat.seen("2. say it twice")
    chat.seen("answer   all done")
    chat.enter("/plan sometimes")
    chat.seen("it can be auto, ask, off")


def test_questions_of_the_agent_are_answered_inline(terminal: Begin, home: Path) -> None:
    asks = f"[['ask'], ToolCall(name='ask_user', arguments={{'question': 'Which one?'}}), {FINISH}]"
    chat = terminal(script=asks)
    chat.ready()
    chat.enter("Take one")
    chat.seen(r"Question: Which one\?\s+>")
    chat.enter("the red one")
    chat.seen("answer   all done")
    assert Store(home).load("last").steps[1].observations[0].content == "the red one"


def test_undo_takes_files_back(terminal: Begin, workspace: Path) -> None:
    chat = terminal(script=WRITES)
    chat.ready()
    chat.enter("/undo")
    chat.seen("no run to undo")
    chat.enter("Write")
    chat.seen("answer   all done")
    assert (workspace / "new.txt").read_text(encoding="utf-8") == "hi\n"
    chat.ready(3)
    chat.enter("/undo")
    chat.seen("is undone")
    assert not (workspace / "new.txt").exists()
    chat.enter("!echo $((6*7)) > shell.txt; exit 3")
    chat.seen("exit status 3")
    assert (workspace / "shell.txt").read_text(encoding="utf-8") == "42\n"


def test_a_tool_that_raises_is_one_line_and_the_chat_goes_on(terminal: Begin) -> None:
    chat = terminal(script=BREAKS)
    chat.ready()
    chat.enter("Break")
    chat.seen("tool broken raised RuntimeError: no such luck")
    assert "Traceback" not in chat.shown
    chat.ready(2)
    assert chat.leave() == Exit.OK


def test_a_closed_terminal_ends_the_run_and_the_chat(terminal: Begin, home: Path) -> None:
    chat = terminal(script=WAITS.replace("1.2", "30"))
    chat.ready()
    chat.enter("Wait")
    chat.seen("running wait")
    assert chat.hang_up() == Exit.HUNG_UP
    assert Store(home).find("last").ending == "interrupted"
    idle = terminal()
    idle.ready()
    assert idle.hang_up() == Exit.HUNG_UP


@pytest.mark.parametrize(
    ("columns", "environment"), [(40, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})], ids=str
)
def test_other_terminals(terminal: Begin, columns: int, environment: dict[str, str]) -> None:
    chat = terminal(columns=columns, rows=20, script=RINGS, **environment)
    chat.running.logfile_read = raw = _Raw()
    chat.seen("or /help")
    chat.enter("Ring a bell far away and tell me what it sounded like")
    chat.seen("y/N")
    chat.enter("y")
    chat.seen("answer   all done")
    chat.seen(r"window \d+/4,096")
    chat.ready(2)
    assert chat.leave() == Exit.OK
    if environment:
        assert not re.search(rb"\x1b\[[0-9;]*[34]\dm", raw.content)


def test_a_window_may_change_its_size(terminal: Begin) -> None:
    chat = terminal(script=WAITS)
    chat.ready()
    chat.type("wait a little while, it is")
    chat.seen("it is")
    chat.resize(50, 16)
    chat.type(" no hurry\r")
    chat.seen("waited")
    chat.resize(110, 30)
    chat.seen("answer   all done")
    chat.ready(2)
    assert re.search(r"forced · 1 sampled · \d", chat.shown), "nothing was written for 110 columns"
    chat.at_the_bottom(r"scripted · window \d+/4,096")
    chat.resize(44, 12)
    chat.at_the_bottom(r"scripted · window \d+/4,096")
    chat.enter("/runs")
    chat.seen("finished")
    assert chat.leave() == Exit.OK


def test_the_prompt_is_imported_by_nothing_but_a_chat_on_a_terminal(home: Path) -> None:
    code = (
        "import sys\nfrom autoagent.cli import main\nmain(sys.argv[1:])\n"
        "sys.exit([name for name in ('prompt_toolkit', 'torch') if name in sys.modules] != [])"
    )
    for words in (["--help"], ["chat", "--help"]):
        done = pexpect.run(
            shlex.join([sys.executable, "-c", code, *words]), withexitstatus=True, cwd=str(REPOSITORY)
        )
        assert done[1] == 0


class _Raw:
    def __init__(self) -> None:
        self.content = b""

    def write(self, piece: bytes) -> None:
        self.content += piece

    def flush(self) -> None: ...
