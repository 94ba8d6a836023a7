"""Learning which wordings ask for which built-in tool, for the ranking of tools (``tools/learned.json``).

One logistic regression a tool, on words and pairs of words, over clauses of the goal families in the words
and wordings of training. Goals for custom tools, and those out of reach, are examples of none.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from autoagent.nano.families import FAMILIES, Maker
from autoagent.nano.habits import known_builtins
from autoagent.tools.learned import features

_RARE = 12  # a feature seen less often than this is left out
_KEPT = 300  # features a tool
_DECAY = 2e-5  # of the squared weights, in the loss


def clauses(each: int, seed: int = 0) -> list[tuple[str, frozenset[str]]]:
    """Wordings of training, and the built-in tools that each of them needs."""
    known = {tool.name for tool in known_builtins()}
    rng, found = random.Random(f"ranking {seed}"), []
    for kind in FAMILIES.values():
        for _ in range(each):
            make = Maker.of(rng)
            if kind.part is not None:
                clause = kind.part(make)
                goal, actions = clause.words, clause.actions
            elif kind.group in ("refusal", "recovery", "ask", "delegate", "memory"):
                episode = kind.make(make)
                goal, actions = episode.task.goal, episode.actions
            else:
                break
            found.append((goal, frozenset(action.tool for action in actions if action.tool in known)))
    return found


def learn(out: Path, *, each: int = 500, steps: int = 300) -> float:
    """Write the weights and return the share of clauses whose tools all come first, on fresh ones."""
    examples = clauses(each)
    counts = Counter(feature for goal, _ in examples for feature in features(goal))
    names = sorted(feature for feature, count in counts.items() if count >= _RARE)
    place = {name: number for number, name in enumerate(names)}
    tools = sorted({tool for _, wanted in examples for tool in wanted})
    x = _matrix([goal for goal, _ in examples], place)
    y = torch.tensor([[float(tool in wanted) for tool in tools] for _, wanted in examples])
    weights = torch.zeros(len(names), len(tools), requires_grad=True)
    bias = torch.full((len(tools),), -4.0, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        logits = torch.sparse.mm(x, weights) + bias
        loss = F.binary_cross_entropy_with_logits(logits, y, reduction="sum") / len(examples)
        optimizer.zero_grad()
        (loss + _DECAY * weights.square().sum()).backward()
        optimizer.step()
    learned = {tool: _strongest(names, weights[:, at], bias[at]) for at, tool in enumerate(tools)}
    rows = [
        f"{json.dumps(tool)}: {json.dumps(learned[tool], ensure_ascii=False)}" for tool in sorted(learned)
    ]
    out.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    return _hits(learned, clauses(40, seed=1))


def _matrix(goals: list[str], place: dict[str, int]) -> Tensor:
    """Sparse (goals, features), 1 where a goal has a feature."""
    at = [
        (row, place[feature])
        for row, goal in enumerate(goals)
        for feature in sorted(features(goal))
        if feature in place
    ]
    indices = torch.tensor(at).T
    size = (len(goals), len(place))
    return torch.sparse_coo_tensor(indices, torch.ones(len(at)), size).coalesce()


def _strongest(names: list[str], weights: Tensor, bias: Tensor) -> dict[str, float]:
    strong = weights.abs().topk(min(_KEPT, len(names))).indices.tolist()
    kept = {names[at]: round(float(weights[at]), 2) for at in sorted(strong)}
    return {"": round(float(bias), 2), **{name: weight for name, weight in kept.items() if weight}}


def _hits(learned: dict[str, dict[str, float]], examples: list[tuple[str, frozenset[str]]]) -> float:
    """How often the tools that are needed score above all others."""
    hits = total = 0
    for goal, wanted in examples:
        if not wanted:
            continue
        seen = features(goal)
        scores = {
            tool: weights[""] + sum(weights.get(each, 0) for each in seen)
            for tool, weights in learned.items()
        }
        best = sorted(scores, key=lambda tool: -scores[tool])[: len(wanted)]
        hits, total = hits + (set(best) == set(wanted)), total + 1
    return hits / total
