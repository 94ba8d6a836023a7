"""The figures of drift: how far tools, goals and certainty of two groups of runs are apart, and by chance.

- *Success* is the share of verified runs among the verified and refuted ones, with Wilson's score interval;
  the interval of its change is Newcombe's (1998, Statistics in Medicine 17, 873-890, method 10).
- *Tools* are compared by the total variation distance of what was called: half the sum of the absolute
  differences of their shares, 0 where they are the same, 1 where no tool is common (Levin, Peres and Wilmer,
  Markov Chains and Mixing Times, section 4.1). Small groups differ by chance: ``by_chance`` is what 95 of
  100 random divisions of the same runs stay below (a permutation test; whole runs are exchanged).
- *Goals* are compared by the cosine of their hashed character grams (``autoagent.memory``) to the nearest
  goal that was learned from. One is unlike anything seen where that is lower than what 95 % of the learned
  goals have to their own nearest other one: distance to the nearest neighbour (Ramaswamy, Rastogi and Shim
  2000), with the threshold of conformal anomaly detection (Laxhammar and Falkman 2010). Where nothing has
  changed, about 5 % are.
- *Surprise* is the mean negative log-likelihood of the sampled tokens, in nats a token, under the model that
  sampled them, without grammar and temperature: cross entropy, the logarithm of perplexity (Jurafsky and
  Martin, Speech and Language Processing, chapter 3). It rises where a model is less sure of what it does.
  The interval of the change is a percentile bootstrap over runs (Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import Field

from autoagent.evals.stats import wilson
from autoagent.memory.embedder import GramEmbedder
from autoagent.training.examples import goal_hash
from autoagent.trajectory import Data, Trajectory

GOALS = 4_000  # of a group that are compared, the newest
UNLIKE = 0.05  # share of the learned goals that are as far from all others
_FEW = 5  # goals learned from, below which none can be called unlike them
_DRAWS = 1_000  # of a bootstrap or permutation
_NAMED = 3  # tools whose share changed most

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Interval = tuple[float, float]


class Tools(Data):
    """How far the tools called differ."""

    distance: float = Field(description="Total variation: 0 alike, 1 nothing in common.")
    by_chance: float = Field(description="What 95 of 100 random divisions stay below.")
    changed: Mapping[str, float] = Field(description="Change of the share, of the tools with the largest.")


class Goals(Data):
    """How near the new goals are to those learned from."""

    goals: int = Field(description="Different ones since.")
    similarity: float = Field(description="Mean cosine to the nearest learned goal.")
    usual: float = Field(description="The same of the learned goals, each to its nearest other.")
    unlike: int = Field(description="Goals that are unlike anything seen.")
    interval: Interval = Field(description="Of their share; Wilson, 95 %.")


class Surprise(Data):
    """How sure the models were of what they sampled: nats a token, the lower the surer."""

    before: float
    since: float
    interval: Interval = Field(description="Of the change; bootstrap over runs, 95 %.")


@dataclass
class Calls:
    """What was called and sampled in some runs, an entry a run."""

    tools: list[Counter[str]] = field(default_factory=list)
    nats: list[tuple[float, int]] = field(default_factory=list)  # sum, and of how many sampled tokens

    @classmethod
    def of(cls, runs: Iterable[Trajectory]) -> Calls:
        made = cls()
        for run in runs:
            made.add(run)
        return made

    def add(self, run: Trajectory) -> None:
        called = Counter(call.name for step in run.steps for call in step.reply.calls)
        if called:
            self.tools.append(called)
        sampled = [
            logprob
            for step in run.steps
            if step.reply.trace is not None
            for origin, logprob in zip(step.reply.trace.origins, step.reply.trace.logprobs, strict=False)
            if origin == "s"
        ]
        if sampled:
            self.nats.append((-float(np.sum(sampled)), len(sampled)))


def tools(before: Calls, since: Calls) -> Tools | None:
    """Which tools were called; None where a group called none."""
    if not before.tools or not since.tools:
        return None
    every = [*before.tools, *since.tools]
    names = sorted(set().union(*every))
    table = np.array([[called[name] for name in names] for called in every], dtype=float)  # (N, T)
    total, size = table.sum(axis=0), len(before.tools)
    draws, generator = [], np.random.default_rng(0)
    for _ in range(_DRAWS):
        part = table[generator.permutation(len(every))[:size]].sum(axis=0)
        draws.append(_distance(part, total - part))
    old, new = table[:size].sum(axis=0), table[size:].sum(axis=0)
    change = dict(zip(names, new / new.sum() - old / old.sum(), strict=True))
    most = sorted(change, key=lambda name: -abs(change[name]))[:_NAMED]
    return Tools(
        distance=_distance(old, new),
        by_chance=float(np.quantile(draws, 0.95)),
        changed={name: float(change[name]) for name in most if change[name]},
    )


def _distance(one: Floats, other: Floats) -> float:
    """Total variation between the shares of two rows of counts, (T,) each."""
    return float(0.5 * np.abs(one / one.sum() - other / other.sum()).sum())


def goals(learned: Sequence[str], since: Sequence[str]) -> Goals | None:
    """Goals now and those learned from, both newest first; None where too few were."""
    known, new = ({goal_hash(goal): goal for goal in goals} for goals in (learned[:GOALS], since[:GOALS]))
    if len(known) < _FEW:
        return None
    embed = GramEmbedder().embed
    vectors, others = embed(list(known.values())), embed(list(new.values()))  # (K, D), (N, D)
    usual = _nearest(vectors, vectors, itself=False)
    nearest = _nearest(others, vectors)
    unlike = int((nearest < np.quantile(usual, UNLIKE)).sum())
    return Goals(
        goals=len(new),
        similarity=float(nearest.mean()),
        usual=float(usual.mean()),
        unlike=unlike,
        interval=wilson(unlike, len(new)),
    )


def _nearest(rows: Vectors, among: Vectors, *, itself: bool = True) -> Floats:
    """The cosine of each row, (N, D), to the nearest of (K, D); without itself, where they are the same."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), 256):
        alike = rows[start : start + 256] @ among.T  # (256, K)
        if not itself:
            place = np.arange(len(alike))
            alike[place, start + place] = -1
        found[start : start + 256] = alike.max(axis=1)
    return found


def surprise(before: Calls, since: Calls) -> Surprise | None:
    """How sure the models were; None where the runs of a group have no log-likelihoods."""
    if not before.nats or not since.nats:
        return None
    generator = np.random.default_rng(0)
    drawn = [_resampled(each.nats, generator) for each in (before, since)]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    old, new = (sum(nats for nats, _ in each.nats) / sum(n for _, n in each.nats) for each in (before, since))
    return Surprise(before=old, since=new, interval=(float(low), float(high)))


def _resampled(nats: Sequence[tuple[float, int]], generator: np.random.Generator) -> Floats:
    """The mean nats a token of so many bootstrap samples of whole runs, (_DRAWS,)."""
    sums, sizes = np.array(nats, dtype=float).T  # (N,), (N,)
    times = generator.multinomial(len(nats), np.full(len(nats), 1 / len(nats)), size=_DRAWS)  # (_DRAWS, N)
    means: Floats = (times @ sums) / (times @ sizes)
    return means
