"""Goal families of files and text: the expert reaches them, their checks are strict, their wordings many."""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autoagent import events
from autoagent.evals.check import TaskCheck
from autoagent.memory.volatile import VolatileMemory
from autoagent.nano.expert import Demonstration, NotShown, demonstrate
from autoagent.nano.families import Episode, Maker, Split, files, text
from autoagent.nano.families.base import Clause
from autoagent.nano.families.chain import join
from autoagent.nano.language import is_held_out_wording, surfaces
from autoagent.nano.words import Words
from autoagent.trajectory import Verdict
from autoagent.workspace import Workspace

FAMILIES = {**files.FAMILIES, **text.FAMILIES}
PARTS = {name: kind.part for name, kind in FAMILIES.items() if kind.part is not None}
SPLITS: tuple[Split, ...] = ("training", "values", "wordings")


def episodes(family: str, split: Split, folder: Path) -> Iterator[tuple[Episode, Demonstration]]:
    """Episodes and what the expert did; those whose tool the ranking misses are left out."""
    for seed in range(200):
        rng = random.Random(f"{family} {split} {seed}")
        episode = FAMILIES[family].make(Maker.of(rng, split))
        try:
            yield episode, demonstrate(episode, folder, rng=rng)
        except NotShown:
            continue


def verdict(episode: Episode, folder: Path, ending: str, answer: str) -> Verdict:
    """What the check of the task says of the world in ``folder``."""
    check = TaskCheck(episode.task.expected, VolatileMemory())
    check.watch(events.Ended(ending=ending, answer=answer))  # type: ignore[arg-type]
    return check(Workspace.at(folder), answer)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_reaches_the_goal_and_finishing_at_once_does_not(
    family: str, split: Split, tmp_path: Path
) -> None:
    found = episodes(family, split, tmp_path / "world")
    for number in range(2):
        episode, shown = next(found)
        said = verdict(episode, tmp_path / "world", shown.ending, shown.answer)
        assert said.status == "verified", (episode.task.goal, said.reason)
        untouched = tmp_path / str(number)
        episode.task.lay_out(untouched)
        assert verdict(episode, untouched, "finished", "Done.").status == "refuted", episode.task.goal


@pytest.mark.parametrize("family", PARTS)
def test_the_parts_of_a_goal_do_not_disturb_each_other(family: str, tmp_path: Path) -> None:
    """Each family before and after others in one world, which none of them has to itself."""
    for seed in range(3):
        rng = random.Random(f"chain {family} {seed}")
        make = Maker.of(rng)
        names = [family, *rng.sample(list(PARTS), 2)]
        rng.shuffle(names)
        clauses = [PARTS[name](make) for name in names]
        words = [clause.words for clause in clauses]
        whole = make.whole(join(clauses, ", then ".join(words), words))
        try:
            shown = demonstrate(whole, tmp_path / "world", rng=rng, shown=99)
        except NotShown:
            continue
        said = verdict(whole, tmp_path / "world", shown.ending, shown.answer)
        assert said.status == "verified", (names, whole.task.goal, said.reason)


def test_a_goal_of_several_parts_is_planned_in_its_own_words(tmp_path: Path) -> None:
    rng = random.Random("parts")
    make = Maker.of(rng)
    clauses = [PARTS[name](make) for name in ("edit", "count_lines")]
    words = [clause.words for clause in clauses]
    shown = demonstrate(make.whole(join(clauses, ", then ".join(words), words)), tmp_path / "world", rng=rng)
    said = [message for message in shown.messages if message.role == "assistant"]
    plan = json.loads(said[0].content)["plan"]
    assert len(plan) == 2
    for number, (sub_goal, part) in enumerate(zip(plan, words, strict=True), start=1):
        assert part.startswith(sub_goal)
        assert said[number].content.startswith(f"{number}. {sub_goal}: ")


@pytest.mark.parametrize("family", PARTS)
def test_what_is_told_is_known_beforehand(family: str) -> None:
    for seed in range(20):
        clause: Clause = PARTS[family](Maker.of(random.Random(seed)))
        assert clause.tells == bool(clause.value)
        assert clause.tells != bool(clause.expected.files)
        assert clause.words == clause.words.strip().rstrip("."), clause.words
        assert not re.search(r"[\[\]|\n]| {2}", clause.words.replace("[0]", "").replace("[1]", "")) or (
            family in ("fill_template", "json_value")
        ), clause.words


# --- wordings --------------------------------------------------------------------------------------------


@dataclass
class Listener(Maker):
    """Notes which patterns a family says."""

    heard: set[tuple[str, ...]] = field(default_factory=set)

    def say(self, *patterns: str, **values: object) -> str:
        self.heard.add(patterns)
        return super().say(*patterns, **values)


@functools.cache
def patterns_of(family: str) -> set[tuple[str, ...]]:
    heard: set[tuple[str, ...]] = set()
    for seed in range(40):
        rng = random.Random(seed)
        make = Listener(rng, Words(rng))
        FAMILIES[family].make(make)
        heard |= make.heard
    return heard


COMMON = [name for name, kind in FAMILIES.items() if kind.share >= 2]


@pytest.mark.parametrize("family", COMMON)
def test_common_families_can_be_worded_in_two_hundred_ways(family: str) -> None:
    assert sum(surfaces(pattern) for patterns in patterns_of(family) for pattern in patterns) >= 200


@pytest.mark.parametrize("family", FAMILIES)
def test_every_set_of_wordings_has_some_kept_for_measuring(family: str) -> None:
    for patterns in patterns_of(family):
        assert len(set(patterns)) == len(patterns)
        kept = sum(map(is_held_out_wording, patterns))
        assert 2 <= kept <= len(patterns) // 2, (kept, patterns[0])
