"""The gate: a new version takes over only when it is measurably better on goals neither has trained on.

It must be better on the goals it was to learn, not worse on others, and find a frozen sample of text as
likely as before (``gate_rules``). Each run has a fresh workspace and a memory that is thrown away; old and
new do the same goals, so that they are compared in pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from autoagent.errors import ModelError
from autoagent.evals import Suite
from autoagent.evals.parallel import jobs_for
from autoagent.models.fingerprint import fingerprint
from autoagent.models.protocol import Model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.prompts import prompt_hash
from autoagent.training.forgetting import (
    Earlier,
    Sampled,
    alike,
    is_embedded_line,
)
from autoagent.training.gate_goals import (
    FEWEST,
    SuiteSource,
    choose,
    choose_others,
    held_out,
    need_no_leak,
    trained_goals,
)
from autoagent.training.gate_result import GateReport, Paired
from autoagent.training.gate_rules import GateConfig, LossChange, Rule, decide, loss_rule, rules
from autoagent.training.measuring import SIDES, Loader, Measurements, Measuring, OnResult, Side

__all__ = [
    "GateConfig",
    "GateReport",
    "LossChange",
    "OnResult",
    "Paired",
    "Rule",
    "SuiteSource",
    "decide",
    "gate",
    "gate_versions",
    "held_out",
    "need_no_leak",
    "trained_goals",
]

Auto = Literal["auto"]


def gate(
    old: Model | Loader,
    new: Model | Loader,
    suite: SuiteSource,
    *,
    trained: Collection[str],
    config: GateConfig | None = None,
    on_result: OnResult | None = None,
    forgetting: SuiteSource | None = None,
    sample: Sequence[Sampled] = (),
    jobs: int = 1,
    known: Measurements | None = None,
    hashes: tuple[str, str] = ("", ""),
) -> GateReport:
    """Run old and new on the same held-out tasks, in fresh workspaces and with memories that are thrown away.

    Nothing is stopped because of how it goes: a suite that was begun is run to its end, so the p-values mean
    what they say. With ``config.complete`` off, what comes after a rule that has refused is left out, which
    can only refuse.

    Args:
        old: The model in use, or a function that loads it.
        new: The model that wants to take over, likewise.
        suite: Tasks with executable checks. Those of a split ``train`` are left out.
        trained: Hashes of all goals either was trained on (``goal_hash``): their tasks are left out.
        config: When new is better.
        on_result: Called after each task, to show progress, with ``old``, ``new``, then ``old elsewhere`` and
            ``new elsewhere``, each counted from 1.
        forgetting: Other tasks, on which new must not be worse.
        sample: Token sequences whose loss must not rise; both models need their weights here.
        jobs: Runs at a time: of a function that loads in as many processes, of a model in threads.
        known: What was measured before, by the same program: it is not measured again. What this gate
            measures is added; what is about other models is dropped.
        hashes: Of old and new, to find them there: what a model's ``version`` is once it is loaded.

    Raises:
        UsageError: no task of the suite is held out, fewer than 20 others are, the parts of a suite share
            goals, or the sample cannot be measured.
        ModelError: the processes loaded different models.
    """
    config = config or GateConfig()
    began = time.monotonic()
    known = [] if known is None else known
    sides = [Side(*each, jobs, known) for each in zip(SIDES, (old, new), hashes, strict=True)]
    work = Measuring(sides[0], sides[1], config, on_result)
    target = choose(suite, trained, config)
    others = None if forgetting is None else choose_others(forgetting, target.suite, trained, config)
    loss = work.loss(sample)
    pair = work.nothing(target) if _is_over(loss, config) else work.pair(target)
    elsewhere = None
    if others is not None and pair.comparison.n and (config.complete or decide(pair.comparison, config)[0]):
        elsewhere = work.pair(others, elsewhere=True)
    work.need_one_version_each()
    known[:] = [each for each in known if each.asked[0] in hashes]  # one of these is the next gate's old
    there = None if elsewhere is None else elsewhere.comparison
    promoted, reason = decide(pair.comparison, config, elsewhere=there, loss=loss)
    return GateReport(
        **dict(pair),
        promoted=promoted,
        reason=reason,
        seed=config.seed,
        seeds=config.seeds,
        forgetting=elsewhere,
        loss=loss,
        rules=rules(pair.comparison, config, elsewhere=there, loss=loss),
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
    forgetting: SuiteSource | Auto | None = "auto",
    sample: Sequence[Sampled] | Auto = "auto",
    earlier: Earlier | None = None,
    jobs: int | None = 1,
    known: Measurements | None = None,
) -> GateReport:
    """Gate versions by name, ``(old, new)``, on goals that neither they nor their ancestors trained on.

    ``auto`` is for versions that descend from the embedded model: the builtin suite without the families of
    ``suite``, and demonstrations of its expert. For others it is nothing.

    Args:
        versions: Where they are.
        names: The version in use and the one that wants to take over.
        suite: As of :func:`gate`.
        load: Loads a version by name; with several jobs one that can be pickled, like
            ``partial(load_model, home=home)``.
        config: When new is better.
        on_result: As of :func:`gate`.
        forgetting: Other tasks, on which new must not be worse; None leaves that out.
        sample: Token sequences whose loss must not rise; an empty one leaves that out.
        earlier: What is known of the training of the embedded line; without it, ``auto`` is nothing.
        jobs: Runs at a time; None: several for a small model (:func:`autoagent.evals.parallel.jobs_for`).
        known: As of :func:`gate`.

    Raises:
        ModelError: the files of a version are not those that were measured.
        UsageError: as of :func:`gate`.
    """
    config = config or GateConfig()
    before = [_hash_on_disk(versions, name) for name in names]
    target = suite if isinstance(suite, Suite) else suite(config.seed)
    others = _others(versions, names[1], target, config, earlier) if forgetting == "auto" else forgetting
    if jobs is None:
        jobs = jobs_for(versions.resolve(names[1]), config.seeds * _most_tasks(target, others, config))
    report = gate(
        partial(load, names[0]),
        partial(load, names[1]),
        target,
        trained=trained_goals(versions, *names),
        config=config,
        on_result=on_result,
        forgetting=others,
        sample=_sample(versions, names, earlier) if sample == "auto" else sample,
        jobs=jobs,
        known=known,
        hashes=(before[0], before[1]),
    )
    measured = (report.comparison.old, report.comparison.new)
    for name, first, seen in zip(names, before, measured, strict=True):
        if not first == seen == _hash_on_disk(versions, name):
            raise ModelError(f"the files of {name} changed while the gate measured it: nothing was promoted")
    return report.model_copy(update={"names": names})


def _most_tasks(target: Suite, others: SuiteSource | None, config: GateConfig) -> int:
    """How many tasks the larger of the two suites has at most: what the start of processes must pay for."""
    there = len(others.tasks) if isinstance(others, Suite) else 0 if others is None else config.other_tasks
    return max(min(len(target.tasks), config.tasks), min(there, config.other_tasks))


def _hash_on_disk(versions: Versions, name: str) -> str:
    """Of the files of a version, read now.

    Raises:
        ModelError: they are not what its manifest says.
    """
    if name != EMBEDDED:
        versions.verify(name)
    folder = Path(versions.resolve(name))
    return fingerprint(folder, prompts=prompt_hash(folder), fresh=True)


def _others(
    versions: Versions, name: str, target: Suite, config: GateConfig, earlier: Earlier | None
) -> Suite | None:
    """What a version is tried on, beside what it learned, when nobody says."""
    if earlier is None or not is_embedded_line(versions, name):
        return None
    others = earlier.other_goals(target, seed=config.seed, at_least=config.other_tasks)
    return others if others is not None and len(others.tasks) >= FEWEST else None


def _sample(versions: Versions, names: tuple[str, str], earlier: Earlier | None) -> Sequence[Sampled]:
    """What the loss is measured on when nobody says."""
    old, new = (Path(versions.resolve(name)) for name in names)
    if earlier is None or not is_embedded_line(versions, names[1]) or not alike(old, new):
        return ()
    return earlier.demonstration_sample(new)


def _is_over(loss: LossChange | None, config: GateConfig) -> bool:
    """Whether the loss alone decides: runs of a model that computes no numbers are impossible."""
    if loss is None:
        return False
    return loss.new is None or not (config.complete or loss_rule(loss, config).passed)
