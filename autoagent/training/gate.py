"""The gate: a new version takes over only when it is measurably better on goals neither has trained on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from itertools import chain, islice, zip_longest
from pathlib import Path

from pydantic import Field

from autoagent.config import Limits, Settings
from autoagent.errors import ModelError, UsageError
from autoagent.evals import Comparison, FamilyReport, Report, Suite, TaskResult, compare, run_suite
from autoagent.evals.stats import mcnemar
from autoagent.models.fingerprint import fingerprint
from autoagent.models.protocol import Model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.prompts import prompt_hash
from autoagent.training.dataset import goal_hash
from autoagent.trajectory import Data

SuiteSource = Suite | Callable[[int], Suite]  # tasks, or a generator that makes other tasks of each seed
OnResult = Callable[[str, int, int, TaskResult], None]  # "old" or "new", number from 1, of how many, result


class GateConfig(Settings):
    """When a new version is better."""

    tasks: int = Field(default=100, ge=1, description="Most tasks to measure on, drawn evenly by family.")
    seed: int = Field(default=770_001, ge=0, description="Of a generated suite; no training data may use it.")
    margin: float = Field(default=0.02, ge=0, le=1, description="Least gain in success, 0.02 is 2 points.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="McNemar's p from which it may be chance.")
    family_drop: float = Field(default=0.15, ge=0, le=1, description="Largest loss of success in a family.")
    family_tasks: int = Field(default=10, ge=1, description="Tasks a family needs before its loss refuses.")
    limits: Limits = Field(default=Limits(), description="Budgets of each run.")


class Measured(FamilyReport):
    """What one of the two models reached on the held-out goals."""

    families: dict[str, FamilyReport]


class GateReport(Data):
    """What the gate measured and what it decided."""

    promoted: bool
    reason: str = Field(description="One sentence with the numbers.")
    suite: str
    seed: int
    excluded: int = Field(description="Tasks left out because their goal was trained on.")
    old: Measured
    new: Measured
    comparison: Comparison
    seconds: float


def gate(
    old: Model,
    new: Model,
    suite: SuiteSource,
    *,
    trained: Collection[str],
    config: GateConfig | None = None,
    on_result: OnResult | None = None,
) -> GateReport:
    """Run old and new on the same held-out tasks, in fresh workspaces and with memories that are thrown away.

    Args:
        old: The model in use.
        new: The model that wants to take over.
        suite: Tasks with executable checks.
        trained: Hashes of all goals either was trained on (``goal_hash``): their tasks are left out.
        config: When new is better.
        on_result: Called after each task, to show progress.

    Raises:
        UsageError: no task of the suite is held out.
    """
    config = config or GateConfig()
    began = time.monotonic()
    full = suite if isinstance(suite, Suite) else suite(config.seed)
    tasks = held_out(full, trained, at_most=config.tasks)
    reports = [_measure(who, model, tasks, config, on_result) for who, model in (("old", old), ("new", new))]
    comparison = compare(*reports)
    assert not {goal_hash(result.goal) for report in reports for result in report.results} & set(trained)
    promoted, reason = decide(comparison, config)
    return GateReport(
        promoted=promoted,
        reason=reason,
        suite=full.name,
        seed=config.seed,
        excluded=sum(goal_hash(task.goal) in set(trained) for task in full.tasks),
        old=_measured(reports[0]),
        new=_measured(reports[1]),
        comparison=comparison,
        seconds=time.monotonic() - began,
    )


def gate_versions(
    versions: Versions,
    names: tuple[str, str],
    suite: SuiteSource,
    *,
    load: Callable[[str], Model],
    config: GateConfig | None = None,
    on_result: OnResult | None = None,
) -> GateReport:
    """Gate versions by name, ``(old, new)``, on goals that neither they nor their ancestors trained on.

    Raises:
        ModelError: the files of a version are not those that were measured.
        UsageError: no task of the suite is held out.
    """
    old, new = load(names[0]), load(names[1])
    trained = trained_goals(versions, *names)
    report = gate(old, new, suite, trained=trained, config=config, on_result=on_result)
    for name, model in zip(names, (old, new), strict=True):
        if name != EMBEDDED:
            versions.verify(name)
        folder = Path(versions.resolve(name))
        if fingerprint(folder, prompts=prompt_hash(folder), fresh=True) != model.version:
            raise ModelError(f"the files of {name} changed while the gate measured it: nothing was promoted")
    return report


def held_out(suite: Suite, trained: Collection[str], *, at_most: int) -> Suite:
    """The tasks of ``suite`` whose goal was not trained on, at most so many, in turn from each family.

    Raises:
        UsageError: there is none.
    """
    families = defaultdict(list)
    for task in suite.tasks:
        if goal_hash(task.goal) not in trained:
            families[task.family].append(task)
    if not families:
        raise UsageError(f"suite {suite.name} cannot gate: all its {len(suite.tasks)} goals were trained on")
    in_turn = (task for task in chain(*zip_longest(*families.values())) if task is not None)
    return Suite(suite.name, tuple(islice(in_turn, at_most)))


def trained_goals(versions: Versions, *names: str) -> frozenset[str]:
    """Hashes of the goals that these versions and those they descend from were trained on."""
    known = {version.name: version for version in versions.list()}
    goals: set[str] = set()
    for start in names:
        name: str | None = start
        while name in known:
            sheet = (known[name].data or {}).get("sheet", {})
            goals |= set(sheet.get("goals", ()))
            name = known[name].parent
    return frozenset(goals)


def decide(comparison: Comparison, config: GateConfig) -> tuple[bool, str]:
    """Whether the new model is promoted, and why, in one sentence with numbers."""
    interval = f"95 % interval {comparison.low:+.1%} to {comparison.high:+.1%}"
    counts = f"{comparison.wins} won, {comparison.losses} lost, p = {comparison.p:.2g}"
    numbers = f"{comparison.difference:+.1%} on {comparison.n} held-out goals ({interval}, {counts})"
    if comparison.difference <= 0:
        return False, f"refused: not better, {numbers}"
    if comparison.difference < config.margin:
        return False, f"refused: {numbers} is less than the margin of {config.margin:.1%}"
    if comparison.p >= config.alpha or comparison.low <= 0:
        return False, f"refused: {numbers} may be chance"
    lost = [
        f"{name} {change.difference:+.0%} of {change.n}"
        for name, change in comparison.families.items()
        if change.n >= config.family_tasks
        and -change.difference > config.family_drop
        and mcnemar(change.wins, change.losses) < config.alpha
    ]
    if lost:
        return False, f"refused: {numbers}, but it forgot: {', '.join(lost)}"
    return True, f"promoted: {numbers}"


def _measure(who: str, model: Model, suite: Suite, config: GateConfig, on_result: OnResult | None) -> Report:
    done = 0

    def tell(result: TaskResult) -> None:
        nonlocal done
        done += 1
        if on_result is not None:
            on_result(who, done, len(suite.tasks), result)

    return run_suite(suite, model=model, seeds=[config.seed], limits=config.limits, on_result=tell)


def _measured(report: Report) -> Measured:
    return Measured(**{name: getattr(report, name) for name in Measured.model_fields})
