"""The gate's report is told as tables, as JSON and as a page, also long after the gate was built anew."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from autoagent.evals import Comparison, FamilyReport
from autoagent.evals.stats import wilson
from autoagent.training.gate_report import as_json, page, read_report, tables
from autoagent.training.gate_result import Changed, GateReport, Measured, Paired
from autoagent.training.gate_rules import GateConfig, LossChange, decide, rules

NEW_FIELDS = {"rules", "forgetting", "loss", "won", "lost", "seeds", "names"}  # since the first edition


def family(passed: int, n: int) -> FamilyReport:
    low, high = wilson(passed, n)
    return FamilyReport(n=n, passed=passed, success=passed / n, low=low, high=high, failures={})


def pair(suite: str, families: dict[str, tuple[int, int, int]]) -> Paired:
    """A pair with, by family, what the old and the new model passed and of how many."""

    def side(place: int) -> Measured:
        total = family(sum(each[place] for each in families.values()), sum(n for *_, n in families.values()))
        return Measured(
            **dict(total), families={name: family(each[place], each[2]) for name, each in families.items()}
        )

    def change(old: int, new: int, n: int) -> dict[str, float]:
        rise = (new - old) / n
        return {"n": n, "wins": max(0, new - old), "losses": max(0, old - new), "difference": rise,
                "low": rise - 0.05, "high": rise + 0.05, "p": 0.001 if rise else 1.0}  # fmt: skip

    old, new = side(0), side(1)
    comparison = {
        **change(old.passed, new.passed, old.n), "old": "a" * 64, "new": "b" * 64,
        "families": {name: change(*each) for name, each in families.items()},
    }  # fmt: skip
    won = (Changed(task="t-1", family="<i>sums</i>", goal="Add <b>2</b> and 2.", seed=0),)
    return Paired(
        suite=suite, excluded=3, old=old, new=new, comparison=Comparison.model_validate(comparison), won=won
    )


@pytest.fixture
def report() -> GateReport:
    """Better on its goals, worse on others, and with a loss."""
    config = GateConfig()
    target = pair("mine", {"<i>sums</i>": (10, 40, 50), "dates": (20, 40, 50)})
    others = pair(
        "builtin, other families", {f"f{n}": (20, 20, 20) for n in range(20)} | {"lost": (20, 5, 20)}
    )
    loss = LossChange(sample="sample", examples=128, tokens=34_596, old=0.0312, new=0.0345)
    measured = {"elsewhere": others.comparison, "loss": loss}
    promoted, reason = decide(target.comparison, config, **measured)
    return GateReport(
        **dict(target), promoted=promoted, reason=reason, seed=1, names=("embedded", "v1-12345678"),
        forgetting=others, loss=loss, rules=rules(target.comparison, config, **measured), seconds=61.0,
    )  # fmt: skip


def printed(report: GateReport) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    for table in tables(report):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_gets_families_and_rules(report: GateReport) -> None:
    lines = printed(report).splitlines()
    assert lines[0].strip() == "gate: mine, 100 held-out goals"
    (total,) = (line for line in lines if "80/100" in line)
    assert [cell.strip() for cell in total.split("│")[1:5]] == ["all", "30/100", "80/100", "+50.0%"]
    assert any("<i>sums</i>" in line for line in lines)
    assert any("lost" in line and "20/20" in line and "5/20" in line for line in lines)
    assert any("20 unchanged" in line for line in lines)  # not one line for each of them
    refusing = [line for line in lines if line.rstrip(" │").endswith("no")]
    assert len(refusing) == 2
    assert "on other goals is above" in refusing[0]
    assert "lost -75.0 points of 20" in refusing[1]


def test_the_json_is_the_whole_report(report: GateReport) -> None:
    text = as_json(report)
    assert GateReport.model_validate_json(text) == report
    found = {rule["name"]: (rule["passed"], rule["threshold"]) for rule in json.loads(text)["rules"]}
    assert found["gain"] == (True, 0.02)
    assert found["elsewhere"][0] is False
    assert found["loss"] == (True, 0.05)


def test_the_page_shows_both_suites_in_the_style_of_an_evaluation(report: GateReport) -> None:
    html = page(report)
    assert html.startswith("<!doctype html>")
    assert html.count("<html") == html.count("</html>") == html.count("<main>") == 1
    assert "--paper:" in html
    assert "v1-12345678 against embedded" in html
    assert report.reason.replace("→", "→") in html.replace("&#39;", "'")
    assert html.count('<span class="badge good">yes</span>') == sum(rule.passed for rule in report.rules)
    assert html.count('<span class="badge bad">no</span>') == 2
    assert ("Goals to improve on: mine" in html, "Other goals: builtin, other families" in html) == (
        True,
        True,
    )
    assert html.count('<tr class="all">') == 2
    assert '<td class="right">80/100</td>' in html
    assert "0.0345" in html
    assert "<script" not in html


def test_what_others_wrote_is_text_on_the_page(report: GateReport) -> None:
    html = page(report)
    assert "<i>" not in html.replace("<i style", "")
    assert "<b>2</b>" not in html
    assert "Add &lt;b&gt;2&lt;/b&gt; and 2." in html


def test_a_report_of_the_first_edition_can_still_be_shown(report: GateReport) -> None:
    of_old = {key: value for key, value in json.loads(as_json(report)).items() if key not in NEW_FIELDS}
    read = read_report(of_old)
    assert read is not None
    assert (read.reason, read.rules, read.forgetting) == (report.reason, (), None)
    assert "80/100" in printed(read)
    assert "bbbbbbbbbbbb against aaaaaaaaaaaa" in page(read)


def test_what_is_no_report_is_none() -> None:
    assert read_report(None) is None
    assert read_report({"old": 0.5, "new": 0.7}) is None
