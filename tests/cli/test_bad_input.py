"""Whatever is wrong with what a user gives: one clear line, the documented exit code, nothing lost."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import sqlite3
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.store import Store

from .conftest import Cli, assert_one_line, call

Start = Callable[..., "subprocess.Popen[str]"]
RUN = ("run", "-g", "What is 6 * 7?")
FINISHES = '[["finish"], ToolCall(name="finish", arguments={"answer": "4 \\u2713"})]'


# --- goals, options, folders


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--timeout", "nan"), "--timeout"),
        (("--seed", "99999999999999999999"), "--seed"),
        (("--temperature", "inf"), "--temperature"),
        (("-w", ""), "the name is empty"),
        (("-w", "~nobody-here/x"), "no such user"),
        (("-w", "file/below"), "cannot be created"),
        (("-w", "n" * 300), "cannot be created"),
        (("--goal-file", "file"), "more than one goal"),
        (("--tools", "."), "does not exist"),
        (("--tools", "broken.py"), "broken.py: SyntaxError"),
        (("--tools", "leaves.py"), "leaves.py, line 1: SystemExit"),
        (("--tools", "undocumented.py"), "undocumented.py: tool f has no docstring"),
        (("--bogus",), "see autoagent run --help"),
    ],
)
def test_what_cannot_be_done_leaves_no_run(
    cli: Cli, workspace: Path, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    (workspace / "file").touch()
    (workspace / "broken.py").write_text("def f(:\n", encoding="utf-8")
    (workspace / "leaves.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    tool = "from autoagent import tool\n\n\n@tool\ndef f(x: int) -> int:\n    return x\n"
    (workspace / "undocumented.py").write_text(tool, encoding="utf-8")
    assert_one_line(cli(*RUN, *arguments), Exit.USAGE, words)
    assert Store(home).runs() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_workspace_is_one_line(cli: Cli, workspace: Path) -> None:
    workspace.chmod(0o555)
    assert_one_line(cli(*RUN), Exit.USAGE, "is not writable")
    workspace.chmod(0o755)


@pytest.mark.parametrize("arguments", [RUN, ("runs", "list"), ("models", "list"), ("memory", "recall", "x")])
def test_a_home_that_is_no_folder_is_told_by_every_command(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    assert_one_line(cli("--home", str(tmp_path / "file"), *arguments), Exit.USAGE, "is a file: choose")
    assert_one_line(cli("--home", "", *arguments), Exit.USAGE, "the name is empty")


def test_a_group_without_a_command_prints_its_help(cli: Cli) -> None:
    done = cli("runs")
    assert (done.code, done.err) == (Exit.USAGE, "")
    assert "rate" in done.out


def test_a_folder_that_was_deleted_is_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert_one_line(cli("runs", "list"), Exit.USAGE, "the current folder cannot be used")
    assert cli("--help").code == 0


# --- checks


def test_a_check_that_cannot_run_costs_nothing_but_the_verdict(cli: Cli, home: Path) -> None:
    done = cli(*RUN, "--check", "./nothing-here", "--output-format", "json", "-q")
    assert done.code == Exit.USAGE
    assert done.json["answer"] == "42"
    assert "cannot run" in done.json["verdict"]["reason"]
    assert done.err.count("\n") == 1
    run = Store(home).load("last")
    assert (run.ending, run.verdict.status) == ("finished", "unverified")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("yes", Exit.REFUTED),  # a flood
        ("sleep 100", Exit.REFUTED),
        ("sleep 100 &", Exit.OK),  # what it leaves running does not count
        ("yes & sleep 0.2; exit 3", Exit.REFUTED),
    ],
)
def test_a_check_ends_in_time_with_all_it_started(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str, code: Exit
) -> None:
    monkeypatch.setenv("AUTOAGENT_CHECK_TIMEOUT", "1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    done = cli(*RUN, "--check", command, "-q")
    assert (done.code, done.out) == (code, "42\n")
    assert time.monotonic() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_ctrl_c_while_the_check_runs_keeps_the_answer(process: Start, home: Path, workspace: Path) -> None:
    check = 'echo $$ > pid; sleep 100; test "$ANSWER"'
    running = process(*RUN, "--check", check, "--output-format", "json", "-q", script=FINISHES)
    wait_for(workspace / "pid", running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == Exit.INTERRUPTED
    assert (json.loads(out)["answer"], json.loads(out)["ending"]) == ("4 ✓", "interrupted")
    assert err == "autoagent: the run ended with interrupted\n"
    assert Store(home).load("last").answer == "4 ✓"
    with pytest.raises(ProcessLookupError):
        os.kill(int((workspace / "pid").read_text(encoding="utf-8")), 0)


def wait_for(file: Path, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.stat().st_size):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- tools


ODD = '''
import os, sys, time
from pathlib import Path
from autoagent import tool


@tool
def leave(x: str) -> str:
    """Leave."""
    sys.exit(7)


@tool
def fail(x: str) -> str:
    """Fail."""
    raise ValueError("the first line\\nand half a character \\ud800")


@tool
def chatter(x: str) -> str:
    """Chatter."""
    print("a word")
    os.system("echo a child")
    os.write(1, b"a byte\\n")
    return "half a character \\ud800, \\x1b[31m"


@tool
def wait(x: str) -> str:
    """Wait."""
    Path(x).write_text("now", encoding="utf-8")
    time.sleep(60)
    return "waited"
'''


@pytest.fixture
def _odd(workspace: Path) -> None:
    (workspace / "odd.py").write_text(ODD, encoding="utf-8")


@pytest.mark.usefixtures("_odd")
@pytest.mark.parametrize(
    ("tool", "what"), [("leave", "SystemExit: 7"), ("fail", "ValueError: the first line")]
)
def test_whatever_a_tool_raises_ends_the_run_and_not_the_program(
    cli: Cli, home: Path, tool: str, what: str
) -> None:
    script = [["a"], call(tool, x="1")]
    done = cli("run", "-g", tool, "--tools", "odd.py", "--output-format", "json", "-q", script=script)
    assert (done.code, done.json["ending"]) == (Exit.ERROR, "error")
    assert f"tool {tool} raised {what}; traceback: " in done.err
    assert done.err.count("\n") == 1
    assert Store(home).load("last").steps[-1].reply.calls[0].name == tool
    assert what in cli("runs", "show").out


@pytest.mark.usefixtures("_odd")
@pytest.mark.parametrize("more", [("-q",), ("--output-format", "json"), ("--output-format", "stream-json")])
def test_what_tools_print_does_not_reach_standard_output(process: Start, more: tuple[str, ...]) -> None:
    script = FINISHES.replace("],", '], ToolCall(name="chatter", arguments={"x": "1"}),', 1)
    running = process("run", "-g", "chatter", "--tools", "odd.py", *more, script=script)
    out, err = running.communicate(timeout=30)
    assert running.returncode == Exit.OK
    for line in out.splitlines():
        assert line == "4 ✓" if more == ("-q",) else json.loads(line)
    assert len(out.splitlines()) == 1 or more[-1] == "stream-json"
    assert {"a word", "a child", "a byte"} <= set(err.splitlines())


def test_half_a_character_is_printed_as_json_can(cli: Cli) -> None:
    script = [["a"], call("finish", answer="\ud800")]
    for form in ("json", "stream-json"):
        done = cli(*RUN, "--output-format", form, "-q", script=script)
        assert json.loads(done.out.splitlines()[-1])["answer"] == "\ud800"
    assert cli("runs", "show", "--json").json["answer"] == "\ud800"


def test_paths_that_leave_the_workspace_and_odd_files_are_observations(
    cli: Cli, workspace: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOAGENT_REPLANS", "0")  # the script has no line for a new plan
    (tmp_path / "secret.txt").write_text("the secret", encoding="utf-8")
    (workspace / "link").symlink_to(tmp_path / "secret.txt")
    (workspace / "latin").write_bytes(b"caf\xe9")
    (workspace / os.fsdecode(b"n\xff")).touch()
    paths = [
        "../secret.txt",
        str(tmp_path / "secret.txt"),
        "link",
        "latin",
        "no\0thing",
        "\udcff",
        "n" * 5000,
    ]
    calls = [turn for path in paths for turn in (call("read_file", path=path), call("list_files"))]
    script = [["read"], *calls, call("finish", answer="no")]
    done = cli("run", "-g", "Read the text file notes.txt, list the files", script=script)
    assert done.code == Exit.OK
    assert "the secret" not in done.out
    *seen, _ = [step.observations[0] for step in Store(home).load("last").acts]
    listed = seen[1]
    assert not any(each.ok for each in seen[::2])
    assert "n?" in listed.content  # what no tokenizer takes does not reach it


def test_a_full_disk_does_not_cost_the_text_that_was_there(cli: Cli, workspace: Path) -> None:
    (workspace / "a.txt").write_text("old\n", encoding="utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        done = cli("tools", "call", "append_file", json.dumps({"path": "a.txt", "content": "x" * 5000}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert done.code == Exit.ERROR
    assert "a.txt cannot be written" in done.err
    assert [path.name for path in workspace.iterdir()] == ["a.txt"]
    assert (workspace / "a.txt").read_text(encoding="utf-8") == "old\n"


# --- streams and signals


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "out", "err"),
    [
        (0, ("run", "-"), Exit.USAGE, "", "the goal is empty"),
        (0, ("run", "-g", "x", "-q"), Exit.OK, "4 ✓\n", ""),
        (0, ("chat",), Exit.OK, "\n", ""),
        (1, ("run", "-g", "x", "-q"), Exit.OK, "", ""),
        (2, ("run", "-g", "x", "-q"), Exit.OK, "4 ✓\n", ""),
        (2, ("run", "-g", ""), Exit.USAGE, "", ""),
    ],
)
def test_a_closed_stream_is_an_empty_one(
    process: Start, home: Path, closed: int, arguments: tuple[str, ...], code: Exit, out: str, err: str
) -> None:
    running = process(*arguments, script=FINISHES, preexec_fn=lambda: os.close(closed))
    printed = running.communicate(timeout=30)
    assert running.returncode == code
    assert printed[0] == out
    assert err in printed[1]
    assert printed[1].count("\n") <= 1
    assert all(run.ending == "finished" for run in Store(home).runs())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("more", [(), ("--output-format", "json", "-q")])
def test_standard_output_on_a_full_disk_is_one_line(
    process: Start, unbuffered: str, more: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        running = process(*RUN, *more, script=FINISHES, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
        err = running.communicate(timeout=30)[1]
    assert running.returncode == Exit.ERROR
    assert err == "autoagent: error: standard output cannot be written: No space left on device\n"


def test_a_locale_without_the_letters_loses_none_of_the_json(process: Start) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    running = process("run", "-g", "4 ✓?", "--output-format", "json", script=FINISHES, env=plain)
    out, err = running.communicate(timeout=30)
    assert out.isascii()
    assert json.loads(out)["answer"] == "4 ✓"
    assert "goal     4 ??" in err


def test_bytes_that_are_no_text_do_not_end_a_chat(process: Start) -> None:
    running = process("chat", script=FINISHES, stdin=subprocess.PIPE, errors="surrogateescape")
    out, err = running.communicate("\udcff\udcfe\n/bad \udcff\nWhat is it?\n/good \udcff\n", timeout=30)
    assert running.returncode == 0
    assert err == "autoagent: error: the goal is not valid UTF-8 text\n"
    assert "is rated good" in out


@pytest.mark.usefixtures("_odd")
def test_a_closed_terminal_ends_the_run_and_a_kill_leaves_what_was_done(
    process: Start, home: Path, workspace: Path
) -> None:
    script = '[["wait"], ToolCall(name="wait", arguments={{"x": "{}"}})]'
    for number, code, ending in [
        (signal.SIGHUP, Exit.HUNG_UP, "interrupted"),
        (signal.SIGKILL, -signal.SIGKILL, None),
    ]:
        flag = workspace / number.name
        running = process("run", "-g", "wait", "--tools", "odd.py", "-q", script=script.format(flag))
        wait_for(flag, running)
        running.send_signal(number)
        assert running.wait(timeout=30) == code
        run = Store(home).load("last")
        assert run.ending == ending
        assert [step.reply.calls[0].name for step in run.steps[1:]] == ["wait"]


def test_after_a_kill_the_record_is_listed_shown_and_rated(cli: Cli, home: Path, workspace: Path) -> None:
    record = Store(home).begin("a goal", model="m", seed=0, check="", workspace=workspace)
    assert "running" in cli("runs", "list").out
    record.close()
    assert "unfinished" in cli("runs", "list").out
    assert "unfinished" in cli("runs", "show").out
    assert cli("runs", "rate", record.run_id, "bad").code == 0


def test_a_terminal_of_20_columns_is_wrapped_to(process: Start) -> None:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    running = process(*RUN, script=FINISHES, env={"TERM": "xterm", "NO_COLOR": "1"}, **streams)
    os.close(slave)
    screen = b""
    with suppress(OSError):  # the terminal closes with its last process
        while chunk := os.read(master, 4096):
            screen += chunk
    os.close(master)
    assert running.wait(timeout=30) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode("utf-8"))
    lines = [piece for line in plain.split("\n") for piece in line.split("\r")]
    assert max(map(len, lines)) <= 21  # the id of the run is not broken


# --- the record


@pytest.mark.parametrize("content", [b"no database" * 999, None])
def test_a_damaged_record_is_told_by_run_and_list_and_left_as_it_is(
    cli: Cli, home: Path, content: bytes | None
) -> None:
    cli(*RUN)
    database = home / "runs.db"
    if content is None:
        os.truncate(database, 20_000)
    else:
        database.write_bytes(content)
    left = database.read_bytes()
    for arguments in (RUN, ("runs", "list"), ("runs", "show")):
        assert_one_line(
            cli(*arguments, "-q") if arguments is RUN else cli(*arguments), Exit.ERROR, "is damaged"
        )
    assert database.read_bytes() == left


def test_one_damaged_run_is_told_and_can_be_kept_out_of_learning(cli: Cli, home: Path) -> None:
    cli(*RUN, "--expect", "42")
    cli(*RUN, "--expect", "42")
    first = Store(home).runs()[-1].run_id
    with sqlite3.connect(home / "runs.db") as database:
        database.execute("UPDATE steps SET calls = 'no JSON' WHERE run = ?", (first,))
    database.close()
    assert len(cli("runs", "list").out.splitlines()) == 2
    assert_one_line(cli("runs", "show", first), Exit.ERROR, f"`autoagent runs rate {first} bad`")
    assert cli("runs", "show").code == 0
    assert cli("runs", "rate", first, "bad").code == 0
    assert len(list(Store(home).verified())) == 1


def test_two_processes_share_a_project(process: Start, home: Path) -> None:
    script = FINISHES.replace("],", '], ToolCall(name="save_memory", arguments={"text": "x"}),', 1)
    both = [process("run", "-g", f"remember {n}", "-q", script=script) for n in range(2)]
    for running in both:
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out, err) == (0, "4 ✓\n", "")
    runs = Store(home).runs()
    assert {run.goal for run in runs} == {"remember 0", "remember 1"}
    assert all(run.ending == "finished" for run in runs)
