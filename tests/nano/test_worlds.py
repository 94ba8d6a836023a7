"""The worlds of the embedded model: what it is trained on is true, and is what it will see at run time."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoagent import events
from autoagent.evals.check import TaskCheck
from autoagent.evals.runner import run_task
from autoagent.loop import Loop
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.engine import Engine, load_engine
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Model
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.nano import words
from autoagent.nano.data import as_text, demonstrations, encode, training_episode
from autoagent.nano.expert import Demonstration, NotShown, demonstrate
from autoagent.nano.export import to_transformers
from autoagent.nano.families import FAMILIES, Episode, Maker
from autoagent.nano.habits import HABITS, PROMPTS, known_builtins
from autoagent.nano.model import NanoModel, preset
from autoagent.nano.suites import builtin, smoke
from autoagent.nano.tokenizer import build_tokenizer, load_tokenizer
from autoagent.nano.words import Words, is_held_out, real_words
from autoagent.security import Policy
from autoagent.tools import Context, Toolbox
from autoagent.trajectory import ToolCall, Verdict

ROOT = Path(__file__).resolve().parents[2]


def shown_episodes(family: str, *, held_out: bool, folder: Path) -> Iterator[tuple[Episode, Demonstration]]:
    """Episodes of a family and what the expert did; those whose tool the ranking misses are left out."""
    make, _ = FAMILIES[family]
    for seed in range(1_000):
        rng = random.Random(f"{family} {seed}")
        episode = make(Maker.of(rng, held_out=held_out))
        try:
            yield episode, demonstrate(episode, folder / "world", rng=rng)
        except NotShown:
            continue


def said(demonstration: Demonstration) -> list[Line]:
    """The expert's lines as a script: the plan, then each call with its thought."""
    plan, *rest = (message for message in demonstration.messages if message.role == "assistant")
    lines: list[Line] = [json.loads(plan.content)]
    return [*lines, *((message.content, message.calls[0]) for message in rest)]


def replay(episode: Episode, shown: Demonstration, model: Model, folder: Path) -> tuple[Loop, Verdict]:
    """Let a model do the episode from the demonstration's first messages on, and run the task's check."""
    task, memory = episode.task, VolatileMemory()
    for text in task.memory:
        memory.add(text)
    tools = Toolbox([*(spec.build() for spec in task.tools), *known_builtins()]).shown_for(
        task.goal, at_most=HABITS.shown_tools, pinned=HABITS.pinned
    )
    observed = iter(message.content for message in shown.messages if message.role == "tool")
    workspace, check = task.lay_out(folder), TaskCheck(task.expected, memory)
    loop = Loop(
        session=model.open(shown.messages[:2], [each.schema for each in tools]),
        tools=tools,
        context=Context(workspace, memory, {"finetune": lambda note: next(observed)}),
        policy=Policy(approve=lambda request: True),
        prompts=PROMPTS,
    )
    for event in loop.events():
        check.watch(event)
    assert loop.ending is not None
    check.watch(events.Ended(ending=loop.ending, answer=loop.answer))
    return loop, check(workspace, loop.answer or "")


# --- the expert is right ---------------------------------------------------------------------------------


@pytest.mark.parametrize("held_out", [False, True], ids=["training words", "held-out words"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_reaches_its_goals_and_the_check_agrees(
    family: str, held_out: bool, tmp_path: Path
) -> None:
    found = shown_episodes(family, held_out=held_out, folder=tmp_path)
    for number in range(5):
        episode, shown = next(found)
        loop, verdict = replay(episode, shown, ScriptedModel(said(shown)), tmp_path / str(number))
        assert verdict.status == "verified", (episode.task.goal, verdict.reason)
        assert (loop.ending, loop.answer) == (shown.ending, shown.answer)


def test_a_goal_is_not_reached_by_finishing_at_once(tmp_path: Path) -> None:
    """The checks of the suite tell a run that did the work from one that only says so."""
    for task in smoke(7).tasks:
        if not task.expected.declines:
            nothing = ScriptedModel([["finish"], ToolCall(name="finish", arguments={"answer": "Done."})])
            assert not run_task(task, model=nothing).success, task.goal


def test_few_goals_are_out_of_the_rankings_reach() -> None:
    """What the ranking misses cannot be trained, and counts as lost in the suite."""
    rng, missed = random.Random("ranking"), 0
    for _ in range(300):
        _, episode = training_episode(rng)
        tools = [*(spec.build() for spec in episode.task.tools), *known_builtins()]
        shown = Toolbox(tools).shown_for(episode.task.goal, at_most=8)
        missed += any(action.tool not in shown for action in episode.actions)
    assert missed <= 9


def test_goals_are_whole_sentences() -> None:
    rng = random.Random("sentences")
    for _ in range(500):
        goal = training_episode(rng)[1].task.goal
        assert not re.search(r"[\[\]{}|\n]|  ", goal), goal
        assert goal == goal.strip()


# --- words are kept apart --------------------------------------------------------------------------------

POOLS = [
    *(words.NAMES, words.PLACES, words.FILE_WORDS, words.FOLDERS),
    *(words.SHOPPING, words.COLUMNS, words.THINGS),
]


@pytest.mark.parametrize("held_out", [False, True])
def test_every_word_is_drawn_from_its_side(held_out: bool) -> None:
    draw = Words(random.Random(0), held_out)
    for pool in (*POOLS, real_words()):
        assert {is_held_out(draw.pick(pool)) for _ in range(100)} == {held_out}
    for _ in range(300):
        for word in (draw.word(), draw.name(), draw.place(), draw.folder(), draw.column()):
            assert is_held_out(word) == held_out
        for part in re.findall("[a-z]+", draw.stem()):
            assert is_held_out(part) == held_out


def test_a_side_that_has_no_word_says_so() -> None:
    seen = [word for word in words.NAMES if not is_held_out(word)]
    with pytest.raises(LookupError):
        Words(random.Random(0), held_out=True).pick(seen)


def test_about_a_fifth_is_held_out_of_every_pool() -> None:
    shares = [sum(map(is_held_out, pool)) / len(pool) for pool in (*POOLS, real_words())]
    assert all(0.05 < share < 0.4 for share in shares)
    assert 0.15 < shares[-1] < 0.25


def parts(paths: Sequence[str]) -> set[str]:
    """The words of file names, without their endings."""
    return {part for path in paths for part in re.findall("[a-z]+", path.rpartition(".")[0])}


def test_training_never_sees_held_out_names_places_and_file_names() -> None:
    rng, goals, files = random.Random("leak"), set(), set()
    for _ in range(1_500):
        _, episode = training_episode(rng)
        goals |= set(re.findall(r"\w+", episode.task.goal))
        files |= parts(list(episode.task.files))
    kept = {word for word in (*words.NAMES, *words.PLACES) if is_held_out(word)}
    assert kept
    assert not goals & kept
    assert [word for word in sorted(files) if is_held_out(word)] == []


def test_the_suites_use_held_out_file_names_only() -> None:
    files = parts([name for seed in range(3) for task in builtin(seed).tasks for name in task.files])
    assert len(files) > 100
    assert [word for word in sorted(files) if not is_held_out(word)] == []


# --- data is the same every time -------------------------------------------------------------------------


def digest(seed: str) -> str:
    made = [repr((each.messages, each.tools)) for each in demonstrations(seed, 40)]
    return hashlib.sha256("".join(made).encode()).hexdigest()


def test_data_is_decided_by_the_seed_alone() -> None:
    assert digest("a") == digest("a")
    assert digest("a") != digest("b")
    other = subprocess.run(
        [sys.executable, "-c", "import test_worlds; print(test_worlds.digest('a'))"],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": f"{Path(__file__).parent}:{ROOT}"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert other.stdout.strip() == digest("a")


def test_suites_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert builtin(3, per_family=2) == builtin(3, per_family=2)
    goals = [{task.goal for task in builtin(seed, per_family=2).tasks} for seed in (3, 4)]
    assert len(goals[0] & goals[1]) < len(goals[0]) / 4
    assert {task.family for task in smoke().tasks} == set(FAMILIES)


# --- what is trained is what is seen at run time ---------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a tokenizer learned from demonstrations and random weights."""
    path = tmp_path_factory.mktemp("model")
    texts = [message.content for each in demonstrations("tokenizer", 150) for message in each.messages]
    tokenizer = build_tokenizer(texts, path, vocab_size=700)
    torch.manual_seed(0)
    shape = preset("tiny", len(tokenizer))
    to_transformers(shape, NanoModel(shape).state_dict(), tokenizer).save_pretrained(path)
    return path


class Led(Engine):
    """An engine whose next token is always the one that training text has there."""

    text: Sequence[int] = ()

    def logits(self, ids: Sequence[int], cache: Any, *, keep: int) -> NDArray[np.float32]:
        begin = cache.length
        rows = super().logits(ids, cache, keep=keep)
        end = begin + len(ids)
        assert list(ids) == list(self.text[begin:end])  # (T,)
        for row, place in zip(rows, range(end - keep + 1, end + 1), strict=True):
            row[self.text[place]] += 1e4
        return rows


@pytest.fixture(scope="module")
def led(folder: Path) -> LocalModel:
    plain = load_engine(folder, device="cpu", dtype="auto", trust_remote_code=False)
    return LocalModel(Led(plain.model, plain.tokenizer, folder), "led")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_demonstration_is_token_by_token_what_a_session_sees_and_says(
    led: LocalModel, family: str, tmp_path: Path
) -> None:
    episode, shown = next(shown_episodes(family, held_out=True, folder=tmp_path))
    tokenizer = led.engine.tokenizer
    text = as_text(shown, tokenizer)
    ids, mask = encode(text, tokenizer)
    led.engine.text = ids  # type: ignore[attr-defined]
    loop, verdict = replay(episode, shown, led, tmp_path / "again")
    assert verdict.status == "verified"
    assert (loop.ending, loop.answer) == (shown.ending, shown.answer)
    seen: list[int] = []
    made: list[int] = []
    for step in loop.steps:
        trace = step.reply.trace
        assert trace is not None
        assert trace.kept == len(seen)  # nothing is rendered anew
        seen += [*trace.prompt_ids, *trace.completion_ids]
        made += [0] * len(trace.prompt_ids) + [1] * len(trace.completion_ids)
    assert (seen, made) == (ids[: len(seen)], mask[: len(seen)])
    assert (tokenizer.decode(ids), tokenizer.decode(ids[len(seen) :])) == (text, "\n")
    assert sum(mask[len(seen) :]) == 0


def test_the_mask_covers_the_assistants_turns_and_nothing_else(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    for shown in demonstrations("mask", 30):
        text = as_text(shown, tokenizer)
        ids, mask = encode(text, tokenizer)
        turns = re.findall(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)", text, re.DOTALL)
        assert len(turns) == sum(message.role == "assistant" for message in shown.messages)
        learned = [token for token, chosen in zip(ids, mask, strict=True) if chosen]
        assert tokenizer.decode(learned) == "".join(turns)


def test_what_only_looks_like_a_turn_is_not_learned(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    _, mask = encode("<|im_start|>user\nassistant\nSay <|im_end|>\n<|im_start|>assistan<|im_end|>", tokenizer)
    assert sum(mask) == 0
