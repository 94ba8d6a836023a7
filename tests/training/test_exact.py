"""Trained is to the token what was sampled, served is what was trained, and a rollback is bit-exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoagent.agent import Agent
from autoagent.config import Limits, Sampling
from autoagent.models import writing
from autoagent.models.engine import Engine
from autoagent.models.guide import Guide
from autoagent.models.load import load_model
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.training import losses, sft
from autoagent.training.adapters import Prepared
from autoagent.training.batches import Batch
from autoagent.training.dataset import DatasetConfig
from autoagent.training.finetune import finetune

from .quick import quick

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = quick(epochs=2, data=DatasetConfig(validation=0))
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with a random model in use, which is shown three tools only."""
    folder = write_tiny_model(tmp_path / "tiny")
    about = {"habits": {"shown_tools": 3, "pinned": ["finish", "decline"], "recall": 0}}
    (folder / "autoagent.json").write_text(json.dumps(about), encoding="utf-8")
    versions = Versions(tmp_path / "home")
    versions.use(versions.add(folder, prompts=prompt_hash()).name)
    return tmp_path / "home"


def work(home: Path, goal: str) -> None:
    """A run that is verified, whatever it does."""
    limits = Limits(max_steps=2, reply_tokens=64)
    sampling = Sampling(temperature=1)
    with Agent(home=home, workspace=home.parent, limits=limits, memory=False, sampling=sampling) as agent:
        agent.run(goal, check=lambda workspace, answer: True)


def logits(model: object) -> np.ndarray:
    """What a model that serves says about a few tokens, (T, V)."""
    assert isinstance(model, LocalModel)
    return np.asarray(model.engine.logits(IDS, model.engine.cache(), keep=len(IDS)))


def test_the_batches_hold_what_the_sessions_were_fed_and_their_weights_what_was_drawn(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    taken: list[list[int]] = []
    held: list[tuple[int, ...]] = []
    batches: list[Batch] = []
    draw, take, close, loss = writing.draw, Guide.take, LocalSession.close, losses.token_loss

    def drawing(*given: object) -> int:
        token = draw(*given)  # type: ignore[arg-type]
        drawn.append(token)
        return token

    def taking(guide: Guide, token: int) -> tuple[bool, list[int]]:
        fits, forced = take(guide, token)
        assert token == drawn[-1]
        if fits:  # else the reply has to be closed, and what is forced stands there instead
            taken[-1].append(token)
        return fits, forced

    def closing(session: LocalSession) -> None:
        held.append(tuple(session._ids))
        close(session)

    def counting(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        batches.append(batch)
        return loss(model, batch)

    monkeypatch.setattr(writing, "draw", drawing)
    monkeypatch.setattr(Guide, "take", taking)
    monkeypatch.setattr(LocalSession, "close", closing)
    for number in range(3):
        taken.append([])
        work(home, f"say the number {number}")
    monkeypatch.setattr(losses, "token_loss", counting)
    result = finetune(home, suite=None, config=QUICK)

    assert (len(held), result.sheet.examples) == (3, 3)
    model = load_model(None, home)
    assert isinstance(model, LocalModel)
    ends = set(model.vocabulary.ends)
    rows = [(ids, weights) for each in batches for ids, weights in zip(each.ids, each.weights, strict=True)]
    found = set()
    for ids, weights in rows:
        (run,) = (n for n, fed in enumerate(held) if tuple(ids[: len(fed)].tolist()) == fed)
        found.add(run)
        assert not weights[len(held[run]) :].any()  # padding
        assert set(weights.tolist()) <= {0.0, 1.0}
        trained = ids[weights > 0].tolist()
        assert [token for token in trained if token not in ends] == [
            token for token in taken[run] if token not in ends
        ]
        assert len(trained) > 10
    assert found == {0, 1, 2}


def test_what_is_served_after_a_reload_has_the_logits_it_had_in_training(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[np.ndarray] = []
    write = sft.write_model

    def noting(engine: Engine, folder: Path, prepared: Prepared | None = None) -> None:
        with torch.no_grad():
            trained.append(engine.model(torch.tensor([IDS])).logits[0].numpy())
        write(engine, folder, prepared)

    monkeypatch.setattr(sft, "write_model", noting)
    work(home, "say something")
    before = logits(load_model(None, home))
    result = finetune(home, suite=None, config=QUICK)
    Versions(home).use(result.version)
    served = logits(load_model(None, home))
    assert served == pytest.approx(trained[0], abs=1e-4)
    assert np.abs(served - before).max() > 0.1


def test_a_rollback_is_bit_exact(home: Path) -> None:
    versions = Versions(home)
    first = versions.current()

    def state() -> tuple[str, dict[str, bytes], bytes]:
        files = {file.name: file.read_bytes() for file in versions.path(first).iterdir()}
        return versions.current(), files, logits(load_model(None, home)).tobytes()

    work(home, "say something")
    before = state()
    versions.use(finetune(home, suite=None, config=QUICK).version)
    assert state()[2] != before[2]
    versions.rollback()
    assert state() == before
