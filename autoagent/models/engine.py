"""One loaded model: weights, tokenizer, the forward pass. Callers hold no torch object."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoagent.errors import ContextFull, ModelError
from autoagent.models.cache import KeysValues
from autoagent.models.fast import FastKeysValues, FastQwen3
from autoagent.models.loading import SMALL, load_parts, out_of_memory, quiet

__all__ = ["SMALL", "Engine", "FirstCome", "KeysValues", "load_engine", "quiet"]

PIECE = 512  # tokens fed at once: bounds memory, and how long other sessions wait
_PROBE = (3, 1, 4, 1, 5, 9, 2, 6)  # any ids; every vocabulary has them


class Engine:
    """Weights and tokenizer on a device; one forward pass at a time, first come, first served."""

    def __init__(self, model: Any, tokenizer: Any, folder: Path) -> None:
        self.model, self.tokenizer, self.folder = model.eval(), tokenizer, folder
        self.lock = FirstCome()
        small = model.num_parameters() < SMALL
        self._fast = FastQwen3(model) if small and FastQwen3.fits(model) else None
        config = model.config.get_text_config(decoder=True)
        self.window = int(getattr(config, "max_position_embeddings", 4096))  # tokens
        self.width = int(model.get_output_embeddings().weight.shape[0])  # logits
        takes = inspect.signature(model.forward).parameters
        self._past = "past_key_values" if "past_key_values" in takes else "cache_params"
        self._keeps = "logits_to_keep" in takes
        self.piece = PIECE if self._goes_on() else 1  # tokens

    def cache(self) -> KeysValues | FastKeysValues:
        """An empty store of keys and values for one session."""
        return KeysValues(self.model.config) if self._fast is None else self._fast.cache()

    def logits(
        self, ids: Sequence[int], cache: KeysValues | FastKeysValues, *, keep: int
    ) -> NDArray[np.float32]:
        """Feed ``ids`` (at least one) after what ``cache`` holds; return the last logits, (keep, V).

        Raises ContextFull where the device has no memory left, ModelError for weights that compute nothing.
        """
        if len(ids) <= self.piece:
            return self._checked(ids, cache, keep)
        rows = []
        for begin in range(0, len(ids), self.piece):
            end = min(begin + self.piece, len(ids))
            wanted = keep - (len(ids) - end)  # rows of this piece
            found = self._checked(ids[begin:end], cache, min(max(wanted, 1), end - begin))
            rows += [found] if wanted > 0 else []
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def _checked(
        self, ids: Sequence[int], cache: KeysValues | FastKeysValues, keep: int
    ) -> NDArray[np.float32]:
        try:
            with self.lock, torch.inference_mode():
                if isinstance(cache, FastKeysValues):
                    assert self._fast is not None
                    found = np.asarray(self._fast.logits(ids, cache, keep=keep).numpy(), dtype=np.float32)
                else:
                    found = self._forward(ids, cache, keep)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise ContextFull(
                f"no memory is left on {self.model.device} after {cache.length} tokens of conversation; "
                "set a smaller window, or choose another device or dtype"
            ) from error
        if np.isnan(found).any():
            raise ModelError(f"the model in {self.folder} computes no numbers (NaN): its weights are damaged")
        return found

    def _forward(self, ids: Sequence[int], cache: KeysValues, keep: int) -> NDArray[np.float32]:
        batch = torch.tensor([ids], device=self.model.device)  # (1, T)
        options = {self._past: cache.past} | ({"logits_to_keep": keep} if self._keeps else {})
        out = self.model(batch, use_cache=True, **options)
        cache.length += len(ids)
        return np.asarray(out.logits[0, -keep:].float().cpu().numpy(), dtype=np.float32)

    def _goes_on(self) -> bool:
        """Whether several tokens may be fed after others at once; some recurrent models cannot."""
        if self._fast is not None or KeysValues(self.model.config).goes_back:
            return True
        whole, parts = KeysValues(self.model.config), KeysValues(self.model.config)
        with self.lock, torch.inference_mode():
            once = self._forward(_PROBE, whole, 1)
            self._forward(_PROBE[:4], parts, 1)
            twice = self._forward(_PROBE[4:], parts, 1)
        near = 1e-4 if self.model.dtype == torch.float32 else 3e-2
        return bool(np.abs(once - twice).max() <= near * max(1.0, float(np.abs(once).max())))


class FirstCome:
    """A lock that is handed over in the order it was asked for, so that no session starves another."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()  # the first one holds it

    def __enter__(self) -> None:
        turn = threading.Lock()
        turn.acquire()
        with self._guard:
            self._waiting.append(turn)
            if self._waiting[0] is turn:
                return
        try:
            turn.acquire()
        except BaseException:  # Ctrl-C while waiting
            self._leave(turn)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self._waiting[0])

    def _leave(self, turn: threading.Lock) -> None:
        with self._guard:
            first = self._waiting[0] is turn
            self._waiting.remove(turn)
            if first and self._waiting:
                self._waiting[0].release()


def load_engine(source: str | Path, *, device: str, dtype: str, trust_remote_code: bool) -> Engine:
    """Load a folder or a hub id; raise ModelError with one line for anything that cannot be used."""
    return Engine(*load_parts(source, device=device, dtype=dtype, trust_remote_code=trust_remote_code))
