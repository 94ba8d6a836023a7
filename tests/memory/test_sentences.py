"""An embedder from a folder of sentence-transformers: a real one, tiny, with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from autoagent.errors import StoreError, UsageError
from autoagent.memory import open_memory, reindex
from autoagent.memory.sentences import SentenceEmbedder
from autoagent.memory.volatile import VolatileMemory

TEXTS = ["the wifi password is four", "a bee", "the bee makes honey " * 40]
WORDS = "the wifi password is four a bee makes honey when what who".split()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "Tiny Encoder"
    folder.mkdir()
    torch.manual_seed(0)
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / made.name
    shutil.copytree(made, copy)
    parts = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    modules = [{"path": path, "type": f"sentence_transformers.models.{part}"} for part, path in parts]
    write(copy, "modules.json", modules)
    write(copy, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    write(copy, "sentence_bert_config.json", {"max_seq_length": 32})
    return copy


def by_hand(folder: Path, text: str, mode: str) -> np.ndarray[Any, Any]:
    """One text at a time, so without padding."""
    ids = BertTokenizerFast.from_pretrained(folder)(text, truncation=True, max_length=32)["input_ids"]
    with torch.inference_mode():
        states = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
    pooled = {
        "mean": states.mean(0), "cls": states[0], "max": states.amax(0), "lasttoken": states[-1],
        "mean_sqrt_len_tokens": states.sum(0) / len(ids) ** 0.5,
    }[mode]  # fmt: skip
    return (pooled / pooled.norm()).numpy()


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens"])
def test_vectors_are_those_of_the_encoder_pooled_as_the_folder_says(folder: Path, mode: str) -> None:
    write(folder, "1_Pooling/config.json", {"pooling_mode": mode, "embedding_dimension": 24})
    embedder = SentenceEmbedder(folder)
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (3, embedder.dimension) == (3, 24)
    assert vectors.dtype == np.float32
    for vector, text in zip(vectors, TEXTS, strict=True):
        np.testing.assert_allclose(vector, by_hand(folder, text, mode), atol=1e-5)


def test_a_plain_encoder_is_pooled_by_the_mean(made: Path, tmp_path: Path) -> None:
    plain = SentenceEmbedder(made).embed(TEXTS[:2])
    np.testing.assert_allclose(plain[0], by_hand(made, TEXTS[0], "mean"), atol=1e-5)


def test_a_memory_works_with_it_and_notices_when_it_is_missing(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    memory = open_memory(home)
    memory.add("the wifi password is four")
    memory.close()
    with pytest.raises(StoreError, match="run `autoagent memory reindex`"):
        open_memory(home, embedder=folder)
    assert reindex(home, embedder=str(folder))[0] == 1
    memory = open_memory(home, embedder=folder)
    memory.add("the bee makes honey")
    assert memory.recall("what is the wifi password")[0].text == "the wifi password is four"
    memory.close()
    with pytest.raises(StoreError, match="made with the embedder tiny-encoder-"):
        open_memory(home)


def test_the_name_tells_other_weights_and_other_pooling_apart(folder: Path) -> None:
    names = {SentenceEmbedder(folder).name, SentenceEmbedder(folder).name}
    write(folder, "1_Pooling/config.json", {"pooling_mode": "cls"})
    names.add(SentenceEmbedder(folder).name)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2] + b"zz")
    names.add(SentenceEmbedder(folder).name)
    assert len(names) == 3
    assert all(name.startswith("tiny-encoder-") and len(name) <= 40 for name in names)


def test_what_an_embedder_is_sure_of_is_recalled_without_a_word_in_common(folder: Path) -> None:
    embedder = SentenceEmbedder(folder)
    assert -1 < embedder.sure <= 0.95
    memory = VolatileMemory(embedder)
    memory.add("the bee makes honey")
    assert memory.recall("the bee makes honey")[0].alike
    memory.add("zq")  # to this model one unknown word is like another
    [found] = [each for each in memory.recall("xw") if each.text == "zq"]
    assert found.alike


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "is no folder"),
        (lambda folder: (folder / "config.json").unlink(), "has no readable config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (
            lambda folder: (folder / "1_Pooling/config.json").write_text("{"),
            "has no readable 1_Pooling/config.json",
        ),
        (lambda folder: write(folder, "1_Pooling/config.json", {"pooling_mode": "magic"}), "pools by magic"),
        (
            lambda folder: write(folder, "modules.json", [{"path": "", "type": "x.Dense"}]),
            "has a Dense layer",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_clear_line(
    folder: Path, tmp_path: Path, spoil: Any, words: str
) -> None:
    spoil(folder)
    with pytest.raises(UsageError, match=words) as error:
        open_memory(tmp_path / "home", embedder=folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_weights_are_one_clear_line(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UsageError, match="cannot be loaded"):
        SentenceEmbedder(folder).embed(["x"])
