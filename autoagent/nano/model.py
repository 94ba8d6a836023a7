"""The embedded model: a Qwen3-shaped decoder, written lean for training on a CPU.

Parameter names and shapes are those of ``Qwen3ForCausalLM``, so exporting is a copy (see ``export.py``),
and the logits are the same. Only training needs this module; the runtime loads the exported folder with
transformers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from autoagent.config import Settings
from autoagent.errors import UsageError
from autoagent.nano.attention import causal_attention


class NanoConfig(Settings):
    """The shape of the decoder. The embedding is tied: it is the output layer too."""

    vocab_size: int = Field(ge=64, description="Rows of the embedding, in tokens.")
    hidden: int = Field(default=192, ge=16, description="Width of the residual stream, in features.")
    layers: int = Field(default=6, ge=1, description="Decoder layers.")
    heads: int = Field(default=6, ge=1, description="Query heads per layer.")
    kv_heads: int = Field(default=6, ge=1, description="Key and value heads per layer; a divisor of heads.")
    head_dim: int = Field(default=32, ge=8, description="Features per head.")
    intermediate: int = Field(default=512, ge=16, description="Width of the SwiGLU layer, in features.")
    rope_theta: float = Field(default=10_000.0, gt=0, description="Base of the rotary position embedding.")
    max_position: int = Field(default=4096, ge=128, description="Longest context, in tokens.")
    norm_eps: float = Field(default=1e-6, gt=0, description="Added to the mean square in RMSNorm.")


PRESETS: dict[str, dict[str, int]] = {
    "tiny": {"hidden": 96, "layers": 2, "heads": 3, "kv_heads": 3, "intermediate": 256},
    "small": {"hidden": 128, "layers": 6, "heads": 4, "kv_heads": 4, "intermediate": 384},
    "medium": {"hidden": 160, "layers": 6, "heads": 5, "kv_heads": 5, "intermediate": 448},
    "cpu": {"hidden": 192, "layers": 6, "heads": 6, "kv_heads": 6, "intermediate": 512},
    "gpu": {"hidden": 320, "layers": 8, "heads": 10, "kv_heads": 10, "intermediate": 864},
}


def preset(name: str, vocab_size: int) -> NanoConfig:
    """The configuration of this name in ``PRESETS`` for a vocabulary of this size."""
    return shape({"size": name}, vocab_size)


def shape(settings: Mapping[str, Any], vocab_size: int) -> NanoConfig:
    """A preset by ``size``, with ``hidden``, ``layers`` and ``heads`` instead of its own where given.

    Another width brings its own feed-forward layer, 8/3 as wide, and one head for every 32 features.
    """
    name = settings["size"]
    if name not in PRESETS:
        raise UsageError(f"unknown model preset {name!r}: choose one of {', '.join(PRESETS)}")
    fields = dict(PRESETS[name])
    if hidden := settings.get("hidden"):
        fields |= {"hidden": hidden, "intermediate": max(1, round(hidden * 8 / 3 / 64)) * 64}
        fields |= {"heads": max(1, hidden // 32)}
    if heads := settings.get("heads"):
        fields |= {"heads": heads}
    if layers := settings.get("layers"):
        fields |= {"layers": layers}
    return NanoConfig(vocab_size=vocab_size, **fields | {"kv_heads": fields["heads"]})


def rotary_tables(config: NanoConfig, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding in fp32, each (length, head_dim)."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32), config.rope_theta**-exponent)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + head_dim / 2) of ``x`` (B, H, T, D) by their position's angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axis and scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Causal self-attention with normalised queries and keys."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.q_proj = nn.Linear(config.hidden, config.heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden, config.kv_heads * config.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden, config.kv_heads * config.head_dim, bias=False)
        self.o_proj = nn.Linear(config.heads * config.head_dim, config.hidden, bias=False)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps)
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.head_dim)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.head_dim)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        q = rotate(self.q_norm(q).transpose(1, 2), cos, sin)  # (B, H, T, D)
        k = rotate(self.k_norm(k).transpose(1, 2), cos, sin)
        if self.kv_heads != self.heads:
            k = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
            v = v.repeat_interleave(self.heads // self.kv_heads, dim=1)
        mixed = causal_attention(q, k, v).transpose(1, 2).reshape(batch, length, -1)
        out: Tensor = self.o_proj(mixed)
        return out


class SwiGLU(nn.Module):
    """The gated feed-forward layer."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden, config.norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embedding, layers, final norm: what transformers calls ``model``."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden, config.norm_eps)
        cos, sin = rotary_tables(config, config.max_position)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        x: Tensor = self.embed_tokens(ids)  # (B, T, C)
        length = ids.shape[1]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.norm(x)
        return out


class NanoModel(nn.Module):
    """The decoder with its tied output layer; ``state_dict()`` has the names of ``Qwen3ForCausalLM``."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        if config.heads % config.kv_heads:
            raise UsageError(f"kv_heads ({config.kv_heads}) must divide heads ({config.heads})")
        self.config = config
        self.model = Decoder(config)
        self.apply(self._initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.layers))

    @staticmethod
    def _initialise(module: Any) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor, where: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) of ids (B, T); with a boolean ``where`` (B, T) only those positions: (N, V)."""
        hidden = self.model(ids)
        if where is not None:
            hidden = hidden[where]
        return F.linear(hidden, self.model.embed_tokens.weight)
