"""``autoagent chat``: one goal a line, each a run of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from autoagent.cli import console
from autoagent.cli.options import AgentOptions, custom_tools, takes
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.run import Fault, follow, tell_error
from autoagent.cli.screen import Screen
from autoagent.errors import AutoagentError
from autoagent.home import ensure_home
from autoagent.security import Approve
from autoagent.store import Store
from autoagent.tools import builtin_tools

HELP = """\
Type a goal and press Enter; Ctrl-C interrupts the run, Ctrl-D ends the chat.
/tools          the tools an agent has
/model [NAME]   the model in use, or take another
/runs           the latest runs
/good [NOTE]    the last run was right: it may be learned from
/bad [NOTE]     the last run was wrong
/exit           end the chat"""
PROMPT = "\n› "  # noqa: RUF001 - not a greater-than sign
_SHOWN = 10  # runs


@dataclass(frozen=True, kw_only=True)
class ChatOptions(AgentOptions):
    """What ``autoagent chat`` is told."""


@takes(ChatOptions)
def chat(ctx: typer.Context, options: ChatOptions) -> None:
    """Give goals one after the other, at a prompt."""
    parts = parts_of(ctx)
    out = console.out()
    with Screen(out) as screen:
        approve = console.approver(out, yes=options.yes, pause=screen.pause)
        screen.busy("loading the model")
        talking = _Chat(parts, options, approve, screen)
        screen.pause()
        with closing(talking), _history(parts):
            talking.talk()


class _Chat:
    def __init__(self, parts: Parts, options: ChatOptions, approve: Approve, screen: Screen) -> None:
        self._parts, self._options, self._approve, self._screen = parts, options, approve, screen
        self._agent = options.agent(parts, approve)
        self._last = ""  # id of the last run of this chat

    def close(self) -> None:
        """Let go of the memory."""
        self._agent.close()

    def talk(self) -> None:
        """Read and answer lines until there are no more."""
        if sys.stdin.isatty():
            console.out().print("Type a goal, or /help.", style="dim")
        while True:
            try:
                line = _line().strip()
            except KeyboardInterrupt:
                print()
                continue
            except EOFError:
                print()
                return
            if line in ("/exit", "/quit"):
                return
            try:
                self._answer(line)
            except AutoagentError as problem:  # the chat goes on
                console.err().print(console.clean(f"autoagent: error: {problem}"), soft_wrap=True)

    def _answer(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "":
                pass
            case "/help":
                print(HELP)
            case "/tools":
                for tool in [*custom_tools(self._parts, self._options.tools), *builtin_tools()]:
                    print(f"{tool.name:<16} {console.clean(tool.description)}")
            case "/model":
                self._model(rest.strip())
            case "/runs":
                for run in reversed(Store(self._parts.home).runs(limit=_SHOWN)):
                    goal = console.clean(" ".join(run.goal.split()))
                    print(f"{run.run_id}  {run.verdict.status:<10}  {goal}")
            case "/good" | "/bad":
                self._rate(word == "/good", rest.strip())
            case _ if word.startswith("/") and "/" not in word[1:]:
                print(f"There is no {console.clean(word)}; /help shows what there is.")
            case _:
                self._run(line)

    def _run(self, goal: str) -> None:
        fault = Fault()
        with self._screen:
            run = follow(self._agent.events(goal), fault.watch, self._screen.show)
        self._last = run.run_id
        if fault.line:
            tell_error(fault, run.run_id)

    def _model(self, name: str) -> None:
        if name:
            with self._screen:
                self._screen.busy("loading the model")
                agent = replace(self._options, model=name).agent(self._parts, self._approve)
            self._agent.close()
            self._agent = agent
        print(self._agent.loaded_model().version)

    def _rate(self, good: bool, note: str) -> None:
        if not self._last:
            print("There is no run to rate yet.")
            return
        Store(self._parts.home).rate(self._last, good, note)
        print(f"{self._last} is rated {'good' if good else 'bad'}")


def _line() -> str:
    """The next line; without a terminal there is no prompt."""
    if sys.stdin.isatty():
        return input(PROMPT)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


@contextmanager
def _history(parts: Parts) -> Iterator[None]:
    """Lines of earlier chats at the arrow keys, where there is a terminal and Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    file: Path = ensure_home(parts.home) / "chat_history"
    with suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(1000)
    try:
        yield
    finally:
        with suppress(OSError):
            readline.write_history_file(file)
