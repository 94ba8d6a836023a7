"""The circle's control: shuffled runs are as well-formed as the real ones, and wrong."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter
from pathlib import Path
from types import ModuleType

from autoagent.training.dataset import DatasetConfig, build_dataset
from autoagent.trajectory import Reply, Step, TokenTrace, Trajectory, Verdict


def spoiled() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "spoiled.py"
    spec = importlib.util.spec_from_file_location("spoiled", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(number: int, *, kept: int | None = None) -> Trajectory:
    """A plan and two actions, each of other tokens and lengths in every run."""
    steps, length = [], 0
    for index in range(3):
        said = tuple(100 * number + 10 * index + place for place in range(1 + (number + index) % 3))
        start = length if kept is None or index < 2 else kept
        trace = TokenTrace(kept=start, prompt_ids=(1, 2), completion_ids=said, origins="s" * len(said))
        steps.append(Step(index=index, reply=Reply(text="", trace=trace)))
        length = start + 2 + len(said)
    verdict = Verdict(status="verified", by="check")
    return Trajectory(
        run_id=f"r{number}", goal=f"goal {number}", model="v", steps=tuple(steps), verdict=verdict
    )


def completions(runs: list[Trajectory], first: int) -> list[tuple[int, ...]]:
    return [step.reply.trace.completion_ids for run in runs for step in run.steps[first:] if step.reply.trace]


def test_shuffled_runs_are_whole_and_do_what_others_did() -> None:
    runs = [run(number) for number in range(1, 8)]
    mixed = spoiled().shuffled_actions(runs, random.Random(1))
    assert Counter(completions(mixed, 1)) == Counter(completions(runs, 1))
    assert completions(mixed, 1) != completions(runs, 1)
    assert [each.steps[0] for each in mixed] == [each.steps[0] for each in runs]  # the plans stay
    real, wrong = (build_dataset(each, DatasetConfig(validation=0)).sheet for each in (runs, mixed))
    assert (wrong.runs, wrong.tokens, wrong.trained_tokens) == (real.runs, real.tokens, real.trained_tokens)
    assert wrong.refused == {}
    assert wrong.hash != real.hash


def test_runs_that_rewound_are_left_out_of_the_control() -> None:
    mixed = spoiled().shuffled_actions([run(1), run(2, kept=2)], random.Random(0))
    assert [each.run_id for each in mixed] == ["r1"]
