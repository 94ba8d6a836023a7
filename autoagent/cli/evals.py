"""``autoagent eval``: how good a model is, by family, and whether it is better than another."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoagent.cli import console
from autoagent.cli.eval_progress import shown
from autoagent.cli.eval_suites import chosen, leave_only, limited
from autoagent.cli.eval_suites import find_suite as find_suite
from autoagent.cli.exits import Exit
from autoagent.cli.model_names import behind
from autoagent.cli.names import named
from autoagent.cli.options import Option, ReportFormat, takes
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.screen import Screen
from autoagent.cli.streams import json_line, only_results
from autoagent.errors import AutoagentError, UsageError

if TYPE_CHECKING:
    from autoagent.cli.eval_suites import Tasks
    from autoagent.evals import Comparison, Report, SuiteRun


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What ``autoagent eval`` is told."""

    suite: Annotated[str, typer.Argument(metavar="builtin|smoke|FILE.toml|env:NAME", help="The goals.")]
    model: Annotated[str | None, Option("--model", "-m", metavar="MODEL", help="Who does them.")] = None
    baseline: Annotated[str | None, Option(metavar="MODEL", help="Compare with this one.")] = None
    seeds: Annotated[int, Option(min=1, help="How many times, with seeds from 0.")] = 1
    limit: Annotated[int | None, Option(min=1, help="At most so many tasks a seed, evenly picked.")] = None
    family: Annotated[
        list[str], Option("--family", metavar="NAME", help="Only tasks of this family. Repeatable.")
    ] = field(default_factory=list)
    split: Annotated[
        list[str], Option("--split", metavar="NAME", help="Only tasks of this split. Repeatable.")
    ] = field(default_factory=list)
    tag: Annotated[
        list[str], Option("--tag", metavar="NAME", help="Only tasks with this tag. Repeatable.")
    ] = field(default_factory=list)
    task: Annotated[
        list[str], Option("--task", metavar="ID", help="Only the task with this id. Repeatable.")
    ] = field(default_factory=list)
    jobs: Annotated[
        int | None,
        Option(
            "--jobs",
            "-j",
            min=1,
            max=256,
            help="Runs at a time; by default as many as there are cores for a small local model, else 1.",
        ),
    ] = None
    report: Annotated[
        Path | None,
        Option(
            "--report",
            metavar="FILE.html|FILE.json",
            parser=named,
            help="Write all of it here, lost runs step by step.",
        ),
    ] = None
    keep: Annotated[bool, Option("--keep", help="Keep the runs in the record, under the suite's name.")] = (
        False
    )
    fail_under: Annotated[
        float | None,
        Option("--fail-under", metavar="PERCENT", help="Exit with 3 when success is below this."),
    ] = None
    output_format: Annotated[ReportFormat, Option("--output-format", help="What stdout gets.")] = (
        ReportFormat.TEXT
    )


@dataclass
class Found:
    """What there is to say, perhaps of an evaluation that broke off."""

    report: Report
    baseline: Report | None = None
    comparison: Comparison | None = None

    @property
    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        both = {"baseline": self.baseline, "comparison": self.comparison}
        found = {name: each.model_dump(mode="json") for name, each in both.items() if each}
        return {**self.report.model_dump(mode="json"), **found}


@takes(EvalOptions)
def evaluate(ctx: typer.Context, options: EvalOptions) -> None:
    """Measure a model on a suite of goals, each in a fresh workspace."""
    parts = parts_of(ctx)
    _need_sense(options)
    models = _models(parts, options)
    only = {"family": options.family, "split": options.split, "tag": options.tag}
    tasks = limited(chosen(find_suite(options.suite), only), options.limit)
    as_text = options.output_format is ReportFormat.TEXT
    runs: list[SuiteRun] = []
    broken: BaseException | None = None
    with only_results(not as_text):
        try:
            _measure(parts, tasks, options, models, runs)
        except (KeyboardInterrupt, Exception) as problem:  # what was found until then is not lost
            broken = problem
    if broken is not None and not any(run.done for run in runs):
        if isinstance(broken, KeyboardInterrupt):
            console.err().print("interrupted: no run had ended, so there is no report", style="yellow")
        raise broken
    found = _found(runs)
    if as_text:
        _print(found, options)
    else:
        print(json_line(found.data))
    if options.report is not None:
        _write(found, options.report)
    if broken is not None:
        raise broken
    _judge(found.report, options.fail_under)


def _need_sense(options: EvalOptions) -> None:
    """Find out before the runs what would be in the way after them."""
    percent = options.fail_under
    if percent is not None and not 0 <= percent <= 100:  # nor is "nan"
        raise UsageError(f"--fail-under {percent:g} is no percentage: give a number from 0 to 100")
    for flag, model in (("--model", options.model), ("--baseline", options.baseline)):
        if model is not None and not model.strip():
            raise UsageError(f"{flag}: the name is empty: give a version, a model folder or a hub id")
    need_report(options.report)


def need_report(file: Path | None) -> None:
    """Make sure that a report can be written there.

    Raises:
        UsageError: it cannot.
    """
    if file is None:
        return
    if file.suffix.lower() not in (".html", ".json"):
        raise UsageError(f"--report {file}: the name has to end with .html or .json")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"--report {file}: there is no folder {file.parent}, or the file is one itself")
    if not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
        raise UsageError(f"--report {file} cannot be written: choose another place")


def _models(parts: Parts, options: EvalOptions) -> list[str]:
    """The model, and the baseline where there is one.

    Raises:
        ModelError: one of them is not there: better known now than after the other was measured.
        UsageError: they are the same.
    """
    from autoagent.models.versions import Versions

    first = parts.config["model"] if options.model is None else options.model
    names = [first, *([] if options.baseline is None else [options.baseline])]
    folders: list[Path] = []
    for name in names if parts.load is None else []:
        source = None if _is_remote(name) else Versions(parts.home).resolve(name)
        if isinstance(source, Path):
            folders.append(source.resolve())
            from autoagent.models.loading import check_folder

            check_folder(source)
    if len(folders) > len({*folders}):  # it would do everything alike, in twice the time
        raise UsageError(f"{' and '.join(names)} are the same model: name another with --model or --baseline")
    return names


def _is_remote(name: str) -> bool:
    from autoagent.models.load import REMOTE

    return name.strip().startswith(REMOTE)


def _measure(
    parts: Parts, tasks: Tasks, options: EvalOptions, models: Sequence[str], runs: list[SuiteRun]
) -> None:
    """Run the suite with one model after the other; what was made stays in ``runs``."""
    from autoagent.evals import SuiteRun

    for name in models:
        home = parts.home if options.keep else None
        called = behind(parts.home, name) if parts.load is None else name
        run = SuiteRun(tasks, seeds=options.seeds, home=home, limits=parts.limits, name=called)
        leave_only(run, options.task)
        jobs = min(options.jobs or _jobs_for(parts, name, len(run.jobs)), len(run.jobs))
        if jobs == 1 or parts.load is not None or _is_remote(name):
            with Screen(console.err()) as screen:
                screen.busy(f"loading {name}")
                model: Any = parts.model(name)
        else:  # every process loads its own, from settings it reads itself
            fresh = Parts(chosen_home=parts.home, chosen_profile=parts.chosen_profile)
            model = partial(fresh.model, name)
        runs.append(run)
        with shown(name, len(run.jobs)) as progress:
            run.go(model, jobs=jobs, on_result=progress.tell)


def _jobs_for(parts: Parts, name: str, runs: int) -> int:
    """How many runs at a time, when nobody says: several for a small model on the CPU."""
    from autoagent.evals.parallel import jobs_for
    from autoagent.models.versions import Versions

    if parts.load is not None or _is_remote(name) or parts.settings.device not in ("auto", "cpu"):
        return 1
    return jobs_for(Versions(parts.home).resolve(name), runs)


def _found(runs: Sequence[SuiteRun]) -> Found:
    from autoagent.evals import compare

    reports = [run.report() for run in runs if run.done]
    if len(reports) == 1:
        return Found(reports[0])
    new, old = reports
    return Found(new, old, None if new.not_run or old.not_run else compare(old, new))


def _print(found: Found, options: EvalOptions) -> None:
    from autoagent.evals import print_comparison, print_report

    screen = console.out()
    print_report(found.report, screen)
    if found.baseline is not None:
        screen.print()
        print_report(found.baseline, screen)
    if found.comparison is not None:
        screen.print()
        print_comparison(found.comparison, screen)
    if found.report.failures and options.report is None:
        kept = "autoagent runs show RUN, or --report report.html" if options.keep else "--report report.html"
        screen.print(f"Lost runs step by step: {kept}.", style="dim", soft_wrap=True)


def _write(found: Found, file: Path) -> None:
    """Write the report to a file, which is the old one or the whole new one.

    Raises:
        AutoagentError: it cannot be written.
    """
    from autoagent.evals import as_json
    from autoagent.evals.page import page

    make = page if file.suffix.lower() == ".html" else as_json
    text = make(found.report, found.baseline, found.comparison)
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_text(text, encoding="utf-8", errors="replace")
        beside.replace(file)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise AutoagentError(f"--report {file} cannot be written: {problem.strerror}") from None
    console.err().print(console.clean(f"the whole report: {file}"), soft_wrap=True)


def _judge(report: Report, fail_under: float | None) -> None:
    """Exit with 3 when less was reached than was asked for."""
    if fail_under is None or (report.n and 100 * report.success >= fail_under):
        return
    reached = f"success is {_floored(100 * report.success)} %" if report.n else "no run could be judged"
    console.err().print(f"{reached}, below --fail-under {fail_under:g}", style="yellow", soft_wrap=True)
    raise typer.Exit(Exit.REFUTED)


def _floored(percent: float) -> str:
    """With one digit, never rounded up to what it is below."""
    return f"{math.floor(10 * percent) / 10:g}"
