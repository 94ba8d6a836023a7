"""Examples are the tokens the model saw and sampled, and nothing else."""

from __future__ import annotations

from autoagent.training.dataset import DatasetConfig, Example, build_dataset, goal_hash
from autoagent.trajectory import Reply, Step, TokenTrace, Trajectory, Verdict

GOOD = Verdict(status="verified", score=1.0, by="check")
END = 99


def trace(kept: int, prompt: list[int], completion: list[int], origins: str) -> TokenTrace:
    return TokenTrace(kept=kept, prompt_ids=tuple(prompt), completion_ids=tuple(completion), origins=origins)


def run(
    *traces: TokenTrace | None, goal: str = "count the files", verdict: Verdict = GOOD, name: str = "r1"
) -> Trajectory:
    steps = tuple(Step(index=i, reply=Reply(text="", trace=each)) for i, each in enumerate(traces))
    return Trajectory(run_id=name, goal=goal, model="v1", steps=steps, verdict=verdict)


def only(*trajectories: Trajectory, **settings: object) -> tuple[Example, ...]:
    config = DatasetConfig(validation=0, **settings)
    return build_dataset(trajectories, config, end_ids=[END]).train


TWO_STEPS = run(trace(0, [1, 2], [10, 11, END], "sff"), trace(5, [3], [12, 13], "ss"))


def test_a_run_becomes_its_exact_sequence_with_a_mask_on_what_was_sampled() -> None:
    (example,) = only(TWO_STEPS)
    assert example.ids == (1, 2, 10, 11, END, 3, 12, 13)
    assert example.mask == (0, 0, 1, 0, 1, 0, 1, 1)  # the end of a turn trains although the grammar forced it
    assert example.trained == 4


def test_forced_tokens_train_when_asked() -> None:
    (example,) = only(TWO_STEPS, train_forced=True)
    assert example.mask == (0, 0, 1, 1, 1, 0, 1, 1)


def test_a_rewind_starts_a_new_example_that_does_not_train_the_kept_part_again() -> None:
    rewound = run(trace(0, [1, 2], [10, 11], "ss"), trace(3, [4], [12], "s"))
    first, second = only(rewound)
    assert (first.ids, first.mask) == ((1, 2, 10, 11), (0, 0, 1, 1))
    assert (second.ids, second.mask) == ((1, 2, 10, 4, 12), (0, 0, 0, 0, 1))


def test_runs_that_must_not_train_are_counted_by_reason() -> None:
    sheet = build_dataset(
        [
            TWO_STEPS,
            run(None, name="remote"),
            run(trace(0, [1], [2], "s"), None, name="half remote"),
            run(trace(0, [1], [5], "s"), verdict=Verdict(status="refuted", by="check"), name="wrong"),
            run(trace(0, [1], [6], "s"), verdict=Verdict(), name="unknown"),
            run(trace(7, [1], [7], "s"), name="keeps what was never there"),
            run(trace(0, [1], [8, 8], "s"), name="origins too short"),
            run(trace(0, [1], [9], "f"), name="all forced"),
            run(trace(0, [1] * 20, [9], "s"), name="long"),
            TWO_STEPS.model_copy(update={"run_id": "twin"}),
        ],
        DatasetConfig(validation=0, max_length=16),
        refused={"came from another tokenizer": 3},
    ).sheet
    assert sheet.refused == {
        "came from another tokenizer": 3,
        "had no token ids": 2,
        "were not verified": 2,
        "had a damaged token record": 2,
        "had nothing the model chose": 1,
        "were too long": 1,
        "repeated another run token by token": 1,
    }
    assert sheet.runs == ("r1",)
    assert "2 runs had no token ids" in sheet.summary()


def test_no_goal_is_in_both_parts_and_every_goal_is_in_one() -> None:
    runs = [
        run(trace(0, [1], [n, sample], "ss"), goal=f"goal {n}", name=f"r{n}-{sample}")
        for n in range(60)
        for sample in range(2)
    ]
    data = build_dataset(runs, DatasetConfig(validation=0.25))
    trained, measured = ({example.goal for example in part} for part in (data.train, data.validation))
    assert not trained & measured
    assert trained | measured == {goal_hash(f"goal {n}") for n in range(60)}
    assert 5 <= len(measured) <= 25
    assert len(data.train) + len(data.validation) == 120
    assert data.sheet.goals == tuple(sorted(trained))


def test_the_only_goal_is_trained_on_not_kept_back() -> None:
    data = build_dataset([TWO_STEPS], DatasetConfig(validation=0.99))
    assert len(data.train) == 1
    assert data.validation == ()


def test_the_sheet_counts_tokens_and_its_hash_tells_data_apart() -> None:
    sheet = build_dataset([TWO_STEPS], DatasetConfig(validation=0)).sheet
    assert (sheet.examples, sheet.tokens, sheet.trained_tokens, sheet.models) == (1, 8, 3, {"v1": 1})
    again = build_dataset([TWO_STEPS], DatasetConfig(validation=0)).sheet
    other = build_dataset([TWO_STEPS], DatasetConfig(validation=0, train_forced=True)).sheet
    assert sheet.hash == again.hash != other.hash


def test_white_space_and_case_do_not_make_another_goal() -> None:
    assert goal_hash("Count  the files\n") == goal_hash("count the files") != goal_hash("count the lines")
