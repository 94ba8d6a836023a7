"""What the commands about runs have in common: arguments, filters, the question before something is lost."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, get_args

import typer

from autoagent.cli import complete, console
from autoagent.cli.exits import Exit
from autoagent.errors import UsageError
from autoagent.trajectory import Ending

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run id, the beginning of one, or: last.", autocompletion=complete.runs
    ),
]
Runs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]...", help="Run ids, or beginnings of them.", autocompletion=complete.runs),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


class Status(StrEnum):
    """What may be known about an outcome."""

    VERIFIED = "verified"
    REFUTED = "refuted"
    UNVERIFIED = "unverified"


Verdict = Annotated[Status | None, typer.Option("--verdict", help="Only runs with this verdict.")]
Suite = Annotated[str | None, typer.Option("--suite", help='Only runs of this suite; "" for those of none.')]
Model = Annotated[str | None, typer.Option("--model", help="Only runs of this model version (its hash).")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME", help="Only runs with this tag. Repeatable: any of them."),
]
EndedWith = Annotated[
    str | None, typer.Option("--ending", help="Only runs that ended so: finished, stuck, …, unfinished.")
]


def known_ending(name: str | None) -> str | None:
    """The ending as it is on record.

    Raises:
        UsageError: there is no such ending.
    """
    endings = (*get_args(Ending), "unfinished")
    wanted = None if name is None else name.strip().lower().replace("-", "_")
    if wanted is not None and wanted not in endings:
        raise UsageError(f"--ending {name}: choose one of {', '.join(endings)}")
    return wanted


def agreed(question: str, *, yes: bool) -> None:
    """Go on only if it may be done: granted by ``--yes``, or by who is asked on the terminal.

    Raises:
        UsageError: there is nobody to ask.
        typer.Exit: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on: say --yes")
    if not typer.confirm(question, err=True):
        console.err().print("Nothing was done.")
        raise typer.Exit(Exit.DENIED)
