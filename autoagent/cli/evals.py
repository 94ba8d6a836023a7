"""``autoagent eval``: how good a model is, by family, and whether it is better than another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoagent.cli import console
from autoagent.cli.options import ReportFormat
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.screen import Screen
from autoagent.cli.streams import json_line, only_results
from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.evals import Report, Suite, TaskResult

    Tasks = Suite | Callable[[int], Suite]

BUILT_IN = ("builtin", "smoke")


def evaluate(
    ctx: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="builtin|smoke|FILE.toml", help="The goals.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Who does them.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="MODEL", help="Compare with this one.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many times, with seeds from 0.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many tasks a seed, evenly picked.")
    ] = None,
    output_format: Annotated[ReportFormat, typer.Option("--output-format", help="What stdout gets.")] = (
        ReportFormat.TEXT
    ),
) -> None:
    """Measure a model on a suite of goals, each in a fresh workspace."""
    from autoagent.evals import compare, print_comparison, print_report

    parts = parts_of(ctx)
    tasks = limited(find_suite(suite), limit)
    with only_results(output_format is ReportFormat.JSON):
        report = _run(parts, tasks, parts.config["model"] if model is None else model, seeds)
        before = None if baseline is None else _run(parts, tasks, baseline, seeds)
    comparison = compare(before, report) if before else None
    if output_format is ReportFormat.JSON:
        found: dict[str, Any] = report.model_dump(mode="json")
        if before and comparison:
            found["baseline"] = before.model_dump(mode="json")
            found["comparison"] = comparison.model_dump(mode="json")
        print(json_line(found))
        return
    screen = console.out()
    print_report(report, screen)
    if before and comparison:
        screen.print()
        print_report(before, screen)
        screen.print()
        print_comparison(comparison, screen)


def find_suite(name: str) -> Tasks:
    """A built-in suite by name, or one in a TOML file.

    Raises:
        UsageError: there is none.
    """
    from autoagent.evals import load_suite

    if name in BUILT_IN:
        from autoagent.nano import suites

        found: Tasks = getattr(suites, name)
        return found
    if not Path(name).is_file():
        raise UsageError(f"there is no suite {name}: name builtin, smoke, or a TOML file")
    return load_suite(name)


def limited(tasks: Tasks, limit: int | None) -> Tasks:
    """The same suite with at most so many tasks, spread over all of it."""
    from autoagent.evals import Suite

    if limit is None:
        return tasks
    if not isinstance(tasks, Suite):
        make = tasks
        return lambda seed: _first(make(seed), limit)
    return _first(tasks, limit)


def _first(suite: Suite, limit: int) -> Suite:
    from autoagent.evals import Suite

    total = len(suite.tasks)
    count = min(limit, total)
    return Suite(suite.name, tuple(suite.tasks[number * total // count] for number in range(count)))


def _run(parts: Parts, tasks: Tasks, model: str, seeds: int) -> Report:
    from autoagent.evals import run_suite

    with Screen(console.err()) as screen:
        screen.busy(f"loading {model}")
        loaded = parts.model(model)
        done = passed = 0

        def tell(result: TaskResult) -> None:
            nonlocal done, passed
            done, passed = done + 1, passed + result.success
            screen.busy(f"{model}: {done} done, {passed} passed · {result.family}: {result.goal}")

        return run_suite(tasks, model=loaded, seeds=seeds, limits=parts.limits, on_result=tell)
