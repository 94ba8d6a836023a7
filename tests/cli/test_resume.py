"""Going on with runs: which can be, which cannot, and what is said then."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent.cli import Exit, main
from autoagent.store import Store
from autoagent.store.upkeep import check

from .conftest import Cli, assert_one_line, call

Start = Callable[..., "subprocess.Popen[str]"]
FINISH = [call("finish", answer="back")]
STOPPED = [["look"], call("list_files")]  # the script ends, which is a fault of the model
TOOL = '''
import time
from pathlib import Path
from autoagent import tool


@tool
def wait(flag: str) -> str:
    """Wait, the first time."""
    if not Path(flag).exists():
        Path(flag).write_text("now", encoding="utf-8")
        time.sleep(60)
    return "waited"
'''
WAITS = '[["wait"], ToolCall(name="wait", arguments={"flag": "flag"})]'


def broken_off(cli: Cli, *more: str) -> str:
    done = cli("run", "-g", "list the files", "-q", *more, script=STOPPED)
    assert done.code == Exit.ERROR
    return done.err.split()[-1]


def wait_for(file: Path, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not (file.exists() and file.stat().st_size):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "how", [["-c"], ["--continue"], ["--resume"], ["--resume", "last"], ["--resume=last"]]
)
def test_the_latest_run_is_gone_on_with(cli: Cli, home: Path, how: list[str]) -> None:
    run = broken_off(cli)
    done = cli("run", *how, "-q", script=FINISH)
    assert (done.code, done.out) == (Exit.OK, "back\n")
    assert [(each.run_id, each.ending) for each in Store(home).runs()] == [(run, "finished")]
    assert list(check(Store(home))) == []


@pytest.mark.parametrize("how", [("-c",), ("--resume",)])
def test_with_nothing_to_go_on_with_it_says_so(cli: Cli, how: tuple[str, ...]) -> None:
    assert_one_line(cli("run", *how), Exit.USAGE, "there is no run to go on with")
    cli("run", "-g", "finish", "-q", script=[["x"], *FINISH])
    assert_one_line(cli("run", *how), Exit.USAGE, "there is no run to go on with")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (("--resume", "last"), "there are no runs yet"),
        (("--resume", "r123"), "there is no run 'r123'"),
        (("--resume", "\udcff"), "there is no run"),
        (("-c", "-g", "another goal"), "has its goal already"),
    ],
)
def test_what_is_no_run_is_told(cli: Cli, how: tuple[str, ...], words: str) -> None:
    assert_one_line(cli("run", *how), Exit.USAGE, words)


def test_what_a_run_needs_and_is_gone_is_named_and_it_can_be_gone_on_with_when_it_is_back(
    cli: Cli, home: Path, workspace: Path
) -> None:
    (workspace / "mine.py").write_text(TOOL, encoding="utf-8")
    (workspace / "place").mkdir()
    run = broken_off(cli, "-w", "place", "--tools", "mine.py")
    (workspace / "mine.py").rename(workspace / "other.py")
    assert_one_line(cli("run", "-c", script=FINISH), Exit.USAGE, "mine.py is a folder or does not exist")
    (workspace / "other.py").rename(workspace / "mine.py")
    (workspace / "place").rename(workspace / "elsewhere")
    assert_one_line(cli("run", "-c", script=FINISH), Exit.USAGE, "place is gone: restore it")
    (workspace / "elsewhere").rename(workspace / "place")
    assert_one_line(cli("run", "-c", "-w", "other", script=FINISH), Exit.USAGE, "place, and not in ")
    assert not (workspace / "other").exists()
    assert Store(home).find(run).ending == "error"
    assert cli("run", "-c", "-q", script=FINISH).out == "back\n"
    assert_one_line(cli("run", "--resume", run), Exit.USAGE, "there is nothing to resume in it")


def test_a_model_that_is_gone_is_named_and_another_can_go_on(
    cli: Cli, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken_off(cli, "--model", "folder/that/was")
    assert main(["run", "-c"]) == Exit.USAGE  # with the real loader
    err = capsys.readouterr().err
    assert err.startswith("autoagent: error: ")
    assert "folder/that/was" in err
    assert err.count("\n") == 1
    assert cli("run", "-c", "-q", "--model", "another", script=FINISH).out == "back\n"


def test_a_run_at_work_is_left_alone_by_others(process: Start, cli: Cli, home: Path, workspace: Path) -> None:
    (workspace / "mine.py").write_text(TOOL, encoding="utf-8")
    running = process("run", "-g", "wait", "-q", "--tools", "mine.py", script=WAITS)
    wait_for(workspace / "flag", running)
    run = Store(home).find("last").run_id
    assert_one_line(cli("run", "--resume", run), Exit.USAGE, f"is being worked on by process {running.pid}")
    assert_one_line(cli("run", "-c"), Exit.USAGE, "there is no run to go on with")
    assert "is being worked on" in cli("runs", "rm", run, "--yes").err
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert cli("run", "-c", "-q", script=[call("finish", answer="back")]).out == "back\n"


def test_of_two_that_go_on_at_once_one_does(process: Start, cli: Cli, home: Path, workspace: Path) -> None:
    (workspace / "mine.py").write_text(TOOL, encoding="utf-8")
    run = broken_off(cli, "--tools", "mine.py")
    script = WAITS.replace('["wait"], ', "").replace("wait", "list_files").replace('"flag": "flag"', "")
    script = script[:-1] + ', ToolCall(name="finish", arguments={"answer": "back"})]'
    both = [process("run", "--resume", run, "-q", script=script) for _ in range(4)]
    ended = [(*running.communicate(timeout=60), running.returncode) for running in both]
    assert [out for out, _, _ in ended].count("back\n") == 1
    for out, err, code in ended:
        assert (code, err) == (0, "") if out else (code == Exit.USAGE and err.count("\n") == 1)
    past = Store(home).load(run)
    assert [step.index for step in past.steps] == list(range(len(past.steps)))
    assert past.ending == "finished"
    assert list(check(Store(home))) == []


def test_ten_processes_in_one_project_record_ten_runs(process: Start, home: Path) -> None:
    finish = 'ToolCall(name="finish", arguments={"answer": "4"})'
    script = f'[["finish"], ToolCall(name="list_files", arguments={{}}), {finish}]'
    ten = [process("run", "-g", f"goal {number}", "-q", "--no-memory", script=script) for number in range(10)]
    for running in ten:
        out, err = running.communicate(timeout=120)
        assert (running.returncode, out, err) == (0, "4\n", "")
    runs = Store(home).runs()
    assert {run.goal for run in runs} == {f"goal {number}" for number in range(10)}
    assert {(run.ending, run.steps) for run in runs} == {("finished", 3)}
    assert list(check(Store(home))) == []
