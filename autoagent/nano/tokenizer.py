"""The tokenizer of the embedded model: byte-level BPE whose merges stay inside words.

Merges are learned between letters only: digits stand alone and neither spaces nor punctuation are ever merged
with a word, so an argument always begins and ends at a token boundary. What is shipped splits text as Qwen2
does, which other programs know how to read; as no merge crosses our finer pieces, the ids are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
SPECIALS = (PAD, START, END, CALL, CALL_END)

FINE = r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]|\s"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def chat_template() -> str:
    """The one chat template, for training text and serving alike."""
    return resources.files("autoagent.nano").joinpath("template.jinja").read_text(encoding="utf-8")


def build_tokenizer(
    texts: Iterable[str], out_dir: Path, *, vocab_size: int = 1536, digits: int = 1
) -> PreTrainedTokenizerBase:
    """Learn merges from ``texts`` and write the tokenizer, of at most ``vocab_size`` ids, to ``out_dir``.

    Up to ``digits`` digits in a row may become one token.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(alphabet) + len(SPECIALS):
        raise UsageError(f"vocab_size must be at least {len(alphabet) + len(SPECIALS)}, not {vocab_size}")

    def split(pattern: str) -> pre_tokenizers.PreTokenizer:
        together = pattern.replace(r"\p{N}|", rf"\p{{N}}{{1,{digits}}}|") if digits > 1 else pattern
        pieces = pre_tokenizers.Split(Regex(together), behavior="isolated")
        in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([pieces, in_bytes])

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split(FINE)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = split(QWEN2)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=chat_template(),
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(out_dir)
    return fast


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in ``folder``; never looks anywhere else."""
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file():
        raise UsageError(f"no tokenizer in {folder}: build one there first")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as fault:  # a damaged file fails in many ways
        raise UsageError(f"cannot read the tokenizer in {folder}: {fault}") from None
    return tokenizer


def tokenizer_hash(folder: Path) -> str:
    """The identity of the tokenizer in ``folder``: the SHA-256 of its vocabulary and merges."""
    try:
        return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
    except FileNotFoundError:
        raise UsageError(f"no tokenizer in {folder}: build one there first") from None
