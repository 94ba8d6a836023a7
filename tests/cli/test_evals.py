"""``autoagent eval``: which tasks, how many at a time, what is written where, and what the exit code says."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from autoagent.cli import Exit, Parts, main
from autoagent.store import Store

from .conftest import Cli, assert_one_line

SUITE = """
[[task]]
id = "product"
family = "arithmetic"
split = "seen"
tags = ["quick"]
goal = "What is 6 * 7?"
expected = { answer = "42" }

[[task]]
id = "other"
family = "arithmetic"
split = "new"
goal = "What is 6 * 8?"
expected = { answer = "48" }

[[task]]
id = "third"
family = "files"
split = "new"
tags = ["quick", "odd"]
goal = "How many files are here?"
expected = { answer = "0" }
"""


TERMINAL = {"TERM": "xterm", "COLUMNS": "120"}


@pytest.fixture(autouse=True)
def _suite_file(workspace: Path) -> None:
    (workspace / "suite.toml").write_text(SUITE, encoding="utf-8")


def tasks_of(cli: Cli, *options: str) -> list[str]:
    report = cli("eval", "suite.toml", *options, "--output-format", "json").json
    return [result["task"] for result in report["results"]]


@pytest.mark.parametrize(
    ("options", "tasks"),
    [
        (("--family", "files"), ["third"]),
        (("--family", "files", "--family", "arithmetic"), ["product", "other", "third"]),
        (("--split", "new"), ["other", "third"]),
        (("--tag", "quick"), ["product", "third"]),
        (("--tag", "quick", "--split", "new"), ["third"]),
        (("--tag", "quick", "--limit", "1"), ["product"]),
        (("--task", "third", "--task", "product"), ["product", "third"]),
    ],
)
def test_a_part_of_a_suite_is_chosen(cli: Cli, options: tuple[str, ...], tasks: list[str]) -> None:
    assert tasks_of(cli, *options) == tasks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--family", "fils"), "suite suite has no family fils: there are arithmetic, files"),
        (("--split", "old"), "has no split old: there are new, seen"),
        (("--tag", "slow"), "has no tag slow: there are odd, quick"),
        (("--task", "thrid"), "no task thrid in suite suite: there are product, other, third"),
        (("--tag", "odd", "--split", "seen"), "has no task that fits --split seen --tag odd"),
        (("--seeds", "0"), "--seeds"),
        (("--jobs", "0"), "--jobs"),
        (("--fail-under", "120"), "--fail-under 120 is no percentage"),
        (("--fail-under", "nan"), "is no percentage"),
        (("--report", "report.txt"), "has to end with .html or .json"),
        (("--report", "nowhere/report.html"), "there is no folder nowhere"),
        (("--report", ""), "the name is empty"),
        (("--model", ""), "--model: the name is empty"),
        (("--baseline", " "), "--baseline: the name is empty"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(
    cli: Cli, options: tuple[str, ...], words: str
) -> None:
    assert_one_line(cli("eval", "suite.toml", *options), Exit.USAGE, words)


def test_the_tables_show_families_splits_and_how_to_see_more(cli: Cli) -> None:
    done = cli("eval", "suite.toml")
    assert (done.code, done.err) == (0, "")
    for words in ("arithmetic", "seen", "1/3", "2 lost:", "Lost runs step by step: --report report.html"):
        assert words in done.out


def test_a_page_and_a_json_file_are_written_whole(cli: Cli, workspace: Path) -> None:
    done = cli("eval", "suite.toml", "--baseline", "old", "--report", "report.html")
    text = (workspace / "report.html").read_text(encoding="utf-8")
    assert "the whole report: report.html" in done.err
    assert text.startswith("<!doctype html>")
    assert "What is 6 * 8?" in text
    assert "Against the baseline" in text
    cli("eval", "suite.toml", "--report", "report.json")
    data = json.loads((workspace / "report.json").read_text(encoding="utf-8"))
    assert data["results"][0]["trajectories"][0]["answer"] == "42"
    assert sorted(each.name for each in workspace.iterdir()) == ["report.html", "report.json", "suite.toml"]


def test_runs_are_kept_when_asked_for(cli: Cli, home: Path) -> None:
    cli("eval", "suite.toml")
    assert Store(home).runs() == []
    done = cli("eval", "suite.toml", "--keep", "-j", "2")
    kept = Store(home).runs(suite="suite")
    assert len(kept) == 3
    lost = next(run.run_id for run in kept if run.verdict.status == "refuted")
    assert lost in done.out
    assert cli("runs", "show", lost).code == 0


@pytest.mark.parametrize(("percent", "code"), [("33.3", 0), ("34", Exit.REFUTED), ("0", 0)])
def test_success_below_what_is_asked_for_has_its_own_exit_code(cli: Cli, percent: str, code: int) -> None:
    done = cli("eval", "suite.toml", "--fail-under", percent)
    assert done.code == code
    assert ("success is 33.3 %, below --fail-under 34" in done.err) is (code == Exit.REFUTED)


def test_several_at_a_time_report_the_same(cli: Cli) -> None:
    def told(*options: str) -> object:
        report = cli("eval", "suite.toml", "--seeds", "3", "--output-format", "json", *options).json
        for each in [report, *report["results"]]:
            del each["seconds"]
        return report

    assert told("-j", "4") == told("-j", "1")


def test_a_model_that_is_not_there_is_one_line_also_for_several_processes(
    home: Path, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    code = main(["--home", str(home), "eval", "suite.toml", "-m", "v9-00000000", "-j", "2"], Parts())
    printed = capsys.readouterr()
    assert (code, printed.out) == (Exit.USAGE, "")
    assert printed.err.startswith("autoagent: error: no model version 'v9-00000000'")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("baseline", ["v9-00000000", "nowhere", "."])
def test_a_baseline_that_is_not_there_is_noticed_before_the_model_is_measured(
    home: Path,
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    baseline: str,
) -> None:
    monkeypatch.chdir(workspace)
    code = main(["--home", str(home), "eval", "suite.toml", "--keep", "--baseline", baseline], Parts())
    printed = capsys.readouterr()
    assert (code, printed.out, printed.err.count("\n")) == (Exit.USAGE, "", 1)
    assert Store(home).runs() == []


def test_a_model_is_not_compared_with_itself(
    home: Path, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    code = main(["--home", str(home), "eval", "suite.toml", "--baseline", "embedded"], Parts())
    printed = capsys.readouterr()
    assert (code, printed.out, printed.err.count("\n")) == (Exit.USAGE, "", 1)
    assert "current and embedded are the same model" in printed.err


def test_a_suite_that_is_misspelt_is_guessed(cli: Cli) -> None:
    assert_one_line(cli("eval", "bultin"), Exit.USAGE, "there is no suite bultin: did you mean builtin?")


SLOW = """
[[task]]
id = "quick"
goal = "Go."
expected = { command = "true" }

[[task]]
id = "slow"
goal = "Go."
expected = { command = "sleep 20" }
"""
FINISHES = '[["go"], ToolCall(name="finish", arguments={"answer": "done"})]'


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[bytes], bytes]]]:
    """One end of a terminal, and a function that reads at the other until there is this text, or the end."""
    ours, theirs = pty.openpty()
    seen = b""

    def read_until(text: bytes) -> bytes:
        nonlocal seen
        with suppress(OSError):  # how the end of a terminal reads
            while text not in seen and (piece := os.read(ours, 4096)):
                seen += piece
        return seen

    yield theirs, read_until
    os.close(ours)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_shows_what_there_is_and_says_that_it_is_not_all(
    process: Callable[..., subprocess.Popen[str]], workspace: Path, jobs: str
) -> None:
    (workspace / "slow.toml").write_text(SLOW, encoding="utf-8")
    asked = ("eval", "slow.toml", "-j", jobs, "--report", "report.json")
    with terminal() as (theirs, read_until):
        running = process(*asked, script=FINISHES, stderr=theirs, env=TERMINAL)
        os.close(theirs)
        read_until(b"1/2")
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
        assert b"Traceback" not in read_until(b"no such text")
    assert running.returncode == Exit.INTERRUPTED
    assert "interrupted: 1 run missing" in out
    assert "1/1" in out
    assert json.loads((workspace / "report.json").read_text(encoding="utf-8"))["not_run"] == 1


def test_ctrl_c_before_a_run_has_ended_says_that_there_is_nothing(
    process: Callable[..., subprocess.Popen[str]], workspace: Path
) -> None:
    (workspace / "slow.toml").write_text(SLOW.replace('"true"', '"sleep 20"'), encoding="utf-8")
    with terminal() as (theirs, read_until):
        running = process("eval", "slow.toml", script=FINISHES, stderr=theirs, env=TERMINAL)
        os.close(theirs)
        read_until(b"0/2")
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
        said = read_until(b"no such text")
    assert (running.returncode, out) == (Exit.INTERRUPTED, "")
    assert b"no run had ended" in said


def test_a_terminal_gets_a_bar_and_keeps_nothing_of_it(process: Callable[..., subprocess.Popen[str]]) -> None:
    with terminal() as (theirs, read_until):
        running = process("eval", "suite.toml", script=FINISHES, stderr=theirs, env=TERMINAL)
        os.close(theirs)
        text = read_until(b"no such text").decode("utf-8")
        assert running.wait(timeout=60) == 0
    assert "0/3 · starting" in text
    assert "3/3 · 0% passed" in text
    assert text.rstrip().endswith(("\x1b[?25h", "\x1b[2K"))
