"""Two ways to spoil, for the circle: weights by noise, and runs by shuffling what was done in them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from autoagent.store import Store
from autoagent.trajectory import Step, TokenTrace, Trajectory, Verdict


def spoil_weights(source: Path, folder: Path, noise: float, seed: int) -> None:
    """Copy a model and add Gaussian noise to every matrix, ``noise`` times its standard deviation."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    dice = torch.Generator().manual_seed(seed)
    for file in sorted(folder.glob("*.safetensors")):
        weights = load_file(file)
        for name, weight in weights.items():
            if weight.ndim == 2:
                grain = torch.randn(weight.shape, generator=dice) * weight.float().std()
                weights[name] = (weight.float() + noise * grain).to(weight.dtype)
        file.chmod(0o644)
        save_file(weights, file, metadata={"format": "pt"})


def spoil_runs(home: Path, control: Path, chance: random.Random, *, suite: str = "") -> None:
    """Put the verified runs of ``home`` on record in ``control``, their actions shuffled, as if verified.

    ``suite`` is the one they are of.
    """
    source, store = Store(home), Store(control)
    for run in shuffled_actions(list(source.verified(suite=suite)), chance):
        record = store.begin(
            run.goal, model=run.model, seed=run.seed, check="shuffled", workspace=control, suite=suite
        )
        for step in run.steps:
            record.stepped(step)
        record.ended(run.ending or "error", run.answer, run.seconds)
        record.judged(Verdict(status="verified", score=1.0, reason="shuffled", by="check"))
    source.close()
    store.close()


def shuffled_actions(runs: Sequence[Trajectory], chance: random.Random) -> list[Trajectory]:
    """The same runs, each step doing what another step of any run did: well-formed, plausible, wrong.

    Plans and everything the model was shown stay in place. Runs that rewound are left out: what their later
    steps saw cannot be rebuilt.
    """
    whole = [run for run in runs if _never_rewound(run)]
    said = [step.reply.trace for run in whole for step in run.steps[1:] if step.reply.trace is not None]
    chance.shuffle(said)
    left = iter(said)
    return [run.model_copy(update={"steps": tuple(_resaid(run.steps, left))}) for run in whole]


def _never_rewound(run: Trajectory) -> bool:
    length = 0
    for step in run.steps:
        trace = step.reply.trace
        if trace is None or trace.kept != length:
            return False
        length += len(trace.prompt_ids) + len(trace.completion_ids)
    return True


def _resaid(steps: Sequence[Step], said: Iterable[TokenTrace]) -> Iterable[Step]:
    length, others = 0, iter(said)
    for step in steps:
        trace = step.reply.trace
        assert trace is not None
        if step.index > 0:
            other = next(others)
            names = ("completion_ids", "origins", "logprobs", "masked_logprobs")
            trace = trace.model_copy(update={name: getattr(other, name) for name in names} | {"kept": length})
        length += len(trace.prompt_ids) + len(trace.completion_ids)
        yield step.model_copy(update={"reply": step.reply.model_copy(update={"trace": trace})})
