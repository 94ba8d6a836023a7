"""A model as one GGUF file, for llama.cpp and what is built on it: Qwen3 with a byte-level BPE.

llama.cpp's own convert_hf_to_gguf.py knows far more architectures, and is the way for those. But it takes a
tokenizer only if it cuts a sample text into the very ids of a tokenizer it has met, so one that was trained
anew is refused. What the file needs is the name of the expression that splits text into words
(``tokenizer.ggml.pre``), one of those that llama.cpp has built in; here it is told by the expression itself.

What is not promised: scaled positions, sliding windows, experts and quantised weights; and Unicode is not put
into its composed form (NFC) first, which Qwen's own tokenizers do and llama.cpp never does.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoagent.errors import UsageError

if TYPE_CHECKING:
    import gguf

Kind = Literal["f32", "f16", "q8_0"]

_WORDS = {  # expressions that split text, and what llama.cpp calls them
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}
_MARKS = re.compile(r"\{%([-+]?)\s*((?:end)?generation)\s*([-+]?)%\}")  # of what is trained, for transformers
_ODD = ("byte_fallback", "continuing_subword_prefix", "dropout", "end_of_word_suffix", "ignore_merges")


def need_gguf() -> None:
    """Raise :class:`UsageError` where the package gguf is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise UsageError("a GGUF file needs the package gguf: pip install 'autoagent[gguf]'")


def unfit(model: Path, tokenizer: Path) -> str:
    """Why a model cannot be written here; "" where it can.

    Args:
        model: A folder with its ``config.json``.
        tokenizer: A folder with its ``tokenizer.json``; the same, but for adapters.
    """
    if not (tokenizer / "tokenizer.json").is_file():
        return "it has no tokenizer.json"
    settings, words = _read(model / "config.json"), _read(tokenizer / "tokenizer.json")
    return _odd_architecture(settings) or _odd_tokenizer(words, settings)


def _odd_architecture(settings: dict[str, Any]) -> str:
    rope = _rope(settings)
    scaled = rope.get("rope_type", rope.get("type")) or "default"
    layers = settings.get("layer_types") or []
    reasons = {
        f"its architecture is {settings.get('model_type')}": settings.get("model_type") != "qwen3",
        "its weights are quantised": "quantization_config" in settings,
        "its attention has biases": settings.get("attention_bias", False),
        f"its positions are scaled ({scaled})": scaled != "default",
        "it has a sliding window": settings.get("use_sliding_window") or set(layers) - {"full_attention"},
    }
    return next((reason for reason, true in reasons.items() if true), "")


def _odd_tokenizer(words: dict[str, Any], settings: dict[str, Any]) -> str:
    model, after = words.get("model") or {}, words.get("post_processor") or {}
    parts = [after, *(after.get("processors") or [])]
    reasons = {
        f"its tokenizer is a {model.get('type')}": model.get("type") != "BPE",
        "its tokenizer is no plain BPE": any(model.get(name) for name in _ODD),
        "its tokenizer rewrites text": (words.get("normalizer") or {}).get("type", "NFC") != "NFC",
        "its tokenizer splits text in a way of its own": _pre(words) is None,
        "its tokenizer adds tokens to every text": any(each.get("special_tokens") for each in parts),
        "its tokenizer has more tokens than its weights": len(_ids(words)) > int(settings["vocab_size"]),
    }
    return next((reason for reason, true in reasons.items() if true), "")


def _pre(words: dict[str, Any]) -> str | None:
    """What llama.cpp calls the way in which this tokenizer splits text; None where it has no name for it."""
    parts = (words.get("pre_tokenizer") or {}).get("pretokenizers") or []
    if [each.get("type") for each in parts] != ["Split", "ByteLevel"]:
        return None
    split, in_bytes = parts
    as_known = split.get("behavior") == "Isolated" and not split.get("invert")
    if not as_known or in_bytes.get("add_prefix_space") or in_bytes.get("use_regex", True):
        return None
    return _WORDS.get((split.get("pattern") or {}).get("Regex", ""))


def _ids(words: dict[str, Any]) -> dict[str, int]:
    """All tokens with their ids."""
    return {**words["model"]["vocab"], **{each["content"]: each["id"] for each in words["added_tokens"]}}


def write_gguf(folder: Path, file: Path, kind: Kind = "f16", *, name: str = "") -> None:
    """Write the model in ``folder``, whole or not at all, to ``file``.

    Matrices are stored as ``kind``, all other weights as f32. One tensor at a time is in memory.

    Args:
        folder: Of a model that is not :func:`unfit`, as transformers saves it.
        file: Replaced where it is there.
        kind: ``q8_0``: 8 bits with a scale for 32 of them; where rows cannot be divided so, f16.
        name: What the file calls the model.

    Raises:
        UsageError: gguf is not installed, or a weight is too large for f16.
        OSError: it cannot be written.
    """
    need_gguf()
    draft = file.with_name(f".{file.name}.new")
    try:
        _write(folder, draft, kind, name or folder.name)
        os.replace(draft, file)
    except OSError as error:
        if error.errno is None:  # numpy says how much it wrote, not why it stopped there
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def _write(folder: Path, file: Path, kind: Kind, name: str) -> None:
    import gguf

    settings = _read(folder / "config.json")
    with closing(gguf.GGUFWriter(file, "qwen3")) as writer, ExitStack() as opened:
        _add_about(writer, name, kind)
        _add_shape(writer, settings)
        _add_tokens(writer, folder, settings)
        weights = list(_weights(folder, settings, kind, opened))
        for weight in weights:
            writer.add_tensor_info(weight.name, weight.shape, np.dtype(np.float32), weight.bytes, weight.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for weight in weights:
            writer.write_tensor_data(weight.read())
        writer.flush()


def _add_about(writer: gguf.GGUFWriter, name: str, kind: Kind) -> None:
    import gguf

    types = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[types[kind]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_shape(writer: gguf.GGUFWriter, settings: dict[str, Any]) -> None:
    writer.add_block_count(settings["num_hidden_layers"])
    writer.add_context_length(settings["max_position_embeddings"])
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_feed_forward_length(settings["intermediate_size"])
    writer.add_head_count(settings["num_attention_heads"])
    writer.add_head_count_kv(settings["num_key_value_heads"])
    writer.add_key_length(settings["head_dim"])
    writer.add_value_length(settings["head_dim"])
    writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
    writer.add_rope_freq_base(_rope(settings)["rope_theta"])


def _add_tokens(writer: gguf.GGUFWriter, folder: Path, settings: dict[str, Any]) -> None:
    """Tokens, merges, special ids and the chat template, as the tokenizer's files say."""
    import gguf

    words, size = _read(folder / "tokenizer.json"), int(settings["vocab_size"])
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, number in _ids(words).items():
        tokens[number], types[number] = token, gguf.TokenType.NORMAL
    for added in words["added_tokens"]:
        control = added["special"] or re.fullmatch(r"<\|.*\|>", added["content"])
        types[added["id"]] = gguf.TokenType.CONTROL if control else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre(words) or "")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    special = gguf.SpecialVocab(folder, load_merges=True, n_vocab=size)
    _name_a_start(special)
    template = special.chat_template
    if isinstance(template, str):
        special.chat_template = plain_template(template)
    elif template:  # several, by name
        special.chat_template = [{**each, "template": plain_template(each["template"])} for each in template]
    special.add_to_gguf(writer, quiet=True)


def _name_a_start(special: gguf.SpecialVocab) -> None:
    """No text begins with a token of its own; but a file that names none is read as if that were token 11."""
    ids = special.special_token_ids
    for stand_in in ("pad", "eos"):
        if "bos" not in ids and stand_in in ids:
            ids["bos"] = ids[stand_in]
    special.add_special_token.setdefault("bos", False)


def plain_template(template: str) -> str:
    """A chat template without transformers' marks of what is trained, which other programs stumble over.

    Comments stand in their place, so spaces and line ends are cut as before.
    """
    return _MARKS.sub(r"{#\1 \2 \3#}", template)


@dataclass(frozen=True)
class _Weight:
    """A tensor in an open file of safetensors, not yet read."""

    opened: Any
    there: str  # its name in that file
    name: str  # llama.cpp's
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType  # as it will be stored

    @property
    def bytes(self) -> int:
        """Of the stored numbers."""
        import gguf

        numbers, size = gguf.GGML_QUANT_SIZES[self.kind]  # of a block
        return math.prod(self.shape) // numbers * size

    def read(self) -> NDArray[Any]:
        """The numbers as they will be stored; UsageError where one is too large for that."""
        import gguf

        numbers: NDArray[np.float32] = self.opened.get_tensor(self.there).float().numpy()
        if self.kind != gguf.GGMLQuantizationType.F32 and np.abs(numbers).max() > np.finfo(np.float16).max:
            raise UsageError(f"{self.there} has weights that are too large for {self.kind.name}: take f32")
        return gguf.quants.quantize(numbers, self.kind)


def _weights(folder: Path, settings: dict[str, Any], kind: Kind, opened: ExitStack) -> Iterator[_Weight]:
    """All weights, files in order; an output that is the embedding again is left out."""
    import gguf
    from safetensors import safe_open

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, settings["num_hidden_layers"])
    for path in sorted(folder.glob("*.safetensors")):
        file = opened.enter_context(safe_open(path, framework="pt"))
        for there in file.keys():  # noqa: SIM118  (it is no mapping)
            if there == "lm_head.weight" and settings.get("tie_word_embeddings"):
                continue
            name = names.get_name(there, try_suffixes=(".weight",))
            if name is None:
                raise UsageError(f"{there} in {path} is no weight of a Qwen3")
            shape = tuple(file.get_slice(there).get_shape())
            yield _Weight(file, there, name, shape, _stored_as(shape, kind))


def _stored_as(shape: tuple[int, ...], kind: Kind) -> gguf.GGMLQuantizationType:
    import gguf

    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    as_ = gguf.GGMLQuantizationType[kind.upper()]
    fits = shape[-1] % gguf.GGML_QUANT_SIZES[as_][0] == 0
    return as_ if fits else gguf.GGMLQuantizationType.F16


def _rope(settings: dict[str, Any]) -> dict[str, Any]:
    """How positions are told, under its newer or its older name."""
    told = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    return {"rope_theta": settings.get("rope_theta", 10_000.0), **told}


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; UsageError where there is none."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} must hold a JSON object")
    return found
