"""Tools that take long, and a training asked for in a run, as they look on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoagent.cli import Exit
from autoagent.cli.screen import at_work, replay
from autoagent.events import Progress
from autoagent.store import Store

from .conftest import Cli, call

TOOL = """
from autoagent import tool
from autoagent.tools import Context

@tool(long=True)
def copy_all(*, ctx: Context) -> str:
    \"\"\"Copy everything.\"\"\"
    ctx.report("copying", 1, 2, seconds_left=3.0, figures={"MB/s": 250.0})
    ctx.report("copying", 2, 2)
    return "copied"
"""
SCRIPT = [["copy"], call("copy_all"), call("finish", answer="done")]


@pytest.fixture
def tool(workspace: Path) -> str:
    (workspace / "slow.py").write_text(TOOL, encoding="utf-8")
    return "slow.py"


def test_progress_is_a_line_of_json(cli: Cli, tool: str) -> None:
    done = cli("run", "-g", "Copy", "--tools", tool, "--output-format", "stream-json", script=SCRIPT)
    lines = [json.loads(line) for line in done.out.splitlines()]
    progress = [line for line in lines if line["type"] == "progress"]
    assert [(line["tool"], line["stage"], line["done"], line["total"]) for line in progress] == [
        ("copy_all", "copying", 1, 2),
        ("copy_all", "copying", 2, 2),
    ]
    assert progress[0]["figures"] == {"MB/s": 250.0}
    types = [line["type"] for line in lines]
    assert types.index("call") < types.index("progress") < types.index("observation")


def test_without_a_terminal_what_a_stage_came_to_is_shown(cli: Cli, tool: str) -> None:
    done = cli("run", "-g", "Copy", "--tools", tool, script=SCRIPT)
    (line,) = [line.strip() for line in done.out.splitlines() if "copying" in line]
    assert line == f"copying {'━' * 20} 2/2"


def test_a_report_in_words() -> None:
    half = Progress(
        stage="training", done=10, total=20, seconds_left=41, figures={"loss": 0.4123, "tokens/s": 3200}
    )
    line = f"training {'━' * 10}{'─' * 10} 10/20 · loss 0.412 · 3,200 tokens/s · 41.0 s left"
    assert at_work(half) == line
    assert at_work(Progress(stage="counting")) == "counting"


def test_a_training_needs_consent_and_says_what_is_missing(cli: Cli) -> None:
    script = [["learn"], call("finetune"), call("finish", answer="done")]
    refused = cli("run", "-g", "Retrain your own model", script=script)
    assert "refused: train" in refused.out
    allowed = cli("run", "-g", "Retrain your own model", "--yes", script=script)
    assert "nothing was trained: there are no verified runs to learn from yet" in allowed.out
    assert allowed.code == Exit.OK


def test_a_recorded_run_shows_where_another_model_took_over(cli: Cli, home: Path) -> None:
    cli("run", "-g", "Copy", script=[["wait"], call("finish", answer="done")])
    store = Store(home)
    run = store.load("last")
    with store.database.writing() as write:
        write.run("UPDATE runs SET settings = ?", (json.dumps({**run.settings, "models": {"1": "f" * 64}}),))
    assert [event.step for event in replay(store.load("last")) if event.type == "model"] == [1]
    assert "ffffffffffff from here on" in cli("runs", "show", "last").out
