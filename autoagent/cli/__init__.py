"""The command line: parse, build, call, print. The commands (``commands.py``) are one file each, or some."""

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

from autoagent.cli import complete
from autoagent.cli.commands import HELP, Commands, load
from autoagent.cli.console import clean
from autoagent.cli.exits import Exit
from autoagent.cli.names import named
from autoagent.cli.parts import Parts
from autoagent.cli.streams import give_up_stdout, usable_streams
from autoagent.errors import AutoagentError, UsageError

__all__ = ["Exit", "Parts", "app", "main"]

app = typer.Typer(
    name="autoagent",
    cls=Commands,
    help="A local agent that gets better at your work.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP},
)


@app.callback(invoke_without_command=True)
def _autoagent(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            metavar="DIR",
            envvar="AUTOAGENT_HOME",
            parser=named,
            help="Folder of records, memory and versions.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            autocompletion=complete.profiles,
            help="Settings of .autoagent/profiles/NAME.toml, over those of config.toml.",
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """A local agent that gets better at your work. On a terminal, `autoagent` alone starts a chat."""
    _need_a_folder()
    ctx.obj = ctx.obj or Parts()
    if home is not None:
        ctx.obj.chosen_home = home
    if profile is not None:
        ctx.obj.chosen_profile = profile
    if version:
        print(f"autoagent {importlib.metadata.version('autoagent')}")
        raise typer.Exit()
    if ctx.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        _run_command(ctx, "chat")
    else:
        print(ctx.get_help())


def _run_command(ctx: typer.Context, name: str) -> None:
    """Run a command as if it had been typed, without options."""
    command = load(name)
    with command.make_context(name, [], parent=ctx) as inner:
        command.invoke(inner)


def main(arguments: Sequence[str] | None = None, parts: Parts | None = None) -> int:
    """Run one command and return its exit code (see docs/exit-codes.md).

    Args:
        arguments: What stands after ``autoagent``; by default what was typed.
        parts: What commands are built from; by default the real ones.
    """
    with usable_streams(), _signals_interrupt() as received:
        try:
            code = _translated(list(sys.argv[1:] if arguments is None else arguments), parts or Parts())
        except BrokenPipeError:
            give_up_stdout()
            return Exit.BROKEN_PIPE
    if received and code in (Exit.INTERRUPTED, Exit.ERROR):  # an error: a closed terminal takes no output
        return _SIGNALS[signal.Signals(received[0])]
    return code


def _translated(arguments: list[str], parts: Parts) -> int:
    """Run the command; errors made for the user become one line, all others keep their traceback."""
    try:
        code = app(arguments, prog_name="autoagent", standalone_mode=False, obj=parts)
        sys.stdout.flush()
        return int(code or Exit.OK)
    except TyperException as problem:
        return _misused(problem)
    except UsageError as problem:
        return _fail(str(problem), Exit.USAGE)
    except AutoagentError as problem:
        return _fail(str(problem), Exit.ERROR)
    except typer.Abort:
        return _fail("the input ended before an answer was given", Exit.ERROR)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except SystemExit as leaving:  # how rich and typer take a broken pipe, and how completion ends
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        return leaving.code if isinstance(leaving.code, int) else Exit.ERROR
    except BrokenPipeError:
        raise
    except Exception:
        with suppress(OSError):  # of a terminal that was closed
            traceback.print_exc()
        return Exit.ERROR


def _need_a_folder() -> None:
    """Nothing works in a folder that was deleted while a shell stood in it."""
    try:
        os.getcwd()
    except OSError as problem:
        raise UsageError(f"the current folder cannot be used ({problem.strerror}): cd to another") from None


def _misused(problem: TyperException) -> Exit:
    """What was typed is no command of ours."""
    message = problem.format_message().rstrip(". ")
    if not message:  # a group without a command: its help was printed
        return Exit.USAGE
    context = getattr(problem, "ctx", None)
    hint = f"; see {context.command_path} --help" if context is not None else ""
    return _fail(message + hint, Exit.USAGE)


def _fail(message: str, code: Exit) -> Exit:
    with suppress(OSError):  # standard error may be gone, too
        print(f"autoagent: error: {clean(' '.join(message.split()))}", file=sys.stderr)
    return code


_SIGNALS = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}


@contextmanager
def _signals_interrupt() -> Iterator[list[int]]:
    """Let SIGTERM, and the closing of the terminal, end a run as Ctrl-C does.

    Yields a list that then has the signal in it. A signal that is ignored (``nohup``) stays ignored.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {}
    with suppress(ValueError):  # not in the main thread
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
