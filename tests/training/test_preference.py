"""Learning by preference: the losses are those of the papers, on what the model chose and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import log_softmax, logsigmoid

from autoagent.errors import UsageError
from autoagent.models.engine import Engine, load_engine
from autoagent.models.tiny import write_tiny_model
from autoagent.training.batches import Batches, Examples
from autoagent.training.dataset import Example
from autoagent.training.finetune import FinetuneConfig
from autoagent.training.learning import Learning, PreferenceConfig
from autoagent.training.losses import target_losses, token_loss
from autoagent.training.preference import (
    DpoLoss,
    KtoLoss,
    PairBatches,
    chosen_over_rejected,
    good_and_bad,
    log_probs,
)
from autoagent.training.sft import FinetuneProgress, Run, prefer
from autoagent.training.trainer import TrainerConfig, fit

VOCABULARY = 16
QUICK = {"precision": "fp32", "threads": 1, "device": "cpu"}


@dataclass(frozen=True)
class Sequence_:
    ids: Sequence[int]
    mask: Sequence[int]
    run_id: str = "r"


class Chain(nn.Module):
    """Logits of the next token from this one."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.table = nn.Embedding(VOCABULARY, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.table(ids)
        return logits


def run(
    prompt: Sequence[int], said: Sequence[int], saw: Sequence[int] = (), then: Sequence[int] = ()
) -> Sequence_:
    """A prompt, what the model said, what it saw, what it said then."""
    ids = [*prompt, *said, *saw, *then]
    mask = [0] * len(prompt) + [1] * len(said) + [0] * len(saw) + [1] * len(then)
    return Sequence_(tuple(ids), tuple(mask))


def by_hand(model: Chain, sequence: Sequence_) -> torch.Tensor:
    """The log-probability of what the model said, token by token."""
    table = log_softmax(model.table.weight, dim=-1)
    places = [at for at in range(1, len(sequence.ids)) if sequence.mask[at]]
    return torch.stack([table[sequence.ids[at - 1], sequence.ids[at]] for at in places]).sum()


PAIRS = [
    (run([1, 2], [3, 4], [9, 9, 9], [5]), run([1, 2], [7], [8, 8], [6, 6])),
    (run([2, 2, 2], [4], [1], [4]), run([2, 2, 2], [5, 5, 5])),
    (run([3], list(range(10)) * 8), run([3], [1])),  # of another length: another batch
]


def ready(batches: PairBatches, model: Chain) -> PairBatches:
    batches.ready(model, "cpu")
    return batches


def total(loss: DpoLoss | KtoLoss, model: Chain, batches: PairBatches) -> torch.Tensor:
    """The mean loss over a pass."""
    found = [loss(model, batches.next()) for _ in range(batches.batches_per_pass())]
    mean: torch.Tensor = sum(each for each, _ in found) / sum(weight for _, weight in found)  # type: ignore
    return mean


@pytest.mark.parametrize(
    "config",
    [
        PreferenceConfig(beta=0.3),
        PreferenceConfig(beta=0.3, smoothing=0.2),
        PreferenceConfig(beta=0.1, sft=0.5),
    ],
)
def test_dpo_is_the_formula_of_the_paper(config: PreferenceConfig) -> None:
    before, now = Chain(0), Chain(1)
    batches = ready(PairBatches(chosen_over_rejected(PAIRS), tokens=1024), before)
    expected = []
    for chosen, rejected in PAIRS:
        ratios = [by_hand(now, each) - by_hand(before, each) for each in (chosen, rejected)]
        margin = config.beta * (ratios[0] - ratios[1])
        loss = -(1 - config.smoothing) * logsigmoid(margin) - config.smoothing * logsigmoid(-margin)
        expected.append(loss - config.sft * by_hand(now, chosen) / sum(chosen.mask))
    measured = DpoLoss(config)
    assert total(measured, now, batches).item() == pytest.approx(
        torch.stack(expected).mean().item(), rel=1e-5
    )
    right = [by_hand(now, c) - by_hand(before, c) > by_hand(now, r) - by_hand(before, r) for c, r in PAIRS]
    assert measured.metrics()["reward_accuracy"] == pytest.approx(sum(right) / len(right))
    assert measured.metrics() == {}


def test_dpo_starts_at_log_2_with_half_of_the_reference_s_gradient() -> None:
    model = Chain(0)
    batches = ready(PairBatches(chosen_over_rejected(PAIRS[:1]), tokens=1024), model)
    loss = total(DpoLoss(PreferenceConfig(beta=0.1)), model, batches)
    assert loss.item() == pytest.approx(0.6931, abs=1e-4)
    loss.backward()
    given = model.table.weight.grad
    chosen, rejected = PAIRS[0]
    (wanted,) = torch.autograd.grad(by_hand(model, rejected) - by_hand(model, chosen), model.table.weight)
    assert given is not None
    assert torch.allclose(given, 0.1 * 0.5 * wanted, atol=1e-6)


def test_observations_and_prompts_never_count() -> None:
    model = Chain(0)
    mask = [0, 0, 1, 0, 0, 1]
    one, other = ([1, 2, 3, 9, 5, 4], mask), ([7, 2, 3, 8, 5, 4], mask)  # another prompt, another observation
    batch = Batches(Examples([one]), tokens=64).next(), Batches(Examples([other]), tokens=64).next()
    first, second = (log_probs(model, each) for each in batch)
    assert first.item() == second.item()
    assert target_losses(model, batch[0])[1].nonzero().tolist() == [[0, 1], [0, 4]]


JUDGED = [
    (run([1, 2], [3, 4], [9, 9], [5]), True),
    (run([2, 2, 2], [4], [1], [4]), False),
    (run([3], [1, 2, 3]), False),
    (run([4, 4], [5]), True),
]


@torch.no_grad()
def kto_by_hand(now: Chain, before: Chain, desirable: float, undesirable: float, beta: float) -> float:
    def ratio(sequence: Sequence_) -> torch.Tensor:
        return by_hand(now, sequence) - by_hand(before, sequence)

    pairs = good_and_bad(JUDGED)
    apart = [Sequence_(pair.rows[1][0].tolist(), pair.rows[1][1].tolist()) for pair in pairs]
    shift = max(0.0, float(torch.stack([ratio(each) for each in apart]).mean()))
    losses = []
    for sequence, good in JUDGED:
        value = beta * (ratio(sequence) - shift) if good else beta * (shift - ratio(sequence))
        losses.append((desirable if good else undesirable) * (1 - torch.sigmoid(value)))
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_kto_is_the_formula_of_the_paper(seed: int) -> None:
    before, now = Chain(0), Chain(seed)
    batches = ready(PairBatches(good_and_bad(JUDGED), tokens=4096), before)
    loss = KtoLoss(PreferenceConfig(beta=0.2, desirable=1.5, undesirable=0.5), good=2, bad=2)
    wanted = kto_by_hand(now, before, 1.5, 0.5, 0.2)
    assert total(loss, now, batches).item() == pytest.approx(wanted, rel=1e-5)
    assert loss.metrics().keys() >= {"reward_margin", "reward_accuracy", "kl"}


def test_kto_sets_each_example_beside_another_prompt_with_its_completion() -> None:
    for pair in good_and_bad(JUDGED):
        (ids, mask), (apart, targets) = pair.rows
        begin = int(mask.argmax())
        assert apart[:begin].tolist() == ids[:begin].tolist()
        assert not targets[:begin].any()
        rest = apart[begin:].tolist(), targets[begin:].tolist()
        completions = [
            (list(each.ids[each.mask.index(1) :]), list(each.mask[each.mask.index(1) :]))
            for each, _ in JUDGED
        ]
        assert rest in completions
        assert rest != (ids[begin:].tolist(), mask[begin:].tolist())
    with pytest.raises(UsageError, match="kto needs at least 2 examples"):
        good_and_bad(JUDGED[:1])


def test_kto_makes_few_good_ones_weigh_as_much_as_many_bad_ones() -> None:
    before, now = Chain(0), Chain(1)
    batches = ready(PairBatches(good_and_bad(JUDGED), tokens=4096), before)
    balanced = KtoLoss(PreferenceConfig(beta=0.2), good=1, bad=4)
    assert total(balanced, now, batches).item() == pytest.approx(
        kto_by_hand(now, before, 1, 0.25, 0.2), rel=1e-5
    )


def test_training_tells_chosen_from_rejected_and_says_so(tmp_path: Path) -> None:
    model = Chain(0)
    batches = PairBatches(chosen_over_rejected(PAIRS), tokens=256, seed=1)
    config = TrainerConfig(steps=60, learning_rate=0.05, **QUICK)
    loss = DpoLoss(PreferenceConfig())
    report = fit(model, batches, config, loss=loss, checkpoint_dir=tmp_path)
    assert report.first_loss == pytest.approx(0.6931, abs=1e-3)
    assert report.loss < 0.35
    assert report.metrics["reward_accuracy"] == 1.0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["reward_margin"] > lines[0]["reward_margin"]
    assert lines[-1]["tokens_per_second"] > 0


def test_resumed_preference_training_ends_with_the_very_same_weights(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def crash(progress: object) -> None:
        if getattr(progress, "step", 0) == 7:
            raise Stop

    def go(model: Chain, folder: Path, crashing: bool = False) -> Chain:
        config = TrainerConfig(steps=20, learning_rate=0.05, checkpoint_seconds=1e-9, **QUICK)
        batches = PairBatches(good_and_bad(JUDGED), tokens=256, seed=1)
        loss = KtoLoss(PreferenceConfig(), good=2, bad=2)
        fit(model, batches, config, loss=loss, checkpoint_dir=folder, on_progress=crash if crashing else None)
        return model

    whole = go(Chain(0), tmp_path / "whole")
    with pytest.raises(Stop):
        go(Chain(0), tmp_path / "parts", crashing=True)
    resumed = go(Chain(0), tmp_path / "parts")
    assert torch.equal(whole.table.weight, resumed.table.weight)


def test_too_little_memory_cuts_between_pairs_and_changes_nothing() -> None:
    class Narrow(DpoLoss):
        """Has memory for one pair."""

        def __call__(self, model: nn.Module, batch):  # type: ignore[no-untyped-def]
            if len(batch) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(model, batch)

    ends = []
    for loss in (DpoLoss(PreferenceConfig()), Narrow(PreferenceConfig())):
        model, batches = Chain(0), PairBatches(chosen_over_rejected(PAIRS), tokens=4096)
        notes: list[str] = []
        config = TrainerConfig(steps=10, learning_rate=0.05, **QUICK)
        fit(model, batches, config, loss=loss, on_progress=lambda at, notes=notes: notes.append(at.note))
        ends.append((model.table.weight, [note for note in notes if note]))
    (whole, silent), (cut, said) = ends
    assert torch.allclose(whole, cut, atol=1e-6)
    assert silent == []
    assert len(said) == 1
    assert "computed in 2 parts now" in said[0]


# --- a model of transformers ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def load(folder: Path) -> Engine:
    return load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)


def test_logits_made_for_targets_alone_are_those_of_all_places(folder: Path) -> None:
    model = load(folder).model
    batch = Batches(Examples([(range(5, 45), [0, 1] * 20), (range(9, 30), [1] * 21)]), tokens=128).next()
    losses, where = target_losses(model, batch)
    logits = model(batch.ids).logits
    for number, (row, at) in enumerate(where.nonzero().tolist()):
        wanted = -log_softmax(logits[row, at], dim=-1)[batch.ids[row, at + 1]]
        assert losses[number].item() == pytest.approx(wanted.item(), abs=1e-5)
    assert token_loss(model, batch)[1].item() == where.sum().item() == 40


def example(ids: Sequence[int], begin: int, number: int) -> Example:
    mask = [0] * begin + [1] * (len(ids) - begin)
    return Example(ids=tuple(ids), mask=tuple(mask), run_id=f"r{number}", goal=f"{number:016x}")


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_model_learns_by_preference(method: str, folder: Path, tmp_path: Path) -> None:
    engine = load(folder)
    good = [example([*range(50, 60), 70 + number, 71, 72], 10, number) for number in range(12)]
    bad = [example([*range(50, 60), 90 + number, 91, 92], 10, number) for number in range(12)]
    pairs = list(zip(good, bad, strict=True))
    judged = [(each, True) for each in good] + [(each, False) for each in bad]
    seen: list[FinetuneProgress] = []
    trained = prefer(
        engine,
        pairs if method == "dpo" else judged,  # type: ignore[arg-type]
        FinetuneConfig(epochs=4, batch_tokens=512, learning_rate=1e-3, **QUICK),
        seen.append,
        learning=Learning(method=method, patience=0),  # type: ignore[arg-type]
        validation=pairs[:3] if method == "dpo" else judged[9:15],  # type: ignore[arg-type]
        test=pairs[3:6] if method == "dpo" else judged[8:16],  # type: ignore[arg-type]
        run=Run(folder=tmp_path),
    )
    assert trained.method == method
    assert trained.trainable == engine.model.num_parameters()
    assert trained.validation_loss is not None
    assert trained.validation_loss.after < trained.validation_loss.before
    assert trained.test_loss is not None
    assert trained.test_loss.after < trained.test_loss.before
    assert trained.metrics["reward_accuracy"] == 1.0
    assert seen[-1].metrics["reward_margin"] > 0
    assert seen[-1].validation_loss is not None
