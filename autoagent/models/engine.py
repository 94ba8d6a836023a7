"""One loaded model: weights, tokenizer, keys and values, the forward pass. Callers hold no torch object."""

from __future__ import annotations

import copy
import json
import logging
import re
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging as hub_logging
from transformers.utils.hub import cached_file

from autoagent.errors import ModelError
from autoagent.home import expanded
from autoagent.models.fast import FastKeysValues, FastQwen3

SMALL = 100_000_000  # parameters; below it, float32 costs little and is exact
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


class Engine:
    """Weights and tokenizer on a device, with one lock: one forward pass at a time."""

    def __init__(self, model: Any, tokenizer: Any, folder: Path) -> None:
        self.model, self.tokenizer, self.folder = model.eval(), tokenizer, folder
        self.lock = threading.Lock()
        small = model.num_parameters() < SMALL
        self._fast = FastQwen3(model) if small and FastQwen3.fits(model) else None
        config = model.config.get_text_config(decoder=True)
        self.window = int(getattr(config, "max_position_embeddings", 4096))  # tokens
        self.width = int(model.get_output_embeddings().weight.shape[0])  # logits

    def cache(self) -> KeysValues | FastKeysValues:
        """An empty store of keys and values for one session."""
        return KeysValues(self.model.config) if self._fast is None else self._fast.cache()

    def logits(
        self, ids: Sequence[int], cache: KeysValues | FastKeysValues, *, keep: int
    ) -> NDArray[np.float32]:
        """Feed ``ids`` (at least one) after what ``cache`` holds; return the last logits, (keep, V)."""
        with self.lock, torch.inference_mode():
            if isinstance(cache, FastKeysValues):
                assert self._fast is not None
                rows = self._fast.logits(ids, cache, keep=keep)
            else:
                batch = torch.tensor([ids], device=self.model.device)  # (1, T)
                out = self.model(batch, past_key_values=cache.past, use_cache=True, logits_to_keep=keep)
                cache.length += len(ids)
                rows = out.logits[0].float().cpu()
            found = np.asarray(rows.numpy(), dtype=np.float32)
        if np.isnan(found).any():
            raise ModelError(f"the model in {self.folder} computes no numbers (NaN): its weights are damaged")
        return found


class KeysValues:
    """The keys and values of one session; ``length`` tokens."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._clear()

    def _clear(self) -> None:
        self.length = 0
        self.past = DynamicCache(config=self._config)
        self._plain = all(type(layer) is DynamicLayer for layer in self.past.layers)
        if self._plain:
            self.past.layers = [_Grown() for _ in self.past.layers]

    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` tokens; where the architecture cannot, forget everything."""
        if length >= self.length:
            return
        if self._plain and length > 0:
            self.past.crop(length - self.length)
            self.length = length
        else:
            self._clear()

    def copied(self) -> KeysValues:
        """An independent copy."""
        twin = KeysValues(self._config)
        twin.past, twin.length = copy.deepcopy(self.past), self.length
        return twin


class _Grown(DynamicLayer):
    """A cache layer with room to grow, so that a token costs a write, not a copy of all before it."""

    _layer_type = None  # not a default for others

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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
        room = []
        for fresh, held in ((key_states, self.keys), (value_states, self.values)):
            space = fresh.new_empty((*fresh.shape[:-2], max(256, 2 * needed), fresh.shape[-1]))
            if self.is_initialized and held is not None:
                space[..., : held.shape[-2], :] = held
            room.append(space)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._room = room[0], room[1]


def load_engine(source: str | Path, *, device: str, dtype: str, trust_remote_code: bool) -> Engine:
    """Load a folder or a hub id; raise ModelError with one line for anything that cannot be used."""
    where = str(source)
    local = expanded(source)
    if local.exists():
        _check_folder(local)
        where = str(local)
    elif not _HUB_ID.fullmatch(where):
        raise ModelError(f"no model folder at {where}; give an existing folder, a version name or a hub id")
    options = {"trust_remote_code": trust_remote_code, "local_files_only": local.exists()}
    with quiet():
        _check_hub(where, local)
        tokenizer = _load_tokenizer(where, options)
        model = _load_weights(where, options)
        folder = local if local.exists() else Path(str(cached_file(where, "config.json"))).parent
    if not tokenizer.chat_template:
        raise ModelError(f"the model {where} has no chat template; add chat_template.jinja to its folder")
    target = _device(device)
    return Engine(model.to(target, _dtype(dtype, model, target)), tokenizer, folder)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is a file; a model is a folder with config.json, *.safetensors and a tokenizer"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"no model in {folder}: config.json is missing")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"no weights in {folder}: *.safetensors is missing (other formats are not loaded)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ModelError(f"no tokenizer in {folder}: tokenizer.json is missing")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{folder / 'config.json'} is not valid JSON: {_line(error)}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} is no model's configuration: it must be a JSON object")
    for file in sorted(folder.glob("*.safetensors")):
        _check_weights(file)


def _check_weights(file: Path) -> None:
    """Read the table of contents: it tells a file that is cut short, or something else altogether."""
    try:
        with safe_open(file, framework="np"):
            pass
    except Exception as error:  # SafetensorError and OSError
        raise ModelError(
            f"{file} is damaged or no safetensors file ({_line(error)}): copy or download it again"
        ) from error


def _check_hub(where: str, local: Path) -> None:
    """A name that is no folder is a hub id; say so where nothing is found under it."""
    if local.exists():
        return
    if isinstance(try_to_load_from_cache(where, "config.json"), str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(where, "config.json"), timeout=10)  # unlike a download, tries once
    except Exception as error:  # offline, no such model, no right to it
        raise ModelError(
            f"there is no model {where}: no folder, no version of this project, "
            f"and no hub model that can be had ({_line(error)})"
        ) from error


def _load_tokenizer(where: str, options: dict[str, Any]) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # tokenizers raises bare Exception for a broken file
        raise ModelError(f"no tokenizer can be loaded from {where}: {_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {where} is not a fast one; convert it to tokenizer.json")
    return tokenizer


def _load_weights(where: str, options: dict[str, Any]) -> Any:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            where,
            dtype="auto",
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told, and refused below with a better message
            **options,
        )
        model, told = loaded
    except Exception as error:  # SafetensorError, OSError, ValueError, KeyError: all mean the same here
        raise ModelError(f"the model {where} cannot be loaded: {_line(error)}") from error
    if told.get("mismatched_keys"):
        name, found, wanted = sorted(told["mismatched_keys"])[0]
        shapes = f"{name} is {tuple(found)}, not {tuple(wanted)}"
        raise ModelError(f"the weights in {where} do not fit its config.json: {shapes}")
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise ModelError(
            f"the weights in {where} are incomplete: {len(missing)} tensors missing, first {missing[0]}"
        )
    return model


def _device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used: {_line(error)}") from error


def _dtype(dtype: str, model: Any, device: torch.device) -> torch.dtype:
    if dtype != "auto":
        wanted = getattr(torch, dtype, None)
        if not isinstance(wanted, torch.dtype):
            raise ModelError(f"unknown dtype {dtype!r}; use auto, float32, bfloat16 or float16")
        return wanted
    if model.num_parameters() < SMALL:
        return torch.float32
    if device.type == "cpu":
        return torch.bfloat16 if _bfloat16_pays() else torch.float32
    return model.dtype if model.dtype != torch.float32 else torch.bfloat16


def _bfloat16_pays() -> bool:
    """Time one product of a token with a matrix in both types; some processors are no faster in bfloat16."""

    def seconds(kind: torch.dtype) -> float:
        weight, token = torch.ones(2048, 2048, dtype=kind), torch.ones(1, 2048, dtype=kind)
        best = float("inf")
        for _ in range(6):
            start = time.perf_counter()
            token @ weight
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars and advice of transformers off the screen; errors come as exceptions."""
    level, bars = hub_logging.get_verbosity(), hub_logging.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hub.setLevel(logging.CRITICAL)
    hub_logging.set_verbosity(logging.CRITICAL)
    hub_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub_logging.set_verbosity(level)
        hub.setLevel(hub_level)
        if bars:
            hub_logging.enable_progress_bar()


def _line(error: BaseException) -> str:
    """The first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
