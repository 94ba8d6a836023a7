"""What a new version must show before it takes over: rules with their numbers, the decision in a sentence.

All rules have to hold, so each of them may refuse by itself and none can be made up for by another:

- ``gain``, ``chance``, ``interval``: better on the target goals by the margin, and not by chance.
- ``families``: no family of goals lost much; many families are many chances for a false alarm, hence Holm.
- ``elsewhere``: not worse on other goals. A non-inferiority rule: that no loss was found is not enough, the
  95 % interval must leave no room for one above the tolerance (:func:`tolerated`).
- ``loss``: a frozen sample of text is as likely as before; it sees what few goals cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from autoagent.config import Limits, Settings
from autoagent.evals import Comparison
from autoagent.evals.stats import points
from autoagent.training.examples import counted
from autoagent.trajectory import Data

RuleName = Literal["gain", "chance", "interval", "families", "elsewhere", "families elsewhere", "loss"]
_BUT: dict[RuleName, str] = {  # how the rules that are not about the target goals refuse
    "families": "it forgot: ",
    "elsewhere": "other goals: ",
    "families elsewhere": "elsewhere it forgot: ",
    "loss": "loss on the sample: ",
}


class GateConfig(Settings):
    """When a new version is better."""

    tasks: int = Field(default=100, ge=1, description="Most tasks to measure on, drawn evenly by family.")
    seed: int = Field(default=770_001, ge=0, description="Of a generated suite; no training data may use it.")
    seeds: int = Field(
        default=1, ge=1, description="Runs of each task, each with a sampling seed of its own."
    )
    margin: float = Field(default=0.02, ge=0, le=1, description="Least gain in success, 0.02 is 2 points.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="McNemar's p from which it may be chance.")
    family_drop: float = Field(default=0.15, ge=0, le=1, description="Largest loss of success in a family.")
    family_tasks: int = Field(default=10, ge=1, description="Tasks a family needs before its loss refuses.")
    other_tasks: int = Field(default=300, ge=20, description="Most tasks of the forgetting suite.")
    tolerance: float = Field(
        default=0.03, ge=0, le=1, description="Loss on other goals that the 95 % interval may not reach."
    )
    tolerance_tasks: int = Field(
        default=600,
        ge=20,
        description="Other goals from which on the tolerance holds as it is; with n of them, which make the "
        "interval wider, it is multiplied by the square root of this number / n.",
    )
    loss_rise: float = Field(
        default=0.05, ge=0, description="Largest rise of the loss on the sample, in nats per trained token."
    )
    shared: float = Field(
        default=0.1, ge=0, le=1, description="Most goals that a suite's train and other parts may share."
    )
    complete: bool = Field(
        default=True, description="Measure everything for the report, even when a rule has refused already."
    )
    limits: Limits = Field(default=Limits(), description="Budgets of each run.")


class LossChange(Data):
    """Nats per trained token of a frozen sample; None where a model computes no number."""

    sample: str = Field(description="What was measured on.")
    examples: int
    tokens: int = Field(description="Tokens the loss counts.")
    old: float | None
    new: float | None

    @property
    def rise(self) -> float | None:
        """How much the new model's loss is above the old one's."""
        return None if self.old is None or self.new is None else self.new - self.old


class Rule(Data):
    """One condition of the promotion, and what was found."""

    name: RuleName
    asks: str = Field(description="In words, with the threshold.")
    found: str = Field(description="In words, with the value.")
    value: float | None = Field(description="None: not a number.")
    threshold: float
    passed: bool


def decide(
    comparison: Comparison,
    config: GateConfig,
    *,
    elsewhere: Comparison | None = None,
    loss: LossChange | None = None,
) -> tuple[bool, str]:
    """Whether the new model is promoted, and why, in one sentence with numbers."""
    found = rules(comparison, config, elsewhere=elsewhere, loss=loss)
    failed = {rule.name: rule for rule in found if not rule.passed}
    numbers = _numbers(comparison, config)
    if not failed:
        also = [_BUT[rule.name] + rule.found for rule in found if rule.name in ("elsewhere", "loss")]
        return True, "; ".join([f"promoted: {numbers}", *also])
    buts = " and ".join(_BUT[name] + rule.found for name, rule in failed.items() if name in _BUT)
    if comparison.n == 0:
        return False, f"refused: {buts}" if buts else "refused: no goal could be judged"
    if "gain" in failed and comparison.difference <= 0:
        head = f"not better, {numbers}"
    elif "gain" in failed:
        head = f"{numbers} is less than the margin of {100 * config.margin:.3g} points"
    elif {"chance", "interval"} & failed.keys():
        head = f"{numbers} may be chance"
    else:
        return False, f"refused: {numbers}, but {buts}"
    return False, f"refused: {head}" + (f", and {buts}" if buts else "")


def _numbers(change: Comparison, config: GateConfig) -> str:
    interval = f"95 % interval {points(change.low)} to {points(change.high)}"
    counts = f"{change.wins} won, {change.losses} lost, p = {change.p:.2g}"
    runs = "" if config.seeds == 1 else f"{change.n} runs of "
    rise = f"{points(change.difference)} points on {runs}{counted(_tasks(change, config), 'held-out goal')}"
    return f"{rise} ({interval}, {counts})"


def _tasks(change: Comparison, config: GateConfig) -> int:
    """How many tasks the runs are of."""
    return round(change.n / config.seeds)


def rules(
    comparison: Comparison,
    config: GateConfig,
    *,
    elsewhere: Comparison | None = None,
    loss: LossChange | None = None,
) -> tuple[Rule, ...]:
    """Every rule that applies, in the order in which they are told."""
    found = [*_target(comparison, config), _families("families", comparison, config)]
    if elsewhere is not None:
        found += [_elsewhere(elsewhere, config), _families("families elsewhere", elsewhere, config)]
    if loss is not None:
        found.append(loss_rule(loss, config))
    return tuple(found)


def _target(change: Comparison, config: GateConfig) -> tuple[Rule, ...]:
    gain = Rule(
        name="gain",
        asks=f"success rises by at least {100 * config.margin:.3g} points",
        found=f"{points(change.difference)} points",
        value=change.difference,
        threshold=config.margin,
        passed=change.difference > 0 and change.difference >= config.margin,
    )
    chance = Rule(
        name="chance",
        asks=f"McNemar's exact p is below {config.alpha:g}",
        found=f"p = {change.p:.2g}",
        value=change.p,
        threshold=config.alpha,
        passed=change.p < config.alpha,
    )
    interval = Rule(
        name="interval",
        asks="the 95 % interval of the rise is above 0",
        found=f"{points(change.low)} to {points(change.high)} points",
        value=change.low,
        threshold=0.0,
        passed=change.low > 0,
    )
    return gain, chance, interval


def _families(
    name: Literal["families", "families elsewhere"], comparison: Comparison, config: GateConfig
) -> Rule:
    enough = config.family_tasks * config.seeds
    tested = {family: each for family, each in comparison.families.items() if each.n >= enough}
    adjusted = holm({family: each.p for family, each in tested.items()})
    dropped = [family for family, each in tested.items() if -each.difference > config.family_drop]
    lost = [family for family in dropped if adjusted[family] < config.alpha]
    which = "no family" if name == "families" else "no family of other goals"
    return Rule(
        name=name,
        asks=f"{which} loses over {100 * config.family_drop:.3g} points with p below {config.alpha:g} (Holm)",
        found=", ".join(
            f"{family} {points(tested[family].difference)} points of {tested[family].n}" for family in lost
        )
        or (f"none of {len(tested)}" if tested else f"none has {enough} goals"),
        value=min((adjusted[family] for family in dropped), default=1.0),
        threshold=config.alpha,
        passed=not lost,
    )


def fewest(config: GateConfig) -> int:
    """Goals below which nothing can be promoted: even if only the new model got all right, p is too high."""
    return math.floor(1 - math.log2(config.alpha)) + 1


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values adjusted for their number by Holm's step-down method."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        least = max(least, min(1.0, p_values[name] * (len(p_values) - rank)))
        adjusted[name] = least
    return adjusted


def tolerated(config: GateConfig, tasks: int) -> float:
    """The loss on ``tasks`` other goals that the interval may not reach.

    An interval is as wide as 1/√n, so with few goals a fixed tolerance would refuse models that lost nothing.
    Widened alike, it refuses a model without a loss equally often whatever the number of goals.
    """
    return config.tolerance * math.sqrt(max(1.0, config.tolerance_tasks / max(1, tasks)))


def _elsewhere(change: Comparison, config: GateConfig) -> Rule:
    tasks = _tasks(change, config)
    least = -tolerated(config, tasks)
    return Rule(
        name="elsewhere",
        asks=f"the 95 % interval of the change on other goals is above {points(least)} points",
        found=f"{points(change.difference)} points on {tasks} "
        f"({points(change.low)} to {points(change.high)})",
        value=change.low,
        threshold=least,
        passed=change.n > 0 and change.low > least,
    )


def loss_rule(loss: LossChange, config: GateConfig) -> Rule:
    """Whether the sample is as likely as before."""
    before, after = ("no number" if each is None else f"{each:.3f}" for each in (loss.old, loss.new))
    return Rule(
        name="loss",
        asks=f"nats per token of the sample rise by at most {config.loss_rise:g}",
        found=f"{before} → {after}",
        value=loss.rise,
        threshold=config.loss_rise,
        passed=loss.new is not None and (loss.rise is None or loss.rise <= config.loss_rise),
    )
