"""What must not be learned is not: four ways to train a model wrongly, each of which the gate has to stop.

    python benchmarks/refuses.py --out refuses.md

The embedded model works on goals of the suite ``tickets`` (``own_goals.py``), several times each. From copies
of that record it is then trained

- on wrong answers that the user rated good, and right ones rated bad;
- on runs whose verdicts were dealt out anew at random;
- on runs whose actions were shuffled between them (``spoiled.py``);
- on the verified runs as they are, with a hundred times the learning rate.

The exit status is 0 only when each of the four was stopped, the version in use is the one from before, by its
pointer and by the bytes of its files, and what was refused is listed with the reason.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from own_goals import tickets
from spoiled import spoil_runs

from autoagent.config import Limits
from autoagent.errors import UsageError
from autoagent.evals import Suite
from autoagent.evals.parallel import jobs_for
from autoagent.models.versions import WEIGHTS, Versions
from autoagent.nano import earlier
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.training.dataset import DatasetConfig
from autoagent.training.evolve import parts_of
from autoagent.training.finetune import FinetuneConfig, FinetuneResult, finetune
from autoagent.training.gate import GateConfig
from autoagent.training.sampling import SamplingConfig, sample_suite
from autoagent.training.selection import Selection

LIMITS = Limits(max_steps=6, timeout=30)
RATE = 6e-4  # what a model of this size is trained with when nobody says


@dataclass(frozen=True)
class Case:
    """One way to spoil a training: what is done to the record, and the rate."""

    name: str
    spoil: Callable[[Path, Path, str, random.Random], None]  # home from, home to, suite of the runs, dice
    rate: float | None = None


def rate_wrongly(source: Path, home: Path, suite: str, dice: random.Random) -> None:
    """The user says the opposite of the check."""
    with closing(Store(home)) as store:
        for run in store.runs(suite=suite):
            if run.verdict.by is not None:
                store.rate(run.run_id, good=run.verdict.status == "refuted")


def deal_out(source: Path, home: Path, suite: str, dice: random.Random) -> None:
    """The verdicts of all runs, in another order."""
    with closing(Store(home)) as store:
        runs = [run for run in store.runs(suite=suite) if run.verdict.by is not None]
        said = [run.verdict.status == "verified" for run in runs]
        dice.shuffle(said)
        for run, good in zip(runs, said, strict=True):
            store.rate(run.run_id, good)


def shuffle_actions(source: Path, home: Path, suite: str, dice: random.Random) -> None:
    """Only runs that did what others should have done."""
    for file in home.glob("*.db*"):
        file.unlink()
    spoil_runs(source, home, dice, suite=suite)


def leave(source: Path, home: Path, suite: str, dice: random.Random) -> None:
    """All as it is."""


CASES = (
    Case("wrong answers rated good", rate_wrongly),
    Case("verdicts dealt out at random", deal_out),
    Case("actions shuffled", shuffle_actions),
    Case("100 times the learning rate", leave, 100 * RATE),
)


def main() -> int:
    options = _options()
    began = time.monotonic()
    lines = ["| training | runs learned from | what stopped it | version in use |", "|---|---|---|---|"]
    held = []
    with TemporaryDirectory(prefix="autoagent-refuses-") as folder:
        home, suite = Path(folder) / "home", tickets()
        practice, measure = parts_of(suite)
        practice = Suite(practice.name, practice.tasks[: options.goals])
        _work(home, practice, options.samples)
        for case in CASES:
            at = time.monotonic()
            copy = Path(shutil.copytree(home, Path(folder) / f"case {len(held)}"))
            case.spoil(home, copy, practice.name, random.Random(options.seed))
            before = _in_use(copy)
            runs, promoted, reason = _trained(copy, practice.name, measure, case, options)
            stays = _in_use(copy) == before
            held.append(stays and not promoted)
            lines.append(f"| {case.name} | {runs} | {reason} | {'the old one' if stays else 'ANOTHER'} |")
            _say(f"{lines[-1]}  {time.monotonic() - at:.0f} s")
    lines += [
        "",
        f"{time.monotonic() - began:.0f} seconds; {'all' if all(held) else 'NOT all'} were stopped.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0 if all(held) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--goals", type=int, default=40, help="goals to learn from")
    parser.add_argument("--samples", type=int, default=3, help="runs of each")
    parser.add_argument("--held-out", type=int, default=60, help="goals of the gate")
    parser.add_argument("--others", type=int, default=60, help="other goals of the gate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _work(home: Path, practice: Suite, samples: int) -> None:
    """A project with the embedded model as its first version, and runs of it on record."""
    versions = Versions(home)
    versions.use(versions.add(WEIGHTS, parent="embedded", prompts=prompt_hash(WEIGHTS)).name)
    config = SamplingConfig(samples=samples, enough=samples, temperature=1.0, limits=LIMITS)
    jobs = jobs_for(WEIGHTS, len(practice.tasks) * samples)
    report = sample_suite(practice, model="current", home=home, config=config, jobs=jobs)
    _say(f"{report.made} runs in {report.seconds:.0f} s: {report.sentence}")


def _trained(
    home: Path, suite: str, measure: Suite, case: Case, options: argparse.Namespace
) -> tuple[int, bool, str]:
    """Runs learned from, whether the outcome was promoted, and what stopped it."""
    gate = GateConfig(
        tasks=options.held_out, other_tasks=max(20, options.others), complete=False, limits=LIMITS
    )
    config = FinetuneConfig(
        selection=Selection(suite=suite),
        data=DatasetConfig(test=0.0),
        learning_rate=case.rate,
        gate=gate,
        seed=options.seed,
    )
    try:
        result: FinetuneResult = finetune(home, suite=measure, config=config, earlier=earlier)
    except UsageError as problem:
        return 0, False, f"the training itself: {problem}"
    kept = Versions(home).get(result.version)
    assert kept.gate is not None  # listed with its report
    assert kept.gate["reason"] == result.reason
    return len(result.sheet.runs), result.promoted, result.reason


def _in_use(home: Path) -> tuple[str, str]:
    """The pointer, and a hash over the files of what it names."""
    versions = Versions(home)
    name = versions.current()
    content = hashlib.sha256()
    for file in sorted(versions.path(name).iterdir()):
        content.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return name, content.hexdigest()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
