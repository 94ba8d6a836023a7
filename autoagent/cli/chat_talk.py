"""One chat: an agent, what was said so far, and the runs that come of it."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from autoagent import events
from autoagent.agent import Agent
from autoagent.cli import console
from autoagent.cli.asking import contact_at
from autoagent.cli.chat_gauge import Gauge
from autoagent.cli.chat_terminal import Interrupts, mark, silent_keys
from autoagent.cli.model_names import ModelNames
from autoagent.cli.options import AgentOptions, Contact
from autoagent.cli.parts import Parts
from autoagent.cli.run import Fault, follow, tell_error
from autoagent.cli.screen import Screen, in_brief, verdict_text
from autoagent.errors import AutoagentError
from autoagent.events import Event
from autoagent.goal import Check
from autoagent.home import ensure_home
from autoagent.memory import LazyMemory, Memory
from autoagent.models.habits import habits_of
from autoagent.security import Answer, Request, agree
from autoagent.store import Store
from autoagent.store.runs import RESUMABLE
from autoagent.trajectory import Message, Trajectory
from autoagent.workspace import Workspace

_SHARE = 4  # of the model's window, one in so many tokens may go into earlier goals and answers
_STOPPING = "stopping after this step… Ctrl-C again: now"
_NAMED_FILE = re.compile(r'(?<!\S)@("[^"]+"|\S+)')
Read = Callable[[str], str]  # a prompt; what is typed at it


@dataclass(frozen=True, kw_only=True)
class ChatOptions(AgentOptions):
    """What ``autoagent chat`` is told."""


class Talk:
    """What the commands of a chat work on.

    Args:
        there: Whether somebody sits at a terminal; ``read`` is then set to what reads a line there.

    Raises:
        UsageError: something that was asked for cannot be had.
        ModelError: the model cannot be found or loaded.
    """

    def __init__(self, parts: Parts, options: ChatOptions, interrupts: Interrupts, there: bool) -> None:
        self.parts, self.options, self.interrupts, self.there = parts, options, interrupts, there
        self.read: Read = input
        self.out = console.out()
        names = ModelNames(parts.home)
        self.gauge = Gauge("", 0, names.short)
        self.gauge.yolo = options.yes
        self.screen = _ChatScreen(self.out, self._foot, names) if there else Screen(self.out, named=names)
        interrupts.aloud = there and self.out.is_dumb_terminal
        self._heard: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.agent = self._loaded(options)
        self._measure()
        self.place = Workspace.at(options.workspace).root
        self.store = Store(parts.home)
        self.last = ""  # id of the last run of this chat
        self.past: list[Message] = []  # goals and answers, oldest first
        self._tainted = False  # something in them may have come from outside

    @property
    def memory(self) -> Memory | None:
        """Long-term memory, if there is one."""
        kept = self.agent.memory
        return None if isinstance(kept, bool) else kept

    @property
    def shows_past(self) -> bool:
        """Whether the model is shown what was said before."""
        folder = getattr(self.agent.loaded_model(), "folder", None)
        return habits_of(folder if isinstance(folder, Path) else None).conversation

    def close(self) -> None:
        """Let go of the memory and of the record."""
        self.agent.close()
        if isinstance(self.agent.memory, LazyMemory):
            self.agent.memory.close()
        self.store.close()

    def work_on(self, goal: str) -> None:
        """Begin a run, which knows what was said before."""
        goal = self._with_files(goal)
        run = self._follow(self.agent.events(goal, past=self._fitting(), tainted=self._tainted))
        self._tainted = self._tainted or run.tainted
        if run.answer:
            self.past += [Message(role="user", content=goal), Message(role="assistant", content=run.answer)]

    def go_on(self, run_id: str, check: Check | None) -> None:
        """Take up a run that broke off, with the check it was begun with."""
        self._follow(self.agent.resume(run_id, check=check))

    def forget(self) -> None:
        """Begin a new conversation."""
        self.past.clear()
        self._tainted = False
        self.gauge.forget()

    def use(self, model: str) -> None:
        """Take another model; conversation, memory and manner stay.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        options = replace(self.options, model=model)
        agent = self._loaded(options)
        agent.memory, agent.conduct = self.agent.memory, self.agent.conduct
        self.agent.close()
        self.agent, self.options = agent, options
        self._measure()

    def tell(self, text: str, style: str = "dim") -> None:
        """Say something beside the runs."""
        self.out.print(Text(console.clean(text), style=style), soft_wrap=not self.out.is_terminal)

    def sure(self, question: str) -> bool:
        """Ask for a yes; where nobody is, the answer is no."""
        if not self.there:
            return False
        self.out.print(f"{question} y/N: ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _loaded(self, options: ChatOptions) -> Agent:
        with self.screen, silent_keys():
            self.screen.busy("loading the model")
            return options.agent(self.parts, self._contact())

    def _measure(self) -> None:
        model = self.agent.loaded_model()
        self.gauge.take(model.version, model.window)
        self.gauge.limits = self.agent.limits

    def _follow(self, stream: Iterator[Event]) -> Trajectory:
        fault = Fault()
        with self.screen, self._attended():
            run = follow(stream, fault.watch, self.gauge.watch, self.screen.show)
        self.last = run.run_id
        if fault.line:
            tell_error(fault, run.run_id)
        elif self.there and run.ending in RESUMABLE and not self.interrupts.leaving:
            self.tell("/resume goes on with it.")
        if self.there and self.out.is_dumb_terminal:
            self.tell(self.gauge.line(self.out.width))
        return run

    @contextmanager
    def _attended(self) -> Iterator[None]:
        """Somebody sits at the terminal while a run works."""
        if not self.there:
            yield
            return
        with self.interrupts.stepwise(), silent_keys() as heard:
            self._heard = heard
            try:
                yield
            finally:
                self._heard = nullcontext

    def _contact(self) -> Contact:
        asks_plan = self.there or self.options.config(self.parts).plan == "ask"
        here = contact_at(self.out, yes=False, pause=self.screen.pause, asks_plan=asks_plan)

        def approve(request: Request) -> bool | Answer:
            return agree(request) if self.gauge.yolo else self._asked(here.approve, request)

        return Contact(
            approve=approve,
            ask_user=here.ask_user and (lambda question: self._asked(here.ask_user, question)),
            edit_plan=here.edit_plan and (lambda plan: self._asked(here.edit_plan, plan)),
            steer=self._steered if self.there else None,
        )

    def _asked(self, ask: Any, about: Any) -> Any:
        """Put a question of the run's to the user, whose Ctrl-C is then meant for the run as a whole."""
        self.screen.pause()
        with self.interrupts.at_once(), self._heard():
            return ask(about)

    def _steered(self) -> str | None:
        """After Ctrl-C, between two steps: what the user has to say."""
        if not self.interrupts.wanted:
            return None
        self.screen.pause()
        self.interrupts.wanted = False
        self.tell("\nStopped. Enter goes on, /stop ends the run, all else is told to the agent.", "yellow")
        with self.interrupts.at_once(), self._heard():
            try:
                word = self.read(mark("told "))
            except EOFError:
                raise KeyboardInterrupt from None
        if word.strip() in ("/stop", "/exit", "/quit"):
            raise KeyboardInterrupt
        return word

    def _foot(self, width: int) -> Text:
        if self.interrupts.wanted:
            return Text(console.cut(_STOPPING, width), style="bold yellow", no_wrap=True)
        return Text(self.gauge.line(width), style="dim", no_wrap=True)

    def _fitting(self) -> Sequence[Message]:
        """The latest goals and answers that leave room for the run."""
        model = self.agent.loaded_model()
        left, first = model.window // _SHARE, len(self.past)
        while first > 0:
            left -= sum(model.count(message.content) for message in self.past[first - 2 : first])
            if left < 0 and model.window:
                break
            first -= 2
        return self.past[first:]

    def _with_files(self, goal: str) -> str:
        """``@notes.txt`` is the file's name where there is such a file."""

        def plain(found: re.Match[str]) -> str:
            name = found[1].strip('"')
            try:
                return name if (self.place / name).exists() else found[0]
            except (OSError, ValueError):
                return found[0]

        return _NAMED_FILE.sub(plain, goal)

    def tell_problem(self, problem: Exception) -> None:
        """One line for what went wrong; a fault of ours keeps its traceback on file. The chat goes on."""
        line = f"autoagent: error: {problem}"
        if not isinstance(problem, AutoagentError):
            file = ensure_home(self.parts.home) / "last_error.txt"
            file.write_text("".join(traceback.format_exception(problem)), encoding="utf-8")
            line = f"autoagent: error: {type(problem).__name__}: {problem}; traceback: {file}"
        err = console.err()
        err.print(console.clean(" ".join(line.split())), style="red", soft_wrap=not err.is_terminal)


class _ChatScreen(Screen):
    """Runs as part of a conversation: the goal was typed just above, the rest is in the bottom line."""

    def _started(self, event: events.Started) -> None:
        if event.resumed:
            super()._started(event)
            return
        self._start_over()
        self.pause()
        self.busy("planning")

    def closed(self, run: Trajectory) -> None:
        self.pause()
        self._console.print()
        if run.answer is not None:
            label = "reason" if run.ending in ("declined", "denied") else "answer"
            self._row(label, Text(console.clean(run.answer) or "(empty)", style="bold"))
        if run.verdict.by is not None:
            self._row("verdict", verdict_text(run.verdict))
        style = "dim" if run.ending == "finished" else "yellow"
        self._row("", Text(f"{in_brief(run)} · {run.run_id}", style=style))
