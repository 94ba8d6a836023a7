"""What a model folder needs in memory, read from its configuration and weights; and what the machine has."""

from __future__ import annotations

import ctypes
import json
import math
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.errors import ModelError
from autoagent.models.adapter import is_adapter
from autoagent.models.versions import Versions

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_STORED = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I16": 2}
_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_NO_KEYS = ("linear_attention", "conv", "mamba", "mamba2", "recurrent")  # layers of constant size


@dataclass(frozen=True)
class Needs:
    """Sizes of a model that is not loaded."""

    architecture: str
    parameters: int
    weights: int  # bytes on disk
    dtype: str  # of most stored weights
    window: int  # tokens
    keys: tuple[tuple[int, int], ...]  # of each kind of layer: numbers kept per token, most tokens kept

    def memory(self, dtype: str) -> int:
        """Bytes of the weights once they are loaded in this dtype."""
        return self.parameters * BYTES.get(dtype, 4)

    def cache(self, dtype: str, tokens: int) -> int:
        """Bytes of the keys and values of so many tokens."""
        return sum(numbers * min(tokens, most) for numbers, most in self.keys) * BYTES.get(dtype, 4)


def measure(folder: Path) -> Needs:
    """Read what is needed, of an adapter what its base needs; nothing is loaded.

    Raises ModelError where a file cannot be read.
    """
    if is_adapter(folder):
        folder = Versions(folder.parent.parent).base_of(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        headers = [_header(file) for file in sorted(folder.glob("*.safetensors"))]
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(f"the model in {folder} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} is no model's configuration: it must be a JSON object")
    by_kind: dict[str, int] = {}
    for header in headers:
        for name, tensor in header.items():
            if name != "__metadata__":
                by_kind[tensor["dtype"]] = by_kind.get(tensor["dtype"], 0) + math.prod(tensor["shape"])
    most = max(by_kind, key=lambda kind: by_kind[kind], default="F32")
    text = config.get("text_config", config)
    window = int(_first(text, "max_position_embeddings", "n_positions", "n_ctx") or 4096)
    return Needs(
        architecture=str((config.get("architectures") or [config.get("model_type", "?")])[0]),
        parameters=sum(by_kind.values()),
        weights=sum(count * _STORED.get(kind, 1) for kind, count in by_kind.items()),
        dtype=_NAMES.get(most, most.lower()),
        window=window,
        keys=_keys(text, window),
    )


def _header(file: Path) -> dict[str, Any]:
    """The table of contents of a safetensors file: 8 bytes of length, then JSON."""
    with open(file, "rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > 100_000_000:
            raise ValueError(f"{file} is no safetensors file")
        found = json.loads(stream.read(length))
    return dict(found)


def _keys(config: dict[str, Any], window: int) -> tuple[tuple[int, int], ...]:
    layers = int(_first(config, "num_hidden_layers", "n_layer", "num_layers") or 0)
    heads = int(_first(config, "num_attention_heads", "n_head") or 1)
    hidden = int(_first(config, "hidden_size", "n_embd", "d_model") or 0)
    each = (
        2 * int(config.get("num_key_value_heads") or heads) * int(config.get("head_dim") or hidden // heads)
    )
    sliding = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    kinds = config.get("layer_types") or ["sliding_attention" if sliding else "full_attention"] * layers
    short = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds)
    full = sum(kind not in (*_NO_KEYS, "sliding_attention", "chunked_attention") for kind in kinds)
    return ((each * full, window), (each * short, int(sliding or window)))


def _first(config: dict[str, Any], *names: str) -> Any:
    return next((config[name] for name in names if config.get(name) is not None), None)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gigabytes(size: float) -> str:
    """A size in bytes as people read it: ``1.5 GB``, ``12 MB``."""
    return f"{size / 1e9:.1f} GB" if size >= 95_000_000 else f"{size / 1e6:.0f} MB"


def release_memory() -> None:
    """Give memory that is free inside the process back to the system.

    Tensors of many shapes leave glibc's heap full of holes: measured, it doubled in 60 steps of training and
    went on so, and grew by 1 MB a run in a process that ran hundreds of goals.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
