"""Tables, figures and memory: the expert is right, goals are varied, and idling is not taken for work."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autoagent import events
from autoagent.evals.check import TaskCheck
from autoagent.evals.task import Task
from autoagent.loop import Loop
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.nano.expert import Demonstration, demonstrate
from autoagent.nano.families import Kind, Maker, Split, figures, problems, recall, tables
from autoagent.nano.families.long_stories import LONG_STORIES
from autoagent.nano.families.numbers import has_words, in_words
from autoagent.nano.families.stories import STORIES
from autoagent.nano.habits import PROMPTS, known_builtins
from autoagent.nano.language import is_held_out_wording, surfaces
from autoagent.nano.words import Words
from autoagent.security import Policy
from autoagent.tools import Context, Toolbox
from autoagent.trajectory import ToolCall, Verdict

FAMILIES: dict[str, Kind] = {
    **tables.FAMILIES,
    **figures.FAMILIES,
    **problems.FAMILIES,
    **recall.FAMILIES,
}
SPLITS: tuple[Split, ...] = ("training", "values", "wordings")
ALL_TOOLS = 100  # shown to the expert: what the ranking leaves out is measured elsewhere


def said(demonstration: Demonstration) -> list[Line]:
    """The expert's lines as a script: the plan, then each call with its thought."""
    plan, *rest = (message for message in demonstration.messages if message.role == "assistant")
    lines: list[Line] = [json.loads(plan.content)]
    return [*lines, *((message.content, message.calls[0]) for message in rest)]


def carried_out(task: Task, script: Sequence[Line], folder: Path, memory: VolatileMemory) -> Verdict:
    """The verdict on a run that follows a script."""
    workspace, check = task.lay_out(folder), TaskCheck(task.expected, memory)
    loop = Loop(
        session=ScriptedModel(script).open((), ()),
        tools=Toolbox(known_builtins()),
        context=Context(workspace=workspace, memory=memory),
        policy=Policy(approve=lambda request: True),
        prompts=PROMPTS,
    )
    for event in loop.events():
        check.watch(event)
    assert loop.ending is not None
    check.watch(events.Ended(ending=loop.ending, answer=loop.answer))
    return check(workspace, loop.answer or "")


def remembering(texts: Sequence[str]) -> VolatileMemory:
    memory = VolatileMemory()
    for text in texts:
        memory.add(text)
    return memory


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_is_right_and_finishing_at_once_is_not(family: str, split: Split, tmp_path: Path) -> None:
    idle: list[Line] = [["finish"], ToolCall(name="finish", arguments={"answer": "Done."})]
    for seed in range(6):
        rng = random.Random(f"{family} {split} {seed}")
        episode = FAMILIES[family].make(Maker.of(rng, split))
        shown = demonstrate(episode, tmp_path / "world", rng=rng, shown=ALL_TOOLS)
        task = episode.task
        verdict = carried_out(task, said(shown), tmp_path / str(seed), remembering(task.memory))
        assert verdict.status == "verified", (task.goal, task.files, shown.answer, verdict.reason)
        nothing = carried_out(task, idle, tmp_path / f"idle {seed}", remembering(task.memory))
        assert nothing.status == "refuted", task.goal


@dataclass
class Listening(Maker):
    """Notes every pattern a user's words may come from."""

    heard: set[str] = field(default_factory=set)

    def say(self, *patterns: str, **values: object) -> str:
        self.heard.update(patterns)
        return super().say(*patterns, **values)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_worded_in_many_ways_on_both_sides_of_the_split(family: str) -> None:
    heard: set[str] = set()
    for seed in range(120):
        rng = random.Random(f"wordings {seed}")
        FAMILIES[family].make(Listening(rng, Words(rng), heard=heard))
    held_out = [pattern for pattern in heard if is_held_out_wording(pattern)]
    assert len(heard) >= 10
    assert 2 <= len(held_out) <= len(heard) - 2
    if FAMILIES[family].share >= 3:  # the common ones
        assert sum(map(surfaces, heard)) >= 200


def test_every_kind_of_story_is_told_on_both_sides_of_the_split() -> None:
    """So that a wording that was held out asks for nothing that was never trained."""
    for story in (*STORIES, *LONG_STORIES):
        assert {is_held_out_wording(telling) for telling in story.tellings} == {True, False}, story.expression


def test_stories_ask_for_whole_shares_and_nothing_below_zero() -> None:
    for seed in range(300):
        episode = FAMILIES["problem"].make(Maker.of(random.Random(seed)))
        answer = episode.task.expected.answer
        assert answer is not None
        assert float(answer) >= 0, episode.task.goal


@pytest.mark.parametrize("family", FAMILIES)
def test_goals_hold_no_pattern_signs(family: str) -> None:
    for seed in range(60):
        goal = FAMILIES[family].make(Maker.of(random.Random(seed))).task.goal
        assert not re.search(r"[\[\]{}|\n]|  ", goal), goal


def test_what_one_run_saves_is_asked_for_in_a_later_one(tmp_path: Path) -> None:
    episode = FAMILIES["remember_later"].make(Maker.of(random.Random(3), "values"))
    memory = remembering(episode.task.memory)
    later = episode.later[0]
    assert [each.goal for each in episode.task.follow_ups] == [later.task.goal]
    query = later.actions[0].resolve(())
    script: list[Line] = [["save"], ToolCall(name="save_memory", arguments=episode.actions[0].resolve(()))]
    script.append(ToolCall(name="finish", arguments={"answer": "Saved."}))
    assert carried_out(episode.task, script, tmp_path / "a", memory).status == "verified"
    found = str(later.task.expected.answer)
    ask: list[Line] = [["recall"], ToolCall(name="recall_memory", arguments=query)]
    ask.append(ToolCall(name="finish", arguments={"answer": found}))
    assert carried_out(later.task, ask, tmp_path / "b", memory).status == "verified"
    assert any(found in each.text for each in memory.recall(query["query"], 3))


@pytest.mark.parametrize(
    ("number", "words"),
    [(7, "seven"), (40, "forty"), (42, "forty-two"), (100, "one hundred"), (12_000, "twelve thousand")],
)
def test_numbers_are_written_in_words(number: int, words: str) -> None:
    assert has_words(number)
    assert in_words(number) == words


@pytest.mark.parametrize("number", [101, 1_234, 0.5, -3, 21_000])
def test_long_numbers_stay_in_digits(number: float) -> None:
    assert not has_words(number)
