"""Training that stops early, runs out of memory, is done by several, and is looked at."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoagent.errors import UsageError
from autoagent.training.batches import Batch, Batches, Examples
from autoagent.training.boards import Board
from autoagent.training.curves import draw_training, read_log
from autoagent.training.learning import PreferenceConfig
from autoagent.training.losses import mean_loss, token_loss
from autoagent.training.parallel import ALONE, Group, Value, launched
from autoagent.training.placement import place
from autoagent.training.preference import DpoLoss, Pair, PairBatches
from autoagent.training.trainer import FitReport, Progress, TrainerConfig, fit

from .bigram import QUICK, VOCABULARY, Bigram, Stop, batches, even, interrupted_at, model

# --- stopping early ---------------------------------------------------------------------------------------


def other_way() -> Batches:
    """Sequences that count downwards for the most part: what is learned from the others makes it worse."""
    ids = [[(90 - step) % VOCABULARY for step in range(20)] + [1, 2, 3, 4] for _ in range(4)]
    return Batches(Examples([(each, [1] * len(each)) for each in ids]), tokens=1024)


STOPPING = {"steps": 200, "learning_rate": 0.003, "evaluate_every": 2, "patience": 3, **QUICK}


def stopping(folder: Path | None = None, crash_at: int = 0) -> tuple[Bigram, FitReport, list[Progress]]:
    learner, seen = model(), list[Progress]()

    def show(progress: Progress) -> None:
        seen.append(progress)
        if progress.step == crash_at:
            raise Stop

    config = TrainerConfig(checkpoint_seconds=1e-9, **STOPPING)
    report = fit(learner, batches(), config, on_progress=show, checkpoint_dir=folder, validation=other_way())
    return learner, report, seen


def test_training_stops_when_validation_gets_worse_and_keeps_the_best_weights(tmp_path: Path) -> None:
    learner, report, seen = stopping(tmp_path)
    assert (report.stopped_early, report.finished) == (True, True)
    assert report.best_step is not None
    assert report.steps == report.best_step + 6  # three measurements, two steps each
    kept = mean_loss(learner, other_way(), token_loss, "cpu")
    assert kept == pytest.approx(report.best_loss, abs=1e-6)
    assert f"lowest at step {report.best_step}" in seen[-1].note
    measured = {
        line["step"]: line["validation_loss"] for line in read_log(tmp_path) if "validation_loss" in line
    }
    assert list(measured) == list(range(2, report.steps + 1, 2))
    assert min(measured, key=lambda step: measured[step]) == report.best_step


def test_stopping_early_survives_an_interruption(tmp_path: Path) -> None:
    whole, expected, _ = stopping()
    with pytest.raises(Stop):
        stopping(tmp_path, crash_at=expected.steps - 3)
    resumed, report, _ = stopping(tmp_path)
    assert (report.steps, report.best_step) == (expected.steps, expected.best_step)
    again, still, seen = stopping(tmp_path)
    assert (seen, still.steps) == ([], expected.steps)
    for one, two, three in zip(*(each.parameters() for each in (whole, resumed, again)), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_without_patience_it_goes_on_and_keeps_the_last_weights() -> None:
    learner, alone = model(), model()
    config = TrainerConfig(**STOPPING | {"steps": 20, "patience": 0})
    report = fit(learner, batches(), config, validation=other_way())
    assert (report.steps, report.stopped_early) == (20, False)
    assert report.best_step is not None
    fit(alone, batches(), config)
    for one, other in zip(learner.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)  # measuring changes nothing


# --- too little memory ------------------------------------------------------------------------------------


def room_for(rows: int) -> object:
    """A loss that finds memory for so many rows."""

    def loss(learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        if len(batch) > rows:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"
            )
        return token_loss(learner, batch)

    return loss


def test_too_little_memory_makes_parts_of_batches_and_the_same_updates(tmp_path: Path) -> None:
    config = TrainerConfig(steps=12, learning_rate=0.01, **QUICK)
    plain, halved, seen = model(), model(), list[Progress]()
    fit(plain, even(), config)
    fit(
        halved,
        even(),
        config,
        loss=room_for(5),  # type: ignore[arg-type]
        checkpoint_dir=tmp_path,
        on_progress=seen.append,
        validation=even(),
    )
    for one, other in zip(plain.parameters(), halved.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    notes = [progress.note for progress in seen if progress.note]
    assert len(notes) == 1
    assert re.fullmatch(
        "out of memory on cpu at step [12]: batches are computed in 4 parts now, the updates stay the same",
        notes[0],
    )
    assert [line["note"] for line in read_log(tmp_path) if "note" in line] == notes


def test_no_memory_for_a_single_sequence_is_said_in_one_line() -> None:
    with pytest.raises(
        UsageError, match="with a single sequence of 64 tokens: train fewer weights"
    ) as caught:
        fit(model(), even(), TrainerConfig(steps=3, **QUICK), loss=room_for(0))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_another_fault_of_the_loss_is_not_taken_for_memory() -> None:
    def broken(learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(model(), even(), TrainerConfig(steps=3, **QUICK), loss=broken)


# --- checkpoints of before --------------------------------------------------------------------------------


def test_a_checkpoint_without_the_newer_fields_is_gone_on_with(tmp_path: Path) -> None:
    config = TrainerConfig(steps=20, optimizer="muon", **QUICK)
    whole, resumed = model(), model(seed=5)
    fit(whole, batches(), config)
    interrupted_at(7, tmp_path, config.model_copy(update={"checkpoint_seconds": 1e-9}))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for name in ("best", "parts"):
        del state[name]
    for name in ("patience", "evaluate_every"):
        del state["config"][name]
    torch.save(state, tmp_path / "checkpoint.pt")
    fit(resumed, batches(), config, checkpoint_dir=tmp_path)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


# --- started by torchrun ----------------------------------------------------------------------------------

LAUNCHED = """
import sys
from pathlib import Path
import torch
from tests.training.test_trainer_limits import both
from autoagent.training.parallel import launched
with launched(expected=2) as group:
    assert group.size == 2
    learners = both(group)
    if group.rank == 0:
        torch.save([learner.state_dict() for learner in learners], sys.argv[1])
threads = [name.read_text() for name in Path("/proc/self/task").glob("*/comm")]  # none outside of Linux
assert not any("gloo" in name for name in threads), threads  # or leaving may abort
"""


def both(group: Group = ALONE) -> list[Bigram]:
    """A model trained by imitation and one by preference."""
    config = TrainerConfig(steps=6, learning_rate=0.01, **QUICK)
    first, second = model(), model()
    fit(first, even(group), config, group=group, validation=even())
    rows = [
        (np.arange(place, place + 20) % VOCABULARY, np.array([0] * 4 + [1] * 16, dtype=np.float32))
        for place in range(16)
    ]
    pairs = [Pair(number, (rows[2 * number], rows[2 * number + 1])) for number in range(8)]
    feed = PairBatches(pairs, tokens=512, group=group)
    fit(second, feed, config, group=group, loss=DpoLoss(PreferenceConfig(beta=1.0)))
    return [first, second]


def test_torchrun_with_two_processes_trains_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "launched.py").write_text(LAUNCHED, encoding="utf-8")
    here = str(Path(__file__).parents[2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    meeting = ["--master_addr", "127.0.0.1", "--master_port", port]
    done = subprocess.run(
        [*torchrun, *meeting, str(tmp_path / "launched.py"), str(tmp_path / "weights.pt")],
        env=os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "weights.pt", weights_only=True)
    for weights, alone in zip(found, both(), strict=True):
        for name, weight in alone.named_parameters():
            assert torch.allclose(weights[name], weight, atol=1e-4), name


def test_a_group_of_another_size_than_wanted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with launched() as group:
        assert group == ALONE
    with pytest.raises(UsageError, match="1 processes were started instead of 2: use torchrun"), launched(2):
        pass
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(UsageError, match="WORLD_SIZE=many in the environment is no number"), launched():
        pass


# --- watching ---------------------------------------------------------------------------------------------


def test_the_log_of_a_training_becomes_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lines = [
        {"step": step, "tokens": step, "seconds": 1, "loss": 1 / step, "rate": 1, "reward_margin": step}
        | ({"validation_loss": 2 / step, "validation_reward_accuracy": 0.5} if step % 3 == 0 else {})
        for step in range(1, 13)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "log.jsonl").write_text(text + '{"ste', encoding="utf-8")
    draw_training(tmp_path, tmp_path / "curves.svg", title="dpo")
    drawn = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    for words in ("validation loss", "lowest: 0.167", "reward margin", "accuracy", "updates", "dpo"):
        assert f"<!-- {words} -->" in drawn, words
    with pytest.raises(UsageError, match="no log in"):
        draw_training(tmp_path / "nowhere", tmp_path / "curves.svg")


def test_tensorboard_shows_validation_and_the_method_s_own_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path)
    for step in range(1, 13):
        validation = None if step < 7 else 0.5
        at = Progress(step, 10 * step, 1.0, 1e4, 1.0, 0.1, 1.0, 1.0, validation, {"reward_margin": step / 2})
        board(at)
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("validation_loss")] == [70, 100]
    assert events.Scalars("reward_margin")[-1].value == 5.0


def test_where_nothing_falls_to_a_process_no_precision_is_measured() -> None:
    class Second(Group):
        def agree(self, value: Value) -> Value:
            return value

    group = Second(rank=1, size=2)
    alone = Batches(Examples([([1] * 20, [1] * 20)]), tokens=64, group=group)
    found = place(model(), alone, TrainerConfig(steps=1, device="cpu"), token_loss, group)
    assert found.precision == "fp32"
