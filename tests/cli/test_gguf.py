"""``models export --gguf``: a file that llama.cpp reads, of models whose tokenizer it has a name for."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoagent.cli import Exit
from autoagent.models.gguf_file import plain_template, unfit
from autoagent.models.versions import WEIGHTS, Versions

from .conftest import Cli, assert_one_line

TEXTS = [
    "What is 17 * 23?",
    "Don't WE'LL they'RE go\r\n\r\n  naïve café — 東京 12345  x\t\ty   ",
    '<|im_start|>user\nhi <tool_call>\n{"name": "find"}\n</tool_call><|im_end|>\n',
    "a\u00a0b \u2028 ½ Ⅷ ٣ 👩‍👩‍👧 'S'll",
]
TALK = [
    {"role": "system", "content": "Do the task."},
    {"role": "user", "content": "Find it."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "find", "arguments": {"name": "é <b>"}}}],
    },
    {"role": "tool", "content": "nothing"},
]
GOALS = ["What is 17 * 23?", "Write hello to notes.txt.", "How many lines does a.txt have?"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(WEIGHTS)


def field(reader: gguf.GGUFReader, name: str) -> Any:
    return reader.fields[name].contents()


def matrices(file: Path) -> dict[str, torch.Tensor]:
    """The weights in a file, as numbers again, by the names of transformers."""
    reader = gguf.GGUFReader(file)
    layers = int(field(reader, "qwen3.block_count"))
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, layers)
    theirs = load_file(WEIGHTS / "model.safetensors")
    ours = {known.get_name(name, try_suffixes=(".weight",)): name for name in theirs}
    return {
        ours[tensor.name]: torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        for tensor in reader.tensors
    }


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def says(model: Any, tokenizer: Any, goal: str) -> list[int]:
    asked = tokenizer.apply_chat_template([{"role": "user", "content": goal}], add_generation_prompt=True)
    ids = torch.tensor([asked["input_ids"]])
    with torch.inference_mode():
        found: list[int] = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :].tolist()
    return found


def test_the_file_says_what_the_tokenizer_and_its_template_are(
    cli: Cli, workspace: Path, tokenizer: Any
) -> None:
    done = cli("models", "export", "embedded", "out", "--gguf")
    assert done.out.splitlines()[1].startswith(f"{workspace / 'out' / 'embedded.gguf'}: ")
    reader = gguf.GGUFReader(workspace / "out" / "embedded.gguf")
    about = {"general.architecture": "qwen3", "general.name": "embedded", "general.file_type": 1}
    about |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2"}
    about |= {"tokenizer.ggml.add_bos_token": False, "qwen3.context_length": 4096}
    assert {name: field(reader, name) for name in about} == about
    assert field(reader, "tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id
    assert field(reader, "tokenizer.ggml.bos_token_id") == tokenizer.pad_token_id
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert tokens == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    types = np.array(field(reader, "tokenizer.ggml.token_type"))
    assert sorted(np.flatnonzero(types != gguf.TokenType.NORMAL)) == sorted(tokenizer.added_tokens_decoder)
    template = field(reader, "tokenizer.chat_template")
    assert "endgeneration %}" not in template.replace("-", " ")
    ours = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert tokenizer.apply_chat_template(TALK, tokenize=False, chat_template=template) == ours
    assert "output.weight" not in {tensor.name for tensor in reader.tensors}


@pytest.mark.parametrize(("kind", "most"), [("f32", 0.0), ("f16", 1e-7), ("q8_0", 0.005)])
def test_the_weights_in_the_file_are_those_of_the_model(
    cli: Cli, workspace: Path, kind: str, most: float
) -> None:
    assert cli("models", "export", "embedded", "out", "--gguf-type", kind).code == Exit.OK
    found, wanted = matrices(workspace / "out" / "embedded.gguf"), load_file(WEIGHTS / "model.safetensors")
    assert found.keys() == wanted.keys()
    for name, weight in found.items():
        off = (wanted[name].float() - weight).abs().max().item()
        assert off <= most * max(1.0, weight.abs().max().item()), name


def test_an_adapter_is_in_the_file_merged(cli: Cli, workspace: Path, home: Path) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    before = load_file(WEIGHTS / "model.safetensors")[name].float()
    folder = workspace / "adapter"
    folder.mkdir()
    said = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": "embedded"}
    (folder / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    low, high = torch.ones(2, before.shape[1]), torch.full((before.shape[0], 2), 0.25)
    pair = {
        f"base_model.model.{name.removesuffix('weight')}lora_{which}.weight": matrix
        for which, matrix in (("A", low), ("B", high))
    }
    save_file(pair, folder / "adapter_model.safetensors")
    made = Versions(home).add(folder).name
    assert cli("models", "export", made, "out", "--gguf-type", "f32").code == Exit.OK
    found = matrices(workspace / "out" / f"{made}.gguf")[name]
    torch.testing.assert_close(found, before + 0.5, atol=0.005, rtol=0)  # it is kept in bfloat16


@pytest.mark.parametrize(
    ("file", "place", "value", "reason"),
    [
        ("config.json", ["model_type"], "llama", "its architecture is llama"),
        ("config.json", ["rope_parameters", "rope_type"], "yarn", "its positions are scaled (yarn)"),
        ("config.json", ["use_sliding_window"], True, "it has a sliding window"),
        ("config.json", ["attention_bias"], True, "its attention has biases"),
        ("config.json", ["vocab_size"], 1000, "its tokenizer has more tokens than its weights"),
        ("tokenizer.json", ["model", "type"], "Unigram", "its tokenizer is a Unigram"),
        ("tokenizer.json", ["model", "ignore_merges"], True, "its tokenizer is no plain BPE"),
        ("tokenizer.json", ["normalizer"], {"type": "Lowercase"}, "its tokenizer rewrites text"),
        ("tokenizer.json", ["normalizer"], {"type": "NFC"}, ""),
        ("tokenizer.json", ["pre_tokenizer"], {"type": "Whitespace"}, "splits text in a way of its own"),
        ("tokenizer.json", ["post_processor", "special_tokens"], {"<s>": {}}, "adds tokens to every text"),
    ],
)
def test_what_cannot_be_written_is_known(
    tmp_path: Path, file: str, place: list[str], value: Any, reason: str
) -> None:
    for name in ("config.json", "tokenizer.json"):
        settings = json.loads((WEIGHTS / name).read_text(encoding="utf-8"))
        if name == file:
            inner = settings
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
        (tmp_path / name).write_text(json.dumps(settings), encoding="utf-8")
    assert reason in unfit(tmp_path, tmp_path)
    assert bool(reason) == bool(unfit(tmp_path, tmp_path))


def test_without_the_package_nothing_is_written_and_the_line_says_what_to_install(
    cli: Cli, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else found(name))
    done = cli("models", "export", "embedded", "out", "--gguf")
    assert_one_line(done, Exit.USAGE, "pip install 'autoagent[gguf]'")
    assert not list(workspace.iterdir())
    assert cli("models", "export", "embedded", "out").code == Exit.OK


@pytest.mark.parametrize("kilobytes", [4_000, 8_000])  # full in the weights, full in the file
def test_a_full_disk_leaves_nothing(cli: Cli, home: Path, small_disk: Any, kilobytes: int) -> None:
    small_disk(f"size={kilobytes}k")
    done = cli("models", "export", "embedded", str(home / "out"), "--gguf-type", "f32")
    assert_one_line(done, Exit.ERROR, "No space left on device")
    assert not list(home.iterdir())


def test_marks_of_what_is_trained_leave_no_trace_in_a_template() -> None:
    assert plain_template("a {%- generation -%}\n b {% endgeneration +%} c {% if x %}") == (
        "a {#- generation -#}\n b {# endgeneration +#} c {% if x %}"
    )


def test_llama_cpp_reads_the_file_as_transformers_reads_the_folder(
    cli: Cli, workspace: Path, tokenizer: Any, one_thread: None
) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    assert cli("models", "export", "embedded", "out", "--gguf-type", "f32").code == Exit.OK
    file = workspace / "out" / "embedded.gguf"
    model = AutoModelForCausalLM.from_pretrained(workspace / "out", dtype=torch.float32)
    llama = llama_cpp.Llama(str(file), n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)
    for text in TEXTS:
        assert llama.tokenize(text.encode(), add_bos=True, special=True) == tokenizer(text)["input_ids"]
    for goal in GOALS:
        said = says(model, tokenizer, goal)
        asked = tokenizer.apply_chat_template([{"role": "user", "content": goal}], add_generation_prompt=True)
        llama.reset()
        found = []
        for token in llama.generate(asked["input_ids"], temp=0.0):
            found.append(token)
            if len(found) == len(said):
                break
        assert found == said
    llama.close()
