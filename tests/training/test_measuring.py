"""What the gate of one round measured, the gate of the next takes as it is."""

from __future__ import annotations

import pytest

from autoagent.training.gate import GateConfig, GateReport, gate
from autoagent.training.measuring import Measurements

from .test_gate import ALL, speaker, tasks

OTHERS = tasks(20, ("others",))


def compare(known: Measurements, names: tuple[str, str], **change: int) -> tuple[GateReport, list[str]]:
    """The first reaches five goals, the second all; which runs were shown."""
    shown: list[str] = []
    report = gate(
        speaker(names[0], range(5)),
        speaker(names[1], ALL),
        tasks(20),
        trained=(),
        config=GateConfig(complete=False, **change),
        forgetting=OTHERS,
        on_result=lambda who, number, total, result: shown.append(who),
        known=known,
        hashes=names,
    )
    return report, shown


def test_a_version_that_was_measured_is_not_measured_again_after_its_promotion() -> None:
    known: Measurements = []
    first, _ = compare(known, ("a", "b"))
    second, shown = compare(known, ("b", "c"))  # this "b" would reach five goals only
    assert (first.old.passed, first.new.passed, second.old.passed, second.new.passed) == (5, 20, 20, 20)
    assert (first.promoted, second.promoted) == (True, False)
    assert shown == ["old"] * 20 + ["new"] * 20  # progress tells of all goals, as ever
    assert {each.asked[0] for each in known} == {"b", "c"}


@pytest.mark.parametrize("change", [{"seed": 7}, {"seeds": 2}, {"tasks": 12}])
def test_other_goals_seeds_or_weights_are_measured(change: dict[str, int]) -> None:
    known: Measurements = []
    compare(known, ("a", "b"))
    assert compare(known, ("b", "c"), **change)[0].old.passed == 5 * change.get("seeds", 1)
    assert compare(known, ("other", "c"))[0].old.passed == 5


def test_what_a_gate_leaves_out_is_still_known_in_the_next() -> None:
    known: Measurements = []
    compare(known, ("a", "b"))
    compare(known, ("b", "c"))  # refused on its goals: the other goals are left out
    assert ("b", OTHERS) in [(name, suite) for name, suite, *_ in (each.asked for each in known)]
