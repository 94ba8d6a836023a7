"""What the gate found, for people: tables for a terminal, JSON, and a page that needs no network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from autoagent.evals import Comparison, FamilyChange, FamilyReport
from autoagent.evals import page as evaluation
from autoagent.store.page import environment
from autoagent.training.gate_result import GateReport, Paired

if TYPE_CHECKING:
    import jinja2
    from rich.console import RenderableType
    from rich.table import Table

_ALL_SHOWN = 12  # families; of more only those that changed are listed on a terminal


def read_report(gate: Mapping[str, Any] | None) -> GateReport | None:
    """The report in a version's manifest, also of an earlier release; None where none can be read."""
    try:
        return None if gate is None else GateReport.model_validate(gate)
    except ValidationError:
        return None


def as_json(report: GateReport) -> str:
    """All of it as one JSON object."""
    return report.model_dump_json(indent=1) + "\n"


def tables(report: GateReport) -> list[RenderableType]:
    """Success by family on the target goals, on other goals where they were run, and the rules.

    The decision itself is ``report.reason``, which is left to the caller to print.
    """
    shown: list[RenderableType] = [_pair_table(report, f"gate: {report.suite}", "held-out")]
    if report.forgetting is not None:
        shown.append(_pair_table(report.forgetting, f"elsewhere: {report.forgetting.suite}", "other"))
    if report.rules:
        shown.append(_rule_table(report))
    return shown


def _pair_table(pair: Paired, title: str, kind: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    runs = f"{pair.comparison.n} {kind} goals"
    table = Table(title=Text(f"{title}, {runs}"), title_justify="left")
    table.add_column("family")
    for name in ("old", "new", "change", "95 %", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    changes = pair.comparison.families
    changed = {name for name, each in changes.items() if each.wins or each.losses}
    listed = [name for name in changes if len(changes) <= _ALL_SHOWN or name in changed]
    for name in listed:
        before, after = pair.old.families[name], pair.new.families[name]
        table.add_row(Text(name or "(none)"), *_cells(before, after, changes[name]))
    if missing := len(changes) - len(listed):
        table.add_row(Text(f"{missing} unchanged", style="dim"))
    table.add_section()
    table.add_row("all", *_cells(pair.old, pair.new, pair.comparison), style="bold")
    return table


def _cells(old: FamilyReport, new: FamilyReport, change: FamilyChange) -> tuple[str, ...]:
    return (
        f"{old.passed}/{old.n}",
        f"{new.passed}/{new.n}",
        f"{change.difference:+.1%}" if isinstance(change, Comparison) else f"{change.difference:+.0%}",
        f"{change.low:+.0%} to {change.high:+.0%}",
        f"{change.p:.2g}",
    )


def _rule_table(report: GateReport) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("to be promoted")
    table.add_column("found")
    table.add_column("")
    for rule in report.rules:
        held = Text("yes", style="green") if rule.passed else Text("no", style="red")
        table.add_row(Text(rule.asks), Text(rule.found), held)
    return table


def page(report: GateReport) -> str:
    """The page of a report: no scripts, no network, everything in it written as text."""
    template = page_environment().get_template("gate.html.j2")
    return template.render(
        gate=report,
        pairs=[pair for pair in (report, report.forgetting) if pair is not None],
        everything=lambda pair: evaluation.Row("all", pair.new, pair.old, pair.comparison),
        families=lambda pair: list(_rows(pair)),
        made=time.strftime("%Y-%m-%d %H:%M"),
    )


def _rows(pair: Paired) -> Iterator[evaluation.Row]:
    old, changes = pair.old.families, pair.comparison.families
    for name, new in pair.new.families.items():
        yield evaluation.Row(name or "(none)", new, old.get(name), changes.get(name))


def page_environment() -> jinja2.Environment:
    """Renders the templates beside this file with the style and the macros of an evaluation's page."""
    import jinja2

    made = environment(Path(__file__).parent)
    source = (Path(evaluation.__file__).parent / "page.html.j2").read_text(encoding="utf-8")
    pieces = {
        "style": source.partition("<style>")[2].partition("</style>")[0],
        "parts": source.partition("<body>")[2].partition("<main>")[0],
    }
    assert made.loader is not None
    made.loader = jinja2.ChoiceLoader([made.loader, jinja2.DictLoader(pieces)])
    return made
