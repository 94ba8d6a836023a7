"""A short forward pass for small Qwen3 models on a CPU, where calls into modules cost more than the sums.

Same weights, same results to rounding (held by a test), about half the time per token. It copies the weights
when made, so it does not follow later changes of the model it was made from. Every other model runs through
transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn import functional

_PIECE = 256  # tokens fed at once: bounds the score matrix
# Parameters; below it threads wait for each other longer than they compute, and on a machine with other work
# to do very long: 1 ms a token with one thread, 150 to 250 with two, measured with 1.4M beside a training.
_TINY = 20_000_000


class FastQwen3:
    """Forward pass over fused copies of a Qwen3's weights; batch size 1, float32, no gradients."""

    def __init__(self, model: Any) -> None:
        config, self._embedding = model.config, model.get_input_embeddings().weight.detach()
        self._width, self._eps = config.hidden_size, config.rms_norm_eps
        self._tiny = model.num_parameters() < _TINY
        self.head, self.heads, self.pairs = (
            config.head_dim,
            config.num_attention_heads,
            config.num_key_value_heads,
        )
        self.layers = [self._fused(layer) for layer in model.model.layers]
        self._norm, self._out = (
            model.model.norm.weight.detach(),
            model.get_output_embeddings().weight.detach(),
        )
        places = torch.arange(config.max_position_embeddings)[None]
        cos, sin = model.model.rotary_emb(self._embedding[:1], places)  # (1, window, head)
        half = self.head // 2
        self._cos = cos[0, :, None].detach()  # (window, 1, head)
        turned = torch.cat([-sin[0, :, :half], sin[0, :, half:]], -1)  # with the sign of the rotation
        self._sin = turned[:, None].detach()  # (window, 1, head)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether the model is one this pass was written for."""
        config, weight = model.config, model.get_input_embeddings().weight
        return (
            type(model).__name__ == "Qwen3ForCausalLM"
            and weight.device.type == "cpu"
            and weight.dtype == torch.float32
            and config.hidden_act == "silu"
            and not config.attention_bias
            and set(config.layer_types) == {"full_attention"}
            and model.model.rotary_emb.rope_type == "default"
        )

    def cache(self) -> FastKeysValues:
        return FastKeysValues(len(self.layers), self.pairs, self.head)

    def logits(self, ids: Sequence[int], cache: FastKeysValues, *, keep: int) -> torch.Tensor:
        """Feed ``ids`` after what ``cache`` holds; return the last logits, (keep, V)."""
        with _one_thread() if self._tiny else nullcontext():
            x = self._embedding[torch.tensor(ids)]  # (T, width)
            x = torch.cat([self._hidden(piece, cache) for piece in x.split(_PIECE)])[-keep:]
            return functional.linear(functional.rms_norm(x, (self._width,), self._norm, self._eps), self._out)

    def _hidden(self, x: torch.Tensor, cache: FastKeysValues) -> torch.Tensor:
        begin, end = cache.length, cache.length + len(x)
        cache.reserve(end)
        cos, sin = self._cos[begin:end], self._sin[begin:end]
        later = self._later(len(x), begin, end) if len(x) > 1 else None
        for number, (before, qkv, scale, out, after, gate_up, down) in enumerate(self.layers):
            h = functional.linear(functional.rms_norm(x, (self._width,), before, self._eps), qkv)
            x = x + functional.linear(
                self._attend(h, scale, (cos, sin), later, cache.layer(number, begin, end)), out
            )
            h = functional.linear(functional.rms_norm(x, (self._width,), after, self._eps), gate_up)
            gate, up = h.chunk(2, -1)
            x = x + functional.linear(functional.silu(gate) * up, down)
        cache.length = end
        return x

    def _later(self, size: int, begin: int, end: int) -> torch.Tensor:
        look = torch.zeros(size, end)
        look.masked_fill_(torch.ones(size, end, dtype=torch.bool).triu(begin + 1), float("-inf"))
        return look.repeat(self.heads // self.pairs, 1)

    def _attend(
        self,
        h: torch.Tensor,  # (T, (heads + 2 pairs) * head)
        scale: torch.Tensor,
        turn: tuple[torch.Tensor, torch.Tensor],
        later: torch.Tensor | None,  # (group * T, S), -inf where a token must not look
        room: tuple[torch.Tensor, torch.Tensor, int],
    ) -> torch.Tensor:
        size, (keys, values, begin) = len(h), room
        qk, v = h.view(size, -1, self.head).split([self.heads + self.pairs, self.pairs], 1)
        qk = functional.rms_norm(qk, (self.head,), None, self._eps) * scale
        qk = torch.addcmul(qk * turn[0], qk.roll(self.head // 2, -1), turn[1])
        q, k = qk.split([self.heads, self.pairs], 1)
        keys[:, begin:] = k.transpose(0, 1)
        values[:, begin:] = v.transpose(0, 1)
        q = (
            q.reshape(size, self.pairs, -1, self.head)
            .permute(1, 2, 0, 3)
            .reshape(1, self.pairs, -1, self.head)
        )
        mixed = functional.scaled_dot_product_attention(q, keys[None], values[None], later, scale=1.0)
        mixed = mixed.view(self.pairs, -1, size, self.head)
        return mixed.permute(2, 0, 1, 3).reshape(size, -1)

    def _fused(self, layer: Any) -> tuple[torch.Tensor, ...]:
        """One layer's weights in the order of use; queries' scale and both head norms in one tensor."""
        attention, mlp = layer.self_attn, layer.mlp
        scale = torch.cat(
            [
                attention.q_norm.weight.expand(self.heads, -1) * attention.scaling,
                attention.k_norm.weight.expand(self.pairs, -1),
            ]
        )
        weights = (
            layer.input_layernorm.weight,
            torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]),
            scale,  # (heads + pairs, head)
            attention.o_proj.weight,
            layer.post_attention_layernorm.weight,
            torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
            mlp.down_proj.weight,
        )
        return tuple(weight.detach() for weight in weights)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class FastKeysValues:
    """Keys and values of one session, (layers, pairs, capacity, head) each; ``length`` tokens are valid."""

    def __init__(self, layers: int, pairs: int, head: int) -> None:
        self.length = 0
        self._keys, self._values = torch.empty(layers, pairs, 0, head), torch.empty(layers, pairs, 0, head)

    def reserve(self, length: int) -> None:
        """Make room for ``length`` tokens."""
        layers, pairs, capacity, head = self._keys.shape
        if length > capacity:
            more = torch.empty(layers, pairs, max(256, 2 * length) - capacity, head)
            self._keys, self._values = torch.cat([self._keys, more], 2), torch.cat([self._values, more], 2)

    def layer(self, number: int, begin: int, end: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Views of one layer's first ``end`` tokens, and where the new ones begin."""
        return self._keys[number, :, :end], self._values[number, :, :end], begin

    def crop(self, length: int) -> None:
        self.length = min(self.length, length)

    def copied(self) -> FastKeysValues:
        twin = FastKeysValues(0, 0, 0)
        twin.length, twin._keys, twin._values = self.length, self._keys.clone(), self._values.clone()
        return twin
