"""Agent: the composition root. It wires model, tools, policy, memory and record around the loop."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoagent import events
from autoagent.config import Limits, Sampling
from autoagent.errors import AutoagentError, UsageError
from autoagent.events import Event
from autoagent.goal import Check, Goal, verify
from autoagent.home import project_home
from autoagent.loop import Loop, opening_messages
from autoagent.memory import LazyMemory, Memory
from autoagent.models.protocol import Model
from autoagent.security import Approve, Policy, refuse
from autoagent.store import RunRecord, Store
from autoagent.tools import Context, Tool, Toolbox, builtin_tools, control
from autoagent.trajectory import Ending, Step, Trajectory, Verdict
from autoagent.workspace import Workspace

_JUDGED: tuple[Ending, ...] = ("finished", "max_steps", "max_tokens", "timeout")


@dataclass(frozen=True)
class Result:
    """What a run came to. ``verdict`` is what is known about the outcome, ``ending`` why the run stopped."""

    answer: str | None
    verdict: Verdict
    ending: Ending
    trajectory: Trajectory


@dataclass
class Agent:
    """An agent with a model, tools and a workspace.

    Args:
        tools: Your own tools, besides the built-in ones.
        model: A Model, a version name, a model folder or a hub id; by default the project's current version,
            which is the embedded model until another was promoted.
        workspace: The folder the agent may read and write; made when missing.
        home: Where records, memory and versions live; by default the project's ``.autoagent``.
        limits: Budgets of one run.
        sampling: How tokens are drawn; greedy by default.
        approve: Asked before an effect that needs consent; refuses by default.
        memory: Long-term memory, or False to go without; opened from ``home`` by default.
        builtins: Whether the built-in tools are there, too; ``finish`` and ``decline`` always are.
        services: What tools may reach that lies above them, by name; a tool that needs a missing one is not
            shown. ``{"finetune": autoagent.training.service.finetune_service(home, suite)}`` lets the agent
            retrain itself.
    """

    tools: Sequence[Tool] = ()
    model: Model | str | Path | None = None
    workspace: Path | str = "."
    home: Path | None = None
    limits: Limits = field(default_factory=Limits)
    sampling: Sampling = field(default_factory=Sampling)
    approve: Approve = refuse
    memory: Memory | bool = True
    builtins: bool = True
    services: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._home = self.home or project_home()
        ours = builtin_tools() if self.builtins else control.TOOLS
        usable = [tool for tool in ours if not tool.needs or tool.needs in self.services]
        self._toolbox = Toolbox([*self.tools, *usable])
        self._workspace = Workspace.at(self.workspace, protected=[self._home])
        self._store = Store(self._home)
        self._loaded: Model | None = None
        self._memory: Memory | None = None

    def run(self, goal: str | Goal, *, check: Check | None = None) -> Result:
        """Work on a goal until there is an ending.

        Raises:
            UsageError: the goal is empty, or the model or workspace cannot be used.
        """
        trajectory = None
        for event in self.events(goal, check=check):
            if isinstance(event, events.Closed):
                trajectory = event.trajectory
        assert trajectory is not None  # Closed is always the last event
        assert trajectory.ending is not None  # and comes after the end
        return Result(trajectory.answer, trajectory.verdict, trajectory.ending, trajectory)

    def steps(self, goal: str | Goal, *, check: Check | None = None) -> Iterator[Step]:
        """The run as whole steps, as they happen."""
        for event in self.events(goal, check=check):
            if isinstance(event, events.Stepped):
                yield event.step

    def events(self, goal: str | Goal, *, check: Check | None = None, suite: str = "") -> Iterator[Event]:
        """The run as typed events, as they happen; the last is always ``Closed`` with the whole trajectory.

        Ctrl-C inside ends the run with ``interrupted``; a fault of a tool or of ours ends it with ``error``.
        In both cases everything up to there is on record. Closing the generator early counts as
        ``interrupted``.
        """
        aim = goal if isinstance(goal, Goal) else Goal(goal, check)
        model = self.loaded_model()
        shown = self._toolbox.shown_for(aim.text, at_most=self.limits.shown_tools)
        opening = opening_messages(aim.text)
        session = model.open(opening, [tool.schema for tool in shown])
        record = self._store.begin(
            aim.text,
            model=model.version,
            seed=self.sampling.seed,
            check=_describe(aim.check),
            workspace=self._workspace.root,
            suite=suite,
        )
        names = tuple(tool.name for tool in shown)
        started = events.Started(run_id=record.run_id, goal=aim.text, model=model.version, tools=names)
        record.opened(opening, names)
        loop = Loop(
            session=session,
            tools=shown,
            context=Context(workspace=self._workspace, memory=self._opened_memory(), services=self.services),
            policy=Policy(approve=self.approve),
            record=record,
            limits=self.limits,
            sampling=self.sampling,
        )
        yield from self._watched(loop, record, aim, started)

    def _watched(self, loop: Loop, record: RunRecord, goal: Goal, started: Event) -> Iterator[Event]:
        """Run the loop; whatever happens, write down how it ended."""
        began = time.monotonic()
        error = ""
        try:
            yield started
            record.snapshot(0)
            for event in loop.events():
                if isinstance(event, events.Stepped) and event.step.mutated:
                    record.snapshot(event.step.index)
                yield event
        except KeyboardInterrupt:
            loop.ending = "interrupted"
            record.snapshot(len(loop.steps))  # the step that was cut short may have changed something
        except GeneratorExit:
            record.snapshot(len(loop.steps))
            record.ended("interrupted", loop.answer, time.monotonic() - began)
            raise
        except AutoagentError:
            record.ended("error", loop.answer, time.monotonic() - began, traceback.format_exc())
            raise
        except (Exception, SystemExit):  # sys.exit() in a tool must not end the program
            loop.ending, error = "error", traceback.format_exc()
            record.snapshot(len(loop.steps))
        finally:
            loop.session.close()
        ending = loop.ending or "error"
        seconds = time.monotonic() - began
        record.ended(ending, loop.answer, seconds, error)
        yield events.Ended(ending=ending, answer=loop.answer, error=error)
        try:
            verdict = self._judge(goal, loop, ending)
        except KeyboardInterrupt:
            verdict = Verdict(reason="the check was interrupted")
            record.ended("interrupted", loop.answer, seconds)
        record.judged(verdict)
        yield events.Judged(verdict=verdict)
        yield events.Closed(trajectory=self._store.load(record.run_id))

    def _judge(self, goal: Goal, loop: Loop, ending: Ending) -> Verdict:
        """Check the outcome after ``finished`` and budget endings, and after others where the goal says so.

        A check that cannot be carried out, or fails itself, leaves it unverified and says why.
        """
        if ending in ("interrupted", "error") or not (goal.any_ending or ending in _JUDGED):
            return Verdict(reason=f"the run ended with {ending}")
        try:
            return verify(goal, self._workspace, loop.answer or "")
        except UsageError as problem:
            return Verdict(reason=str(problem))
        except Exception as problem:  # a check is the user's code: its fault must not lose the run
            return Verdict(reason=f"the check itself failed: {type(problem).__name__}: {problem}")

    def loaded_model(self) -> Model:
        """The model, loaded at first use.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        if self._loaded is None:
            if isinstance(self.model, (str, Path)) or self.model is None:
                from autoagent.models.load import load_model

                self._loaded = load_model(self.model, home=self._home)
            else:
                self._loaded = self.model
        return self._loaded

    def _opened_memory(self) -> Memory | None:
        """Long-term memory; the one on disk is opened, and locked, when a tool first needs it."""
        if self._memory is None and self.memory is not False:
            self._memory = self.memory if self.memory is not True else LazyMemory(self._home)
        return self._memory

    def close(self) -> None:
        """Release the memory's lock and the record's file. The agent may be used again afterwards."""
        self._store.close()
        if self._memory is not None and self.memory is True:
            self._memory.close()
            self._memory = None

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _describe(check: Check | None) -> str:
    """The check's name, for the record."""
    if check is None:
        return ""
    with contextlib.suppress(AttributeError):
        return str(check.__qualname__)
    return repr(check)
