"""Replayed examples hold the model to what it was; the others teach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import kl_div

from autoagent.models.engine import Engine, load_engine
from autoagent.models.tiny import write_tiny_model
from autoagent.training.adapters import AdapterConfig
from autoagent.training.batches import Batches, Examples
from autoagent.training.dataset import Dataset
from autoagent.training.examples import REPLAYED, Example
from autoagent.training.holding import HeldLoss
from autoagent.training.learning import How, Learning
from autoagent.training.losses import token_loss
from autoagent.training.placement import cast
from autoagent.training.sft import FinetuneProgress, Run, Trained, train
from autoagent.training.sheet import DataSheet

pytestmark = pytest.mark.usefixtures("one_thread")

HOW = How(epochs=4, batch_tokens=128, learning_rate=3e-3, device="cpu", precision="fp32", threads=1)
IMITATES = HOW.model_copy(update={"replay_loss": "tokens"})
USUAL = Learning(weight_decay=0)
Tell = Callable[[FinetuneProgress], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def opened(folder: Path) -> Engine:
    return load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)


def example(first: int, source: str = "") -> Example:
    ids = tuple(range(first, first + 40))
    return Example(ids=ids, mask=(0,) * 20 + (1,) * 20, run_id="", goal=f"{first:016x}", source=source)


NEW = tuple(example(first) for first in range(10, 18))
REPLAY = tuple(example(first, REPLAYED) for first in range(60, 76))


def learn(
    engine: Engine,
    examples: tuple[Example, ...],
    how: How = HOW,
    learning: Learning = USUAL,
    *,
    tell: Tell = lambda at: None,
    folder: Path | None = None,
) -> Trained:
    data = Dataset(examples, (), DataSheet(hash="x", examples=len(examples)))
    return train(engine, data, how, tell, learning=learning, run=Run(folder=folder))


def farthest(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of any weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((mine - yours).detach().abs().max()) for mine, yours in pairs)


def divergence(before: nn.Module, now: nn.Module) -> float:
    """Mean KL(before || now) at the targets of the replay, in nats."""
    ids = torch.tensor([each.ids for each in REPLAY])
    with torch.no_grad():
        old, new = (model(ids).logits[:, 19:-1].log_softmax(-1) for model in (before, now))
    return float(kl_div(new, old, reduction="none", log_target=True).sum(-1).mean())


def test_replay_alone_teaches_next_to_nothing_unless_it_is_imitated(folder: Path) -> None:
    start, held, imitating = (opened(folder) for _ in range(3))
    learn(held, REPLAY)
    learn(imitating, REPLAY, IMITATES)
    assert divergence(start.model, held.model) < divergence(start.model, imitating.model) / 20


@pytest.mark.parametrize("what", ["full", "last:1", "lora"])
def test_what_is_replayed_stays_as_it_was_while_the_rest_is_learned(folder: Path, what: str) -> None:
    start, moved = opened(folder), {}
    for how in (HOW, IMITATES):
        engine = opened(folder)
        trained = learn(
            engine, (*NEW, *REPLAY), how, USUAL.model_copy(update={"adapter": AdapterConfig(what=what)})
        )
        assert trained.train_loss.after < trained.train_loss.before - 0.05
        moved[how.replay_loss] = divergence(start.model, engine.model)
    assert moved["kl"] < moved["tokens"] / 2


def test_the_log_says_how_far_what_is_held_has_moved(folder: Path) -> None:
    told: list[FinetuneProgress] = []
    learn(opened(folder), (*NEW, *REPLAY), tell=told.append)
    kl = [each.metrics["kl"] for each in told if "kl" in each.metrics]
    assert 0 <= kl[0] < 1e-3 < kl[-1] < 1


def test_other_examples_count_as_without_any_replay(folder: Path) -> None:
    engine = opened(folder)
    rows = [(each.ids, each.mask) for each in NEW]
    batch = Batches(Examples(rows), tokens=4096).next()
    plain, held = (loss(engine.model, batch) for loss in (token_loss, HeldLoss(engine.model)))
    assert torch.allclose(torch.stack(plain).detach(), torch.stack(held).detach())
    untouched = Batches(Examples([(ids, [-each for each in mask]) for ids, mask in rows]), tokens=4096).next()
    assert [float(each.detach()) for each in token_loss(engine.model, untouched)] == [0, 0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_before_the_first_step_nothing_pulls(folder: Path, precision: str) -> None:
    model = opened(folder).model
    loss = HeldLoss(model)
    cast(model, precision)
    long = [(list(range(600)), [0] * 20 + [-1] * 580)] * 2
    total, weight = loss(model, Batches(Examples(long), tokens=4096).next())
    total.backward()
    assert (float(total.detach()), float(weight)) == (pytest.approx(0, abs=1e-3), 2 * 580)
    assert max(float(each.grad.abs().max()) for each in model.parameters()) < 1e-4


def test_a_sequence_may_hold_in_part_and_teach_in_part(folder: Path) -> None:
    engine = opened(folder)
    in_part = [0] * 20 + [-1] * 10 + [1] * 10
    rows = [*((each.ids, each.mask) for each in NEW), *((each.ids, in_part) for each in REPLAY)]
    batch = Batches(Examples(rows), tokens=1 << 14).next()
    loss = HeldLoss(engine.model)
    with torch.no_grad():
        total, weight = loss(engine.model, batch)
        plain, count = token_loss(engine.model, batch)
    assert torch.isclose(total, plain)
    assert (float(weight), float(count)) == (20 * len(rows), 20 * len(NEW) + 10 * len(REPLAY))
    metrics = {"kl": pytest.approx(0, abs=1e-6), "imitation": pytest.approx(float(plain / count))}
    assert loss.metrics() == metrics


def test_a_training_that_was_cut_short_ends_with_the_same_weights(folder: Path, tmp_path: Path) -> None:
    often = USUAL.model_copy(update={"checkpoint_seconds": 1e-9})
    whole, first, second = (opened(folder) for _ in range(3))
    learn(whole, (*NEW, *REPLAY), learning=often)

    def cut(at: FinetuneProgress) -> None:
        if at.step == 9:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        learn(first, (*NEW, *REPLAY), learning=often, tell=cut, folder=tmp_path)
    told: list[FinetuneProgress] = []
    learn(second, (*NEW, *REPLAY), learning=often, tell=told.append, folder=tmp_path)
    assert told[0].step == 10
    assert farthest(whole.model, second.model) == 0


def test_a_model_that_is_held_is_trained_at_a_higher_rate(folder: Path) -> None:
    usual = How(epochs=1, device="cpu", precision="fp32", threads=1)
    imitating, given = ({"replay_loss": "tokens"}, {"learning_rate": 7e-5})
    lora = USUAL.model_copy(update={"adapter": AdapterConfig(what="lora")})
    cases = [
        ((*NEW, *REPLAY), usual, USUAL, 6e-4),
        ((*NEW, *NEW, *NEW, REPLAY[0]), usual, USUAL, 1e-4),  # held by next to nothing
        ((*NEW, *REPLAY), usual.model_copy(update=imitating), USUAL, 1e-4),
        (NEW, usual, USUAL, 1e-4),
        ((*NEW, *REPLAY), usual, lora, 1e-3),
        ((*NEW, *REPLAY), usual.model_copy(update=given), USUAL, 7e-5),
    ]
    found = [learn(opened(folder), data, how, way).learning_rate for data, how, way, _ in cases]
    assert found == [rate for *_, rate in cases]
