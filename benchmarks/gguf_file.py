"""Write a Qwen3 with a byte-level BPE as a GGUF file, for llama.cpp.

python benchmarks/gguf_file.py FOLDER KIND    # writes FOLDER/KIND.gguf; status 0 when llama.cpp runs it
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
from safetensors.numpy import load_file


def write_gguf(folder: Path, target: Path, kind: str) -> Path:
    """Write the model in ``folder`` to ``target``; ``kind``: F32 or Q8_0, for the matrices."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(target, "qwen3")
    _add_shape(writer, config)
    _add_tokens(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")), config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for name, weight in load_file(folder / "model.safetensors").items():
        as_ = gguf.GGMLQuantizationType[kind if weight.ndim == 2 else "F32"]
        stored = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(stored, gguf.quants.quantize(weight, as_), raw_dtype=as_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])


def _add_tokens(writer: Any, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    ids = {
        **tokenizer["model"]["vocab"],
        **{each["content"]: each["id"] for each in tokenizer["added_tokens"]},
    }
    special = {each["content"] for each in tokenizer["added_tokens"]}
    tokens = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens]
    )
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])


def load_gguf(path: Path) -> Any:
    """The model in llama-cpp-python, on one thread."""
    import llama_cpp

    return llama_cpp.Llama(str(path), n_ctx=8192, n_threads=1, n_threads_batch=1, verbose=False)


if __name__ == "__main__":
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    load_gguf(write_gguf(folder, folder / f"{kind}.gguf", kind)).eval(list(range(600)))
