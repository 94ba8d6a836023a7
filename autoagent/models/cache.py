"""The keys and values of one session, for every architecture that transformers has a cache for."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


class KeysValues:
    """The keys and values of one session; ``length`` tokens."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._clear()

    def _clear(self) -> None:
        self.length = 0
        self.past = DynamicCache(config=self._config)
        if all(type(layer) is DynamicLayer for layer in self.past.layers):
            window = getattr(self._config.get_text_config(decoder=True), "max_position_embeddings", 0)
            self.past.layers = [_Grown(int(window)) for _ in self.past.layers]

    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` tokens; where the architecture cannot, forget everything.

        A pass that was cut short has filled some layers and not others; that is undone here, too.
        """
        length = min(length, self.length)
        held = [layer.get_seq_length() for layer in self.past.layers if isinstance(layer, DynamicLayer)]
        if length == self.length and all(there in (0, length) for there in held):
            return
        if length > 0 and self.goes_back:
            for layer in cast("list[DynamicLayer]", self.past.layers):
                layer.crop(min(length - layer.get_seq_length(), 0))
            self.length = length
        else:
            self._clear()

    @property
    def goes_back(self) -> bool:
        """Whether the last tokens can be taken back one by one."""
        return all(_can_crop(layer) for layer in self.past.layers)

    def copied(self) -> KeysValues:
        """An independent copy."""
        twin = KeysValues(self._config)
        twin.past, twin.length = copy.deepcopy(self.past), self.length
        return twin


def _can_crop(layer: Any) -> bool:
    """Whether the layer still holds all it has seen; a sliding window forgets, a recurrent state mixes."""
    if type(layer) is DynamicSlidingWindowLayer:
        return bool(layer.get_seq_length() < layer.sliding_window)
    return type(layer) in (DynamicLayer, _Grown)


class _Grown(DynamicLayer):
    """A cache layer with room to grow, so that a token costs a write, not a copy of all before it."""

    _layer_type = None  # not a default for others

    def __init__(self, window: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._window = window  # tokens; more room is not made before it is needed
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None  # each (1, heads, capacity, head)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._room is None or end > self._room[0].shape[-2]:
            self._grow(key_states, value_states, end)
        assert self._room is not None
        keys, values = self._room
        keys[..., start:end, :] = key_states
        values[..., start:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _grow(self, key_states: torch.Tensor, value_states: torch.Tensor, needed: int) -> None:
        room, capacity = [], max(256, min(2 * needed, self._window), needed)
        for fresh, held in ((key_states, self.keys), (value_states, self.values)):
            space = fresh.new_empty((*fresh.shape[:-2], capacity, fresh.shape[-1]))
            if self.is_initialized and held is not None:
                space[..., : held.shape[-2], :] = held
            room.append(space)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._room = room[0], room[1]
