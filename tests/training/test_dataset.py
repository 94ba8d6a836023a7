"""Examples are the tokens the model saw and sampled, and nothing else."""

from __future__ import annotations

import pytest

from autoagent.errors import ConfigError
from autoagent.training.dataset import (
    DatasetConfig,
    DataSheet,
    Example,
    build_dataset,
    goal_hash,
    pairs,
)
from autoagent.trajectory import Reply, Step, TokenTrace, Trajectory, Verdict

GOOD = Verdict(status="verified", score=1.0, by="check")
BAD = Verdict(status="refuted", score=0.0, by="check")
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
    assert "1 run was too long" in sheet.summary()


def test_no_goal_is_in_both_parts_and_every_goal_is_in_one() -> None:
    runs = [
        run(trace(0, [1], [n, sample], "ss"), goal=f"goal {n}", name=f"r{n}-{sample}")
        for n in range(60)
        for sample in range(2)
    ]
    data = build_dataset(runs, DatasetConfig(validation=0.25, test=0))
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


def test_refuted_runs_become_negatives_as_exactly_as_verified_ones_become_examples() -> None:
    wrong = run(trace(0, [1, 2], [20, END], "sf"), trace(4, [3], [21], "f"), verdict=BAD, name="wrong")
    data = build_dataset([TWO_STEPS], DatasetConfig(validation=0), negatives=[wrong], end_ids=[END])
    (negative,) = data.negatives.train
    assert (negative.ids, negative.mask) == ((1, 2, 20, END, 3, 21), (0, 0, 1, 1, 0, 0))
    assert (negative.good, negative.run_id, data.train[0].good) == (False, "wrong", True)
    assert (data.sheet.runs, data.sheet.negative_runs) == (("r1",), ("wrong",))


def test_verified_and_refuted_runs_keep_to_their_sides() -> None:
    wrong, unknown = (
        run(trace(0, [1], [5], "s"), verdict=BAD),
        run(trace(0, [1], [6], "s"), verdict=Verdict()),
    )
    twin = TWO_STEPS.model_copy(update={"verdict": BAD})
    data = build_dataset([TWO_STEPS], DatasetConfig(validation=0), negatives=[TWO_STEPS, unknown, twin])
    assert data.negatives.train == ()
    assert data.sheet.refused == {
        "were not refuted": 2,
        "were refuted, but repeated a verified run token by token": 1,
    }
    assert build_dataset([wrong]).train == ()


def test_a_pair_trains_only_what_comes_after_the_first_difference() -> None:
    good = run(trace(0, [1, 2], [10, 11], "ss"), trace(4, [3], [12, 13], "ss"), name="good")
    wrong = run(trace(0, [1, 2], [10, 11], "ss"), trace(4, [3], [12, 19], "ss"), verdict=BAD, name="wrong")
    data = build_dataset([good], DatasetConfig(validation=0), negatives=[wrong])
    ((chosen, rejected),) = pairs(data)
    assert (chosen.ids, chosen.mask) == ((1, 2, 10, 11, 3, 12, 13), (0, 0, 0, 0, 0, 0, 1))
    assert (rejected.ids, rejected.mask) == ((1, 2, 10, 11, 3, 12, 19), (0, 0, 0, 0, 0, 0, 1))
    assert (chosen.good, rejected.good) == (True, False)
    assert data.negatives.train[0].mask == (0, 0, 1, 1, 0, 1, 1)  # the example itself stays whole
    assert data.sheet.train.pairs == 1


def test_the_prompt_is_untrained_in_a_pair_also_where_it_differs() -> None:
    good = run(trace(0, [1, 2, 7], [10], "s"), name="good")
    other = run(trace(0, [1, 8], [11, 12], "sf"), verdict=BAD, name="other")
    ((chosen, rejected),) = pairs(build_dataset([good], DatasetConfig(validation=0), negatives=[other]))
    assert (chosen.mask, rejected.mask) == ((0, 0, 0, 1), (0, 0, 1, 0))


def test_a_run_that_only_stopped_earlier_is_no_partner() -> None:
    good = run(trace(0, [1], [10, 11], "ss"), name="good")
    cut = run(trace(0, [1], [10], "s"), verdict=BAD, name="cut")
    assert pairs(build_dataset([good], DatasetConfig(validation=0), negatives=[cut])) == ()


def test_runs_in_several_sequences_are_paired_where_they_part() -> None:
    good = run(trace(0, [1, 2], [10, 11], "ss"), trace(3, [4], [12], "s"), name="good")
    bad = run(trace(0, [1, 2], [10, 11], "ss"), trace(3, [4], [13], "s"), verdict=BAD, name="bad")
    ((chosen, rejected),) = pairs(build_dataset([good], DatasetConfig(validation=0), negatives=[bad]))
    assert (chosen.ids, rejected.ids) == ((1, 2, 10, 4, 12), (1, 2, 10, 4, 13))
    assert chosen.mask == rejected.mask == (0, 0, 0, 0, 1)


def test_pairs_are_of_one_goal_bounded_and_spread_over_the_runs() -> None:
    good = [run(trace(0, [1], [10, n], "ss"), name=f"g{n}") for n in range(4)]
    bad = [run(trace(0, [1], [20, n], "ss"), verdict=BAD, name=f"b{n}") for n in range(4)]
    near = run(trace(0, [1], [10, 9], "ss"), verdict=BAD, name="near")
    elsewhere = run(trace(0, [1], [30], "s"), goal="another goal", verdict=BAD, name="elsewhere")
    five = DatasetConfig(validation=0, pairs_per_goal=5)
    data = build_dataset(good, five, negatives=[*bad, near, elsewhere])
    made = [(chosen.run_id, rejected.run_id) for chosen, rejected in pairs(data)]
    assert made == [("g0", "b0"), ("g1", "b1"), ("g2", "b2"), ("g3", "b3"), ("g0", "near")]
    none = build_dataset(good, DatasetConfig(validation=0, pairs_per_goal=0), negatives=bad)
    assert (pairs(none), none.sheet.train.pairs) == ((), 0)


def test_a_run_is_paired_with_the_one_it_branches_off() -> None:
    far = run(trace(0, [1], [20, 21, 22], "sss"), name="far")
    near = run(trace(0, [1], [10, 11, 12], "sss"), name="near")
    branch = run(trace(0, [1], [10, 11, 19], "sss"), verdict=BAD, name="branch")
    data = build_dataset([far, near], DatasetConfig(validation=0, pairs_per_goal=1), negatives=[branch])
    assert [chosen.run_id for chosen, _ in pairs(data)] == ["near"]


def many(goals: int, *, verdict: Verdict = GOOD, words: str = "do the thing called") -> list[Trajectory]:
    return [
        run(trace(0, [1], [n, len(words)], "ss"), goal=f"{words} {n}", verdict=verdict, name=f"{words} {n}")
        for n in range(goals)
    ]


def test_a_test_part_is_kept_back_once_there_are_enough_goals() -> None:
    data = build_dataset(many(60), negatives=many(60, verdict=BAD, words="Do the other thing"))
    names = ("train", "validation", "test")
    parts = [
        {example.goal for example in (*getattr(data, name), *getattr(data.negatives, name))} for name in names
    ]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts)) == 120
    assert len(parts[2]) < 30
    sheet = data.sheet
    assert (sheet.train.goals, sheet.validation.goals, sheet.test.goals) == tuple(map(len, parts))
    assert sheet.goals == tuple(sorted(parts[0]))
    assert (sheet.train.examples, sheet.train.negatives) == (len(data.train), len(data.negatives.train))
    assert build_dataset(many(99)).test == ()
    assert build_dataset(many(120), DatasetConfig(test=0)).test == ()


def test_what_measures_does_not_change_with_what_else_there_is() -> None:
    few, more = (build_dataset(many(count), DatasetConfig(test=0.2)) for count in (40, 60))
    assert {example.goal for example in few.test} < {example.goal for example in more.test}
    assert {example.goal for example in few.validation} <= {example.goal for example in more.validation}


def test_goals_learned_from_before_measure_nothing() -> None:
    known = [goal_hash(each.goal) for each in many(60)[:40]]
    data = build_dataset(many(60), DatasetConfig(validation=0.2, test=0.2), trained=known)
    assert not set(known) & {example.goal for example in (*data.validation, *data.test)}
    assert data.test


def test_a_measure_that_was_trained_on_before_is_said_to_be_missing() -> None:
    known = [goal_hash(each.goal) for each in many(40)]
    first = build_dataset(many(40), trained=known).sheet.warnings[0]
    assert first.endswith("of 40 goals, those meant for it were learned from before.")


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"validation 0\.5 and test 0\.5 leave no goal to train on"):
        DatasetConfig(validation=0.5, test=0.5)


def test_the_sheet_says_in_words_what_speaks_against_the_data() -> None:
    (one,) = build_dataset([TWO_STEPS], DatasetConfig(validation=0, test=0)).sheet.warnings
    assert one.startswith("All examples are of one goal")
    few = [run(trace(0, [1], [n], "s"), goal=words, name=words) for n, words in enumerate(["list it", "add"])]
    assert build_dataset(few).sheet.warnings == (
        "No goal is kept back to measure the loss on: 2 are too few for a split. "
        "Collect runs of 20 goals or more.",
    )
    split = DatasetConfig(test=0.1)
    (alike,) = build_dataset(many(30), split).sheet.warnings
    assert "of one family (do the thing called …)" in alike
    assert build_dataset([*many(30), *few], split).sheet.warnings == ()
    (untested,) = build_dataset([*many(30), *few]).sheet.warnings
    assert untested.startswith("No goal is kept back for a test: 32 are too few, 100 would do.")


def test_the_hash_covers_every_part_and_the_order() -> None:
    bad, plain = many(3, verdict=BAD), DatasetConfig(validation=0)
    hashes = [
        build_dataset(good, config, negatives=negatives).sheet.hash
        for good, config, negatives in (
            (many(12), plain, ()),
            (many(12)[::-1], plain, ()),
            (many(12), DatasetConfig(validation=0.5), ()),
            (many(3, words="do this"), plain, bad),
            (many(3, words="do this"), plain, bad[:2]),
        )
    ]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == build_dataset(many(12), plain).sheet.hash


def test_the_sheet_of_an_older_version_is_still_read() -> None:
    old = {"runs": ["r1"], "goals": ["00"], "examples": 1, "tokens": 8, "trained_tokens": 3, "hash": "ab"}
    sheet = DataSheet.model_validate(old)
    assert (sheet.runs, sheet.train.pairs, sheet.solved.goals, sheet.warnings) == (("r1",), 0, 0, ())
    assert DataSheet.model_validate_json(sheet.model_dump_json()) == sheet


def test_the_sheet_counts_goals_by_how_often_they_were_reached() -> None:
    again = run(trace(0, [1], [50], "s"), name="again", verdict=BAD)
    sheet = build_dataset([TWO_STEPS], DatasetConfig(validation=0), negatives=[again]).sheet
    assert (sheet.solved.sometimes, sheet.solved.pass_1, sheet.solved.pass_k) == (1, 0.5, 1.0)


def test_data_from_outside_trains_beside_runs_and_is_counted_apart() -> None:
    chat = Example(ids=(1, 60, 61), mask=(0, 1, 1), run_id="", goal=goal_hash("hi"), source="chats.jsonl:4")
    data = build_dataset([TWO_STEPS], DatasetConfig(validation=0), outside=[chat, chat])
    assert (data.sheet.examples, data.sheet.runs, data.sheet.outside) == (2, ("r1",), {"chats.jsonl": 1})
    assert data.sheet.refused == {"from outside repeated another run token by token": 1}
