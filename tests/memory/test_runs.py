"""What runs leave in memory, and what is recalled unasked."""

from __future__ import annotations

from typing import Any

import pytest

from autoagent.memory import recall_block, remember_run
from autoagent.memory.runs import source_of
from autoagent.memory.volatile import VolatileMemory
from autoagent.trajectory import Observation, Reply, Step, ToolCall, Trajectory, Verdict


def a_run(goal: str = "What is 6 * 7?", id: str = "r1", status: Any = "verified", **facts: Any) -> Trajectory:
    acts = [
        Step(index=n, reply=Reply(text=""), observations=(Observation(call=ToolCall(name=name), content=""),))
        for n, name in enumerate(("calculate", "finish"), start=1)
    ]
    whole: dict[str, Any] = {
        "run_id": id, "goal": goal, "model": "m", "plan": ("calculate the product", "finish"),
        "steps": tuple(acts), "answer": "42", "ending": "finished", "verdict": Verdict(status=status),
    }  # fmt: skip
    return Trajectory(**(whole | facts))


def kept(memory: VolatileMemory, kind: str) -> list[str]:
    return [entry.text for entry in memory.entries(kind)]


def test_a_verified_run_leaves_how_it_went_and_its_plan() -> None:
    memory = VolatileMemory()
    ids = remember_run(memory, a_run())
    assert kept(memory, "episodic") == ["What is 6 * 7? — finished, verified. Answer: 42"]
    assert kept(memory, "procedural") == [
        "What is 6 * 7? — this plan was verified: 1. calculate the product; 2. finish. Tools: calculate."
    ]
    assert {each.id for each in memory.recall("6 * 7")} == set(ids)
    assert {entry.source for entry in memory.entries()} == {source_of("r1")}


def test_a_plan_that_was_not_verified_is_no_procedure() -> None:
    memory = VolatileMemory()
    remember_run(memory, a_run(verdict=Verdict(status="refuted", reason="it is 43")))
    assert kept(memory, "procedural") == []
    assert kept(memory, "episodic") == [
        "What is 6 * 7? — finished, refuted. Refuted because: it is 43. Answer: 42"
    ]


def test_judging_a_run_later_replaces_what_was_kept_of_it() -> None:
    memory = VolatileMemory()
    remember_run(memory, a_run(status="verified"))
    remember_run(memory, a_run(status="refuted"))
    assert memory.count() == 1
    assert memory.forget(source=source_of("r1")) == 1


def test_of_several_runs_of_one_goal_the_latest_is_kept() -> None:
    memory = VolatileMemory()
    for number in range(30):
        remember_run(memory, a_run(id=f"r{number}", answer=str(number)))
        remember_run(memory, a_run("How many files are there?", id=f"s{number}"))
    assert sorted(kept(memory, "episodic")) == [
        "How many files are there? — finished, verified. Answer: 42",
        "What is 6 * 7? — finished, verified. Answer: 29",
    ]
    assert memory.count() == 4


@pytest.mark.parametrize("facts", [{"ending": None}, {"parent": "r0"}])
def test_unfinished_and_delegated_runs_leave_nothing(facts: dict[str, Any]) -> None:
    memory = VolatileMemory()
    assert remember_run(memory, a_run(**facts)) == []
    assert memory.count() == 0


def test_long_goals_and_answers_are_cut_and_stay_on_one_line() -> None:
    memory = VolatileMemory()
    remember_run(memory, a_run("Sum up\nthis: " + "word " * 500, answer="long " * 500))
    [text] = kept(memory, "episodic")
    assert len(text) < 700
    assert "\n" not in text


FACTS = (
    "the wifi password is 4411",
    "Anna's birthday is on March 3",
    "the backup runs every night at two",
    "invoices go to billing@example.org",
)


def test_only_what_fits_is_recalled_unasked() -> None:
    memory = VolatileMemory()
    for fact in FACTS:
        memory.add(fact)
    assert [each.text for each in recall_block(memory, "What is the wifi password?")] == [FACTS[0]]
    assert [each.text for each in recall_block(memory, "When is Anna's birthday?")] == [FACTS[1]]
    for goal in ("What is 17 * 23?", "List the files of this folder", "Is it going to rain at two?"):
        assert recall_block(memory, goal) == []


def test_an_earlier_run_of_the_same_goal_is_recalled_unasked() -> None:
    memory = VolatileMemory()
    remember_run(memory, a_run("Write the total of sales.csv to total.txt", answer="Done."))
    kinds = {each.kind for each in recall_block(memory, "Write the total of sales.csv to total.txt")}
    assert kinds == {"episodic", "procedural"}


def test_what_says_the_same_is_recalled_once_and_everything_is_bounded() -> None:
    memory = VolatileMemory()
    memory.add("the door code is 1111", source="a")
    memory.add("the door code is 1111", source="b")
    memory.add("the door code: 1111")
    assert len(recall_block(memory, "what is the door code")) == 1
    for number in range(6):
        memory.add(f"the door code of house {number} is here: " + f"word{number} " * 200)
    found = recall_block(memory, "what is the door code of the house", k=5, max_chars=400)
    assert 1 < len(found) <= 5
    assert sum(len(each.text) for each in found) <= 400


def test_a_sentence_of_a_long_document_is_enough() -> None:
    memory = VolatileMemory()
    memory.add(
        "Our handbook.\n" + "Something else entirely stands here. " * 10 + "\nThe office opens at nine."
    )
    assert len(recall_block(memory, "When does the office open?")) == 1
