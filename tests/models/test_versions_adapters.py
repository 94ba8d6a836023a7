"""Adapter versions serve their base with a change, name it by hash, become whole again; exports are plain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from autoagent.errors import ModelError, StoreError, UsageError
from autoagent.models.change import weight_change
from autoagent.models.engine import load_engine
from autoagent.models.export import export, merge
from autoagent.models.load import load_model
from autoagent.models.needs import measure
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash

RANK, ALPHA = 4, 10
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5]
CHANGED = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "home")


@pytest.fixture
def base(versions: Versions, tiny: Path) -> str:
    return versions.add(tiny).name


def write_adapter(folder: Path, tiny: Path, *, rank: int = RANK, **settings: Any) -> Path:
    """What peft writes, for two layers."""
    folder.mkdir()
    said = {"peft_type": "LORA", "r": rank, "lora_alpha": ALPHA, "base_model_name_or_path": "x", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    whole, drawn = load_file(tiny / "model.safetensors"), torch.Generator().manual_seed(7)
    matrices = {}
    for name in CHANGED:
        out, width = whole[f"{name}.weight"].shape
        matrices[f"base_model.model.{name}.lora_A.weight"] = torch.randn(rank, width, generator=drawn)
        matrices[f"base_model.model.{name}.lora_B.weight"] = torch.randn(out, rank, generator=drawn)
    save_file(matrices, folder / "adapter_model.safetensors")
    return folder


def logits(folder: Path) -> np.ndarray[Any, Any]:
    """As the runtime serves them."""
    engine = load_engine(folder, device="cpu", dtype="float32", trust_remote_code=False)
    return engine.logits(IDS, engine.cache(), keep=len(IDS))


def plain_logits(model: Any) -> np.ndarray[Any, Any]:
    """As transformers computes them."""
    with torch.inference_mode():
        return np.asarray(model(torch.tensor([IDS])).logits[0].float().numpy())


def changed_by_hand(tiny: Path, adapter: Path, scale: float) -> np.ndarray[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    matrices = load_file(adapter / "adapter_model.safetensors")
    with torch.no_grad():
        for name in CHANGED:
            low, high = (matrices[f"base_model.model.{name}.lora_{each}.weight"] for each in "AB")
            model.get_parameter(f"{name}.weight").add_(scale * high @ low)
    return plain_logits(model)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, ALPHA / RANK),
        ({"use_rslora": True}, ALPHA / RANK**0.5),
        ({"alpha_pattern": {"q_proj": 2, "down_proj": 2}}, 2 / RANK),
    ],
)
def test_an_adapter_version_serves_its_base_with_the_change(
    versions: Versions, base: str, tiny: Path, tmp_path: Path, settings: dict[str, Any], scale: float
) -> None:
    adapter = write_adapter(tmp_path / "adapter", tiny, **settings)
    made = versions.add(adapter, base=base, parent=base, method="sft", prompts=prompt_hash())
    assert made.base is not None
    assert (made.base.name, made.base.hash) == (base, versions.get(base).hash)
    served = logits(versions.path(made.name))
    assert np.allclose(served, changed_by_hand(tiny, adapter, scale), atol=2e-4)
    assert not np.allclose(served, logits(tiny), atol=1e-2)
    versions.use(made.name)
    assert load_model("current", versions.folder.parent).version == made.hash


@pytest.fixture
def adapter(versions: Versions, base: str, tiny: Path, tmp_path: Path) -> str:
    return versions.add(write_adapter(tmp_path / "adapter", tiny), base=base, parent=base).name


def test_a_base_that_is_another_model_by_now_is_one_line(
    versions: Versions, adapter: str, base: str, tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path / "other", seed=5)
    weights = versions.path(base) / "model.safetensors"
    weights.unlink()
    shutil.copyfile(other / "model.safetensors", weights)
    for refused in (versions.verify, versions.use, lambda name: logits(versions.path(name))):
        with pytest.raises(ModelError, match=f"is an adapter for another base: {base}"):
            refused(adapter)
    assert versions.current() == "embedded"


def test_a_base_that_is_missing_is_one_line(versions: Versions, adapter: str, base: str) -> None:
    with pytest.raises(ModelError, match=f"is the base of the adapter {adapter}"):
        versions.remove(base, force=True)
    shutil.rmtree(versions.folder / base)
    for refused in (versions.use, lambda name: load_model(name, versions.folder.parent)):
        with pytest.raises(ModelError, match=f"its base {base} is not here"):
            refused(adapter)


def test_the_base_of_an_adapter_must_be_there_and_whole(
    versions: Versions, adapter: str, tiny: Path, tmp_path: Path
) -> None:
    again = write_adapter(tmp_path / "again", tiny)
    with pytest.raises(ModelError, match="which is an adapter itself: merge that first"):
        versions.add(again, base=adapter)
    with pytest.raises(ModelError, match="its base owner/nothing is not on this machine"):
        versions.add(again, base="owner/nothing")
    with pytest.raises(ModelError, match="its base x is not here"):
        versions.add(again)  # as adapter_config.json says


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "LOHA"}, "is no plain LoRA .LOHA."),
        ({"use_dora": True}, "is no plain LoRA .use_dora."),
        ({"fan_in_fan_out": True}, "does not fit its base"),
    ],
)
def test_an_adapter_that_cannot_be_added_to_weights_is_one_line(
    versions: Versions, base: str, tiny: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    made = versions.add(write_adapter(tmp_path / "odd", tiny, **settings), base=base)
    with pytest.raises(ModelError, match=words):
        logits(versions.path(made.name))


def test_half_of_an_adapter_is_one_line(versions: Versions, base: str, tiny: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "half", tiny)
    matrices = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: value for name, value in matrices.items() if "lora_A" in name},
        folder / "adapter_model.safetensors",
    )
    made = versions.add(folder, base=base)
    with pytest.raises(ModelError, match=r"is incomplete: .*lora_B\.weight is missing"):
        logits(versions.path(made.name))


def test_a_merged_adapter_is_a_whole_version_that_says_the_same(
    versions: Versions, adapter: str, base: str
) -> None:
    versions.attach(adapter, {"curves.png": b"png"})
    made = merge(versions, adapter, note="whole")
    assert (made.parent, made.method, made.base, made.promoted) == (adapter, "merge", None, False)
    assert [path.name for path in versions.beside(made.name)] == ["curves.png"]
    assert not (versions.path(made.name) / "base.json").exists()
    served = logits(versions.path(adapter))
    shutil.rmtree(versions.folder / base)  # it needs none any more
    assert np.array_equal(logits(versions.path(made.name)), served)
    with pytest.raises(ModelError, match="is whole already"):
        merge(versions, made.name)


@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_an_export_loads_in_plain_transformers_with_equal_logits(
    versions: Versions, adapter: str, base: str, tmp_path: Path, kind: str
) -> None:
    name, target = adapter if kind == "adapter" else base, tmp_path / "out" / "model"
    size = export(versions, name, target).bytes
    assert size == sum(path.stat().st_size for path in target.iterdir())
    model, told = AutoModelForCausalLM.from_pretrained(target, output_loading_info=True)
    assert not told["missing_keys"]
    assert np.allclose(plain_logits(model), logits(versions.path(name)), atol=1e-5)
    assert not [path for path in target.iterdir() if path.name.startswith(("adapter", "base", "version"))]
    assert (target / "tokenizer.json").is_file()
    assert list(target.parent.iterdir()) == [target]


def test_an_export_overwrites_nothing_and_leaves_nothing_half_done(
    versions: Versions, base: str, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine", encoding="utf-8")
    for target in (tmp_path / "full", tmp_path / "full" / "notes.txt"):
        with pytest.raises(UsageError, match="is there already: name a folder that is new or empty"):
            export(versions, base, target)
    with pytest.raises(StoreError, match="cannot be written to"):
        export(versions, base, tmp_path / "full" / "notes.txt" / "below")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_the_change_of_weights_is_told_layer_by_layer(versions: Versions, adapter: str, base: str) -> None:
    paths = versions.path(base), versions.path(adapter)
    found = {each.group: each for each in weight_change(*paths)}
    assert list(found) == ["embeddings", "layer 0", "layer 1", "norms"]
    assert [group for group, each in found.items() if each.norm > 0] == ["layer 0", "layer 1"]
    matrices = load_file(paths[1] / "adapter_model.safetensors")
    low, high = (matrices[f"base_model.model.{CHANGED[0]}.lora_{each}.weight"] for each in "AB")
    assert found["layer 0"].norm == pytest.approx(float((ALPHA / RANK * high @ low).norm()), rel=1e-4)
    assert all(each.share == 0 for each in weight_change(paths[0], paths[0]))


def test_models_of_other_shapes_cannot_be_compared(versions: Versions, base: str, tmp_path: Path) -> None:
    for count, options in enumerate(({"hidden": 128}, {"layers": 3})):
        other = write_tiny_model(tmp_path / str(count), **options)
        with pytest.raises(ModelError, match="are built differently"):
            weight_change(versions.path(base), other)


def test_whole_weights_are_no_adapter_whatever_lies_beside_them(
    versions: Versions, adapter: str, tiny: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "trained"))
    for name in ("adapter_config.json", "base.json"):
        shutil.copyfile(versions.path(adapter) / name, folder / name)
    made = versions.add(folder, parent=adapter)
    assert made.base is None
    assert made.hash == versions.add(tiny).hash


def test_an_adapter_needs_what_its_base_needs(versions: Versions, adapter: str, base: str) -> None:
    assert measure(versions.path(adapter)) == measure(versions.path(base))
