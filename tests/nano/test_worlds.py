"""The worlds of the embedded model: what it is trained on is true, and is what it will see at run time."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoagent.config import Sampling
from autoagent.evals.runner import run_task
from autoagent.models.engine import Engine, load_engine
from autoagent.models.local import LocalModel
from autoagent.models.protocol import Calls, Json
from autoagent.models.scripted import ScriptedModel
from autoagent.models.versions import WEIGHTS
from autoagent.nano import words
from autoagent.nano.data import as_text, demonstrations, encode, training_episode
from autoagent.nano.expert import Demonstration, Expert, NotShown, demonstrate, offered
from autoagent.nano.export import to_transformers
from autoagent.nano.families import FAMILIES, Episode, Maker, Split
from autoagent.nano.families.base import is_held_out_combination
from autoagent.nano.families.several import blueprints
from autoagent.nano.families.singles import draw
from autoagent.nano.habits import FOLDER
from autoagent.nano.model import NanoModel, preset
from autoagent.nano.suites import builtin, smoke
from autoagent.nano.tokenizer import build_tokenizer, load_tokenizer
from autoagent.nano.words import Words, is_held_out, real_words
from autoagent.plan import SCHEMA
from autoagent.trajectory import Message, Reply, ToolCall

CASES = [(family, split) for family, kind in FAMILIES.items() for split in ("training", *kind.splits)]
ROOT = Path(__file__).resolve().parents[2]


def shown_episodes(family: str, split: Split, folder: Path) -> Iterator[tuple[Episode, Demonstration]]:
    """Episodes of a family and what the expert did; those whose tool the ranking misses are left out."""
    for seed in range(1_000):
        rng = random.Random(f"{family} {split} {seed}")
        episode = FAMILIES[family].make(Maker.of(rng, split))
        try:
            yield episode, demonstrate(episode, folder / "world", rng=rng)
        except NotShown:
            continue


# --- the expert is right, and what it does in an agent is what is trained ----------------------------------


def without_date(messages: Sequence[Message]) -> list[Message]:
    system, *rest = messages
    bare = re.sub(r"Today is [\d-]+", "Today", system.content)
    return [Message(role="system", content=bare), *rest]


@pytest.mark.parametrize(("family", "split"), CASES)
def test_the_expert_reaches_its_goals_and_training_sees_the_same_conversation(
    family: str, split: Split, tmp_path: Path
) -> None:
    """By the front door: an agent, its own choice of tools, its memory, its helpers, and the task's check."""
    for number, (episode, shown) in zip(range(1), shown_episodes(family, split, tmp_path), strict=False):
        expert = Expert(episode)
        result = run_task(episode.task.model_copy(update={"id": str(number)}), model=expert)
        assert result.success, (episode.task.goal, result.verdict.reason)
        first = expert.sessions[0]
        if family == "learn":  # what the training says differs
            continue
        assert without_date(first.messages) == without_date(shown.messages)[: len(first.messages)]
        assert len(shown.messages) == len(first.messages)
        assert first.tools == list(shown.tools)


def test_a_goal_is_not_reached_by_finishing_at_once() -> None:
    """The checks of the suite tell a run that did the work from one that only says so."""
    for task in smoke(7).tasks:
        if not task.expected.declines:
            nothing = ScriptedModel([["finish"], ToolCall(name="finish", arguments={"answer": "Done."})])
            assert not run_task(task, model=nothing).success, task.goal


@pytest.mark.parametrize("family", ["custom_several", "one_after_another", "keep_result"])
def test_a_custom_tool_called_with_other_values_does_not_reach_the_goal(family: str) -> None:
    tried = 0
    for seed in range(600):
        episode = FAMILIES[family].make(Maker.of(random.Random(f"{family} other values {seed}"), "seen"))
        spoiled = with_other_values(episode)
        if spoiled is not None and run_task(episode.task, model=Expert(episode)).success:
            assert not run_task(episode.task, model=Expert(spoiled)).success, episode.task.goal
            tried += 1
        if tried == 3:
            return
    raise AssertionError("no goals with a custom tool of several arguments")


def with_other_values(episode: Episode) -> Episode | None:
    """The same with other texts for a custom tool that answers whatever it is given, if there is one."""
    talkative = {tool.name: tool.arguments for tool in episode.task.tools if tool.arguments}
    for number, action in enumerate(episode.actions):
        about = talkative.get(action.tool)
        if about is None or callable(action.arguments):
            continue
        texts = [name for name in action.arguments if about[name].type == "text"]
        if texts:
            other = replace(action, arguments=dict(action.arguments) | {texts[0]: "zzz"})
            return replace(
                episode, actions=(*episode.actions[:number], other, *episode.actions[number + 1 :])
            )
    return None


def test_few_goals_are_out_of_the_rankings_reach() -> None:
    """What the ranking misses cannot be trained, and counts as lost in the suite."""
    rng, missed = random.Random("ranking"), 0
    for _ in range(400):
        _, episode = training_episode(rng)
        shown = offered(episode.task)
        missed += any(action.tool not in shown for action in episode.actions)
    assert missed <= 24


def test_cut_words_are_the_same_text_cut_alike_wherever_a_word_stands() -> None:
    tokenizer = load_tokenizer(WEIGHTS)
    more = 0
    for number, shown in enumerate(demonstrations("cut", 30)):
        text = as_text(shown, tokenizer)
        whole, said = encode(text, tokenizer)
        ids, mask = encode(text, tokenizer, random.Random(number))
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(chosen(ids, mask)) == tokenizer.decode(chosen(whole, said))
        more += len(ids) - len(whole)
        assert ids == encode(text, tokenizer, random.Random(number))[0]
    assert more > 100


def test_a_word_is_cut_alike_in_the_goal_and_in_the_call() -> None:
    tokenizer = load_tokenizer(WEIGHTS)
    goal = "<|im_start|>user\nGoal: Look for honeycomb<|im_end|>\n"
    call = "<|im_start|>assistant\nLook at it: honeycomb, marmalade<|im_end|>\n"
    seen = set()
    for seed in range(40):
        ids, mask = encode(goal + call, tokenizer, random.Random(seed))
        pieces = tokenizer.convert_ids_to_tokens(ids)
        heard, said = pieces[: mask.index(1)], pieces[mask.index(1) :]
        cut = heard[heard.index("Ġ", heard.index("for")) + 1 : heard.index("<|im_end|>")]
        at = said.index(":") + 2
        assert said[at : at + len(cut)] == cut
        seen.add(tuple(cut))
        assert "Look" in heard  # built-in tools have it, too
        assert said[-5:] == tokenizer.convert_ids_to_tokens(encode(goal + call, tokenizer)[0])[-5:]
    assert len(seen) > 5


def chosen(ids: Sequence[int], mask: Sequence[int]) -> list[int]:
    return [token for token, said in zip(ids, mask, strict=True) if said]


def test_training_knows_runs_with_nobody_to_ask() -> None:
    """As where there is no terminal; among the goals that it can reach, too."""
    rng, alone = random.Random("alone"), set[str]()
    for _ in range(400):
        family, episode = training_episode(rng)
        if not episode.task.ask:
            assert "ask_user" not in offered(episode.task)
            assert all(action.tool != "ask_user" for action in episode.actions)
            if not episode.declines:
                alone.add(family)
    assert len(alone) > 20


def test_goals_are_whole_sentences() -> None:
    rng = random.Random("sentences")
    for _ in range(500):
        goal = training_episode(rng)[1].task.goal
        assert goal == goal.strip()
        assert goal


@pytest.mark.parametrize("group", sorted({kind.group for kind in FAMILIES.values()}))
def test_every_family_has_wordings_on_both_sides_of_the_split(group: str) -> None:
    """Goals of the held-out side are worded by other patterns than those of training, in most cases."""
    for family, kind in FAMILIES.items():
        if kind.group != group or "wordings" not in kind.splits:
            continue
        drawn: dict[Split, set[str]] = {"training": set(), "wordings": set()}
        for split, goals in drawn.items():
            for seed in range(30):
                make = Maker.of(random.Random(f"both {seed}"), split)
                make.words.held_out = False  # so that only the wording tells
                goals.add(kind.make(make).task.goal)
        assert not drawn["training"] & drawn["wordings"] or len(drawn["wordings"]) > 10, family


def test_held_out_combinations_are_not_trained() -> None:
    rng = random.Random("combinations")
    for _ in range(300):
        for split in ("training", "combinations"):
            names = [name for name, _ in draw(Maker.of(rng, split), 3)]  # type: ignore[arg-type]
            pairs = [is_held_out_combination(pair) for pair in itertools.pairwise(names)]
            assert any(pairs) == (split == "combinations")


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
        for part in re.findall(r"[^\W\d_]+", draw.stem()):
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
    return {part for path in paths for part in re.findall(r"[^\W\d_]+", path.rpartition(".")[0])}


def test_the_names_of_arguments_are_of_the_slots_there_are() -> None:
    lines = (FOLDER / "several_names.txt").read_text(encoding="utf-8").splitlines()
    named = {line.partition(":")[0] for line in lines if line[:1] != "#"}
    assert named == {slot for tool in blueprints() for slot in tool.slots}


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
    files = parts(
        [
            name
            for seed in range(2)
            for task in builtin(seed, scale=0.3, splits=["values"]).tasks
            for name in task.files
        ]
    )
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
    assert builtin(3, scale=0) == builtin(3, scale=0)
    goals = [{task.goal for task in builtin(seed, scale=0).tasks} for seed in (3, 4)]
    assert len(goals[0] & goals[1]) < len(goals[0]) / 4
    assert {task.family for task in smoke().tasks} == set(FAMILIES)


def test_without_the_ranking_what_is_needed_is_among_tools_at_random() -> None:
    some = builtin(1, scale=0, splits=["values"], among=12).tasks
    for task, same in zip(some, smoke(1).tasks, strict=True):
        assert (task.goal, task.files, task.expected) == (same.goal, same.files, same.expected)
        assert {*task.expected.calls} - {tool.name for tool in task.tools} <= {*task.only}
        assert {"ask_user", "finish", "decline"} <= {*task.only}
    assert len({task.only for task in some}) > len(some) / 2


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
    """The ids the engine is fed and those it makes are those of the training text, byte for byte."""
    _, shown = next(shown_episodes(family, "values", tmp_path))
    tokenizer = led.engine.tokenizer
    text = as_text(shown, tokenizer)
    ids, mask = encode(text, tokenizer)
    led.engine.text = ids  # type: ignore[attr-defined]
    begun = next(at for at, message in enumerate(shown.messages) if message.role == "assistant")
    session = led.open(shown.messages[:begun], shown.tools)
    seen: list[int] = []
    made: list[int] = []
    for message in shown.messages[begun:]:
        if message.role != "assistant":
            session.append(message)
            continue
        expect = Calls(shown.tools) if message.calls else Json(SCHEMA)
        trace = finished(session.generate(expect, sampling=Sampling(), max_tokens=1_000)).trace
        assert trace is not None
        assert trace.kept == len(seen)  # nothing is rendered anew
        seen += [*trace.prompt_ids, *trace.completion_ids]
        made += [0] * len(trace.prompt_ids) + [1] * len(trace.completion_ids)
    assert (seen, made) == (ids[: len(seen)], mask[: len(seen)])
    assert (tokenizer.decode(ids), tokenizer.decode(ids[len(seen) :])) == (text, "\n")
    assert sum(mask[len(seen) :]) == 0


def finished(stream: Generator[str, None, Reply]) -> Reply:
    while True:
        try:
            next(stream)
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply


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
