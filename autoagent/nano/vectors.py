"""Learning which words of requests go together with which words of tools (``tools/vectors.json``).

The table is one embedding, for goals and tools alike. It is trained so that the softmax over the tools at
hand, of what the ranking says without it plus the dot product of goal and tool, picks the right one: on
requests of people of the training side, on goals for invented tools, and on goals for built-in tools that
stand among invented ones.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoagent.evals.task import ToolSpec
from autoagent.nano.families import FAMILIES, Episode, Maker
from autoagent.nano.habits import known_builtins
from autoagent.nano.requests import HumanData
from autoagent.tools.learned import demands
from autoagent.tools.rank import Wording, asked_for, likeness, without_quotes, wording
from autoagent.tools.vectors import SIZE, roots

_REQUESTS, _INVENTED = 0.55, 0.15  # shares of requests of people, and of goals for invented tools
_RIVALS = 4  # built-in tools in an example: those that the ranking likes best
_MOST = 14  # tools in an example
_RARE = 3  # a word in fewer goals and descriptions than this has no vector
_BATCH, _EPOCHS, _RATE, _DECAY, _DROPPED = 256, 6, 0.01, 1e-5, 0.3
_NOT_THERE = -1e4  # score of a place without a tool; finite, as it is multiplied
_LIKENESS = 5.0  # weight of what the ranking says without vectors, at the start


@dataclass(frozen=True)
class Example:
    """A goal, the tools that are there, and which of them is right.

    Attributes:
        tools: Wordings of the custom ones; empty for built-in ones, which need no vectors.
        scores: What the ranking says of each tool without vectors.
    """

    goal: str
    tools: tuple[str, ...]
    scores: tuple[float, ...]
    right: int


def examples(data: HumanData, count: int, seed: int = 0) -> Iterator[Example]:
    """So many of them, all of the training side."""
    rng = random.Random(f"vectors {seed}")
    while count:
        episode, among_ours = _drawn(data, rng)
        made = _example(episode, _ours() if among_ours else ())
        if made is not None:
            count -= 1
            yield made


def _drawn(data: HumanData, rng: random.Random) -> tuple[Episode, bool]:
    """An episode, and whether built-in tools are there, too."""
    asked = data.episode(rng)
    kind = rng.random()
    if kind < _REQUESTS:
        return asked, asked.task.only is None
    custom = kind < _REQUESTS + _INVENTED
    group = [each for each in FAMILIES.values() if custom == (each.group == "custom")]
    made = rng.choice(group).make(Maker.of(rng))
    tools = made.task.tools if custom else (*made.task.tools, *asked.task.tools)
    return Episode(made.task.model_copy(update={"tools": tools}), made.actions), True


def _example(episode: Episode, ours: Sequence[Wording]) -> Example | None:
    """None where not one tool alone is right, or it is not there."""
    custom = {spec.name: Wording(spec.name, _words(spec)) for spec in episode.task.tools}
    everything = [*custom.values(), *(each for each in ours if each.name not in custom)]
    needed = {action.tool for action in episode.actions}
    if len(needed) != 1 or not needed & {each.name for each in everything}:
        return None
    goal = without_quotes(episode.task.goal)
    scores = asked_for(likeness([goal], everything)[0], everything, demands(goal))
    order = sorted(range(len(everything)), key=lambda at: (everything[at].name not in needed, -scores[at]))
    rivals = [at for at in order if everything[at].ours][: _RIVALS + 1]
    kept = sorted([*(at for at in order if not everything[at].ours), *rivals][:_MOST])
    right = next((place for place, at in enumerate(kept) if everything[at].name in needed), None)
    if right is None:
        return None
    wordings = tuple("" if everything[at].ours else everything[at].own for at in kept)
    return Example(goal, wordings, tuple(scores[at] for at in kept), right)


def _words(spec: ToolSpec) -> str:
    return " ".join((spec.name, spec.description, *spec.arguments))


@functools.cache
def _ours() -> tuple[Wording, ...]:
    return tuple(wording(each) for each in known_builtins())


class _Vectors(nn.Module):
    """Scores of the tools of each example, shape (examples, tools).

    The bias takes up how often custom tools are the right ones here. That says nothing about the goals of
    others, so it is not kept.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(words, SIZE, mode="sum")
        nn.init.normal_(self.table.weight, std=0.1)
        self.likeness = nn.Parameter(torch.tensor(_LIKENESS))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, batch: _Batch) -> Tensor:
        goals, tools = (self.table(bags.ids, bags.starts) * bags.scale for bags in (batch.goals, batch.tools))
        fits = (goals[:, None] * tools.view(len(goals), _MOST, SIZE)).sum(-1)
        scores: Tensor = self.likeness * batch.scores + fits + self.bias * batch.custom
        return scores


class _Bags(NamedTuple):
    """Texts as ids of words one after another, where each text starts, and 1 / sqrt(words) as a column."""

    ids: Tensor
    starts: Tensor
    scale: Tensor


class _Batch(NamedTuple):
    goals: _Bags
    tools: _Bags  # _MOST of each example; those that are not there are empty
    scores: Tensor  # (examples, _MOST), _NOT_THERE where no tool is
    custom: Tensor  # (examples, _MOST), 1 where the tool is not built in
    right: Tensor  # (examples,)


def learn_vectors(folder: Path, out: Path, *, count: int = 60_000, seed: int = 0) -> tuple[float, float]:
    """Write the vectors; returns how often the right tool comes first on fresh examples, without and with.

    Args:
        folder: Requests of people, see ``human``.

    Raises:
        UsageError: the folder has no such data sets, or one is damaged.
    """
    every = list(examples(HumanData.of(folder), count, seed))
    fresh, training = every[: count // 20], every[count // 20 :]
    known = {each.goal for each in training}
    words = _vocabulary(training)
    net = _trained(training, words, seed)
    batch = _batch([each for each in fresh if each.goal not in known], words)
    with torch.no_grad():
        first = [
            float((scores.argmax(1) == batch.right).float().mean()) for scores in (batch.scores, net(batch))
        ]
    _write(out, words, net)
    return first[0], first[1]


def _trained(training: list[Example], words: Mapping[str, int], seed: int) -> _Vectors:
    """Adam on the cross-entropy of the right tool, words dropped at random, the rate falling to 0."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    net = _Vectors(len(words))
    optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
    each_epoch = max(1, len(training) // _BATCH)
    for step in range(_EPOCHS * each_epoch):
        place = step % each_epoch * _BATCH
        if place == 0:
            rng.shuffle(training)
        batch = _batch(training[place : place + _BATCH], words, rng)
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / (_EPOCHS * each_epoch))
        loss = F.cross_entropy(net(batch), batch.right) + _DECAY * net.table.weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


def _vocabulary(examples: Sequence[Example]) -> dict[str, int]:
    """The words of at least so many different goals and tools, of which one a goal."""
    goals = Counter(root for goal in {each.goal for each in examples} for root in _goal_roots(goal))
    tools = Counter(
        root for text in {text for each in examples for text in each.tools} for root in _tool_roots(text)
    )
    frequent = sorted(root for root in goals if goals[root] >= 2 and goals[root] + tools[root] >= _RARE)
    return {root: number for number, root in enumerate(frequent)}


def _batch(examples: Sequence[Example], words: Mapping[str, int], rng: random.Random | None = None) -> _Batch:
    """With ``rng``, some words are dropped, as training does."""
    tools = [text for each in examples for text in (*each.tools, *[""] * (_MOST - len(each.tools)))]
    custom = torch.tensor([float(bool(text)) for text in tools]).view(-1, _MOST)
    scores = torch.full((len(examples), _MOST), _NOT_THERE)
    for row, each in enumerate(examples):
        scores[row, : len(each.scores)] = torch.tensor(each.scores)
    right = torch.tensor([each.right for each in examples])
    goals = _bags([_goal_roots(each.goal) for each in examples], words, rng)
    return _Batch(goals, _bags(list(map(_tool_roots, tools)), words, rng), scores, custom, right)


def _bags(texts: Sequence[Sequence[str]], words: Mapping[str, int], rng: random.Random | None) -> _Bags:
    bags = [[words[root] for root in text if root in words] for text in texts]
    if rng is not None:
        bags = [[each for each in bag if rng.random() >= _DROPPED] for bag in bags]
    starts = torch.tensor([0, *itertools.accumulate(map(len, bags))][:-1])
    scale = torch.tensor([[max(1, len(bag)) ** -0.5] for bag in bags])
    return _Bags(torch.tensor([each for bag in bags for each in bag], dtype=torch.long), starts, scale)


_goal_roots = functools.cache(roots)
_tool_roots = functools.cache(functools.partial(roots, kinds=False))


def _write(out: Path, words: Mapping[str, int], net: _Vectors) -> None:
    """The vectors in the units of the ranking, where likeness weighs 1: one signed byte a value."""
    table = net.table.weight.detach() / net.likeness.detach().sqrt()
    unit = float(table.abs().max()) / 127
    rows = {
        root: base64.b64encode(bytes((table[number] / unit).round().to(torch.int8).numpy())).decode()
        for root, number in words.items()
    }
    lines = ",\n".join(
        f"{json.dumps(root, ensure_ascii=False)}: {json.dumps(row)}" for root, row in rows.items()
    )
    out.write_text(f'{{"unit": {unit:.6g}, "words": {{\n{lines}\n}}}}\n', encoding="utf-8")
