"""The training loop: it learns, survives interruption, and says what is wrong with what it is given."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from autoagent.errors import UsageError
from autoagent.training.batches import Batches, Examples, Shards
from autoagent.training.mixture import Mixture
from autoagent.training.parallel import Group, gathered
from autoagent.training.trainer import Progress, TrainerConfig, fit

from .bigram import QUICK, batches, even, interrupted_at, model


def write_shard(path: Path, first: int, count: int = 4) -> None:
    ids = np.repeat(np.arange(first, first + count, dtype=np.uint16), 20)
    np.savez(
        path, ids=ids, mask=np.ones(len(ids), np.uint8), starts=np.arange(count + 1, dtype=np.int64) * 20
    )


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_learns_what_can_be_learned(optimizer: str) -> None:
    seen: list[Progress] = []
    config = TrainerConfig(steps=150, optimizer=optimizer, learning_rate=0.01, **QUICK)
    report = fit(model(), batches(), config, on_progress=seen.append)
    assert report.first_loss > 3.0
    assert report.loss < 0.3
    assert (report.steps, report.finished, report.fraction) == (150, True, 1.0)
    assert [progress.step for progress in seen] == list(range(1, 151))
    assert seen[-1].seconds_left == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trains_in_bf16_and_gives_the_model_back_in_its_own_precision(dtype: torch.dtype) -> None:
    learner = model().to(dtype)
    config = TrainerConfig(steps=60, optimizer="muon", learning_rate=0.01, **QUICK | {"precision": "bf16"})
    report = fit(learner, batches(), config)
    assert report.precision == "bf16"
    assert {weight.dtype for weight in learner.parameters()} == {dtype}
    assert report.loss < report.first_loss / 2


def test_auto_measures_and_leaves_nothing_behind() -> None:
    source = batches()
    report = fit(model(), source, TrainerConfig(steps=2, device="cpu"))
    assert report.precision in ("fp32", "bf16")
    assert source.state()["batch"] == 2


def test_a_frozen_weight_stays() -> None:
    learner = model()
    learner.embed.weight.requires_grad_(False)
    before = learner.embed.weight.clone()
    fit(learner, batches(), TrainerConfig(steps=5, **QUICK))
    assert torch.equal(learner.embed.weight, before)


def test_only_masked_tokens_are_learned() -> None:
    context = [(list(range(20)), [0] * 10 + [1] * 10)]
    batch = Batches(Examples(context)).next()
    assert batch.weights[0].tolist() == [0.0] * 10 + [1.0] * 10 + [0.0] * 44
    weighted = Batches(Examples(context), context_weight=0.25).next()
    assert weighted.weights[0].tolist() == [0.0] + [0.25] * 9 + [1.0] * 10 + [0.0] * 44
    assert batch.tokens == 20


def test_resumed_training_ends_with_the_very_same_weights(tmp_path: Path) -> None:
    config = TrainerConfig(steps=20, optimizer="muon", checkpoint_seconds=1e-9, **QUICK)
    whole, resumed = model(), model(seed=5)
    expected = fit(whole, batches(), config)
    interrupted_at(7, tmp_path, config)
    report = fit(resumed, batches(), config, checkpoint_dir=tmp_path)
    assert report.steps == 20
    assert report.tokens == expected.tokens
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    config = TrainerConfig(steps=5, **QUICK)
    first = fit(model(), batches(), config, checkpoint_dir=tmp_path)
    again = model(seed=5)
    assert fit(again, batches(), config, checkpoint_dir=tmp_path).seconds == first.seconds


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_ends(number: signal.Signals, tmp_path: Path) -> None:
    def terminate(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    config = TrainerConfig(steps=100, **QUICK)
    report = fit(model(), batches(), config, on_progress=terminate, checkpoint_dir=tmp_path)
    assert (report.steps, report.finished) == (3, False)
    assert signal.getsignal(number) == before
    assert fit(model(), batches(), config, checkpoint_dir=tmp_path).steps == 100


GROUP = """
import sys
from pathlib import Path
from tests.training.bigram import QUICK, even, model
from autoagent.training.mixture import Mixture
from autoagent.training.parallel import gathered
from autoagent.training.trainer import TrainerConfig, fit
def work(group, folder):
    config = TrainerConfig(tokens=10**9, checkpoint_seconds=0.01, **QUICK)
    fit(model(), even(group), config, checkpoint_dir=folder, group=group)
if __name__ == "__main__":
    with gathered(2, work, Path(sys.argv[1])) as group:
        work(group, Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_kill_9_of_one_process_ends_all(victim: int, tmp_path: Path) -> None:
    (tmp_path / "group.py").write_text(GROUP, encoding="utf-8")
    here = str(Path(__file__).parents[2])
    first = subprocess.Popen(
        [sys.executable, str(tmp_path / "group.py"), str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoint.pt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    family = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
    workers = [one for one in family if "resource_tracker" not in " ".join(one.cmdline())]
    workers[victim].kill()
    _, errors = first.communicate(timeout=60)
    assert psutil.wait_procs(family, timeout=10)[1] == []
    if victim:
        assert "a training process ended early (exit code -9)" in errors


SCRIPT = """
import sys
from pathlib import Path
from tests.training.bigram import QUICK, batches, model
from autoagent.training.trainer import TrainerConfig, fit
config = TrainerConfig(tokens=10**9, checkpoint_seconds=0.01, **QUICK)
fit(model(), batches(), config, checkpoint_dir=Path(sys.argv[1]))
"""


def test_survives_kill_9(tmp_path: Path) -> None:
    here = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
    )
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "checkpoint.pt").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        process.kill()
        process.wait()
    seen: list[Progress] = []
    fit(
        model(), batches(), TrainerConfig(tokens=1, **QUICK), checkpoint_dir=tmp_path, on_progress=seen.append
    )
    assert seen == []  # more than one token was trained on and remembered
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").startswith('{"step": 1,')


def together(group: Group, folder: Path) -> None:
    fit(model(), even(group), TrainerConfig(steps=20, decay=0, **QUICK), checkpoint_dir=folder, group=group)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes find this module, wherever pytest was started from."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


@pytest.mark.usefixtures("importable")
def test_two_processes_go_on_from_one_and_end_with_its_weights(tmp_path: Path) -> None:
    fit(model(), even(), TrainerConfig(steps=5, decay=0, **QUICK), checkpoint_dir=tmp_path)
    config = TrainerConfig(steps=20, decay=0, **QUICK)
    alone, resumed = model(), model(seed=5)
    expected = fit(alone, even(), config)
    with gathered(2, together, tmp_path) as group:
        together(group, tmp_path)
    report = fit(resumed, even(), config, checkpoint_dir=tmp_path)
    assert (report.steps, report.tokens) == (20, expected.tokens)
    for one, other in zip(alone.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def end_at_once(group: Group, code: int) -> None:
    os._exit(code)


@pytest.mark.usefixtures("importable")
def test_a_process_that_ends_early_is_said_in_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"a training process ended early \(exit code 7\): run the same"),
        gathered(2, end_at_once, 7) as group,
    ):
        together(group, tmp_path)


class Unreadable:
    """Whoever unpickles it ends."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


@pytest.mark.usefixtures("importable")
def test_a_process_that_cannot_start_is_said_in_one_line() -> None:
    with pytest.raises(UsageError, match="ended early"), gathered(2, end_at_once, Unreadable()):
        pass


def refused(match: str, learner: nn.Module, config: TrainerConfig, folder: Path) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        fit(learner, batches(), config, checkpoint_dir=folder)
    assert "\n" not in str(caught.value)


def test_refuses_a_checkpoint_of_other_settings_or_another_model(tmp_path: Path) -> None:
    config = TrainerConfig(steps=3, **QUICK)
    fit(model(), batches(), config, checkpoint_dir=tmp_path)
    refused(
        "learning_rate=0.0003, not 0.1", model(), config.model_copy(update={"learning_rate": 0.1}), tmp_path
    )
    refused("another shape", model(width=24), config, tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"rubbish")
    refused("cannot read checkpoint", model(), config, tmp_path)


def test_a_longer_budget_is_not_another_setting(tmp_path: Path) -> None:
    fit(model(), batches(), TrainerConfig(steps=3, **QUICK), checkpoint_dir=tmp_path)
    assert fit(model(), batches(), TrainerConfig(steps=6, **QUICK), checkpoint_dir=tmp_path).steps == 6


def test_a_time_budget_counts_over_resumes(tmp_path: Path) -> None:
    config = TrainerConfig(minutes=0.01, checkpoint_seconds=1e-9, **QUICK)
    interrupted_at(3, tmp_path, config)
    report = fit(model(), batches(), config, checkpoint_dir=tmp_path)
    assert report.finished
    assert 0.6 <= report.seconds < 1.5


def test_the_rate_rises_stays_and_falls() -> None:
    config = TrainerConfig(steps=100, warmup=0.1, decay=0.4)
    rates = [config.rate(fraction) for fraction in (0.05, 0.1, 0.5, 0.6, 0.8, 1.0)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 0.5, 0])


@pytest.mark.parametrize("budget", [{}, {"steps": 3, "tokens": 4}])
def test_wants_exactly_one_budget(budget: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        TrainerConfig(**budget)


def test_a_loss_that_is_no_number_stops_with_one_line() -> None:
    learner = model()
    with torch.no_grad():
        learner.mix.weight.fill_(float("nan"))
    with pytest.raises(UsageError, match="training diverged at step 1"):
        fit(learner, batches(), TrainerConfig(steps=3, **QUICK))


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot train on device 'warp'"):
        fit(model(), batches(), TrainerConfig(steps=1, device="warp"))


def test_shards_that_appear_during_training_are_picked_up(tmp_path: Path) -> None:
    write_shard(tmp_path / "shard-0000.npz", first=1)
    source = batches(Shards(tmp_path), tokens=64)
    first = {int(source.next().ids[0, 0]) for _ in range(4)}
    write_shard(tmp_path / "shard-0001.npz", first=5)
    second = {int(source.next().ids[0, 0]) for _ in range(8)}
    assert (first, second) == ({1, 2, 3, 4}, set(range(1, 9)))


def test_batches_go_on_exactly_where_they_stopped(tmp_path: Path) -> None:
    for number in range(6):
        write_shard(tmp_path / f"shard-{number:04d}.npz", first=4 * number)
    one, other = batches(Shards(tmp_path), tokens=64), batches(Shards(tmp_path), tokens=64)
    for _ in range(31):
        one.next()
    other.restore(one.state())
    for _ in range(40):
        assert torch.equal(one.next().ids, other.next().ids)


def write_plain(path: Path, token: int, lengths: list[int]) -> None:
    starts = np.cumsum([0, *lengths])
    ids = np.full(starts[-1], token, dtype=np.uint16)
    path.parent.mkdir(exist_ok=True)
    np.savez(path, ids=ids, mask=np.ones(len(ids), np.uint8), starts=starts)


def test_folders_are_mixed_by_their_share_of_the_tokens(tmp_path: Path) -> None:
    for number in range(5):
        write_plain(tmp_path / "own" / f"shard-{number}.npz", 1, [60, 20, 40] * 20)
    write_plain(tmp_path / "human" / "shard-0.npz", 2, [11, 7, 23] * 30)
    shares = {tmp_path / "own": 0.7, tmp_path / "human": 0.3}
    one, other = (Batches(Mixture(shares), tokens=512, seed=1, window=2) for _ in range(2))
    seen: Counter[int] = Counter()
    for _ in range(70):  # three passes
        seen.update(int(token) for token in one.next().ids.flatten() if token)
    assert seen[2] / seen.total() == pytest.approx(0.3, abs=0.02)
    other.restore(one.state())
    for _ in range(40):
        assert torch.equal(one.next().ids, other.next().ids)


def test_a_mixture_goes_on_without_a_folder_that_is_gone(tmp_path: Path) -> None:
    for name, token in (("own", 1), ("human", 2)):
        write_plain(tmp_path / name / "shard-0.npz", token, [60] * 20)
    mixed = Batches(Mixture({tmp_path / "own": 0.5, tmp_path / "human": 0.5}), tokens=512)
    mixed.next()
    alone = Batches(Mixture({tmp_path / "own": 1.0}), tokens=512)
    alone.restore(mixed.state())
    assert alone.next().ids.max() == 1
    with pytest.raises(UsageError, match="token id 2, but the tokenizer has 2 ids: it was made with another"):
        Batches(Mixture({tmp_path / "human": 1.0}, vocabulary=2)).next()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What a full disk does to a file that grows, for files beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    fit(model(), batches(), TrainerConfig(steps=3, **QUICK), checkpoint_dir=tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with largest_file(8000):
        refused(
            "cannot write .*checkpoint.pt, the one before is kept",
            model(),
            TrainerConfig(steps=6, **QUICK),
            tmp_path,
        )
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not (tmp_path / "checkpoint.pt.tmp").exists()


def test_every_sequence_is_seen_once_in_a_pass() -> None:
    source = Examples([([number] * 30, [1] * 30) for number in range(100)])
    sequences = Batches(source, tokens=512)
    seen = [int(row[0]) for _ in range(sequences.batches_per_pass()) for row in sequences.next().ids]
    assert sorted(seen) == list(range(100))


def test_unusable_data_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no training data in"):
        Batches(Shards(tmp_path)).next()
    (tmp_path / "shard-0000.npz").write_bytes(b"rubbish")
    with pytest.raises(UsageError, match=r"cannot read training shard .*shard-0000"):
        Batches(Shards(tmp_path)).next()
    with pytest.raises(UsageError, match="no sequence with a token to learn"):
        Batches(Examples([([1, 2, 3], [0, 0, 0])])).next()
