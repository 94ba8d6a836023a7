"""A stand-in for a GPT of someone's own: random weights, and a byte-level BPE of a size that people use.

The tokenizer is trained on the sources of Python's standard library, which every machine that runs this has;
the chat template is the embedded model's.
"""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from autoagent.models.tiny import MARKERS, SPECIALS
from autoagent.models.versions import WEIGHTS
from autoagent.nano.tokenizer import QWEN2


def write_stand_in(folder: Path, *, hidden: int, layers: int, tokens: int = 16_384) -> Path:
    """Write a random Qwen3 to ``folder`` and return it; ``hidden=512, layers=7``: 30 million parameters."""
    tokenizer = _tokenizer(tokens)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen3Config(
            vocab_size=tokens,
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=max(2, hidden // 64),
            num_key_value_heads=max(1, hidden // 128),
            head_dim=min(64, hidden // 2),
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(tokens: int) -> Any:
    special = SPECIALS + MARKERS
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens - len(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_texts(), trainer)
    made.add_tokens([AddedToken(token, normalized=False, special=token in SPECIALS) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=(WEIGHTS / "chat_template.jinja").read_text(encoding="utf-8"),
    )


def _texts() -> list[str]:
    library = Path(sysconfig.get_path("stdlib"))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(library.glob("*.py"))]
    calls = [{"name": "read_file", "arguments": {"path": "notes.txt", "lines": [1, 20]}}]
    return [*texts, *(json.dumps(call) for call in calls * 200)]
