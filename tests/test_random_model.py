"""A model that knows nothing drives everything: whatever valid thing it says, the grammar made it say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from autoagent import Agent, Conduct, Limits, Sampling
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.local import LocalModel
from autoagent.models.tiny import write_tiny_model
from autoagent.plan import MOST_SUB_GOALS
from autoagent.store import Store
from autoagent.tools import Toolbox, builtin_tools
from autoagent.trajectory import Step

STEPS = 300
FILES = {"notes.txt": "milk\neggs\n", "sales.csv": "day,total\nmon,3\ntue,4\n", "docs/plan.txt": "later\n"}
GOALS = (  # together they show all tools to the model
    "List the files, read notes.txt, write, append, edit, move, delete a file, find and search files",
    "Show the table sales.csv, count, sum and sort a column, and calculate 3 * 4",
    "Convert 3 km to miles, add days to 2024-01-31, days between dates, which weekday",
    "Count words of notes.txt, extract numbers, replace all, compare two files, sort lines, replace line 2",
    "Join two tables, sort the table, the row with the largest value, filter rows, JSON value, count matches",
    "Replace milk by oats in notes.txt, then delete plan.txt, then rename a.txt to b.txt, how often eggs",
    "Remember a fact, recall it from memory, retrain your own model on verified runs",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    return LocalModel.load(write_tiny_model(tmp_path_factory.mktemp("tiny")))


def lay_out(folder: Path) -> Path:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def drive(model: LocalModel, folder: Path, home: Path, seed: int) -> list[Step]:
    """One run with the real loop, agent, tools and record; every request for permission is granted."""
    agent = Agent(
        model=model,
        workspace=lay_out(folder),
        home=home,
        limits=Limits(calls_per_turn=1 + seed % 3, reply_tokens=128),
        conduct=Conduct(shown_tools=12, recall=0),
        sampling=Sampling(temperature=1.0, seed=seed),
        approve=lambda request: True,
        memory=VolatileMemory(),
        services={"finetune": lambda **said: f"nothing to learn from yet ({said})"},
        ask_user=lambda question: "yes",
    )
    with agent:
        result = agent.run(GOALS[seed % len(GOALS)])
    assert result.ending not in ("error", "format_errors"), result.trajectory.error
    return list(result.trajectory.steps)


def valid_calls(step: Step, tools: Toolbox) -> list[str]:
    """The names of the step's calls, each of which must fit the schema of a tool that was shown."""
    for call in step.reply.calls:
        tools[call.name].validate(call.arguments)
    return [call.name for call in step.reply.calls]


@pytest.mark.slow
def test_every_plan_and_every_call_of_a_random_model_parses_and_validates(
    model: LocalModel, tmp_path: Path
) -> None:
    tools = Toolbox(builtin_tools())
    reachable = {tool.name for tool in tools if tool.needs not in ("hosts", "sandbox")}
    plans = steps = 0
    called: Counter[str] = Counter()
    while steps < STEPS or (len(reachable & set(called)) < len(reachable) and steps < 1.5 * STEPS):
        first, *rest = drive(model, tmp_path / f"w{plans}", tmp_path / "home", seed=plans)
        for each in (first, *(step for step in rest if step.kind == "plan")):
            plan = each.reply.value
            assert isinstance(plan, dict)
            assert 1 <= len(plan["plan"]) <= MOST_SUB_GOALS
            assert all(0 < len(sub_goal) <= 120 for sub_goal in plan["plan"])
        plans += 1
        for step in (step for step in rest if step.kind == "act"):
            names = valid_calls(step, tools)
            assert names, f"no call in {step.reply.text!r}"
            called.update(names)
            steps += 1
    most = len(reachable) * 5 // 6  # which ones is chance
    assert len(reachable & set(called)) >= most, f"called: {called}"
    assert len([run for run in Store(tmp_path / "home").runs() if run.parent is None]) == plans
