"""What a model needs is told before it is loaded, and what goes wrong with memory or device in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autoagent.cli import Exit, main
from autoagent.errors import ContextFull, ModelError
from autoagent.models.info import look_into
from autoagent.models.local import LocalModel
from autoagent.models.needs import gigabytes, measure
from autoagent.models.protocol import Calls, Text
from autoagent.models.tiny import write_tiny_model
from autoagent.trajectory import Message

from .helpers import ARCHITECTURES, START, TOOLS, loaded, said, write_architecture


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_the_sizes_are_those_of_the_loaded_model(tmp_path: Path, kind: str) -> None:
    folder = write_architecture(tmp_path / "m", kind)
    needs, model = measure(folder), loaded(folder)
    assert needs.parameters == model.engine.model.num_parameters()
    assert needs.memory("float32") == 4 * needs.parameters == 2 * needs.memory("bfloat16")
    if kind != "mamba":  # its configuration names no window
        assert needs.window == model.window
    session = model.open(START, TOOLS)
    said(session, Text(), max_tokens=2)
    held = [layer.keys for layer in getattr(session._cache, "past", None).layers] if kind == "llama" else []
    if held:
        tokens = session._cache.length
        assert needs.cache("float32", tokens) == sum(2 * keys.numel() * 4 for keys in held)
    if kind in ("mistral", "gemma3_text"):
        assert needs.cache("float32", 2048) < 2 * needs.cache("float32", 1024)


def test_info_says_what_it_needs_whether_it_fits_and_how_it_talks(tmp_path: Path) -> None:
    facts = look_into(write_architecture(tmp_path / "m", "llama"), device="cpu")
    assert (facts["fits"], facts["calls"], facts["keeps prefix"]) == (True, "hermes", True)
    assert facts["needs"].startswith("about 0 MB for weights and ")
    assert facts["free"] > 1_000_000
    assert facts["warnings"] == []


def test_info_warns_of_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_architecture(tmp_path / "m", "llama")
    monkeypatch.setattr("autoagent.models.info.free_memory", lambda device: 1000)
    facts = look_into(folder, device="cpu")
    assert not facts["fits"]
    assert "the weights do not fit cpu" in facts["warnings"][0]
    monkeypatch.setattr("autoagent.models.info.free_memory", lambda device: 300_000)
    assert "a full window does not fit cpu" in look_into(folder, device="cpu")["warnings"][0]


def test_info_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_tiny_model(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(
        json.dumps(config | {"max_position_embeddings": 512}), encoding="utf-8"
    )
    assert main(["models", "info", str(folder), "--json", "--device", "cpu"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["window"], facts["calls"], facts["dtype"]) == (512, "hermes", "float32")
    assert "the window is small (512 tokens)" in facts["warnings"][0]
    assert main(["models", "info", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "<tool_call> and JSON" in shown.out
    assert shown.err.startswith("note: the window is small")
    (folder / "chat_template.jinja").unlink()
    assert main(["models", "info", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "none: there is no chat template" in shown.out
    assert "has no chat template; add chat_template.jinja" in shown.err
    for wrong, words in ((["--dtype", "int3"], "unknown dtype 'int3'"), (["--device", "tpu9"], "'tpu9'")):
        assert main(["models", "info", str(folder), *wrong]) == Exit.USAGE
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int8"}, "unknown dtype 'int8'; use auto, float32"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
        ({"window": 99_999}, "has a window of 4096 tokens, not 99999"),
        ({"window": 3}, "a window of 3 tokens holds no run"),
    ],
)
def test_an_impossible_choice_is_one_line(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        LocalModel.load(write_tiny_model(tmp_path / "m"), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_smaller_window_is_kept(tmp_path: Path) -> None:
    model = LocalModel.load(write_tiny_model(tmp_path / "m"), window=80)
    assert model.window == 80
    with pytest.raises(ContextFull, match="system prompt, tools and goal exceed the model's window"):
        said(model.open(START, TOOLS), Text())


def _no_memory(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("out of memory. Tried to allocate\n2 GiB")


def test_memory_that_runs_out_is_told_and_the_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_architecture(tmp_path / "m", "llama")
    model = loaded(folder)
    session = model.open(START, TOOLS)
    mark = session.mark()
    session.append(Message(role="user", content="Go on."))
    monkeypatch.setattr(model.engine.model.model.layers[1], "forward", _no_memory)
    with pytest.raises(ContextFull, match="no memory is left on cpu") as full:
        said(session, Text())
    assert "\n" not in str(full.value)
    monkeypatch.undo()
    session.rewind(mark)
    assert said(session, Calls(TOOLS)).trace == said(model.open(START, TOOLS), Calls(TOOLS)).trace

    monkeypatch.setattr(torch.nn.Module, "to", _no_memory)
    with pytest.raises(ModelError, match="does not fit the memory of cpu; choose a smaller model") as large:
        LocalModel.load(folder, device="cpu")
    assert "\n" not in str(large.value)


def test_sizes_are_read_by_people() -> None:
    assert [gigabytes(size) for size in (1.54e9, 12_000_000, 95_000_000)] == ["1.5 GB", "12 MB", "0.1 GB"]
