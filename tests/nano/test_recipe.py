"""The embedded model's recipe: tokenizer, chat format, the decoder, training and export."""

from __future__ import annotations

import json
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent.config import Sampling
from autoagent.errors import UsageError
from autoagent.models import Text, complete
from autoagent.models.load import load_model
from autoagent.nano.attention import causal_attention
from autoagent.nano.curves import draw, loss_curve
from autoagent.nano.datasheet import stamp
from autoagent.nano.export import export, to_transformers
from autoagent.nano.gpu import GpuRecipe
from autoagent.nano.gpu import run as run_gpu
from autoagent.nano.model import NanoConfig, NanoModel, preset, shape
from autoagent.nano.tokenizer import SPECIALS, build_tokenizer, load_tokenizer
from autoagent.nano.train import NanoTraining, anneal, nano_loss, train
from autoagent.training.batches import Batch
from autoagent.training.trainer import Progress
from autoagent.trajectory import Message

CORPUS = [
    Path(__file__).read_text(encoding="utf-8"),
    json.dumps({"name": "read_file", "arguments": {"path": "notes/my file.txt"}}) * 20,
    "The café's total is 1234.5; naïve counting_words gives “twelve”. " * 20,
]
CALL = {"name": "read_file", "arguments": {"path": "né <a> & b.txt", "n": 12, "all": True}}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Read a file\nfrom the folder",
            "parameters": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "lines": {"type": "integer"},
                    "mode": {"type": "string", "enum": ["text", "hex"]},
                    "scale": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                },
                "required": ["path", "mode"],
            },
        },
    },
    {
        "type": "function",
        "function": {"name": "wait", "description": "Wait", "parameters": {"type": "object"}},
    },
]
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Goal: read it"},
    {
        "role": "assistant",
        "content": "Read a file: read_file",
        "tool_calls": [{"type": "function", "function": CALL}],
    },
    {"role": "tool", "content": "42"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": CALL}, {"function": CALL}]},
    {"role": "tool", "content": "done"},
    {"role": "assistant", "content": "It is 42."},
]
JSON = '{"name": "read_file", "arguments": {"path": "né <a> & b.txt", "n": 12, "all": true}}'
CALL_TEXT = f"<tool_call>\n{JSON}\n</tool_call>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(CORPUS, path, vocab_size=600)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder after a few steps on a copying task."""
    root = tmp_path_factory.mktemp("trained")
    write_copies(root / "data", folder)
    report = train(config(root, folder, tokens=3000), on_progress=lambda progress: None)
    assert report.finished
    return root / "run"


def config(root: Path, tokenizer: Path, **changes: Any) -> NanoTraining:
    fields = {"size": "tiny", "batch_tokens": 1024, "precision": "fp32", "threads": 1, "device": "cpu"}
    fields |= {"data": {root / "data": 1.0}, "tokenizer": tokenizer, "out": root / "run", "compile": False}
    return NanoTraining(**fields | changes)


def write_copies(data: Path, tokenizer: Path) -> None:
    halves = np.random.default_rng(0).integers(5, len(load_tokenizer(tokenizer)), (100, 30))
    write_examples(data, tokenizer, [([*half, *half], [0] * 30 + [1] * 30) for half in halves])


def write_examples(data: Path, tokenizer: Path, examples: list[tuple[list[int], list[int]]]) -> None:
    stamp(data, tokenizer)
    ids = np.concatenate([ids for ids, _ in examples]).astype(np.uint16)
    mask = np.concatenate([mask for _, mask in examples]).astype(np.uint8)
    starts = np.cumsum([0, *(len(ids) for ids, _ in examples)])
    np.savez(data / "shard-0000.npz", ids=ids, mask=mask, starts=starts)


@given(text=st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_digits_and_punctuation_are_never_merged(tokenizer: Any) -> None:
    pieces = [
        tokenizer.decode([index])
        for index in set(range(len(tokenizer))) - set(tokenizer.added_tokens_decoder)
    ]
    assert all(len(piece) == 1 or piece.isalpha() or "\ufffd" in piece for piece in pieces)
    text = 'read_file(path="notes 1234.txt")'
    ends = {end for _, end in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]}
    assert {place + 1 for place, letter in enumerate(text) if not letter.isalpha()} <= ends


def test_markers_are_single_tokens(tokenizer: Any) -> None:
    assert [len(tokenizer.encode(marker)) for marker in SPECIALS] == [1] * len(SPECIALS)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert len(tokenizer) <= 600


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tokenizer in"):
        load_tokenizer(tmp_path)
    with pytest.raises(UsageError, match="vocab_size must be at least 261, not 100"):
        build_tokenizer(CORPUS, tmp_path, vocab_size=100)


def test_the_chat_format(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(
        MESSAGES[:5], tools=TOOLS, tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<|im_start|>system\nBe brief.\nTools:\n"
        "- Read a file from the folder: read_file(path, lines?:num, mode:text|hex, scale?:num)\n"
        "- Wait: wait()\n<|im_end|>\n"
        "<|im_start|>user\nGoal: read it<|im_end|>\n"
        f"<|im_start|>assistant\nRead a file: read_file{CALL_TEXT}<|im_end|>\n"
        "<|im_start|>tool\n42<|im_end|>\n"
        f"<|im_start|>assistant\n{CALL_TEXT}\n{CALL_TEXT}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tools_are_listed_without_a_system_message_too(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(MESSAGES[1:2], tools=TOOLS[1:], tokenize=False)
    assert (
        text == "<|im_start|>system\nTools:\n- Wait: wait()\n<|im_end|>\n"
        "<|im_start|>user\nGoal: read it<|im_end|>\n"
    )


def test_every_rendering_extends_the_one_before(tokenizer: Any) -> None:
    def render(count: int, prompt: bool = False) -> str:
        messages = MESSAGES[:count]
        return str(
            tokenizer.apply_chat_template(messages, tools=TOOLS, tokenize=False, add_generation_prompt=prompt)
        )

    for count in range(1, len(MESSAGES)):
        assert render(count + 1).startswith(render(count))
        if MESSAGES[count]["role"] == "assistant":
            assert render(count + 1).startswith(render(count, prompt=True))


def test_the_mask_covers_what_the_model_says_and_its_end(tokenizer: Any) -> None:
    coded = tokenizer.apply_chat_template(
        MESSAGES[:3], tools=TOOLS, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(coded["input_ids"], coded["assistant_masks"], strict=True)
    said = tokenizer.decode([token for token, chosen in pairs if chosen])
    assert said == f"Read a file: read_file{CALL_TEXT}<|im_end|>"


def test_the_grammar_engine_reads_calls_as_we_do(tokenizer: Any) -> None:
    import llguidance.hf

    engine = llguidance.hf.from_tokenizer(tokenizer)
    for text in (
        json.dumps(CALL, ensure_ascii=False),
        '{"name": "x", "arguments": {"q": "a  b\\n \\"c\\" 1.5"}}',
    ):
        assert engine.tokenize_str(text) == tokenizer.encode(text)
    assert engine.eos_token == tokenizer.eos_token_id


@pytest.mark.parametrize("length", [1, 7, 128, 300])
def test_attention_is_softmax_attention(length: int) -> None:
    torch.manual_seed(0)
    q, k, v, weight = (torch.randn(5, 6, length, 8) for _ in range(4))
    inputs = [x.requires_grad_() for x in (q, k, v)]
    ours = causal_attention(*inputs)
    reference = F.scaled_dot_product_attention(*inputs, is_causal=True)
    torch.testing.assert_close(ours, reference)
    mine = torch.autograd.grad((ours * weight).sum(), inputs)
    theirs = torch.autograd.grad((reference * weight).sum(), inputs)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_exported_logits_are_the_trained_ones(tokenizer: Any, kv_heads: int) -> None:
    shape = NanoConfig(
        vocab_size=len(tokenizer), hidden=64, layers=2, heads=4, kv_heads=kv_heads, head_dim=32
    )
    torch.manual_seed(0)
    model = NanoModel(shape)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    standard = to_transformers(shape, model.state_dict(), tokenizer)
    ids = torch.randint(len(tokenizer), (2, 200))
    with torch.no_grad():
        ours, theirs = model(ids), standard(ids).logits
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 5e-5


def test_loss_is_the_mean_over_target_tokens(tokenizer: Any) -> None:
    torch.manual_seed(0)
    model = NanoModel(preset("tiny", len(tokenizer)))
    ids = torch.randint(len(tokenizer), (3, 40))
    weights = (torch.rand(3, 40) < 0.4).float()
    weights[:, 0] = 0
    total, weight = nano_loss(model, Batch(ids, weights, 120))
    each = F.cross_entropy(model(ids)[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    torch.testing.assert_close(total, (each * weights[:, 1:]).sum())
    assert weight == weights.sum()


def test_presets_have_the_sizes_they_are_meant_to_have() -> None:
    for name, low, high in (("tiny", 0.1, 0.5), ("cpu", 2, 3.5), ("gpu", 8, 12)):
        size = sum(weight.numel() for weight in NanoModel(preset(name, 1536)).parameters())
        assert low < size / 1e6 < high
    with pytest.raises(UsageError, match="unknown model preset 'huge': choose one of tiny, "):
        preset("huge", 1536)


def test_a_trained_folder_becomes_a_model_anyone_can_load(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = export(trained, tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.dtype == torch.bfloat16
    assert tokenizer.encode("read_file 12") == load_tokenizer(trained / "tokenizer").encode("read_file 12")
    assert "Tools:" in tokenizer.chat_template
    ids = tokenizer.apply_chat_template(MESSAGES[:2], tools=TOOLS, return_tensors="pt", return_dict=True)
    assert model.generate(**ids, max_new_tokens=4, do_sample=False).shape[1] > ids["input_ids"].shape[1]
    about = json.loads((path / "training.json").read_text(encoding="utf-8"))
    assert about["fraction"] == 1.0
    assert about["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_training_goes_on_where_it_stopped_and_refuses_other_settings(trained: Path, folder: Path) -> None:
    root = trained.parent
    report = train(config(root, folder, tokens=5000), on_progress=lambda progress: None)
    assert report.tokens >= 5000
    kept = (trained / "nano.json").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="size=tiny, not cpu"):
        train(config(root, folder, tokens=9000, size="cpu"))
    with pytest.raises(UsageError, match=r"learning_rate=0.003, not 0.1"):
        train(config(root, folder, tokens=9000, learning_rate=0.1))
    with pytest.raises(UsageError, match=r"decay=0.4, not 0.2"):
        train(config(root, folder, tokens=9000, decay=0.2))
    assert (trained / "nano.json").read_text(encoding="utf-8") == kept


def test_a_checkpoint_without_its_settings_is_left_alone(trained: Path, tmp_path: Path, folder: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    write_copies(tmp_path / "data", folder)
    (run / "nano.json").unlink()
    with pytest.raises(UsageError, match=r"run holds a run without its nano.json: choose another folder"):
        train(config(tmp_path, folder, tokens=9000, size="cpu"))
    assert not (run / "nano.json").exists()


@pytest.fixture(scope="module")
def constant(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder whose rate never fell."""
    root = tmp_path_factory.mktemp("constant")
    write_copies(root / "data", folder)
    train(config(root, folder, tokens=3000, decay=0), on_progress=lambda progress: None)
    return root / "run"


QUIETLY: dict[str, Any] = {"precision": "fp32", "threads": 1, "device": "cpu", "compile": False}


def annealed(run: Path, **settings: Any) -> tuple[Path, list[Progress]]:
    out, seen = run.with_name("annealed"), list[Progress]()
    settings = {"data": {run.with_name("data"): 1.0}, "tokens": 4000} | QUIETLY | settings
    anneal(run, out, on_progress=seen.append, **settings)
    return out, seen


def test_annealing_goes_on_from_a_run_at_its_rate_and_ends_at_zero(constant: Path) -> None:
    before = (constant / "checkpoint.pt").read_bytes()
    out, seen = annealed(constant)
    rates = [progress.learning_rate for progress in seen]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.7
    assert rates[-1] == 0
    assert (constant / "checkpoint.pt").read_bytes() == before
    assert annealed(constant)[1] == []  # it is done
    about = json.loads((export(out, out.with_name("model")) / "training.json").read_text(encoding="utf-8"))
    assert about["earlier"]["run"] == "run"
    (told,) = about["earlier"]["runs"]
    assert (told["run"], told["decay"], told["data"]["data"]["shards"]) == ("run", 0, 1)
    assert about["tokens"] == about["earlier"]["tokens"] + seen[-1].tokens
    assert about["fraction"] == 1.0
    assert about["data"]["data"]["shards"] == 1
    with pytest.raises(UsageError, match="annealed is the run to go on from: choose another --name"):
        anneal(out, out, data={constant.with_name("data"): 1.0}, tokens=10)


def test_a_run_whose_rate_has_fallen_wants_to_be_told_a_rate(trained: Path) -> None:
    with pytest.raises(UsageError, match="has fallen to 0: train with --decay 0, or say --peak"):
        annealed(trained)
    _, seen = annealed(trained, peak=0.35)
    assert seen[-1].learning_rate == 0


def test_width_depth_and_heads_are_settings_of_their_own(tmp_path: Path, folder: Path) -> None:
    assert shape({"size": "tiny", "hidden": 160, "layers": 5}, 600) == NanoConfig(
        vocab_size=600, hidden=160, layers=5, heads=5, kv_heads=5, intermediate=448
    )
    write_copies(tmp_path / "data", folder)
    train(config(tmp_path, folder, tokens=1000, layers=1, heads=2), on_progress=lambda progress: None)
    path = export(tmp_path / "run", tmp_path / "model")
    written = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert (written["num_hidden_layers"], written["num_attention_heads"]) == (1, 2)
    with pytest.raises(UsageError, match="layers=1, not 2"):
        train(config(tmp_path, folder, tokens=1000, layers=2, heads=2))


def test_data_made_with_another_tokenizer_are_refused(tmp_path: Path, folder: Path) -> None:
    build_tokenizer(CORPUS, tmp_path / "other", vocab_size=400)
    write_copies(tmp_path / "data", folder)
    with pytest.raises(UsageError, match=r"training data in .*data was made with another tokenizer: make it"):
        train(config(tmp_path, tmp_path / "other", tokens=1000))
    with pytest.raises(UsageError, match="made with another tokenizer: choose another folder"):
        stamp(tmp_path / "data", tmp_path / "other")
    (tmp_path / "data" / "data.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"cannot read .*data.json"):
        train(config(tmp_path, folder, tokens=1000))
    (tmp_path / "data" / "data.json").unlink()
    with pytest.raises(UsageError, match=r"data does not say what tokenizer its training data"):
        train(config(tmp_path, folder, tokens=1000))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_keeps_the_weights_before(trained: Path, tmp_path: Path) -> None:
    path = export(trained, tmp_path / "model")
    for name in ("README.md", "measured.json"):
        (path / name).write_text("of these weights", encoding="utf-8")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UsageError, match=r"cannot write .*model, it is as it was before"):
            export(trained, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    export(trained, path)
    assert not (path / "measured.json").exists()  # it told of other weights


def test_weights_in_several_files_are_read_again(trained: Path, tmp_path: Path) -> None:
    whole = load_model(str(export(trained, tmp_path / "whole")))
    parts = export(trained, tmp_path / "parts", shard="200KB")
    assert len(list(parts.glob("*.safetensors"))) > 2
    assert max(file.stat().st_size for file in parts.glob("*.safetensors")) < 250_000
    said = []
    for model in (whole, load_model(str(parts))):
        session = model.open([Message(role="user", content="Goal: read it")], [])
        said.append(complete(session.generate(Text(), sampling=Sampling(), max_tokens=16)).text)
    assert said[0] == said[1]
    export(trained, parts)
    assert [file.name for file in parts.glob("*.safetensors*")] == ["model.safetensors"]


def test_curves_of_runs_become_a_picture(constant: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out, _ = annealed(constant)
    first, second = loss_curve(constant), loss_curve(out)
    assert first[-1][0] < second[0][0]  # the annealed run begins where the other ended
    with (constant / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 1, "tokens": 5, "seconds": 1, "loss": 2.0}\n{"ste')  # resumed, then killed
    assert loss_curve(constant) == [(5e-6, 2.0)]
    draw({"constant": first, "annealed": second}, tmp_path / "new" / "loss.svg")
    assert "million tokens" in (tmp_path / "new" / "loss.svg").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"cannot write .*loss.what"):
        draw({"constant": first}, tmp_path / "loss.what")
    with pytest.raises(UsageError, match=r"no log in .*: train there first"):
        loss_curve(tmp_path)


@pytest.mark.slow
def test_the_gpu_recipe_adds_up_calls_and_ends_in_time(tmp_path: Path, folder: Path) -> None:
    """On a CPU with the smallest model, seconds instead of minutes, and data that are there already."""
    shutil.copytree(folder, tmp_path / "tokenizer")
    write_copies(tmp_path / "shards", folder)
    recipe = GpuRecipe(
        work=tmp_path, minutes=0.2, size="tiny", batch_tokens=2048, device="cpu", compile=False
    )
    before = set(psutil.Process().children(recursive=True))
    first = run_gpu(recipe)
    second = run_gpu(recipe)
    assert second.tokens > first.tokens > 0
    began = time.monotonic()
    last = run_gpu(recipe.model_copy(update={"last": True}))
    assert time.monotonic() - began < 60
    assert last.finished
    left = set(psutil.Process().children(recursive=True)) - before
    assert [one for one in left if "resource_tracker" not in " ".join(one.cmdline())] == []
    about = json.loads((tmp_path / "export" / "training.json").read_text(encoding="utf-8"))
    assert about["tokens"] == second.tokens + last.tokens


def test_a_mistake_at_the_start_leaves_no_run_behind(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="unknown model preset 'huge': choose one of tiny, small, medium"):
        train(config(tmp_path, folder, tokens=1000, size="huge"))
    with pytest.raises(UsageError, match="no training data in"):
        train(config(tmp_path, folder, tokens=1000, layers=1))
    assert not (tmp_path / "run").exists()
    write_copies(tmp_path / "data", folder)
    assert train(config(tmp_path, folder, tokens=1000), on_progress=lambda progress: None).finished


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path, folder: Path) -> None:
    write_copies(tmp_path / "data", folder)
    (tmp_path / "run" / "log.jsonl").mkdir(parents=True)  # something else stands where it belongs
    with pytest.raises(UsageError, match=r"cannot go on in .*run, its last checkpoint is kept: .*log.jsonl"):
        train(config(tmp_path, folder, tokens=1000), on_progress=lambda progress: None)


def test_a_budget_is_needed(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="either minutes or tokens"):
        train(config(tmp_path, folder))


def test_nothing_trained_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no checkpoint in .*: train there first"):
        export(tmp_path, tmp_path / "model")
    with pytest.raises(UsageError, match=r"no checkpoint in .*: train there first"):
        annealed(tmp_path / "run")


@pytest.mark.slow
def test_learns_to_copy_what_it_never_saw(folder: Path, tmp_path: Path) -> None:
    """The skill everything else rests on: a span of any length, a separator, the span again, seen once."""
    chance, examples = np.random.default_rng(0), []
    for length in chance.integers(8, 28, 12_000):
        span = chance.integers(5, 80, length)
        examples.append(([*span, 4, *span], [0] * (length + 1) + [1] * length))
    write_examples(tmp_path / "data", folder, examples)
    report = train(
        config(tmp_path, folder, tokens=400_000, batch_tokens=2048), on_progress=lambda progress: None
    )
    assert report.first_loss > 5
    assert report.loss < 0.5
