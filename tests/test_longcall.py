"""Tools that work for minutes: what they report is seen at once, and whoever has enough can end them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from autoagent import Agent, events, tool
from autoagent.config import Limits
from autoagent.models.scripted import ScriptedModel
from autoagent.security import Sandbox
from autoagent.store import Store
from autoagent.tools import Context, Tool
from autoagent.trajectory import Trajectory

from .stage import FINISH, PLAN, call

Begin = Callable[..., Generator[events.Event, None, None]]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    def begin(own: Tool, **options: Any) -> Generator[events.Event, None, None]:
        script = [PLAN, call(own.name), FINISH]
        agent = Agent([own], ScriptedModel(script), tmp_path / "w", tmp_path / "h", memory=False, **options)
        return cast("Generator[events.Event, None, None]", agent.events("Work for long"))

    return begin


def until_progress(stream: Iterator[events.Event]) -> events.Progress:
    return next(event for event in stream if isinstance(event, events.Progress))


def closed(stream: Iterator[events.Event]) -> Trajectory:
    (run,) = [event.trajectory for event in stream if isinstance(event, events.Closed)]
    return run


def test_reports_come_while_the_tool_works(begin: Begin) -> None:
    seen = threading.Event()

    @tool(long=True)
    def copy_all(*, ctx: Context) -> str:
        """Copy everything."""
        ctx.report("counting")
        ctx.report("copying", 1, 3, seconds_left=2.0, figures={"MB/s": 12.0})
        assert seen.wait(30), "nobody saw the report while the tool was at work"
        ctx.report("copying", 2, 3)  # so soon after the one before that nobody needs it
        ctx.report("copying", 3, 3)
        return "copied"

    stream = begin(copy_all)
    first, second = until_progress(stream), until_progress(stream)
    seen.set()
    assert (first.stage, first.total, first.tool, first.step) == ("counting", 0, "copy_all", 1)
    assert (second.done, second.total, second.seconds_left, second.figures) == (1, 3, 2.0, {"MB/s": 12.0})
    rest = list(stream)
    assert [event.done for event in rest if isinstance(event, events.Progress)] == [3]
    assert next(event.observation.content for event in rest if isinstance(event, events.Observed)) == "copied"


def test_what_a_long_tool_raises_is_raised_by_its_call(begin: Begin) -> None:
    @tool(long=True)
    def break_down() -> str:
        """Break down."""
        raise ZeroDivisionError("by zero")

    run = closed(begin(break_down))
    assert run.ending == "error"
    assert "ZeroDivisionError: by zero" in run.error


@tool(long=True)
def dig(*, ctx: Context) -> str:
    """Dig until told to stop."""
    depth = 0
    try:
        while True:
            ctx.report(f"digging at {depth}")
            depth += 1
            time.sleep(0.001)
    except KeyboardInterrupt:
        (ctx.workspace.root / "tidied").write_text(str(depth), encoding="utf-8")
        raise


def test_an_interrupted_run_lets_its_tool_clean_up(begin: Begin, tmp_path: Path) -> None:
    stream = begin(dig)
    until_progress(stream)
    assert isinstance(stream.throw(KeyboardInterrupt), events.Ended)
    assert closed(stream).ending == "interrupted"
    assert (tmp_path / "w" / "tidied").exists()


def test_leaving_the_events_ends_the_tool(begin: Begin, tmp_path: Path) -> None:
    stream = begin(dig)
    until_progress(stream)
    stream.close()
    assert Store(tmp_path / "h").load("last").ending == "interrupted"
    assert (tmp_path / "w" / "tidied").exists()


def test_a_long_tool_has_the_time_of_the_run_and_no_more(begin: Begin, tmp_path: Path) -> None:
    run = closed(begin(dig, limits=Limits(timeout=0.2)))
    assert run.ending == "timeout"
    assert run.steps[1].observations[0].detail == "cut off"
    assert (tmp_path / "w" / "tidied").exists()


def test_what_trains_has_its_own_measure_of_time(begin: Begin) -> None:
    @tool(effects=("train",))
    def study() -> str:
        """Study for long."""
        time.sleep(0.3)
        return "learned"

    run = closed(begin(study, limits=Limits(timeout=0.2), approve=lambda request: True))
    assert run.ending == "finished"
    assert run.steps[1].observations[0].content == "learned"


def test_a_tool_that_is_not_long_may_report_unheard(begin: Begin) -> None:
    @tool
    def hum(*, ctx: Context) -> str:
        """Hum."""
        ctx.report("humming")
        return "hummed"

    heard = list(begin(hum))
    assert not [event for event in heard if isinstance(event, events.Progress)]
    assert next(event for event in heard if isinstance(event, events.Ended)).ending == "finished"


def test_a_service_says_what_a_call_would_do(begin: Begin) -> None:
    asked = []

    @tool(effects=("train",), needs="school")
    def study(subject: str = "tea", *, ctx: Context) -> str:
        """Study a subject."""
        return str(ctx.service("school")(subject))

    class School:
        def __call__(self, subject: str, *, ctx: Context) -> str:
            ctx.report("reading")
            return f"knows {subject}"

        def preview(self, subject: str) -> str:
            return f"reads all about {subject}"

    def approve(request: Any) -> bool:
        asked.append(request.preview)
        return True

    heard = list(begin(study, services={"school": School()}, approve=approve))
    assert asked == ["reads all about tea"]
    assert [event.stage for event in heard if isinstance(event, events.Progress)] == ["reading"]


def test_what_a_program_wrote_is_kept_when_the_time_of_the_run_is_up(tmp_path: Path) -> None:
    slow = call("run_shell", command="echo started; sleep 30")
    agent = Agent(
        model=ScriptedModel([["run it"], slow, FINISH]),
        workspace=tmp_path / "w",
        home=tmp_path / "h",
        memory=False,
        sandbox=Sandbox(unsafe=True),
        limits=Limits(timeout=2),
        approve=lambda request: True,
    )
    (seen,) = agent.run("Run it").trajectory.steps[1].observations
    assert seen.content.startswith("Error: started\nStopped: it took longer than 1.")
    assert seen.content.endswith(" s; the run's time is nearly up.")
