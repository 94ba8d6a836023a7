"""The command line: parse, build, call, print. The commands are one file each; what they do is elsewhere."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from autoagent.cli import chat, evals, finetune, memory, models, run, runs, tools
from autoagent.cli.console import clean
from autoagent.cli.exits import Exit
from autoagent.cli.parts import Parts
from autoagent.errors import AutoagentError, UsageError

__all__ = ["Exit", "Parts", "app", "main"]

app = typer.Typer(
    name="autoagent",
    help="A local agent that gets better at your work.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("chat")(chat.chat)
app.add_typer(tools.app, name="tools")
app.add_typer(runs.app, name="runs")
app.add_typer(models.app, name="models")
app.add_typer(memory.app, name="memory")
app.command("eval")(evals.evaluate)
app.command("finetune")(finetune.finetune)


@app.callback(invoke_without_command=True)
def _autoagent(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", metavar="DIR", envvar="AUTOAGENT_HOME", help="Folder of records, memory and versions."
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """A local agent that gets better at your work."""
    ctx.obj = ctx.obj or Parts()
    if home is not None:
        ctx.obj.chosen_home = home
    if version:
        print(f"autoagent {importlib.metadata.version('autoagent')}")
        raise typer.Exit()
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main(arguments: Sequence[str] | None = None, parts: Parts | None = None) -> int:
    """Run one command and return its exit code (see docs/exit-codes.md).

    Args:
        arguments: What stands after ``autoagent``; by default what was typed.
        parts: What commands are built from; by default the real ones.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a terminal that lacks a letter gets a question mark, not a crash
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    with _sigterm_interrupts() as received:
        try:
            code = _translated(list(sys.argv[1:] if arguments is None else arguments), parts or Parts())
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails again
            return Exit.BROKEN_PIPE
    return Exit.TERMINATED if received and code == Exit.INTERRUPTED else code


def _translated(arguments: list[str], parts: Parts) -> int:
    """Run the command; errors made for the user become one line, all others keep their traceback."""
    try:
        return int(app(arguments, prog_name="autoagent", standalone_mode=False, obj=parts) or Exit.OK)
    except TyperException as problem:
        return _fail(problem.format_message(), Exit.USAGE)
    except UsageError as problem:
        return _fail(str(problem), Exit.USAGE)
    except AutoagentError as problem:
        return _fail(str(problem), Exit.ERROR)
    except typer.Abort:
        return _fail("the input ended before an answer was given", Exit.ERROR)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except SystemExit as leaving:  # how rich and typer take a broken pipe
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        raise
    except Exception:
        traceback.print_exc()
        return Exit.ERROR


def _fail(message: str, code: Exit) -> Exit:
    print(f"autoagent: error: {clean(' '.join(message.split()))}", file=sys.stderr)
    return code


@contextmanager
def _sigterm_interrupts() -> Iterator[list[int]]:
    """Let SIGTERM end a run as Ctrl-C does; yields a list that then has the signal in it."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
