"""Tools, checks, clocks and disks that misbehave: the run ends as documented, and its record is whole."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from autoagent import Agent, events, tool
from autoagent.agent import Result
from autoagent.config import Conduct, Limits
from autoagent.errors import ContextFull, StoreError, ToolError, UsageError
from autoagent.models.scripted import Author, Line, ScriptedModel
from autoagent.store import RunRecord, Store
from autoagent.store.upkeep import check
from autoagent.trajectory import Counts, Reply, ToolCall
from autoagent.workspace import Workspace


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


FINISH = call("finish", answer="done")


class Bye(BaseException):
    """No Exception, as asyncio's CancelledError is none."""


@tool
def bad(what: str) -> Any:
    """Misbehave."""
    return MISDEEDS[what]()


def _raise(kind: type[BaseException]) -> Any:
    raise kind("on purpose")


def _stubborn() -> str:
    """Goes on whatever happens."""
    while True:
        try:
            time.sleep(30)
        except BaseException:
            time.sleep(0.01)


def _slowly() -> Iterator[str]:
    while True:
        time.sleep(0.01)
        yield "again"


def _thread() -> str:
    threading.Thread(target=time.sleep, args=(1.0,), daemon=True).start()
    return "left a thread"


MISDEEDS: dict[str, Any] = {
    "bytes": lambda: b"caf\xe9 \x00\xff",
    "50 MB": lambda: "x" * 50_000_000,
    "nothing": lambda: None,
    "endless": lambda: itertools.repeat("again"),
    "endless and large": lambda: ("x" * 1_000_000 for _ in itertools.count()),
    "object": object,
    "thread": _thread,
    "sleeps": lambda: time.sleep(30),
    "slowly": _slowly,
    "Bye": lambda: _raise(Bye),
    "GeneratorExit": lambda: _raise(GeneratorExit),
    "StopIteration": lambda: _raise(StopIteration),
    "SystemExit": lambda: _raise(SystemExit),
    "MemoryError": lambda: _raise(MemoryError),
    "RecursionError": lambda: _raise(RecursionError),
    "StoreError": lambda: _raise(StoreError),
    "ContextFull": lambda: _raise(ContextFull),
    "UsageError": lambda: _raise(UsageError),
}


class Scene:
    """Agents of one project, whose record is looked at after every run."""

    def __init__(self, folder: Path) -> None:
        self.work, self.home = folder / "work", folder / "home"
        self.seen: list[events.Event] = []

    def agent(self, script: Sequence[Line] | Author, **options: Any) -> Agent:
        fixed = {"tools": [bad], "workspace": self.work, "home": self.home, "memory": False}
        return Agent(model=ScriptedModel(script), **fixed | options)

    def __call__(self, *lines: Line, check: Any = None, **options: Any) -> Result:
        agent = self.agent([["misbehave"], *lines], **options)
        return self.watch(agent.events("Misbehave", check=check))

    def watch(self, stream: Iterator[events.Event]) -> Result:
        self.seen = list(stream)
        closed = self.seen[-1]
        assert isinstance(closed, events.Closed)
        run = closed.trajectory
        assert run.ending is not None
        self.whole()
        assert run == Store(self.home).load(run.run_id)
        return Result(run.answer, run.verdict, run.ending, run)

    def whole(self) -> None:
        """Nothing is damaged, and nobody still counts as at work."""
        store = Store(self.home)
        assert list(check(store)) == []
        assert not any(run.running for run in store.runs())


def together(*lines: Line) -> Author:
    """One script for a run and its helpers."""
    script = iter(lines)
    return lambda messages, expect: next(script)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# --- what tools return, raise, leave behind ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "begins", "longest"),
    [
        ("bytes", "caf\N{REPLACEMENT CHARACTER} \0", 10),
        ("50 MB", "xxx", 2_000),
        ("nothing", "Done.", 5),
        ("endless", "again\nagain", 2_000),
        ("endless and large", "xxx", 2_000),
        ("object", "<object object at", 60),
        ("thread", "left a thread", 13),
    ],
)
def test_whatever_a_tool_returns_is_a_text_that_fits(
    scene: Scene, what: str, begins: str, longest: int
) -> None:
    run = scene(call("bad", what=what), FINISH)
    seen = run.trajectory.steps[1].observations[0]
    assert (run.ending, seen.ok) == ("finished", True)
    assert seen.content.startswith(begins)
    assert len(seen.content) <= longest
    if seen.kept:
        kept = scene.home / "observations" / run.trajectory.run_id / seen.kept.removeprefix("@kept/")
        assert kept.stat().st_size < 7_000_000  # the rest is kept on file, within reason


@pytest.mark.parametrize(
    "kind",
    [
        "Bye", "GeneratorExit", "StopIteration", "SystemExit", "MemoryError", "RecursionError",
        "ContextFull", "UsageError",
    ],
)  # fmt: skip
def test_whatever_a_tool_raises_is_a_fault_on_record(
    scene: Scene, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scene(call("bad", what=kind), FINISH)
    assert run.ending == "error"
    assert "on purpose" in run.trajectory.error
    assert kind in run.trajectory.error
    assert run.trajectory.steps[-1].reply.calls == (call("bad", what=kind),)
    monkeypatch.setitem(MISDEEDS, kind, lambda: "well")  # it only reads: a resumed run repeats it
    assert scene.watch(scene.agent([FINISH]).resume()).ending == "finished"


@pytest.mark.parametrize("what", ["sleeps", "slowly"])
def test_a_tool_that_never_returns_is_cut_off_when_the_time_is_up(scene: Scene, what: str) -> None:
    began = time.monotonic()
    run = scene(call("bad", what=what), FINISH, limits=Limits(timeout=0.5))
    assert run.ending == "timeout"
    assert time.monotonic() - began < 5
    assert run.trajectory.steps[-1].observations[0].detail == "cut off"
    assert scene.watch(scene.agent([FINISH]).resume()).ending == "finished"


def test_in_another_thread_the_time_is_looked_at_when_the_tool_returns(scene: Scene) -> None:
    runs: list[Result] = []

    @tool
    def doze() -> str:
        """Sleep for a moment."""
        time.sleep(0.6)
        return "awake"

    def work() -> None:
        agent = scene.agent([["doze"], call("doze"), FINISH], tools=[doze], limits=Limits(timeout=0.3))
        runs.append(agent.run("Doze"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert [run.ending for run in runs] == ["timeout"]
    assert runs[0].trajectory.steps[1].observations[0].content == "awake"
    scene.whole()


@pytest.mark.parametrize("timeout", [1e18, float("inf"), 1e-9])
def test_any_time_limit_above_zero_is_one(scene: Scene, timeout: float) -> None:
    run = scene(call("bad", what="nothing"), FINISH, limits=Limits(timeout=timeout))
    assert run.ending == ("timeout" if timeout < 1 else "finished")


def test_a_tool_that_leaves_the_folder_does_not_take_the_record_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "start").mkdir()
    monkeypatch.chdir(tmp_path / "start")

    @tool(effects=("write",))
    def wander() -> str:
        """Leave, and take the folder away."""
        os.chdir(tmp_path)
        return "gone"

    script = [["wander"], call("wander"), call("write_file", path="a.txt", content="a"), FINISH]
    agent = Agent(
        [wander], ScriptedModel(script), workspace="work", home=Path("home"), memory=False, builtins=True
    )
    run = agent.run("wander, write a file a.txt")
    assert run.ending == "finished"
    assert (tmp_path / "start" / "work" / "a.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["start"]
    assert list(check(Store(tmp_path / "start" / "home"))) == []


def test_a_workspace_that_a_tool_deletes_costs_the_run_but_not_the_record(scene: Scene) -> None:
    @tool(effects=("write",))
    def clear() -> str:
        """Remove everything."""
        shutil.rmtree(scene.work)
        return "all gone"

    script = [["clear"], call("clear"), call("list_files"), FINISH]
    agent = scene.agent(script, tools=[clear])
    run = scene.watch(agent.events("clear, list files", check=lambda ws, answer: ws.root.is_dir()))
    assert (run.ending, run.verdict.status) == ("finished", "refuted")
    assert run.trajectory.steps[2].observations[0].content == "Error: no such folder: ."


def test_a_home_that_a_tool_deletes_is_one_line(scene: Scene) -> None:
    @tool(effects=("write",))
    def clear() -> str:
        """Remove everything."""
        shutil.rmtree(scene.home)
        return "all gone"

    with pytest.raises(StoreError, match=r"runs\.db is gone"):
        scene.agent([["clear"], call("clear"), FINISH], tools=[clear]).run("clear")


# --- checks, plans, helpers --------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("kind", [ValueError, SystemExit, StopIteration])
def test_a_check_that_raises_judges_nothing_and_is_not_tried_again(
    scene: Scene, kind: type[BaseException], retries: int
) -> None:
    tried = []

    def judge(workspace: Workspace, answer: str) -> bool:
        tried.append(answer)
        raise kind("no such table")

    run = scene(FINISH, check=judge, limits=Limits(retries=retries))
    assert (run.ending, run.answer, run.verdict.status) == ("finished", "done", "unverified")
    assert "the check itself failed" in run.verdict.reason
    assert tried == ["done"]


def test_a_plan_of_anything_is_no_fault(scene: Scene) -> None:
    for plan in (
        ["x" * 5_000] * 50,
        [""],
        ["a\nb", "\ud800"],
        {"plan": {"a": 1}},
        {"plan": [None, 3, ["a"]]},
    ):
        agent = scene.agent([plan, FINISH])  # type: ignore[list-item]
        assert scene.watch(agent.events("Misbehave")).ending == "finished"


@pytest.mark.parametrize("effect", ["read", "write", "execute", "network", "train"])
def test_a_dry_run_carries_out_nothing_but_reading(scene: Scene, effect: Any) -> None:
    done = []

    @tool(effects=(effect,))
    def act() -> str:
        """Act."""
        done.append(effect)
        return "acted"

    script = [["act"], call("act"), FINISH]
    agent = scene.agent(script, tools=[act], conduct=Conduct(dry_run=True), approve=lambda request: True)
    run = scene.watch(agent.events("act", check=lambda ws, answer: True))
    assert (run.ending, run.verdict.status) == ("finished", "unverified")
    assert done == (["read"] if effect == "read" else [])


def test_of_eight_calls_the_one_that_failed_is_named(scene: Scene) -> None:
    @tool
    def stumble() -> str:
        """Fail."""
        raise ToolError("no luck")

    reply = Reply(text="", calls=(call("stumble"), *[call("bad", what="nothing")] * 7))
    script = [["x"], reply, reply, ["another way"], FINISH]
    agent = scene.agent(script, tools=[bad, stumble], limits=Limits(calls_per_turn=8))
    run = scene.watch(agent.events("stumble, misbehave"))
    assert run.ending == "finished"
    seen = run.trajectory.steps[1].observations
    assert [each.detail for each in seen] == ["", *["skipped"] * 7]
    assert [each.why for each in scene.seen if isinstance(each, events.Nudged)] == ["stumble failed twice"]


def test_replies_cut_again_and_again_end_as_invalid(scene: Scene) -> None:
    cut = Reply(text="I think that", complete=False, counts=Counts(sampled=16))
    agent = scene.agent([cut] * 4, limits=Limits(reply_tokens=16))
    run = scene.watch(agent.events("Misbehave"))
    assert run.ending == "format_errors"
    assert len(run.trajectory.acts) == 3
    assert "was cut at 16 tokens" in Store(scene.home).messages("last")[-1].content


# --- clocks and steering -----------------------------------------------------------------------------------


def test_a_clock_that_goes_backwards_confuses_no_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(2_000_000_000, -3_600)
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    for _ in range(3):
        run = scene(call("bad", what="bytes"), FINISH, check=lambda ws, answer: True)
        assert (run.ending, run.verdict.status) == ("finished", "verified")
        assert 0 <= run.trajectory.seconds < 60
    started = [each.started for each in Store(scene.home).runs()]
    assert started == sorted(started)  # newest first, although the clock says otherwise
    assert Store(scene.home).load("last").run_id == run.trajectory.run_id


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_whoever_steers_may_stop_the_run(scene: Scene, kind: type[BaseException]) -> None:
    turns = iter([None, "not so fast", kind("stop")])

    def steer() -> str | None:
        word = next(turns)
        if isinstance(word, BaseException):
            raise word
        return word

    acts = [call("bad", what="nothing"), ["slowly"], call("bad", what="bytes")]
    run = scene(*acts, steer=steer)
    assert run.ending == ("interrupted" if kind is KeyboardInterrupt else "error")
    assert len(run.trajectory.acts) == 2
    assert scene.watch(scene.agent([FINISH]).resume()).ending == "finished"


@pytest.mark.parametrize(("written", "act"), [("snapshot", "MemoryError"), ("ended", "bytes")])
def test_ctrl_c_while_an_ending_is_written_is_the_ending(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, written: str, act: str
) -> None:
    write, blows = getattr(RunRecord, written), iter([1])

    def struck(record: RunRecord, *what: Any) -> object:
        done = write(record, *what)
        if what[0] and next(blows, 0):  # not the first copy of the workspace
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(RunRecord, written, struck)
    run = scene(call("bad", what=act), FINISH)
    assert run.ending == "interrupted"
    assert ("MemoryError" in run.trajectory.error) == (act == "MemoryError")


def test_after_a_call_that_was_cut_off_no_other_is_begun(scene: Scene) -> None:
    reply = Reply(text="", calls=(call("bad", what="sleeps"), call("bad", what="sleeps")))
    began = time.monotonic()
    run = scene(reply, FINISH, limits=Limits(timeout=0.5, calls_per_turn=2))
    assert (run.ending, run.trajectory.steps[-1].observations[1].detail) == ("timeout", "skipped")
    assert time.monotonic() - began < 5
