"""What would a model do differently elsewhere after it has learned? Settings of a training, side by side.

    python benchmarks/flips.py --work WORK replay_loss=tokens,learning_rate=1e-4 learning_rate=6e-4
    python benchmarks/flips.py --work WORK --suite office --data FOLDER learning_rate=3e-4 epochs=24

Success on other goals moves by about a point when a training forgets, which 600 goals hardly tell from
chance. So this counts decisions: of the embedded model's own verified runs on goals of the builtin suite, in
how many would the trained model have chosen another token at any place? One forward pass a run, and every run
counts. Beside it: KL(before || after) there, and what was gained on goals held out.

Each variant is a comma-separated list of settings of ``FinetuneConfig`` that take a number or a word. All are
trained on the same runs, sampled once: the practice half of a suite of ``own_goals.py``, itself in two, so
that nothing is chosen on the goals that ``improves.py`` holds out; the other goals have another seed than its
gate's. Runs and what they are compared with are kept in the work folder.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from arms import LIMITS, inner
from improves import CALIBRATION_SEED
from own_goals import SUITES, tickets
from torch import Tensor

from autoagent.evals import Suite, run_suite
from autoagent.evals.parallel import jobs_for
from autoagent.models.engine import load_engine
from autoagent.models.load import load_model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.nano import earlier
from autoagent.store import Store
from autoagent.training.dataset import DatasetConfig, build_dataset
from autoagent.training.evolve import parts_of
from autoagent.training.examples import Example
from autoagent.training.finetune import FinetuneConfig, finetune
from autoagent.training.holding import divergence
from autoagent.training.losses import next_weights, target_logits
from autoagent.training.sampling import SamplingConfig, sample_suite
from autoagent.training.selection import Selection

LONGEST = 4096  # tokens of a run


@dataclass(frozen=True)
class Said:
    """What a model predicts at the targets of one example."""

    logits: Tensor  # (N, V)
    chosen: Tensor  # (N,) what was sampled there


def main() -> int:
    options = _options()
    suite = inner(SUITES[options.suite](options.data))
    practice, measure = parts_of(suite)
    home = options.work / suite.name
    _say(sample_suite(practice, model=EMBEDDED, home=home, config=_sampling(options), jobs=_jobs()).sentence)
    elsewhere = _elsewhere(options.work / f"elsewhere-{options.others}", options.others)
    before = [list(said) for said in _predictions(Versions(home).resolve(EMBEDDED), elsewhere)]
    print(f"{len(elsewhere)} verified runs of {options.others} other goals; gained of {len(measure.tasks)}")
    columns = ("settings", "other decisions in", "KL, nats a token", "reached", "updates", "seconds")
    print(f"| {' | '.join(columns)} |\n|---{'|---:' * 5}|")
    for variant in ("", *options.variants):
        began = time.monotonic()
        if not variant:
            name, place, steps = EMBEDDED, home, 0
        else:
            place = options.work / "variant"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(home, place)
            made = finetune(place, suite=None, config=_tuning(practice.name, variant), earlier=earlier)
            name, steps = made.version, made.trained.steps
        after = _predictions(Versions(place).resolve(name), elsewhere)
        flipped, moved = _compare(before, after)
        loader = partial(load_model, name, place)
        found = run_suite(measure, model=loader, seeds=[CALIBRATION_SEED], jobs=_jobs(), limits=LIMITS)
        told = f"{flipped:.1%} | {moved:.5f} | {found.passed} | {steps} | {time.monotonic() - began:.0f}"
        print(f"| {variant or 'untrained'} | {told} |", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="+", metavar="NAME=VALUE[,…]", help="settings of a training")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--suite", choices=list(SUITES), default="tickets")
    parser.add_argument("--data", type=Path, help="folder with hwu64 (tickets does without)")
    parser.add_argument("--samples", type=int, default=16, help="runs of a goal at most")
    parser.add_argument("--others", type=int, default=1_500, help="other goals")
    return parser.parse_args()


def _sampling(options: argparse.Namespace) -> SamplingConfig:
    return SamplingConfig(samples=options.samples, enough=2, seed=1, limits=LIMITS)


def _tuning(suite: str, variant: str) -> FinetuneConfig:
    given = dict(each.split("=", 1) for each in variant.split(","))
    fixed = {"data": DatasetConfig(test=0.0), "selection": Selection(suite=suite)}
    return FinetuneConfig.model_validate({**fixed, **given})


def _jobs() -> int:
    return jobs_for(EMBEDDED, 100)


def _elsewhere(home: Path, count: int) -> list[Sequence[Example]]:
    """The embedded model's verified runs on other goals: the examples of each."""
    done = home / "done"
    if not done.exists():
        suite = earlier.other_goals(tickets(), seed=CALIBRATION_SEED, at_least=count)
        assert suite is not None
        some = Suite(suite.name, tuple(sorted(suite.tasks, key=lambda task: task.id)[:count]))
        run_suite(some, model=EMBEDDED, seeds=[CALIBRATION_SEED], jobs=_jobs(), home=home, limits=LIMITS)
        done.touch()
    with closing(Store(home)) as store:
        runs = [store.load(run.run_id) for run in store.runs(verdict="verified")]
    config = DatasetConfig(validation=0.0, test=0.0, max_length=LONGEST)
    by_run: dict[str, list[Example]] = {}
    for example in build_dataset(runs, config).train:
        by_run.setdefault(example.run_id, []).append(example)
    return list(by_run.values())


@torch.no_grad()
def _predictions(folder: str | Path, runs: Sequence[Sequence[Example]]) -> Iterator[Iterator[Said]]:
    engine = load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)
    for run in runs:
        yield (_said(engine.model, example) for example in run)


@torch.no_grad()
def _said(model: torch.nn.Module, example: Example) -> Said:
    ids = torch.tensor([example.ids])
    where = next_weights(torch.tensor([example.mask])) > 0
    return Said(target_logits(model, ids, where), ids.roll(-1, dims=1)[where])


def _compare(before: Sequence[Sequence[Said]], after: Iterator[Iterator[Said]]) -> tuple[float, float]:
    """The share of runs with another decision, and the mean divergence, in nats a target.

    Where the untrained model would have said something else than it did, the grammar decided: left out.
    """
    flipped, moved, targets = 0, 0.0, 0
    for old, new in zip(before, after, strict=True):
        other = False
        for one, two in zip(old, new, strict=True):
            its_own = one.logits.argmax(-1) == one.chosen
            other |= bool((its_own & (two.logits.argmax(-1) != one.chosen)).any())
            moved += float(divergence(one.logits, two.logits).sum())
            targets += len(one.chosen)
        flipped += other
    return flipped / len(before), moved / max(1, targets)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
