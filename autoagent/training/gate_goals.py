"""Which goals may gate: held out from all training, and not shared between the parts of a suite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from autoagent.errors import UsageError
from autoagent.evals import Suite, Task
from autoagent.models.lineage import ancestors
from autoagent.models.versions import Versions
from autoagent.training.dataset import goal_hash
from autoagent.training.gate_rules import GateConfig

SuiteSource = Suite | Callable[[int], Suite]  # tasks, or a generator that makes other tasks of each seed

TRAIN = "train"  # split of a suite that is there to learn from
FEWEST = 20  # other goals, below which nothing can be said about what was forgotten


@dataclass(frozen=True)
class Chosen:
    """The tasks of a suite that are run, and how many were left out because their goal was trained on."""

    suite: Suite
    excluded: int


def choose(source: SuiteSource, trained: Collection[str], config: GateConfig) -> Chosen:
    """The held-out tasks of the target suite, without its split ``train``.

    Args:
        source: The suite, or what makes it from the gate's seed.
        trained: Hashes of the goals trained on.
        config: How many, and which share of its goals may be in the split ``train`` as well; these are left
            out.

    Raises:
        UsageError: no task is held out, or its parts share more.
    """
    return _chosen(source, trained, config, config.tasks)


def choose_others(source: SuiteSource, target: Suite, trained: Collection[str], config: GateConfig) -> Chosen:
    """The tasks of a forgetting suite: held out, with other goals than the target suite.

    Raises:
        UsageError: as of :func:`choose`, or there are too few.
    """
    targets = {goal_hash(each.goal) for task in target.tasks for each in task.goals}
    chosen = _chosen(source, {*trained, *targets}, config, config.other_tasks)
    if (count := len(chosen.suite.tasks)) < FEWEST:
        raise UsageError(
            f"suite {chosen.suite.name} is too small to show that nothing was forgotten: {count} other goals "
            f"are held out, at least {FEWEST} are needed; take a larger suite or none"
        )
    return chosen


def _chosen(source: SuiteSource, trained: Collection[str], config: GateConfig, at_most: int) -> Chosen:
    full = source if isinstance(source, Suite) else source(config.seed)
    train = [task for task in full.tasks if task.split == TRAIN]
    rest = [task for task in full.tasks if task.split != TRAIN]
    if not rest:
        raise UsageError(f"suite {full.name} cannot gate: all its tasks are of the split {TRAIN}")
    known = {*trained, *need_no_leak(train, rest, name=full.name, at_most=config.shared)}
    excluded = sum(_is_known(task, known) for task in rest)
    return Chosen(held_out(Suite(full.name, tuple(rest)), known, at_most=at_most), excluded)


def held_out(suite: Suite, trained: Collection[str], *, at_most: int) -> Suite:
    """The tasks of ``suite`` none of whose goals was trained on, at most so many, in turn from each family.

    Raises:
        UsageError: there is none.
    """
    families = defaultdict(list)
    for task in suite.tasks:
        if not _is_known(task, trained):
            families[task.family].append(task)
    if not families:
        raise UsageError(f"suite {suite.name} cannot gate: all its {len(suite.tasks)} goals were trained on")
    in_turn = (task for task in chain(*zip_longest(*families.values())) if task is not None)
    return Suite(suite.name, tuple(islice(in_turn, at_most)))


def need_no_leak(train: Sequence[Task], test: Sequence[Task], *, name: str, at_most: float) -> frozenset[str]:
    """Hashes of the goals that are in both parts, which must not be many.

    Args:
        train: Tasks to learn from.
        test: Tasks to measure on.
        name: Of the suite, for the message.
        at_most: Largest share of the goals of ``test``.

    Raises:
        UsageError: there are more: the parts were not made apart, so more of them may be alike unseen.
    """
    learned = {goal_hash(each.goal) for task in train for each in task.goals}
    shared = {goal_hash(task.goal): task for task in test if _is_known(task, learned)}
    goals = {goal_hash(task.goal) for task in test}
    if len(shared) > at_most * len(goals):
        example = next(iter(shared.values())).id
        raise UsageError(
            f"suite {name} leaks: {len(shared)} of the {len(goals)} goals to measure on are also there to "
            f"learn from, like {example}; at most {at_most:.0%} may: write other goals for one of the parts"
        )
    return frozenset(shared)


def trained_goals(versions: Versions, *names: str) -> frozenset[str]:
    """Hashes of the goals that these versions and those they descend from were trained on."""
    known = {version.name: version for version in versions.list()}
    own = [known[name] for name in names if name in known]
    line = [*own, *(each for name in names for each in ancestors(versions, name))]
    sheets = [(version.data or {}).get("sheet", {}) for version in line]
    return frozenset(goal for sheet in sheets for goal in sheet.get("goals", ()))


def _is_known(task: Task, goals: Collection[str]) -> bool:
    return any(goal_hash(each.goal) in goals for each in task.goals)
