"""Adapters: low-rank changes to a base model, in the files that peft writes; the base is named by its hash.

Served, an adapter is added into the base's weights once, when it is loaded: W + scale · B A. That costs
nothing per token, and needs no other library. Plain LoRA can be loaded; DoRA and its relatives must be merged
by what made them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autoagent.errors import ModelError
from autoagent.models.fingerprint import fingerprint

ADAPTER = "adapter_config.json"
BASE = "base.json"  # in the folder of an adapter version: what it was trained on
_PREFIX = "base_model.model."
_UNKNOWN = ("use_dora", "use_qalora", "lora_bias", "trainable_token_indices", "alora_invocation_tokens")
_MERGE_IT = "merge it with the library that made it, and give the folder with the whole weights"


class Base(BaseModel):
    """The model an adapter was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # version, ``embedded``, folder or hub id: where to look for it
    hash: str = ""  # of its files, see fingerprint(); "" where the adapter does not say


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter; one with whole weights in it does not, whatever else it holds."""
    return (folder / ADAPTER).is_file() and not any(folder.glob("model*.safetensors"))


def base_of(folder: Path) -> Base:
    """What the adapter in a folder was trained on; ModelError where it does not say."""
    try:
        if (folder / BASE).is_file():
            return Base.model_validate_json((folder / BASE).read_text(encoding="utf-8"))
        name = adapter_settings(folder).get("base_model_name_or_path")
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder / BASE} cannot be read: {str(error).splitlines()[0]}") from error
    if not name:
        raise ModelError(f"the adapter in {folder} does not say which model it is for: {ADAPTER} names none")
    return Base(name=str(name))


def adapter_settings(folder: Path) -> dict[str, Any]:
    """What ``adapter_config.json`` says; ModelError where it is no JSON object."""
    try:
        found = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / ADAPTER} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{folder / ADAPTER} must hold a JSON object")
    return found


def check_base(folder: Path, wanted: Base, found: Path) -> None:
    """Raise ModelError unless ``found`` is the very model that the adapter in ``folder`` was trained on."""
    if not (found / "config.json").is_file():
        raise ModelError(
            f"{folder.name} is an adapter, and its base {wanted.name} is not here: no model in {found}"
        )
    if is_adapter(found):
        raise ModelError(
            f"{folder.name} is an adapter for {wanted.name}, which is an adapter itself: merge that first "
            f"(`autoagent models merge {wanted.name}`)"
        )
    if wanted.hash and fingerprint(found) != wanted.hash:
        raise ModelError(
            f"{folder.name} is an adapter for another base: {wanted.name} in {found} is not the model it was "
            f"trained on (hash {wanted.hash[:8]}); bring that one back, or train anew"
        )


def hub_folder(name: str) -> Path | None:
    """The folder of a hub model that is on this machine; the network is not used."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def merge_into(model: Any, folder: Path) -> None:
    """Add the adapter in ``folder`` to the weights of its loaded base, in place.

    Raises ModelError for an adapter of another kind, or one whose matrices do not fit the model.
    """
    from safetensors.torch import load_file

    settings = adapter_settings(folder)
    _refuse_other_kinds(folder, settings)
    weights: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in sorted(weights):
        if name.endswith(".lora_B.weight"):
            continue
        _add(parameters, name, weights, settings, folder)


def _add(
    parameters: dict[str, Any], name: str, weights: dict[str, Any], settings: dict[str, Any], folder: Path
) -> None:
    """Add one pair of matrices to what they change, or put one whole tensor in its place."""
    import torch

    low, _, rest = name.partition(".lora_A.weight")
    whole = low == name
    target = low.removeprefix(_PREFIX) + ("" if whole else ".weight")
    at = parameters.get(target)
    if at is None or rest or "lora_" in target:
        raise ModelError(f"the adapter in {folder} does not fit its base: nothing there for {name}")
    if sum(each is at for each in parameters.values()) > 1:
        raise ModelError(f"the adapter in {folder} changes {target}, which its base uses twice: {_MERGE_IT}")
    change = weights[name]
    if not whole:
        high = weights.get(f"{low}.lora_B.weight")
        if high is None:
            raise ModelError(f"the adapter in {folder} is incomplete: {low}.lora_B.weight is missing")
        if high.shape[1:] != change.shape[:1]:
            raise ModelError(
                f"the adapter in {folder} is damaged: the matrices of {low} do not fit each other"
            )
        scale = _scale(low.removeprefix(_PREFIX), change.shape[0], settings)
        change = scale * (high.float() @ change.float())  # (out, rank) (rank, in)
        change = change.T if settings.get("fan_in_fan_out") else change
    if change.shape != at.shape:
        raise ModelError(
            f"the adapter in {folder} does not fit its base: {target} is {tuple(at.shape)} there, "
            f"and {tuple(change.shape)} in the adapter"
        )
    with torch.no_grad():
        at.copy_(change if whole else at.float() + change.to(at.device))


def _scale(module: str, rank: int, settings: dict[str, Any]) -> float:
    """What the product of the two matrices is multiplied with: alpha / rank, or by the root of the rank."""
    alpha = float(settings.get("lora_alpha", rank))
    for pattern, own in (settings.get("alpha_pattern") or {}).items():
        if module == pattern or module.endswith(f".{pattern}"):
            alpha = float(own)
    return alpha / (rank**0.5 if settings.get("use_rslora") else rank)


def _refuse_other_kinds(folder: Path, settings: dict[str, Any]) -> None:
    kind = settings.get("peft_type", "LORA")
    odd = next((name for name in _UNKNOWN if settings.get(name)), None)
    if kind != "LORA" or odd:
        raise ModelError(f"the adapter in {folder} is no plain LoRA ({odd or kind}): {_MERGE_IT}")
