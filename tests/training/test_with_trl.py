"""Chats from elsewhere trained by TRL: the same targets, about the same loss, a folder like any other."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoagent.cli import Exit, main
from autoagent.errors import UsageError
from autoagent.models.loading import load_tokenizer
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.training.chats import read_chat
from autoagent.training.curves import read_log
from autoagent.training.dataset import Dataset, build_dataset
from autoagent.training.finetune import FinetuneConfig, finetune
from autoagent.training.jobs import put, work
from autoagent.training.learning import How, Learning
from autoagent.training.outside import outside_examples
from autoagent.training.sft import FinetuneProgress
from autoagent.training.worker import work_apart

needs_trl = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")
HOW = How(epochs=3, learning_rate=1e-3, batch_tokens=1024, device="cpu", precision="fp32", threads=1)

# What TRL itself makes of conversations when it is told to train what the template marks as the assistant's.
READ_BY_TRL = """
import json, sys
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

model, rows, folder = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
settings = SFTConfig(folder, assistant_only_loss=True, max_length=None, use_cpu=True, bf16=False)
trainer = SFTTrainer(
    model=model,
    args=settings,
    train_dataset=Dataset.from_list(rows, on_mixed_types="use_json"),
    processing_class=AutoTokenizer.from_pretrained(model),
)
print(json.dumps([[row["input_ids"], row["labels"]] for row in trainer.train_dataset]))
"""


def schema(name: str, **arguments: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": f"Do {name}", "parameters": parameters}
    return {"type": "function", "function": function}


def talk(number: int) -> dict[str, Any]:
    """A call and what came of it; every other conversation has a tool with other arguments."""
    tools = [schema("add", a="integer", b="integer"), schema("find", query="string")]
    arguments = {"a": number, "b": 1} if number % 2 else {"query": f"page {number}"}
    call = {"type": "function", "function": {"name": tools[1 - number % 2]["function"]["name"]}}
    call["function"]["arguments"] = arguments  # type: ignore[index]
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": f"What comes after {number}?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": str(number + 1)},
        {"role": "assistant", "content": f"After {number} comes {number + 1}."},
    ]
    return {"messages": messages, "tools": tools}


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "chats.jsonl"
    file.write_text("".join(json.dumps(talk(number)) + "\n" for number in range(24)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(Versions(tmp_path_factory.mktemp("home")).resolve(EMBEDDED))


@needs_trl
@pytest.mark.slow
def test_trl_comes_to_the_loss_of_our_own_trainer(chats: Path, embedded: Path, tmp_path: Path) -> None:
    data: Dataset = build_dataset((), outside=outside_examples(chats, load_tokenizer(embedded)).examples)
    assert data.validation
    told: list[FinetuneProgress] = []
    theirs = put(tmp_path, embedded, data, HOW.model_copy(update={"learning": Learning(trainer="trl")}))
    trained, own = work_apart(theirs, told.append), work(put(tmp_path, embedded, data, HOW), told.append)

    assert trained.train_loss.before == pytest.approx(own.train_loss.before, abs=1e-3)
    assert trained.train_loss.after == pytest.approx(own.train_loss.after, abs=0.1)
    assert trained.train_loss.after < 0.5 * trained.train_loss.before
    assert trained.validation_loss is not None
    assert trained.tokens == own.tokens
    assert [each.step for each in told[: trained.steps]] == [*range(1, trained.steps + 1)]
    log = read_log(theirs.folder / "run")
    assert log[-1]["step"] == trained.steps
    assert log[-1]["validation_loss"] == pytest.approx(trained.validation_loss.after, abs=1e-3)
    made, weights = theirs.folder / "model", "model.safetensors"
    for file in sorted(embedded.iterdir()):
        if file.is_file() and file.name not in (weights, "config.json"):
            assert (made / file.name).read_bytes() == file.read_bytes()
    before, after = (json.loads((each / "config.json").read_text("utf-8")) for each in (embedded, made))
    assert {**before, "dtype": after["dtype"]} == after
    assert (made / weights).read_bytes() != (embedded / weights).read_bytes()


@needs_trl
@pytest.mark.slow
def test_trl_by_itself_reads_the_same_targets_from_our_template(
    chats: Path, embedded: Path, tmp_path: Path
) -> None:
    given = [json.loads(line) for line in chats.read_text(encoding="utf-8").splitlines()[:4]]
    shaped = [read_chat(each) for each in given]
    rows = [{"messages": list(each.messages), "tools": list(each.tools)} for each in shaped]
    command = [sys.executable, "-c", READ_BY_TRL, str(embedded), json.dumps(rows), str(tmp_path)]
    read = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    ours = outside_examples(chats, load_tokenizer(embedded)).examples
    for (ids, labels), example in zip(read, ours[:4], strict=True):
        length = len(example.ids)  # ours ends with the last target
        targets = [one if wanted else -100 for one, wanted in zip(example.ids, example.mask, strict=True)]
        assert (tuple(ids[:length]), labels[:length]) == (example.ids, targets)
        assert set(labels[length:]) <= {-100}


def test_without_trl_it_is_said_what_to_install(
    chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    config = FinetuneConfig(outside=(chats,), learning=Learning(trainer="trl"))
    with pytest.raises(UsageError, match=r"pip install 'autoagent\[trl\]'"):
        finetune(tmp_path, suite=None, config=config)


@pytest.mark.parametrize(
    ("option", "value"), [("--method", "dpo"), ("--weights", "qlora"), ("--replay-loss", "kl")]
)
def test_what_trl_is_not_used_for_is_one_line(
    option: str, value: str, chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--home", str(tmp_path), "finetune", "--data", str(chats), "--trainer", "trl", option, value]
    assert main([*command, "--suite", "smoke"]) == Exit.USAGE
    told = capsys.readouterr().err
    assert told.startswith("autoagent: error: trl: it ")
    assert told.count("\n") == 1
