"""``autoagent run``: one goal, worked on until there is an ending."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from autoagent import events, goal
from autoagent.cli import complete, console, exits
from autoagent.cli.asking import contact_at
from autoagent.cli.model_names import ModelNames
from autoagent.cli.options import AgentOptions, Option, OutputFormat, chosen, takes
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.screen import Screen
from autoagent.cli.small_model import tell_of_larger
from autoagent.cli.streams import Put, json_line, only_results
from autoagent.config import Safety
from autoagent.errors import UsageError
from autoagent.events import Event
from autoagent.goal import Check, Goal
from autoagent.guarding import as_given
from autoagent.home import expanded
from autoagent.store import Store
from autoagent.store.runs import RESUMABLE
from autoagent.trajectory import ToolCall, Trajectory, Verdict
from autoagent.workspace import Workspace

Show = Callable[[Event], None]
_PLAIN_WORD = re.compile(r"\s*([\w.+-]+)(?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class RunOptions(AgentOptions):
    """What ``autoagent run`` is told."""

    words: Annotated[
        str | None, typer.Argument(metavar="GOAL|-", help="What you want done; - reads it from stdin.")
    ] = None
    goal: Annotated[str | None, Option("--goal", "-g", help="The same, as an option.")] = None
    goal_file: Annotated[
        Path | None, Option("--goal-file", metavar="FILE", help="Read the goal from a text file; - is stdin.")
    ] = None
    check: Annotated[
        str | None,
        Option(
            "--check",
            metavar="COMMAND",
            help="Shell command, run in the workspace afterwards; status 0 verifies, $ANSWER is the answer.",
        ),
    ] = None
    expect: Annotated[
        str | None, Option("--expect", metavar="TEXT|/REGEX/", help="What the answer must contain.")
    ] = None
    resume: Annotated[
        str | None,
        Option(
            "--resume",
            metavar="[RUN]",
            autocompletion=complete.runs,
            help="Go on with a run that broke off or ran out of budget; by default the last.",
        ),
    ] = None
    go_on: Annotated[
        bool, Option("--continue", "-c", help="Go on with the latest run that did not come to its end.")
    ] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print the answer and nothing else.")] = False
    output_format: Annotated[OutputFormat, Option("--output-format", help="What stdout gets.")] = (
        OutputFormat.TEXT
    )
    as_json: Annotated[bool, Option("--json", help="The same as --output-format json.")] = False


@takes(RunOptions)
def run(ctx: typer.Context, options: RunOptions) -> None:
    """Work on a goal until it is reached, declined, or out of budget."""
    parts = parts_of(ctx)
    options = _in_one_place(options)
    resumed = ""
    if options.resume is not None or options.go_on:
        resumed, options = taken_up(parts, options)
    wanted = Goal(_goal_text(options), check_of(parts, command=options.check, expect=options.expect))
    as_text = options.output_format is OutputFormat.TEXT
    progress, names = console.out() if as_text else console.err(), ModelNames(parts.home)
    with only_results(options.quiet or not as_text) as put, Screen(progress, named=names) as screen:
        asking = console.err() if options.quiet else progress
        asks_plan = options.config(parts).plan == "ask"
        contact = contact_at(asking, yes=options.yes, pause=screen.pause, asks_plan=asks_plan)
        if not options.quiet:
            screen.busy("loading the model")
        with options.agent(parts, contact, _about(options)) as agent:
            show, fault = _shower(options, screen, put), Fault()
            stream = agent.resume(resumed, check=wanted.check) if resumed else agent.events(wanted)
            closed = follow(stream, fault.watch, show)
            if not isinstance(agent.memory, bool):  # the agent closes only what it opened itself
                agent.memory.close()
        if as_text and not options.quiet and closed.ending in RESUMABLE and closed.acts:
            screen.note("autoagent run --continue goes on with it")
        _conclude(closed, options, fault, put)
        if as_text and not options.quiet:
            tell_of_larger(closed, options.model, parts)
    code = exits.of_run(closed.ending, closed.verdict, checked=wanted.check is not None)
    if code == exits.Exit.USAGE:
        raise UsageError(closed.verdict.reason)
    raise typer.Exit(code)


def taken_up(parts: Parts, options: RunOptions) -> tuple[str, RunOptions]:
    """The run to go on with, and the options it began with where none are given now.

    Raises:
        UsageError: there is no such run, or a new goal was given.
    """
    if options.goal is not None or options.goal_file is not None:
        raise UsageError("a resumed run has its goal already: leave out the new one, or the --resume")
    store = Store(parts.home)
    wanted = options.resume or store.latest_unfinished()
    if wanted is None:
        raise UsageError("there is no run to go on with: all came to their end; see `autoagent runs list`")
    past = store.find(wanted)
    about = store.load(past.run_id).settings
    begun_in = Path(past.workspace)
    if not begun_in.is_dir():
        raise UsageError(f"the run's workspace {begun_in} is gone: restore it, or begin a new run")
    elsewhere = expanded(options.workspace).resolve()
    if options.workspace != Path(".") and elsewhere != begun_in.resolve():  # nor is that folder made
        raise UsageError(f"run {past.run_id} works in {begun_in}, and not in {elsewhere}: resume it there")
    begun = {name: about.get(name) for name in ("check", "expect") if not getattr(options, name)}
    said = checks_before(parts, begun, begun_in)
    return past.run_id, replace(
        options,
        goal=past.goal,
        workspace=begun_in if options.workspace == Path(".") else options.workspace,
        model=options.model or about.get("model"),
        check=options.check or said["check"],
        expect=options.expect or said["expect"],
        tools=options.tools or [Path(file) for file in about.get("tools", [])],
    )


def checks_before(parts: Parts, about: Mapping[str, Any], workspace: Path) -> dict[str, str | None]:
    """``check`` and ``expect`` of a run on record, with the secrets that are only named there.

    Raises:
        UsageError: one of these is not known any more.
    """
    safety = Safety(**chosen(parts.settings, Safety))
    said = {name: about.get(name) for name in ("check", "expect")}
    return {name: each and as_given(each, safety, workspace) for name, each in said.items()}


def _about(options: RunOptions) -> dict[str, Any]:
    """What a resumed run needs to know again."""
    return {
        "check": options.check,
        "expect": options.expect,
        "tools": [str(Path(file).absolute()) for file in options.tools],
    }


def follow(stream: Iterator[Event], *viewers: Callable[[Event], None]) -> Trajectory:
    """Show every event of a run and return the whole run.

    Ctrl-C, wherever it strikes, is told to the run, which then ends with ``interrupted``; where it cannot any
    more (the model is not loaded yet, the check is running), KeyboardInterrupt comes out of here.
    """
    running = cast("Generator[Event, None, None]", stream)
    thrown: KeyboardInterrupt | None = None
    closed: Trajectory | None = None
    with closing(running):
        while closed is None:
            try:
                event = running.throw(thrown) if thrown else next(running)
                thrown = None
                for view in viewers:
                    view(event)
                closed = event.trajectory if isinstance(event, events.Closed) else None
            except KeyboardInterrupt as interrupt:
                if thrown is not None:
                    raise
                thrown = interrupt
    return closed


class Fault:
    """Finds out which tool was running when a run ended with ``error``, and what else went wrong."""

    def __init__(self) -> None:
        self._running: ToolCall | None = None
        self.line = ""
        self.notes: list[str] = []

    def watch(self, event: Event) -> None:
        if isinstance(event, events.Called):
            self._running = event.call
        elif isinstance(event, events.Observed):
            self._running = None
        elif isinstance(event, events.Note):
            self.notes.append(event.text)
        elif isinstance(event, events.Ended) and event.ending == "error":
            what = _exception_of(event.error)
            self.line = (
                f"tool {self._running.name} raised {what}" if self._running else f"the run failed: {what}"
            )


def _exception_of(trace: str) -> str:
    """The line of a traceback that names the exception; its message may go on over more lines."""
    lines = trace.strip().splitlines() or ["unknown"]
    last = max((number for number, line in enumerate(lines) if line.startswith("  File ")), default=-1)
    return next((line for line in lines[last + 1 :] if not line.startswith("  ")), lines[-1])


def outcome(run: Trajectory) -> dict[str, Any]:
    """The run in short, as ``--output-format json`` prints it."""
    return {
        "answer": run.answer,
        "verdict": run.verdict.model_dump(),
        "ending": run.ending,
        "run_id": run.run_id,
        "steps": len(run.acts),
        "seconds": round(run.seconds, 3),
        "model": run.model,
    }


def tell_error(fault: Fault, run_id: str) -> None:
    """One line for a run that ended with ``error``."""
    line = f"autoagent: error: {fault.line}; traceback: autoagent runs show {run_id}"
    console.err().print(console.clean(line), style="red", soft_wrap=True)


def _shower(options: RunOptions, screen: Screen, put: Put) -> Show:
    """What is done with each event."""
    if options.output_format is OutputFormat.STREAM_JSON:
        return lambda event: _put_event(event, screen, put)
    if options.quiet:
        return lambda event: None
    return screen.show


def _put_event(event: Event, screen: Screen, put: Put) -> None:
    screen.pause()
    if not isinstance(event, events.Closed):  # the result line says the rest, the record all of it
        put(json_line(event.model_dump(mode="json")))


def _conclude(run: Trajectory, options: RunOptions, fault: Fault, put: Put) -> None:
    """What is said after the last event."""
    if options.output_format is OutputFormat.JSON:
        put(json_line(outcome(run)))
    elif options.output_format is OutputFormat.STREAM_JSON:
        put(json_line({"type": "result", **outcome(run)}))
    elif options.quiet and run.answer is not None:
        put(run.answer)
    if fault.line:
        tell_error(fault, run.run_id)
    elif options.quiet:
        _tell_quietly(run, fault)


def _tell_quietly(run: Trajectory, fault: Fault) -> None:
    """One line for what is not as it should be, where nothing else is shown."""
    line = ""
    if run.verdict.status == "refuted":
        line = f"refuted: {run.verdict.reason}"
    elif run.ending != "finished":
        line = f"the run ended with {run.ending}" + "".join(f": {note}" for note in fault.notes[-1:])
    if line:
        console.err().print(console.clean(f"autoagent: {' '.join(line.split())}"), soft_wrap=True)


def _in_one_place(options: RunOptions) -> RunOptions:
    """What can be said in two ways, said in one: the goal is in ``goal`` or ``goal_file``.

    Raises:
        UsageError: a goal was given twice, or two formats.
    """
    if sum(each is not None for each in (options.words, options.goal, options.goal_file)) > 1:
        raise UsageError("more than one goal was given: it is one text, a --goal-file, or - for stdin")
    if options.as_json:
        if options.output_format is OutputFormat.STREAM_JSON:
            raise UsageError("--json and --output-format stream-json: choose one")
        options = replace(options, output_format=OutputFormat.JSON)
    if options.words == "-":
        return replace(options, goal_file=Path("-"))
    return options if options.words is None else replace(options, goal=options.words)


def _goal_text(options: RunOptions) -> str:
    """The goal, from where it was given."""
    if options.goal is not None:
        return _as_typed(options.goal)
    if options.goal_file is None:
        raise UsageError('no goal was given: autoagent run "…", or --goal-file FILE, or - to read stdin')
    from_stdin = options.goal_file == Path("-")
    source = "stdin" if from_stdin else str(options.goal_file)
    try:
        raw = sys.stdin.buffer.read() if from_stdin else options.goal_file.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"the goal in {source}"
        raise UsageError(f"{place} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"goal file {source} cannot be read: {error.strerror}") from None


def _as_typed(text: str) -> str:
    """The text of an argument; in a locale of plain ASCII Python hands UTF-8 over in pieces."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:  # another locale has decoded it already, or it is no text: Goal will say so
        return text


def check_of(parts: Parts, *, command: str | None, expect: str | None) -> Check | None:
    """What ``--check``, ``--expect``, or both say: then both must hold.

    Raises:
        UsageError: one of them is empty, or the command's program is not there.
    """
    checks: list[tuple[str, Check]] = []
    if expect is not None:
        if not expect.strip():
            raise UsageError("--expect is empty: say what the answer must contain")
        checks.append((f"--expect {expect}", goal.expect(expect)))
    if command is not None:
        if not command.strip():
            raise UsageError("--check is empty: give a shell command")
        _must_exist(command)
        checking = goal.command(command, timeout=parts.config["check_timeout"])
        checks.append((f"--check {command}", checking))
    if not checks:
        return None

    def check(workspace: Workspace, answer: str) -> Verdict:
        verdict = Verdict()
        for _, each in checks:
            verdict = cast("Verdict", each(workspace, answer))
            if verdict.status != "verified":
                break
        return verdict

    check.__qualname__ = " ".join(name for name, _ in checks)  # what the record calls it
    return check


def _must_exist(line: str) -> None:
    """Find out before the run, not after it, that a check's program is not there.

    What is given by path may be made by the run, and what is no plain word is the shell's business.

    Raises:
        UsageError: there is no such program.
    """
    word = _PLAIN_WORD.match(line)
    if word is None:
        return
    found = subprocess.run(
        ["/bin/sh", "-c", 'command -v -- "$1"', "sh", word[1]], stdin=subprocess.DEVNULL, capture_output=True
    )
    if found.returncode != 0:
        raise UsageError(f"the check command cannot run: {word[1]}: not found")
