"""From a folder or a hub id to weights and tokenizer on a device; whatever is wrong, in one line."""

from __future__ import annotations

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as hub_logging
from transformers.utils.hub import cached_file

from autoagent.errors import ModelError
from autoagent.home import expanded
from autoagent.models.adapter import is_adapter, merge_into
from autoagent.models.foreign import check_file, check_links, check_weights
from autoagent.models.needs import gigabytes, measure
from autoagent.models.versions import Versions

SMALL = 100_000_000  # parameters; below it, float32 costs little and is exact
DTYPES = ("auto", "float32", "bfloat16", "float16")
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def load_parts(
    source: str | Path, *, device: str, dtype: str, trust_remote_code: bool
) -> tuple[Any, Any, Path]:
    """Load a folder or a hub id: model, tokenizer, folder. Raises ModelError, one line.

    An adapter is merged into its base, which is loaded instead; tokenizer and folder are the adapter's.
    """
    target = checked_choice(device, dtype)
    where = str(source)
    local = expanded(source)
    if is_adapter(local):
        return _with_adapter(local, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    if local.exists():
        check_folder(local)
        where = str(local)
    elif not _HUB_ID.fullmatch(where):
        raise ModelError(f"no model folder at {where}; give an existing folder, a version name or a hub id")
    options = {"trust_remote_code": trust_remote_code, "local_files_only": local.exists()}
    with quiet():
        _check_hub(where, local)
        tokenizer = load_tokenizer(where, trust_remote_code=trust_remote_code, local=local.exists())
        model = _load_weights(where, options)
        folder = local if local.exists() else Path(str(cached_file(where, "config.json"))).parent
    chosen = chosen_dtype(dtype, model.num_parameters(), model.dtype, target)
    return _placed(model, chosen, target, folder), tokenizer, folder


def _with_adapter(folder: Path, *, device: str, dtype: str, trust_remote_code: bool) -> tuple[Any, Any, Path]:
    """The adapter's base, its weights changed as the adapter says."""
    check_weights(folder)
    check_links(folder)
    for file in sorted(folder.glob("*.safetensors")):
        _check_weights(file)
    base = Versions(folder.parent.parent).base_of(folder)
    model, tokenizer, _ = load_parts(base, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    merge_into(model, folder)
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    return model, tokenizer, folder


def _placed(model: Any, dtype: torch.dtype, device: torch.device, folder: Path) -> Any:
    try:
        return model.to(device, dtype)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise ModelError(f"the model cannot be put on {device}: {_line(error)}") from error
        raise ModelError(_too_large(folder, str(device))) from error


def _too_large(folder: Path, device: str) -> str:
    try:
        needed = f", {gigabytes(measure(folder).weights)} of weights"
    except ModelError:
        needed = ""
    return (
        f"the model in {folder}{needed} does not fit the memory of {device}; "
        "choose a smaller model, or another --device or --dtype (see `autoagent models info`)"
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a device, or the machine, has no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    return any(sign in said for sign in ("out of memory", "can't allocate memory", "cannot allocate memory"))


def check_folder(folder: Path) -> None:
    if not folder.is_dir():
        check_file(folder)
    if not (folder / "config.json").is_file():
        raise ModelError(f"no model in {folder}: config.json is missing")
    check_weights(folder)
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


def load_tokenizer(where: str | Path, *, trust_remote_code: bool = False, local: bool = True) -> Any:
    """The tokenizer of a folder (``local``) or hub id, with its chat template."""
    options = {"trust_remote_code": trust_remote_code, "local_files_only": local}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # tokenizers raises bare Exception for a broken file
        raise ModelError(f"no tokenizer can be loaded from {where}: {_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {where} is not a fast one; convert it to tokenizer.json")
    if not tokenizer.chat_template:
        raise ModelError(
            f"the model {where} has no chat template; add chat_template.jinja to its folder, "
            "or take the variant of it that is made for chats (often called Instruct)"
        )
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
        if out_of_memory(error):
            raise ModelError(_too_large(Path(where), "this machine")) from error
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


def checked_choice(device: str, dtype: str) -> torch.device:
    """The device; ModelError where it, or the dtype, is none of this machine."""
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}; use {', '.join(DTYPES[:-1])} or {DTYPES[-1]}")
    return chosen_device(device)


def chosen_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is the first GPU there is, else the processor."""
    if device == "auto":
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"device {device!r} cannot be used ({_line(error)}); use auto, cpu, cuda, cuda:1 or mps"
        ) from error


def chosen_dtype(dtype: str, parameters: int, stored: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype of that name; ``auto`` is exact for small models, else what the device is fast with."""
    if dtype != "auto":
        return getattr(torch, dtype)  # type: ignore[no-any-return]
    if parameters < SMALL:
        return torch.float32
    if device.type == "cpu":
        return torch.bfloat16 if _bfloat16_pays() else torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return stored if stored in (torch.bfloat16, torch.float16) else torch.bfloat16


def free_memory(device: torch.device) -> int:
    """Bytes that can be had on a device now, about."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
