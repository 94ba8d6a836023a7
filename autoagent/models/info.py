"""What is to be known about a model before it is loaded: what it needs, whether it fits, how it talks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoagent.errors import ModelError
from autoagent.models.chat import Audit, audit
from autoagent.models.loading import check_folder, chosen_device, chosen_dtype, free_memory, load_tokenizer
from autoagent.models.needs import gigabytes, measure


def look_into(
    folder: Path, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False
) -> dict[str, Any]:
    """Facts about a model folder, by name; its weights are not loaded. Sizes are in bytes.

    Raises ModelError where the folder holds no model, or device or dtype cannot be used.
    """
    import torch

    check_folder(folder)
    needs, target = measure(folder), chosen_device(device)
    stored = getattr(torch, needs.dtype, torch.float32)
    runs = str(chosen_dtype(dtype, needs.parameters, stored, target)).removeprefix("torch.")
    weights, cache, free = needs.memory(runs), needs.cache(runs, needs.window), free_memory(target)
    facts: dict[str, Any] = {
        "architecture": needs.architecture,
        "parameters": needs.parameters,
        "bytes": needs.weights,
        "stored": needs.dtype,
        "device": str(target),
        "dtype": runs,
        "window": needs.window,
        "needs": f"about {gigabytes(weights)} for weights and {gigabytes(cache)} for a full window; "
        f"{gigabytes(free)} are free",
        "free": free,
        "fits": weights + cache < free,
    }
    warnings = [] if weights + cache < free else [_too_much(weights, cache, free, target.type)]
    try:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        found = audit(tokenizer, _stops(folder, tokenizer))
    except ModelError as error:
        return facts | {"calls": "none", "warnings": [*warnings, str(error)]}
    return facts | _talk(found) | {"warnings": [*warnings, *found.warnings(needs.window)]}


def _too_much(weights: int, cache: int, free: int, device: str) -> str:
    if weights < free:
        return (
            f"a full window does not fit {device}: {gigabytes(weights + cache)} against {gigabytes(free)} "
            "that are free; shorter conversations do"
        )
    return (
        f"the weights do not fit {device}: {gigabytes(weights)} against {gigabytes(free)} that are free; "
        "choose another device or dtype, or a smaller model"
    )


def _talk(found: Audit) -> dict[str, Any]:
    thought = found.thought
    return {
        "calls": found.calls,
        "tools in template": found.shows_tools,
        "calls per turn": "several" if found.marks.many else "one",
        "keeps prefix": found.keeps_prefix,
        "reasoning": "none" if thought is None else f"in {thought[0]}",
    }


def _stops(folder: Path, tokenizer: Any) -> list[int]:
    """The end-of-output ids that the tokenizer and the configuration files name."""
    stops = [tokenizer.eos_token_id]
    for name in ("generation_config.json", "config.json"):
        try:
            said = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            continue
        stops += said if isinstance(said, list) else [said]
    return [int(stop) for stop in dict.fromkeys(stops) if stop is not None]
