"""``autoagent run``: one goal, worked on until there is an ending."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from autoagent import events, goal
from autoagent.cli import console, exits
from autoagent.cli.options import AgentOptions, Option, OutputFormat, takes
from autoagent.cli.parts import parts_of
from autoagent.cli.screen import Screen
from autoagent.errors import UsageError
from autoagent.events import Event
from autoagent.goal import Check, Goal
from autoagent.trajectory import ToolCall, Trajectory, Verdict
from autoagent.workspace import Workspace

Show = Callable[[Event], None]
_PLAIN_WORD = re.compile(r"\s*([\w.+-]+)(?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class RunOptions(AgentOptions):
    """What ``autoagent run`` is told."""

    stdin: Annotated[str | None, typer.Argument(metavar="-", help="Read the goal from stdin.")] = None
    goal: Annotated[str | None, Option("--goal", "-g", help="What you want done.")] = None
    goal_file: Annotated[
        Path | None, Option("--goal-file", metavar="FILE", help="Read the goal from a text file.")
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
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print the answer and nothing else.")] = False
    output_format: Annotated[OutputFormat, Option("--output-format", help="What stdout gets.")] = (
        OutputFormat.TEXT
    )


@takes(RunOptions)
def run(ctx: typer.Context, options: RunOptions) -> None:
    """Work on a goal until it is reached, declined, or out of budget."""
    wanted = Goal(_goal_text(options), _check(options))
    progress = console.out() if options.output_format is OutputFormat.TEXT else console.err()
    with Screen(progress) as screen:
        if not options.quiet:
            screen.busy("loading the model")
        asking = console.err() if options.quiet else progress
        approve = console.approver(asking, yes=options.yes, pause=screen.pause)
        with options.agent(parts_of(ctx), approve) as agent:
            show, fault = _shower(options, screen), Fault()
            closed = follow(agent.events(wanted), fault.watch, show)
    _conclude(closed, options, fault)
    raise typer.Exit(exits.of_run(closed.ending, closed.verdict, checked=wanted.check is not None))


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
    """Finds out which tool was running when a run ended with ``error``."""

    def __init__(self) -> None:
        self._running: ToolCall | None = None
        self.line = ""

    def watch(self, event: Event) -> None:
        if isinstance(event, events.Called):
            self._running = event.call
        elif isinstance(event, events.Observed):
            self._running = None
        elif isinstance(event, events.Ended) and event.ending == "error":
            what = (event.error.strip().splitlines() or ["unknown"])[-1]
            self.line = (
                f"tool {self._running.name} raised {what}" if self._running else f"the run failed: {what}"
            )


def outcome(run: Trajectory) -> dict[str, Any]:
    """The run in short, as ``--output-format json`` prints it."""
    return {
        "answer": run.answer,
        "verdict": run.verdict.model_dump(),
        "ending": run.ending,
        "run_id": run.run_id,
        "steps": len([step for step in run.steps if step.index]),
        "seconds": round(run.seconds, 3),
        "model": run.model,
    }


def tell_error(fault: Fault, run_id: str) -> None:
    """One line for a run that ended with ``error``."""
    line = f"autoagent: error: {fault.line}; traceback: autoagent runs show {run_id}"
    console.err().print(console.clean(line), style="red", soft_wrap=True)


def _shower(options: RunOptions, screen: Screen) -> Show:
    """What is done with each event."""
    if options.output_format is OutputFormat.STREAM_JSON:
        return lambda event: _print_json_line(event, screen)
    if options.quiet:
        return lambda event: None
    return screen.show


def _print_json_line(event: Event, screen: Screen) -> None:
    screen.pause()
    if not isinstance(event, events.Closed):  # the result line says the rest, the record all of it
        print(event.model_dump_json(), flush=True)


def _conclude(run: Trajectory, options: RunOptions, fault: Fault) -> None:
    """What is said after the last event."""
    if options.output_format is OutputFormat.JSON:
        print(json.dumps(outcome(run), ensure_ascii=False))
    elif options.output_format is OutputFormat.STREAM_JSON:
        print(json.dumps({"type": "result", **outcome(run)}, ensure_ascii=False))
    elif options.quiet and run.answer is not None:
        print(run.answer)
    if fault.line:
        tell_error(fault, run.run_id)
    elif options.quiet and run.verdict.status == "refuted":
        console.err().print(console.clean(f"autoagent: refuted: {run.verdict.reason}"), soft_wrap=True)
    elif options.quiet and run.ending != "finished":
        console.err().print(f"autoagent: the run ended with {run.ending}", soft_wrap=True)


def _goal_text(options: RunOptions) -> str:
    """The goal, from the one place it was given in."""
    if options.stdin not in (None, "-"):
        raise UsageError(f'unexpected argument {options.stdin!r}: give the goal as --goal "…"')
    given = [options.goal is not None, options.goal_file is not None, options.stdin is not None]
    if sum(given) != 1:
        problem = "no goal was given" if not any(given) else "more than one goal was given"
        raise UsageError(f"{problem}: use exactly one of --goal TEXT, --goal-file FILE, and - for stdin")
    if options.goal is not None:
        if not _encodable(options.goal):
            raise UsageError("the goal is not valid UTF-8 text")
        return options.goal
    source = str(options.goal_file or "stdin")
    try:
        raw = options.goal_file.read_bytes() if options.goal_file else sys.stdin.buffer.read()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"the goal in {source}"
        raise UsageError(f"{place} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"goal file {source} cannot be read: {error.strerror}") from None


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check(options: RunOptions) -> Check | None:
    """``--check``, ``--expect``, or both: then both must hold."""
    checks: list[tuple[str, Check]] = []
    if options.expect is not None:
        if not options.expect.strip():
            raise UsageError("--expect is empty: say what the answer must contain")
        checks.append((f"--expect {options.expect}", goal.expect(options.expect)))
    if options.check is not None:
        if not options.check.strip():
            raise UsageError("--check is empty: give a shell command")
        _must_exist(options.check)
        checks.append((f"--check {options.check}", goal.command(options.check)))
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
