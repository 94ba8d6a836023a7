"""Several runs at a time find what one after the other finds, and end cleanly whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from autoagent.errors import AutoagentError, ModelError, StoreError, UsageError
from autoagent.evals import Expected, Report, Suite, SuiteRun, Task, run_suite
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.store import Store
from autoagent.trajectory import Message, ToolCall

SAYS_2 = [["say it"], ToolCall(name="finish", arguments={"answer": "2"})]
LOADER = partial(ScriptedModel, SAYS_2, version="v2")  # can be sent to a process


def numbers(count: int, **expected: Any) -> Suite:
    """Tasks that expect their number."""
    return Suite(
        "numbers",
        tuple(
            Task(
                id=str(n),
                family="even" if n % 2 == 0 else "odd",
                goal=f"Say {n}.",
                expected=Expected(answer=str(n), **expected),
            )
            for n in range(count)
        ),
    )


def echo(messages: Sequence[Message], expect: Expect) -> Line:
    """Says the number of the goal, unless it is 1."""
    if isinstance(expect, Json):
        return ["say it"]
    number = messages[1].content.split("Say ")[1][0]
    return ToolCall(name="finish", arguments={"answer": "nothing" if number == "1" else number})


def told(report: Report) -> list[tuple[Any, ...]]:
    """All that does not depend on the clock."""
    return [
        (each.task, each.seed, each.success, each.answer, each.failure, each.steps, each.tokens, each.run_id)
        for each in report.results
    ]


def children() -> list[Any]:
    return multiprocessing.active_children()


def test_threads_find_the_same_in_the_same_order() -> None:
    one = run_suite(numbers(5), model=ScriptedModel(echo), seeds=2)
    heard: list[str] = []
    many = run_suite(
        numbers(5),
        model=ScriptedModel(echo),
        seeds=2,
        jobs=4,
        on_result=lambda result: heard.append(result.task),
    )
    assert told(many) == told(one)
    assert sorted(heard) == sorted(each.task for each in one.results)
    assert (many.passed, many.n, many.not_run) == (8, 10, 0)


def test_processes_find_the_same_in_the_same_order_and_share_a_record(tmp_path: Path) -> None:
    one = run_suite(numbers(5), model=LOADER)
    many = run_suite(numbers(5), model=LOADER, jobs=2, home=tmp_path)
    assert [row[:-1] for row in told(many)] == [row[:-1] for row in told(one)]
    assert (many.passed, many.model) == (1, "v2")
    trajectory = many.results[2].trajectory
    assert trajectory is not None
    assert trajectory.answer == "2"
    kept = {summary.run_id for summary in Store(tmp_path).runs(suite="numbers")}
    assert kept == {result.run_id for result in many.results}
    assert len(kept) == 5
    assert children() == []
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_model_that_cannot_be_loaded_by_the_processes_is_the_users_error() -> None:
    with pytest.raises(ModelError, match="v9-00000000"):
        run_suite(numbers(2), model="v9-00000000", jobs=2)
    assert children() == []


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (partial(os._exit, 3), "a worker process ended with exit code 3, while it was to run"),
        (partial(signal.raise_signal, signal.SIGKILL), "was ended by SIGKILL, perhaps for lack of memory"),
    ],
)
def test_a_process_that_dies_is_one_clear_error(ends: Callable[[], Any], words: str) -> None:
    with pytest.raises(AutoagentError, match=words) as death:
        run_suite(numbers(3), model=ends, jobs=2)
    assert "try fewer with --jobs" in str(death.value)
    assert children() == []


def test_a_fault_of_ours_in_a_process_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in a worker process:\nTraceback.*'int' object"):
        run_suite(numbers(2), model=partial(int, 3), jobs=2)


@pytest.mark.parametrize("model", [ScriptedModel(echo), LOADER])
def test_an_error_keeps_what_was_found_until_then(model: Any) -> None:
    run = SuiteRun(numbers(6))

    def fail(result: object) -> None:
        if len(run.done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.go(model, jobs=2, on_result=fail)
    report = run.report()
    assert (len(report.results), report.not_run, report.n) == (2, 4, 2)
    assert children() == []
    assert not [each for each in threading.enumerate() if each.name.startswith("eval-")]


def test_an_unwritable_record_ends_all_threads(tmp_path: Path) -> None:
    (tmp_path / "runs.db").mkdir()
    with pytest.raises(StoreError):
        run_suite(numbers(4), model=ScriptedModel(echo), jobs=2, home=tmp_path)


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_are_refused(jobs: int) -> None:
    with pytest.raises(UsageError, match="at least one run at a time"):
        run_suite(numbers(1), model=ScriptedModel(echo), jobs=jobs)


INTERRUPTED = """
import functools, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
from autoagent.evals import Expected, Suite, SuiteRun, Task
from autoagent.models import ScriptedModel
from autoagent.trajectory import ToolCall

def task(number, command):
    return Task(id=str(number), family="f", goal="Go.", expected=Expected(command=command))

if __name__ == "__main__":
    suite = Suite("slow", (task(0, "true"), *(task(n, "sleep 617.25") for n in (1, 2, 3))))
    script = [["go"], ToolCall(name="finish", arguments={"answer": "done"})]
    model = functools.partial(ScriptedModel, script) if sys.argv[1] == "processes" else ScriptedModel(script)
    run = SuiteRun(suite)
    try:
        run.go(model, jobs=2, on_result=lambda result: print(result.task, flush=True))
    except KeyboardInterrupt:
        print(run.report().not_run, "missing")
"""


def test_ctrl_c_ends_processes_and_what_they_started(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, script, "processes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "0\n"
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        out, err = running.communicate(timeout=120)
    assert (out, err, running.returncode) == ("3 missing\n", "", 0)
    lines = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if "617.25" in " ".join(line) or str(script) in line]
