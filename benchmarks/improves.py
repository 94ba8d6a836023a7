"""Does the agent get better at goals of its owner's by itself, and does it forget anything by that?

    python benchmarks/improves.py --data FOLDER --work WORK --out table.md
    python benchmarks/improves.py --data FOLDER --work WORK --calibrate --lr 3e-4 --seeds 0

For each suite of ``own_goals.py`` and each seed, from the embedded model as it is installed:

- ``sample``: several runs of each goal to learn from; where pass@k equals pass@1 there is nothing to learn.
- ``evolve``: ``autoagent evolve`` with so many minutes of sampling and training, own verified runs only.
- ``corrected``: the same after 20 failed runs were corrected (``taught.py`` is the user).
- ``…-control``: as much training from the same start, on replay only.

Measured for each: success on the goals held out, before and after, and on other goals, of the builtin suite.
Every piece that is done is kept in the work folder; the same command goes on with what is missing. Settings
are chosen with ``--calibrate``, which splits the part to learn from in two and takes other goals of another
seed, so that nothing is chosen on the goals held out.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

from arms import (
    ARMS,
    Arm,
    Place,
    Plan,
    control,
    final,
    improve,
    improve_corrected,
    inner,
    sample,
    trained_line,
)
from own_goals import SUITES
from pooled import table

from autoagent.evals import Report, Suite, run_suite
from autoagent.evals.parallel import jobs_for
from autoagent.models import disk
from autoagent.models.fingerprint import fingerprint
from autoagent.models.load import load_model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.nano import earlier
from autoagent.prompts import prompt_hash
from autoagent.training.evolve import parts_of
from autoagent.training.gate import GateReport, Paired, decide, trained_goals
from autoagent.training.gate_goals import Chosen, choose, choose_others
from autoagent.training.gate_result import paired
from autoagent.training.measuring import Measurements
from autoagent.training.sft import Trained

CALIBRATION_SEED = 880_001  # of the other goals settings are chosen on; the gate has another


def main() -> int:
    options = _options()
    plan = _plan(options)
    bench = Bench(options.work, plan, options.data)
    for name in options.suite or SUITES:
        for seed in options.seeds:
            for arm in options.arms:
                bench.piece(name, seed, arm)
    text = table(bench.of_plan(), dataclasses.asdict(plan))
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    default = Plan()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add: Callable[..., Any] = parser.add_argument
    add("--data", type=Path, required=True, help="folder with hwu64 (tickets does without)")
    add("--work", type=Path, required=True, help="folder for all that is made; results.json is in it")
    add("--out", type=Path, help="Markdown file to write")
    add("--suite", action="append", choices=list(SUITES), help="repeatable; default: all")
    add("--seeds", type=_numbers, default=[0, 1, 2], help="like 0,1,2")
    add("--arms", type=_arms, default=list(ARMS), help=f"like evolve,evolve-control; of {', '.join(ARMS)}")
    add("--calibrate", action="store_true", help="not on the goals held out: to choose settings")
    add("--goals", type=int, help="most goals to learn from; default: all")
    for name, kind, told in (
        ("minutes", float, "of sampling, correcting and training"),
        ("rounds", int, "at most"),
        ("share", float, "of the minutes, for the runs of the first round"),
        ("samples", int, "runs of a goal at most, in a round"),
        ("temperature", float, "of the runs after a goal's first"),
        ("enough", int, "verified runs after which a goal is left alone"),
        ("lr", float, "peak learning rate"),
        ("epochs", int, "passes"),
        ("batch_tokens", int, "tokens of an update"),
        ("replay", float, "share of tokens from earlier training"),
        ("weights", str, "full, last:N, lora"),
        ("corrections", int, "runs that are corrected"),
        ("teach", str, "first: a training on corrections before the rounds; along: none"),
        ("held_out", int, "goals to measure on, at most"),
        ("others", int, "other goals"),
        ("jobs", int, "runs at a time"),
    ):
        value = getattr(default, name)
        shown = "that of `autoagent evolve`" if value is None else value
        add(f"--{name.replace('_', '-')}", type=kind, default=value, help=f"{told}; default: {shown}")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _arms(text: str) -> list[Arm]:
    chosen = text.split(",")
    if wrong := set(chosen) - set(get_args(Arm)):
        raise argparse.ArgumentTypeError(f"no such arm: {', '.join(sorted(wrong))}")
    return [arm for arm in ARMS if arm in chosen]  # a control comes after what it goes with


def _plan(options: argparse.Namespace) -> Plan:
    names = {field.name for field in dataclasses.fields(Plan)} & set(vars(options))
    plan = Plan(**{name: getattr(options, name) for name in names})
    return dataclasses.replace(plan, gate_seed=CALIBRATION_SEED) if plan.calibrate else plan


class Bench:
    """The pieces that are done, and how the others are made."""

    def __init__(self, work: Path, plan: Plan, data: Path) -> None:
        self.work, self.plan, self._data = work, plan, data
        work.mkdir(parents=True, exist_ok=True)
        self._known = Measurements()
        self._file = work / "results.json"
        self.results: dict[str, Any] = json.loads(disk.read(self._file) or b"{}")
        self.model = _code(work, EMBEDDED)
        tuning = plan.tuning(0).model_dump(mode="json")  # with the defaults of today
        about = json.dumps({"plan": dataclasses.asdict(plan), "tuning": tuning, "model": self.model})
        self.code = hashlib.sha256(about.encode()).hexdigest()[:8]

    def of_plan(self) -> list[dict[str, Any]]:
        """The results with these settings and this model."""
        return [found for found in self.results.values() if found["code"] == self.code]

    def piece(self, name: str, seed: int, arm: Arm) -> None:
        """Make one piece, unless it is there."""
        key = f"{self.code}/{name}-{seed}/{arm}"
        if key in self.results:
            return
        began = time.monotonic()
        suite = SUITES[name](self._data)
        if self.plan.calibrate:
            suite = inner(suite)
        folder = self.work / key
        _say(f"{name}, seed {seed}: {arm}")
        place = Place(folder, _cut(suite, self.plan.goals), seed, self.plan, _say, self._known)
        found = self._made(place, arm)
        self._keep(key, {"suite": name, "seed": seed, "arm": arm, **found})
        _say(f"{name}, seed {seed}: {arm} took {(time.monotonic() - began) / 60:.1f} minutes\n")

    def _keep(self, key: str, found: dict[str, Any]) -> None:
        spent = disk.read(self.work / key / "spent.json")
        about = {"code": self.code, "model": self.model, "plan": dataclasses.asdict(self.plan)}
        self.results[key] = {**about, **found, "spent": json.loads(spent or b"{}")}
        disk.replace(self._file, json.dumps(self.results, indent=1).encode())

    def _made(self, place: Place, arm: Arm) -> dict[str, Any]:
        if arm == "sample":
            report = sample(place)
            _say(report.sentence)
            return {"pass_at_1": report.pass_at_1, "pass_at_k": report.pass_at_k, "sentence": report.sentence}
        if arm.endswith("-control"):
            of = place.folder.with_name(arm.removesuffix("-control")) / "home"
            if not Versions(of).list():
                return {"nothing": "there was no training to compare with"}
            control(place, of)
            return self._measured(place, {})
        about: dict[str, Any] = {}
        if arm == "evolve":
            rounds = improve(place, place.folder.with_name("sample"))
        else:
            about, rounds = improve_corrected(place)
        about["rounds"] = [each.model_dump(mode="json") for each in rounds]
        if not Versions(place.home).list():
            return {**about, "nothing": rounds[-1].reason if rounds else "no time was left for a round"}
        return self._measured(place, about)

    def _measured(self, place: Place, about: dict[str, Any]) -> dict[str, Any]:
        versions, name = Versions(place.home), final(place.home)
        line = trained_line(place.home)
        trained = [Trained.model_validate((each.data or {})["trained"]) for each in line]
        target, others, reason = self._pairs(place, name)
        _say(f"{reason}")
        return about | {
            "version": name,
            "promoted": versions.current() == name,
            "reason": reason,
            "examples": (line[-1].data or {}).get("sheet", {}).get("examples"),
            "updates": sum(each.steps for each in trained),
            "tokens": sum(each.tokens for each in trained),
            "held_out": target.model_dump(mode="json", include={*Paired.model_fields}),
            "others": others.model_dump(mode="json", include={*Paired.model_fields}),
        }

    def _pairs(self, place: Place, name: str) -> tuple[Paired, Paired, str]:
        """The embedded model and a version on the goals held out and on others, and what the gate says."""
        versions = Versions(place.home)
        config = place.plan.tuning(place.seed).gate
        judged = versions.get(name).gate
        if judged is not None:
            gate = GateReport.model_validate(judged)
            if gate.names == (EMBEDDED, name) and gate.comparison.n and gate.forgetting is not None:
                return gate, gate.forgetting, gate.reason
        _, measure = parts_of(place.suite)
        known = trained_goals(versions, name)
        others = earlier.other_goals(measure, seed=config.seed, at_least=config.other_tasks)
        assert others is not None
        target = self._pair(place, name, choose(measure, known, config))
        elsewhere = self._pair(place, name, choose_others(others, measure, known, config))
        _, reason = decide(target.comparison, config, elsewhere=elsewhere.comparison)
        return target, elsewhere, reason

    def _pair(self, place: Place, name: str, chosen: Chosen) -> Paired:
        reports = [self._report(place, version, chosen.suite) for version in (EMBEDDED, name)]
        return paired(chosen, *reports)

    def _report(self, place: Place, version: str, suite: Suite) -> Report:
        """How a version does on tasks; measured once, whatever arm asks."""
        tasks = json.dumps([task.model_dump(mode="json") for task in suite.tasks], sort_keys=True)
        about = f"{_code(place.home, version)} {self.plan.gate_seed} {tasks}"
        file = self.work / "measured" / f"{hashlib.sha256(about.encode()).hexdigest()[:16]}.json"
        if (text := disk.read(file)) is not None:
            return Report.model_validate_json(text)
        file.parent.mkdir(exist_ok=True)
        began = time.monotonic()
        jobs = self.plan.jobs or jobs_for(Versions(place.home).resolve(version), len(suite.tasks))
        report = run_suite(
            suite,
            model=partial(load_model, version, place.home),
            seeds=[self.plan.gate_seed],
            jobs=jobs,
            limits=self.plan.tuning(place.seed).gate.limits,
        )
        disk.replace(file, report.model_dump_json().encode())
        _say(f"{version}: {report.passed} of {report.n} ({suite.name}), {time.monotonic() - began:.0f} s")
        return report


def _code(home: Path, version: str) -> str:
    """The hash of a version's weights and prompts."""
    folder = Path(Versions(home).resolve(version))
    return fingerprint(folder, prompts=prompt_hash(folder))


def _cut(suite: Suite, goals: int | None) -> Suite:
    """At most so many goals to learn from, by hash."""
    train = sorted(task.id for task in suite.tasks if task.split == "train")[:goals]
    return Suite(suite.name, tuple(task for task in suite.tasks if task.split != "train" or task.id in train))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
