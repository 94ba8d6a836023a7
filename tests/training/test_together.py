"""Several processes that torchrun has started do one training; the first tells and writes, one gates."""

from __future__ import annotations

import importlib.util
import json
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autoagent.cli import Exit, main
from autoagent.errors import UsageError
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.training.dataset import Dataset, DataSheet
from autoagent.training.examples import Example
from autoagent.training.jobs import Job, put, work
from autoagent.training.learning import How, Learning
from autoagent.training.sft import FinetuneProgress
from autoagent.training.worker import work_apart

needs_trl = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")
HOW = How(epochs=2, learning_rate=1e-3, batch_tokens=256, device="cpu", precision="fp32", threads=1)

# accelerate knows shares of weights (FSDP) on GPUs only. Told that these CPUs are some other accelerator, it
# goes all the way that it goes on GPUs, with torch's own FSDP2 and gloo in place of NCCL.
SHARED = """
import json, sys
from pathlib import Path
import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from transformers import Trainer
from autoagent.training import with_trl
from autoagent.training.worker import main

plain, take = Trainer.create_accelerator_and_postprocess, with_trl._take

def create(self):
    self.args.device
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_SDAA
    plain(self)

def counting(trainer, model):
    weights = list(trainer.model.parameters())
    here = sum(weight.to_local().numel() for weight in weights)
    found = [here, sum(weight.numel() for weight in weights), trainer.accelerator.num_processes]
    Path(sys.argv[1], f"rank{trainer.args.process_index}.json").write_text(json.dumps(found))
    take(trainer, model)

Trainer.create_accelerator_and_postprocess, with_trl._take = create, counting
raise SystemExit(main(Path(sys.argv[1]), together=True))
"""


def torchrun(count: int) -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = ["--master_addr", "127.0.0.1", "--master_port", port]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(count), *meeting]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(folder: Path, **learning: Any) -> Job:
    base = write_tiny_model(folder / "tiny")
    drawn = torch.Generator().manual_seed(0)
    examples = []
    for number in range(12):
        length = 20 + number if number else 150  # the long one has a batch of its own
        ids = tuple(torch.randint(0, 200, (length,), generator=drawn).tolist())
        mask = (0, *[1] * (len(ids) - 1))
        examples.append(Example(ids=ids, mask=mask, run_id="", goal=str(number), source="outside"))
    data = Dataset(tuple(examples), (), DataSheet(hash="x"))
    (folder / "jobs").mkdir(exist_ok=True)
    return put(folder / "jobs", base, data, HOW.model_copy(update={"learning": Learning(**learning)}))


def weights(made: Job) -> dict[str, torch.Tensor]:
    return load_file(made.folder / "model" / "model.safetensors")


def test_two_processes_come_to_the_weights_of_one(tmp_path: Path) -> None:
    told: list[FinetuneProgress] = []
    (tmp_path / "alone").mkdir()
    alone, both = job(tmp_path / "alone"), job(tmp_path)
    trained, one = work_apart(both, told.append, launch=torchrun(2)), work(alone, told.append)
    assert (trained.steps, trained.tokens) == (one.steps, one.tokens)
    assert trained.train_loss.after == pytest.approx(one.train_loss.after, abs=1e-3)
    assert [each.step for each in told].count(1) == 2  # once by each training: the first process alone tells
    for name, weight in weights(alone).items():
        assert torch.allclose(weights(both)[name], weight, atol=1e-4), name


@needs_trl
@pytest.mark.slow
def test_trl_trains_a_model_of_which_each_process_has_a_share(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    alone, both = job(tmp_path / "alone", trainer="trl"), job(tmp_path, trainer="trl")
    (tmp_path / "shared.py").write_text(SHARED, encoding="utf-8")
    told: list[FinetuneProgress] = []
    launch = [*torchrun(2), str(tmp_path / "shared.py"), str(both.folder)]
    trained, one = work_apart(both, told.append, launch=launch), work_apart(alone, lambda _: None)
    for rank in (0, 1):
        here, whole, processes = json.loads((both.folder / f"rank{rank}.json").read_text(encoding="utf-8"))
        assert (2 * here, processes) == (whole, 2)
    assert [each.step for each in told] == [*range(1, trained.steps + 1)]
    assert trained.tokens == one.tokens
    assert trained.train_loss.after == pytest.approx(one.train_loss.after, abs=0.1)
    assert trained.train_loss.after < trained.train_loss.before - 0.1
    assert weights(both).keys() == weights(alone).keys()
    assert (both.folder / "model" / "config.json").read_bytes() == (
        alone.folder / "model" / "config.json"
    ).read_bytes()


@pytest.mark.slow
def test_the_command_trains_in_two_processes_and_gates_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"HOME": str(tmp_path / "home"), "MAX_STEPS": "1", "REPLY_TOKENS": "32"}.items():
        monkeypatch.setenv(f"AUTOAGENT_{name}", value)
    versions, suite, chats = Versions(tmp_path / "home"), tmp_path / "suite.toml", tmp_path / "chats.jsonl"
    versions.use(versions.add(write_tiny_model(tmp_path / "tiny"), prompts=prompt_hash()).name)
    task = '[[task]]\nid = "{0}"\nfamily = "a"\ngoal = "Say {0}."\nexpected = {{ answer = "{0}" }}\n'
    suite.write_text("".join(task.format(word) for word in ("one", "two")), encoding="utf-8")
    for word in ("hello", "yes", "no", "well", "good", "thanks"):
        talk = [{"role": "user", "content": f"Say {word}."}, {"role": "assistant", "content": word}]
        with chats.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"messages": talk}) + "\n")
    command = ["finetune", "--data", str(chats), "--suite", str(suite), "--epochs", "2", "--gate-tasks", "2"]
    code = main([*command, "--output-format", "json", "--launch", shlex.join(torchrun(2))])
    printed = capsys.readouterr()
    assert code == Exit.REFUTED, printed.err
    told = json.loads(printed.out)
    assert (told["gate"]["comparison"]["n"], told["trained"]["steps"]) == (2, 2)
    assert [each.name for each in versions.list()][1:] == [told["version"]]


def test_a_single_process_is_refused_where_several_were_wanted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one process was started instead of several: use torchrun"):
        work_apart(job(tmp_path), lambda _: None, launch=[sys.executable])
    with pytest.raises(UsageError, match="there is no program nowhere to start the training with"):
        work_apart(job(tmp_path), lambda _: None, launch=["nowhere"])
