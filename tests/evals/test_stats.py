from __future__ import annotations

import pytest

from autoagent.evals.stats import clustered_interval, mcnemar, newcombe, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (10, 100, 0.0552, 0.1744),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("before", "after", "low", "high"),
    [  # Newcombe 1998, table II, method 10
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((0, 10), (10, 10), 0.6075, 1.0),
    ],
)
def test_the_change_of_a_fraction_has_the_published_interval(
    before: tuple[int, int], after: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe(before, after) == pytest.approx((low, high), abs=5e-5)
    assert newcombe(after, before) == pytest.approx((-high, -low), abs=5e-5)


def test_a_change_from_nothing_is_unknown() -> None:
    assert newcombe((0, 0), (1, 2)) == (-1.0, 1.0)


def test_wilson_without_observations_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [
        (10, 2, 158 / 4096),  # 2 * (1 + 12 + 66) / 2**12
        (2, 10, 158 / 4096),
        (0, 5, 2 / 32),
        (6, 0, 2 / 64),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (1, 0, 1.0),
    ],
)
def test_mcnemar_is_the_exact_binomial_test(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == pytest.approx(p)


def test_mcnemar_takes_thousands_of_pairs() -> None:
    assert 0 < mcnemar(5200, 4800) < 1e-4


def test_the_bootstrap_of_independent_pairs_agrees_with_the_normal_approximation() -> None:
    differences = [1.0] * 30 + [0.0] * 60 + [-1.0] * 10  # mean 0.2, standard deviation 0.6
    low, high = clustered_interval(differences, range(100))
    assert (low, high) == pytest.approx((0.2 - 1.96 * 0.06, 0.2 + 1.96 * 0.06), abs=0.015)


def test_repetitions_of_a_task_do_not_narrow_the_bootstrap() -> None:
    differences = [1.0, 0.0, -1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    once = clustered_interval(differences, range(8))
    ten_times = clustered_interval(differences * 10, [*range(8)] * 10)
    assert ten_times == pytest.approx(once)
    as_if_independent = clustered_interval(differences * 10, range(80))
    assert as_if_independent[1] - as_if_independent[0] < (once[1] - once[0]) / 2


def test_the_bootstrap_is_the_same_each_time() -> None:
    assert clustered_interval([1.0, 0.0, -1.0], "abc") == clustered_interval([1.0, 0.0, -1.0], "abc")


def test_the_bootstrap_of_nothing_is_nothing() -> None:
    assert clustered_interval([], []) == (0.0, 0.0)
