"""The model card says what was measured: no figure of it is written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoagent.evals import TaskResult, summarize
from autoagent.nano.card import write_card
from autoagent.trajectory import Verdict


def _result(name: str, success: bool, **more: Any) -> TaskResult:
    family, split, _ = name.split("-")
    about: dict[str, Any] = {
        "task": name, "family": family, "split": split, "goal": "g", "seed": 0, "success": success,
        "verdict": Verdict(status="verified" if success else "refuted"), "ending": "finished",
        "steps": 1, "tokens": 1, "seconds": 0.1, "failure": None if success else "wrong answer",
    }  # fmt: skip
    return TaskResult.model_validate(about | more)


def test_the_card_tells_what_the_model_can_do_and_what_not(tmp_path: Path) -> None:
    config = {"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 99}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    never: dict[str, Any] = {"expected": ({"declines": True},)}
    results = [
        *(_result(f"copy-values-{n}", True) for n in range(10)),
        *(_result(f"sums-wordings-{n}", n < 6) for n in range(10)),
        *(_result(f"dates-values-{n}", False, failure="declined wrongly") for n in range(4)),
        *(_result(f"refuse-values-{n}", n < 3, **never) for n in range(4)),
        _result("copy-values-10", False, failure=None, check_error="the shell is missing"),
    ]
    report = summarize(results, suite="builtin", model="m", generated=True, seconds=1.0)
    write_card(report, tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for part in (
        "28 goals, greedy",
        "**67.9%** reached their goal",
        "| values | names, values",
        "| copy |  | 10/10 |",
        "- In at least nine of ten goals: copy.",
        "- In at least half: refuse, sums.",
        "- In less than half: dates.",
        "Of 4 goals that no tool there could reach it declined 3, and it declined 4 of the other 24.",
        'It then says: "No tool here can do this. A larger model may help, see --model."',
    ):
        assert part in card
    measured = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert (measured["tasks"], measured["families"]["dates"]["success"]) == (28, 0.0)
    assert measured["failures"] == {"declined wrongly": 4, "wrong answer": 5}


def test_the_card_tells_what_the_ranking_does(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 99}')
    with_it, without = (
        summarize(
            [_result(f"copy-values-{n}", n < reached) for n in range(10)],
            suite="builtin",
            model="m",
            generated=True,
            seconds=1.0,
        )
        for reached in (9, 4)
    )
    rates = {"rate": 0.75, "low": 0.7, "high": 0.8, "requests": 40}
    figures = {"model": {"tool": rates, "exact": rates}, "ranking": {"tool": rates}, "bm25": {"tool": rates}}
    people = {intents: {"figures": figures} for intents in ("seen", "held out")}
    (tmp_path / "human.json").write_text(json.dumps(people), encoding="utf-8")
    write_card(with_it, tmp_path, tmp_path / "human.json", without)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "in no order: `values` 40% (17% to 69%, n=10)." in card
    assert card.count("| 75.0% (70.0% to 80.0%, n=40) " * 4) == 2
    measured = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert measured["unranked"]["values"]["success"] == 0.4
