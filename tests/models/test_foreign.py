"""Models from elsewhere: pickles, names and links that lead out of their folder are refused, in one line."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import save_file as save

from autoagent.errors import ModelError
from autoagent.models.load import load_model
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions


class Evil:
    """Runs when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.trace,)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def refused(source: Path, home: Path, *words: str) -> None:
    """Neither loaded nor taken in as a version, and why is told in one line."""
    for attempt in (lambda: load_model(str(source), home=home), lambda: Versions(home).add(source)):
        with pytest.raises(ModelError) as error:
            attempt()
        assert "\n" not in str(error.value)
        assert all(word in str(error.value) for word in words), error.value
    assert Versions(home).list() == ()


def adapter(folder: Path, tiny: Path) -> Path:
    folder.mkdir()
    said = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": str(tiny)}
    (folder / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_weights_in_a_pickle_are_refused_and_not_run(
    folder: Path, tmp_path: Path, trace: Path, name: str
) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Evil(trace)))
    refused(folder, tmp_path / "home", name, "pickle", "safetensors")
    with pytest.raises(ModelError, match=r"is a pickle, .* convert it to safetensors"):
        load_model(str(folder / name), home=tmp_path / "home")
    assert not trace.exists()


def test_an_adapter_in_a_pickle_is_not_taken_for_one_without_any_change(
    tiny: Path, tmp_path: Path, trace: Path
) -> None:
    found = adapter(tmp_path / "adapter", tiny)
    (found / "adapter_model.bin").write_bytes(pickle.dumps(Evil(trace)))
    refused(found, tmp_path / "home", "adapter_model.bin", "pickle")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("named", "word"),
    [
        ("../outside.safetensors", "beside it"),
        ("/etc/passwd", "beside it"),
        ("pytorch_model.bin", "beside it"),
        ("model-2.safetensors", "is missing"),
    ],
)
def test_an_index_names_only_weights_beside_it(folder: Path, tmp_path: Path, named: str, word: str) -> None:
    shutil.copyfile(folder / "model.safetensors", tmp_path / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": named}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    refused(folder, tmp_path / "home", named, word)
    (folder / "model.safetensors.index.json").write_text("[1]", encoding="utf-8")
    refused(folder, tmp_path / "home", "index.json is damaged")


def test_a_link_out_of_an_adapter_or_into_a_version_is_refused(
    tiny: Path, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"key": "hidden words"}', encoding="utf-8")
    import numpy as np

    found = adapter(tmp_path / "adapter", tiny)
    save({"x": np.zeros(1, dtype="float32")}, found / "adapter_model.safetensors")
    (found / "special_tokens_map.json").symlink_to(secret)
    refused(found, tmp_path / "home", "special_tokens_map.json is a link to a file elsewhere")
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").symlink_to(secret)
    with pytest.raises(ModelError, match="is a link to a file elsewhere"):
        Versions(tmp_path / "home").add(folder)


def test_the_links_of_the_hub_cache_are_its_own(tiny: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "1a", tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in tiny.iterdir():
        shutil.copyfile(file, blobs / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    version = Versions(tmp_path / "home").add(snapshot)
    assert not any(path.is_symlink() for path in Versions(tmp_path / "home").path(version.name).iterdir())


def test_a_models_own_code_is_not_run_unless_asked_for(folder: Path, tmp_path: Path, trace: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    code = f"from pathlib import Path\nPath({str(trace)!r}).touch()\nclass Own: ...\n"
    (folder / "own.py").write_text(code, encoding="utf-8")
    with pytest.raises(ModelError) as error:
        load_model(str(folder), home=tmp_path / "home")
    assert "\n" not in str(error.value)
    assert not trace.exists()
