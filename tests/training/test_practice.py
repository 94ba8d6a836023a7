"""Failed runs are tried in other ways, in copies; what is verified is kept beside the run that failed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from autoagent import Agent, tool
from autoagent.config import Limits, Sampling
from autoagent.evals import Expected, Suite, Task, run_task
from autoagent.evals.environment import environment_suite
from autoagent.goal import expect
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Expect
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.models.tiny import write_tiny_model
from autoagent.store import Store
from autoagent.training.dataset import DatasetConfig, build_dataset
from autoagent.training.practice import (
    BY_USER,
    HAS_PAIR,
    NO_CHECK,
    NO_TASK,
    NOT_FAILED,
    TAG,
    PracticeConfig,
    PracticeProgress,
    doubt,
    practise,
)
from autoagent.trajectory import Message, Reply, Step, TokenTrace, ToolCall, Trajectory

PLAN: Line = ["do it"]


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


WRONG: tuple[Line, ...] = (
    PLAN,
    call("write_file", path="a.txt", content="one"),
    call("finish", answer="wrong"),
)


@tool(effects=("write",))
def paint(colour: str) -> str:
    """Paint the house."""
    return f"painted {colour}"


class Lines:
    """A script that goes on from one session to the next."""

    def __init__(self, *lines: Line) -> None:
        self.left = list(lines)
        self.told: list[Sequence[Message]] = []

    def __call__(self, messages: Sequence[Message], expect: Expect) -> Line:
        self.told.append(messages)
        return self.left.pop(0)


def worker(place: Path, *lines: Line, **options: Any) -> Agent:
    return Agent(
        model=ScriptedModel(Lines(*lines)),
        workspace=place / "work",
        home=place / "home",
        memory=False,
        **options,
    )


def failed(place: Path, *lines: Line, goal: str = "Write it") -> Trajectory:
    """A run that its check refuted, as the command line records it."""
    agent = worker(place, *(lines or WRONG), about={"expect": "two"})
    run = agent.run(goal, check=expect("two")).trajectory
    assert run.verdict.status == "refuted"
    return run


def test_a_verified_alternative_is_kept_beside_the_failed_run_and_the_others_are_not(tmp_path: Path) -> None:
    past = failed(tmp_path)
    (tmp_path / "work" / "a.txt").write_text("changed since", encoding="utf-8")
    heard: list[PracticeProgress] = []
    agent = worker(
        tmp_path,
        call("finish", answer="wrong"),  # what was done before: broken off, and not counted
        call("finish", answer="three"),
        call("read_file", path="a.txt"),
        call("finish", answer="two"),
    )
    report = practise(agent, on_progress=heard.append)
    assert (report.runs, report.tried, report.skipped, report.out_of_time) == (1, 2, {}, False)
    (found,) = report.found
    assert (found.parent, found.step, found.goal) == (past.run_id, 2, "Write it")
    assert [(at.step, at.tried, at.found) for at in heard] == [(2, 0, 0), (2, 0, 0), (2, 1, 0)]
    assert "1 of 1 failed runs has a verified alternative now (2 tried)" in report.sentence

    store = Store(tmp_path / "home")
    assert {run.run_id for run in store.runs()} == {past.run_id, found.run}
    kept = store.load(found.run)
    assert (kept.parent, kept.verdict.status, kept.verdict.by) == (past.run_id, "verified", "check")
    assert store.find(found.run).tags == (TAG,)
    assert [step.reply for step in kept.steps[:2]] == [step.reply for step in past.steps[:2]]
    assert "one" in kept.steps[2].observations[0].content  # the file as it was then
    assert (tmp_path / "work" / "a.txt").read_text(encoding="utf-8") == "changed since"
    assert not list((tmp_path / "home" / "locks").glob("*"))

    assert practise(worker(tmp_path)).skipped == {HAS_PAIR: 1}


def test_earlier_steps_are_tried_when_the_last_gives_nothing(tmp_path: Path) -> None:
    past = failed(tmp_path)
    bad = call("finish", answer="three")
    good = call("finish", answer="two")
    agent = worker(tmp_path, bad, bad, call("write_file", path="b.txt", content="two"), good)
    report = practise(agent, config=PracticeConfig(alternatives=2))
    (found,) = report.found
    assert (found.step, report.tried) == (1, 3)
    kept = Store(tmp_path / "home")
    files = kept.snapshots.entries(kept.snapshots_of(found.run)[1])
    assert list(files) == ["b.txt"]
    assert Store(tmp_path / "home").load(found.run).parent == past.run_id


def test_steps_at_which_the_model_was_sure_come_last(tmp_path: Path) -> None:
    def reply(line: ToolCall, log: float) -> Reply:
        trace = TokenTrace(completion_ids=(1, 2), origins="sf", logprobs=(log, 0), masked_logprobs=(log, 0))
        return Reply(text="", calls=(line,), trace=trace)

    sure, unsure = -0.001, -1.0
    failed(
        tmp_path,
        PLAN,
        reply(call("write_file", path="a.txt", content="one"), unsure),
        reply(call("read_file", path="a.txt"), sure),
        reply(call("finish", answer="wrong"), unsure),
    )
    heard: list[int] = []
    bad = call("finish", answer="three")
    config = PracticeConfig(alternatives=1, steps=4)
    agent = worker(tmp_path, bad, bad, ["another plan"], bad, bad)
    practise(agent, config=config, on_progress=lambda at: heard.append(at.step))
    assert heard == [3, 1, 0, 2]


def test_doubt_is_the_probability_of_anything_else() -> None:
    trace = TokenTrace(completion_ids=(1, 2), origins="sf", logprobs=(-1, -9), masked_logprobs=(-0.5, -9))
    assert doubt(Step(index=1, reply=Reply(text="", trace=trace))) == pytest.approx(1 - 0.6065, abs=1e-4)
    assert doubt(Step(index=1, reply=Reply(text=""))) == 1


def test_runs_that_cannot_be_practised_on_are_counted_by_reason(tmp_path: Path) -> None:
    failed(tmp_path)
    store = Store(tmp_path / "home")
    rated = worker(tmp_path, *WRONG).run("Rated by me").trajectory
    store.rate(rated.run_id, False)
    worker(tmp_path, *WRONG).run("Checked in Python", check=lambda workspace, answer: False)
    fine = worker(tmp_path, *WRONG).run("Fine", check=lambda workspace, answer: True).trajectory
    config = PracticeConfig(minutes=1e-6)
    report = practise(worker(tmp_path), config=config)
    assert (report.runs, report.tried, report.out_of_time) == (1, 0, True)
    assert report.skipped == {BY_USER: 1, NO_CHECK: 1}
    assert practise(worker(tmp_path), runs=[fine.run_id], config=config).skipped == {NOT_FAILED: 1}
    assert len(store.runs()) == 4


def test_an_interrupted_practice_leaves_nothing_half_done(tmp_path: Path) -> None:
    past = failed(tmp_path)

    def stop(messages: Sequence[Message], expect: Expect) -> Line:
        raise KeyboardInterrupt

    home, work = tmp_path / "home", tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        practise(Agent(model=ScriptedModel(stop), home=home, workspace=work, memory=False))
    assert [run.run_id for run in Store(tmp_path / "home").runs()] == [past.run_id]


# --- suites ----------------------------------------------------------------------------------------------


def test_runs_of_a_suite_are_practised_in_the_world_of_their_task(tmp_path: Path) -> None:
    task = Task(
        id="t",
        family="f",
        goal="Remember it",
        expected=Expected(remembers="milk", declines=True),
        only=("save_memory", "recall_memory"),
    )
    other = task.model_copy(update={"id": "other", "goal": "Another", "files": {"a.txt": "one"}})
    twin = task.model_copy(update={"id": "twin", "files": {"a.txt": "one"}, "expected": Expected(answer="x")})
    model = ScriptedModel([PLAN, call("save_memory", text="milk"), call("finish", answer="done")])
    lost = [run_task(each, model=model, home=tmp_path / "home", suite="s") for each in (task, other)]
    lines = [call("decline", reason="no"), call("recall_memory", query="milk"), call("decline", reason="no")]
    agent = worker(tmp_path, *lines[1:], lines[0])
    report = practise(agent, suite=Suite("s", (task, twin)))
    (found,) = report.found
    assert (found.parent, found.step) == (lost[0].run_id, 2)
    assert report.skipped == {NO_TASK: 1}
    kept = Store(tmp_path / "home").load(found.run)
    assert "milk" in kept.steps[2].observations[0].content  # what was saved before is there again
    assert Store(tmp_path / "home").find(found.run).suite == "s"


class Ladder:
    """Climb two rungs."""

    actions: Mapping[str, str] = {"climb": "Go one rung up", "rest": "Stay where you are"}
    enough = 1.0

    def __init__(self) -> None:
        self.rung = 0

    def reset(self, *, seed: int) -> tuple[str, Mapping[str, Any]]:
        return f"You stand before ladder {seed}.", {"goal": "Climb to the second rung."}

    def step(self, action: str) -> tuple[str, float, bool, bool, Mapping[str, Any]]:
        self.rung += action == "climb"
        return f"You are on rung {self.rung}.", float(self.rung == 2), self.rung == 2, False, {}

    def close(self) -> None: ...


def test_the_actions_of_an_environment_are_done_again(tmp_path: Path) -> None:
    suite = environment_suite("ladder", count=1, make=Ladder)
    model = ScriptedModel([PLAN, call("climb"), call("rest"), call("finish", answer="up")])
    lost = run_task(suite.tasks[0], model=model, home=tmp_path / "home", suite=suite.name)
    assert not lost.success
    agent = worker(tmp_path, call("climb"), call("finish", answer="up"))
    report = practise(agent, suite=suite, config=PracticeConfig(alternatives=1))
    (found,) = report.found
    assert found.step == 3
    assert "rung 2" in Store(tmp_path / "home").load(found.run).steps[3].observations[0].content


# --- with a real model -----------------------------------------------------------------------------------


@pytest.fixture
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_one_thread")
def test_a_pair_shares_its_beginning_token_by_token(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    agent = Agent(
        model=LocalModel.load(folder),
        tools=[paint],
        workspace=tmp_path / "work",
        home=tmp_path / "home",
        memory=False,
        limits=Limits(max_steps=2, reply_tokens=64),
        sampling=Sampling(temperature=1, seed=1),
    )
    for seed in range(40):
        agent.sampling = Sampling(temperature=1, seed=seed)
        first = agent.run("Paint the house").trajectory
        if first.ending == "finished" and first.answer:
            break
    other = f"/^(?!{re.escape(first.answer or '')}$)/"
    agent.about = {"expect": other}  # the same seed says the same again
    past = agent.run("Paint the house", check=expect(other)).trajectory
    assert past.verdict.status == "refuted"
    report = practise(agent, config=PracticeConfig(alternatives=60))  # random weights mostly decline
    assert report.found, report
    (found,) = report.found
    kept = Store(tmp_path / "home").load(found.run)
    assert kept.steps[: found.step] == past.steps[: found.step]
    ours, theirs = kept.steps[found.step].reply.trace, past.steps[found.step].reply.trace
    assert ours is not None
    assert theirs is not None
    assert (ours.kept, ours.prompt_ids) == (theirs.kept, theirs.prompt_ids)
    assert ours.completion_ids != theirs.completion_ids

    good = kept.verdict
    data = [run.model_copy(update={"verdict": good}) for run in (kept, past)]
    right, wrong = build_dataset(data, DatasetConfig(validation=0)).train
    pairs = enumerate(zip(right.ids, wrong.ids, strict=False))
    shared = next(place for place, (one, other_one) in pairs if one != other_one)
    before = [step.reply.trace for step in past.steps[: found.step] if step.reply.trace]
    context = sum(len(trace.prompt_ids) + len(trace.completion_ids) for trace in before)
    assert shared >= context + len(ours.prompt_ids)
