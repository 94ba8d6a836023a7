"""What of a model is trained: all of it, its last layers, or adapters that become part of its weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from autoagent.errors import UsageError
from autoagent.models.engine import Engine, load_engine
from autoagent.models.tiny import write_tiny_model
from autoagent.training.adapters import Prepared, prepare
from autoagent.training.batches import Batches, Examples
from autoagent.training.dataset import Dataset, DataSheet, Example
from autoagent.training.finetune import FinetuneConfig
from autoagent.training.learning import AdapterConfig, Learning
from autoagent.training.sft import Run, train, write_model
from autoagent.training.trainer import TrainerConfig, fit

QUICK = {"threads": 1, "device": "cpu"}
IDS = torch.arange(5, 45)[None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def load(folder: Path) -> Engine:
    return load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def changed(model: Any, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}


def trained(model: Any, config: AdapterConfig, precision: str = "fp32") -> Prepared:
    prepared = prepare(model, config)
    source = Examples([([number + place for place in range(30)], [1] * 30) for number in range(16)])
    settings = TrainerConfig(steps=6, learning_rate=0.01, precision=precision, **QUICK)
    fit(model, Batches(source, tokens=512), settings)
    model.eval()
    return prepared


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_last_layers_are_trained_and_the_others_stay_to_the_bit(precision: str, folder: Path) -> None:
    model = load(folder).model
    before = weights(model)
    prepared = trained(model, AdapterConfig(what="last:1"), precision)
    moved = changed(model, before)
    assert moved == {
        name for name in before if name.startswith("model.layers.1.") or name == "model.norm.weight"
    }
    assert prepared.trainable == sum(before[name].numel() for name in moved)


def test_all_of_it_is_trained_again_after_a_part(folder: Path) -> None:
    model = load(folder).model
    prepare(model, AdapterConfig(what="last:1"))
    assert prepare(model, AdapterConfig()).trainable == model.num_parameters()


def test_adapters_become_weights_that_plain_transformers_load(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = load(folder).model
    names, before = set(weights(model)), model(IDS).logits
    prepared = trained(model, AdapterConfig(what="lora", rank=4, dropout=0.1))
    assert prepared.trainable == sum(w.numel() for n, w in model.named_parameters() if "lora_" in n)
    in_training = model(IDS).logits
    assert (in_training - before).abs().max() > 0.1
    prepared.finish(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert set(weights(again)) == set(weights(model)) == names
    assert torch.allclose(again(IDS).logits, in_training, atol=1e-4)
    assert not (tmp_path / "adapter_config.json").exists()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # by peft 0.21
def test_an_adapter_can_be_written_alone(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    engine = load(folder)
    prepared = trained(engine.model, AdapterConfig(what="lora", rank=4, merge=False))
    in_training = engine.model(IDS).logits
    prepared.finish(tmp_path, base="some/base")
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 200_000
    assert "some/base" in (tmp_path / "adapter_config.json").read_text(encoding="utf-8")
    again = peft.PeftModel.from_pretrained(load(folder).model, str(tmp_path))
    assert torch.allclose(again(IDS).logits, in_training, atol=1e-5)


def test_adapters_begin_the_same_for_a_seed(folder: Path) -> None:
    pytest.importorskip("peft")
    starts = []
    for seed in (1, 1, 2):
        model = load(folder).model
        prepare(model, AdapterConfig(what="lora"), seed=seed)
        starts.append(torch.cat([w.flatten() for n, w in model.named_parameters() if "lora_A" in n]))
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def data(count: int = 24) -> Dataset:
    examples = tuple(
        Example(
            ids=tuple(range(number, number + 30)),
            mask=tuple([0] * 10 + [1] * 20),
            run_id=str(number),
            goal=f"{number:016x}",
        )
        for number in range(count)
    )
    return Dataset(examples[8:], examples[:8], DataSheet())


@pytest.mark.parametrize("what", ["lora", "last:1"])
def test_fine_tuning_with_few_weights_writes_a_whole_model(what: str, folder: Path, tmp_path: Path) -> None:
    if what == "lora":
        pytest.importorskip("peft")
    engine = load(folder)
    learning = Learning(adapter=AdapterConfig(what=what, dropout=0.05))
    config = FinetuneConfig(epochs=6, batch_tokens=256, learning_rate=0.01, **QUICK, precision="fp32")
    report = train(
        engine, data(), config, lambda at: None, learning=learning, run=Run(folder=tmp_path / "log")
    )
    assert 0 < report.trainable < engine.model.num_parameters() / 2
    assert report.validation_loss is not None
    assert report.validation_loss.after < report.validation_loss.before
    assert report.best_step is not None
    write_model(engine, tmp_path / "new")
    again = load(tmp_path / "new").model
    assert torch.allclose(again(IDS).logits, engine.model(IDS).logits, atol=1e-5)
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "log" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("last:9", "cannot train the last 9 layers: the model has 2"),
        ("qlora", "qlora needs a CUDA device.*train lora instead"),
    ],
)
def test_what_cannot_be_trained_here_is_said_in_one_line(what: str, match: str, folder: Path) -> None:
    if what == "qlora" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match=match) as caught:
        prepare(load(folder).model, AdapterConfig(what=what))
    assert "\n" not in str(caught.value)


def test_without_peft_one_line_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else found(name))
    with pytest.raises(UsageError, match=r"needs peft: pip install 'autoagent\[train\]'"):
        prepare(load(folder).model, AdapterConfig(what="lora"))


@pytest.mark.parametrize("what", ["", "last", "last:0", "some", "lora:3"])
def test_another_word_for_what_is_trained_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match="give full, last:N"):
        AdapterConfig(what=what)


@pytest.mark.skipif(
    not (torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes")),
    reason="needs CUDA and bitsandbytes",
)
def test_adapters_on_a_base_in_4_bits_become_part_of_the_exact_weights(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = load(folder).model
    names, before = set(weights(model)), model(IDS).logits
    prepared = prepare(model, AdapterConfig(what="qlora", rank=4))
    source = Examples([([number + place for place in range(30)], [1] * 30) for number in range(16)])
    report = fit(model, Batches(source, tokens=512), TrainerConfig(steps=20, learning_rate=0.01))
    assert report.loss < report.first_loss / 2
    model.eval()
    in_training = model(IDS.cuda()).logits.cpu()
    prepared.finish(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert set(weights(again)) == names
    far, near = ((again(IDS).logits - other).abs().mean() for other in (before, in_training))
    assert near < far / 2  # what 4 bits had taken away is back, what was learned is kept
