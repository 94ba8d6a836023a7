"""Goals are run several times, the runs stay on record, and what they say about learning is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from autoagent.config import Sampling
from autoagent.errors import UsageError
from autoagent.evals import Expected, Suite, Task
from autoagent.models.protocol import Expect, Json, ToolSchema
from autoagent.models.scripted import Line, ScriptedModel, ScriptedSession
from autoagent.store import Store
from autoagent.training.sampling import (
    SampleProgress,
    SampleReport,
    SamplingConfig,
    sample_seed,
    sample_suite,
)
from autoagent.trajectory import Message, ToolCall

SUITE = Suite(
    "numbers",
    tuple(
        Task(id=name, family="f", goal=f"Say {name}.", expected=Expected(answer="yes"))
        for name in ("easy", "hard", "impossible")
    ),
)


class Gambler(ScriptedModel):
    """Always does what is easy, what is hard only when its dice were thrown with a lucky seed."""

    def __init__(self, lucky: Callable[[int], bool], version: str = "gambler") -> None:
        super().__init__([], version=version)
        self.lucky, self.draws = lucky, Counter[str]()

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> ScriptedSession:
        return _Throw(self._author, list(messages), list(tools), model=self)

    def _author(self, messages: Sequence[Message], expect: Expect) -> Line:
        raise AssertionError("a throw answers for itself")


class _Throw(ScriptedSession):
    def __init__(self, *given: object, model: Gambler) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.model = model

    def generate(self, expect: Expect, *, sampling: Sampling, max_tokens: int):  # type: ignore[no-untyped-def]
        def author(messages: Sequence[Message], expect: Expect) -> Line:
            if isinstance(expect, Json):
                return ["say it"]
            goal = messages[1].content
            self.model.draws[f"{goal.split('Say ')[1].split('.')[0]} at {sampling.temperature}"] += 1
            right = "easy" in goal or ("hard" in goal and self.model.lucky(sampling.seed))
            return ToolCall(name="finish", arguments={"answer": "yes" if right else "no"})

        self.author = author
        return super().generate(expect, sampling=sampling, max_tokens=max_tokens)


def third(seed: int) -> bool:
    return seed % 1024 == 2


def by_goal(report: SampleReport) -> dict[str, tuple[bool | None, ...]]:
    return {goal.task: goal.outcomes for goal in report.goals}


def test_time_goes_where_successes_are_rare_and_the_report_says_what_can_be_learned(tmp_path: Path) -> None:
    heard: list[SampleProgress] = []
    model, config = Gambler(third), SamplingConfig(samples=4, enough=2, temperature=0.9)
    report = sample_suite(SUITE, model=model, home=tmp_path, config=config, on_sample=heard.append)
    assert by_goal(report) == {
        "easy": (True, True),
        "hard": (False, False, True, False),
        "impossible": (False,) * 4,
    }
    assert [len(kind) for kind in (report.always, report.sometimes, report.never)] == [1, 1, 1]
    assert (report.pass_at_1, report.pass_at_k) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert "pass@1 is 33.3% and pass@4 66.7% of 3 goals" in report.sentence
    assert "1 goal can be learned from" in report.sentence
    assert model.draws["hard at 0.0"] == 1  # the first is greedy
    assert model.draws["hard at 0.9"] == 3
    assert [at.made for at in heard] == list(range(1, 11))
    assert (heard[-1].planned, heard[-1].solved, heard[-1].seconds_left) == (10, 2, 0)

    runs = Store(tmp_path).runs(suite="numbers")
    assert len(runs) == 10
    assert len({run.seed for run in runs}) == 10
    assert len(list(Store(tmp_path).verified(suite="numbers"))) == 3


def test_what_is_on_record_is_not_done_again_and_more_samples_are_added(tmp_path: Path) -> None:
    few, more = SamplingConfig(samples=2), SamplingConfig(samples=3)
    first = sample_suite(SUITE, model=Gambler(third), home=tmp_path, config=few)
    assert (first.made, first.pass_at_1, first.pass_at_k) == (6, pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert "nothing to learn from" in first.sentence
    again = sample_suite(SUITE, model=Gambler(third), home=tmp_path, config=few)
    assert (again.made, again.goals) == (0, first.goals)
    added = sample_suite(SUITE, model=Gambler(third), home=tmp_path, config=more)
    assert added.made == 2  # not of the goal that was solved twice
    assert by_goal(added)["hard"] == (False, False, True)
    other = sample_suite(SUITE, model=Gambler(third, version="other"), home=tmp_path, config=few)
    assert other.made == 6


def test_a_run_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    def stop(seed: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_suite(SUITE, model=Gambler(stop), home=tmp_path, config=SamplingConfig(samples=1))
    assert [run.ending for run in Store(tmp_path).runs()] == ["interrupted", "finished"]
    report = sample_suite(SUITE, model=Gambler(third), home=tmp_path, config=SamplingConfig(samples=1))
    assert report.made == 2


def test_no_run_is_begun_when_the_time_is_up(tmp_path: Path) -> None:
    config = SamplingConfig(samples=1, minutes=1e-6)
    report = sample_suite(SUITE, model=Gambler(third), home=tmp_path, config=config)
    assert (report.made, report.out_of_time) == (0, True)
    assert "no run could be judged" in report.sentence


def test_runs_are_kept_under_another_name_when_told(tmp_path: Path) -> None:
    config = SamplingConfig(samples=1, suite="round 1")
    assert sample_suite(SUITE, model=Gambler(third), home=tmp_path, config=config).suite == "round 1"
    assert len(Store(tmp_path).runs(suite="round 1")) == 3


def test_several_processes_find_what_one_finds(tmp_path: Path) -> None:
    load = partial(ScriptedModel, [["say it"], ToolCall(name="finish", arguments={"answer": "yes"})])
    config = SamplingConfig(samples=3, enough=2)
    report = sample_suite(SUITE, model=load, home=tmp_path, config=config, jobs=2)
    assert len(report.always) == 3
    assert report.made == len(Store(tmp_path).runs(suite="numbers")) >= 6


def test_a_loaded_model_cannot_be_in_several_processes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model's name"):
        sample_suite(SUITE, model=Gambler(third), home=tmp_path, jobs=2)


def test_a_sample_has_a_seed_of_its_own_that_the_record_can_hold() -> None:
    seeds = {sample_seed(task, n, s) for task in ("a", "b") for n in range(3) for s in range(2)}
    assert len(seeds) == 12
    assert all(Sampling(seed=seed) for seed in seeds)
