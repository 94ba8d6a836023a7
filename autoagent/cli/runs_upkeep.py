"""``autoagent runs rm`` and ``check``: keeping the record small and sound."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.exits import Exit
from autoagent.cli.parts import parts_of
from autoagent.cli.runs_args import EndedWith, Json, Runs, Suite, Yes, agreed, known_ending
from autoagent.cli.streams import json_line
from autoagent.errors import StoreError, UsageError
from autoagent.store import Store
from autoagent.store import upkeep as record
from autoagent.store.repair import repair as mended

if TYPE_CHECKING:
    from autoagent.models.versions import Versions

_AGE = re.compile(r"(\d+)\s*([hdw])")
_UNITS = {"h": 3600, "d": 86_400, "w": 604_800}


def rm(
    ctx: typer.Context,
    runs: Runs = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Runs begun before: 12h, 30d, 8w.")
    ] = "",
    suite: Suite = None,
    ending: EndedWith = None,
    yes: Yes = False,
) -> None:
    """Remove runs for good, with the snapshots that only they need."""
    parts = parts_of(ctx)
    store = Store(parts.home)
    filtered = bool(older_than or suite is not None or ending)
    if bool(runs) == filtered:
        raise UsageError("name runs, or choose them with --older-than, --suite or --ending")
    if filtered:
        before = time.time() - _seconds(older_than) if older_than else float("inf")
        found = store.runs(suite=suite, ending=known_ending(ending))
        runs = [run.run_id for run in found if run.started < before and not run.running]
    gone = record.with_children(store, runs or [])
    if not gone:
        console.err().print("No run fits.")
        return
    from autoagent.models.versions import Versions  # late: `runs list` does without

    _tell(store, gone, Versions(parts.home))
    agreed(f"Remove {_number(len(gone), 'run')} for good?", yes=yes)
    removed = record.remove(store, gone)
    print(f"removed {_number(len(removed.runs), 'run')}, {removed.freed / 1e6:.1f} MB of snapshots")
    if not removed.swept:
        console.err().print("A run is being worked on: snapshots are removed the next time.")


def _seconds(age: str) -> float:
    found = _AGE.fullmatch(age.strip().lower())
    if not found:
        raise UsageError(f"--older-than {age}: give hours, days or weeks, such as 12h, 30d or 8w")
    return int(found[1]) * _UNITS[found[2]]


def _tell(store: Store, gone: list[str], versions: Versions) -> None:
    """Which they are, and which model versions learned from them."""
    screen = console.err()
    for run in gone[:10]:
        screen.print(Text(f"  {run}  {_goal(store, run)}"), soft_wrap=True)
    if len(gone) > 10:
        screen.print(f"  … and {len(gone) - 10} more")
    from autoagent.training.forget import learned_from

    for version in versions.list():
        if learned := learned_from(versions, version) & set(gone):
            warning = f"{version.name} learned from {_number(len(learned), 'run')} of these and keeps it"
            screen.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)


def _goal(store: Store, run: str) -> str:
    try:
        return console.clean(console.cut(" ".join(store.find(run).goal.split()), 80))
    except StoreError:
        return "(its record is damaged)"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def check(
    ctx: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; what is damaged is moved aside.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for damage in the record and its snapshots; the exit code is 1 when there is some.

    After --repair it is 1 when something is still wrong. Runs must not be at work meanwhile.
    """
    store = Store(parts_of(ctx).home)
    done = mended(store) if repair else []
    found = list(record.check(store))
    if as_json:
        problems = [vars(problem) for problem in found]
        print(json_line({"done": done, "problems": problems} if repair else problems))
    else:
        _print_findings(store, done, found)
    if found:
        raise typer.Exit(Exit.ERROR)


def _print_findings(store: Store, done: list[str], found: list[record.Problem]) -> None:
    out = console.out()
    for line in done:
        out.print(Text(f"✓ {console.clean(line)}", style="green"), soft_wrap=True)
    for problem in found:
        out.print(Text(f"✗ {console.clean(problem.what)}", style="red"), soft_wrap=True)
        out.print(Text(f"  {console.clean(problem.remedy)}"), soft_wrap=True)
    if found:
        return
    print(f"{_number(len(store.runs()), 'run')}, nothing wrong")
    count, size = record.unneeded(store)
    if count:
        what = f"{_number(count, 'file')}, {size / 1e6:.1f} MB"
        note = f"snapshots that no run needs: {what}; --repair removes them"
        console.err().print(Text(note, style="dim"), soft_wrap=True)
