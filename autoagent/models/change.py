"""How far the weights of two models are apart, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoagent.errors import ModelError
from autoagent.models.adapter import is_adapter

if TYPE_CHECKING:
    import torch

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
_TIED = "lm_head.weight"  # written by some, left out by others, where it is the same as the embeddings
_PARTS = (("embed", "embeddings"), ("wte", "embeddings"), ("lm_head", "head"), ("norm", "norms"))


@dataclass(frozen=True)
class Change:
    """The change of one group of weights: its norm, and as a share of the norm before."""

    group: str  # "embeddings", "layer 3", "head", "norms", "others"
    norm: float  # of the difference, root of the sum of squares
    share: float  # of the norm before; 0 for equal weights
    tensors: int


def weight_change(before: Path, after: Path) -> tuple[Change, ...]:
    """The groups of weights of two model folders, first embeddings, then the layers, then the rest.

    One pair of tensors is in memory at a time; adapters are merged first.

    Raises:
        ModelError: they are not alike in shape, or cannot be read.
    """
    old, new = _tensors(before), _tensors(after)
    if only := (set(old) ^ set(new)) - {_TIED}:
        odd = min(only)
        raise ModelError(f"the models in {before} and {after} are built differently: only one has {odd}")
    sums: dict[str, tuple[float, float, int]] = {}
    for name in [each for each in old if each in new]:
        first, second = old[name](), new[name]()
        if first.shape != second.shape:
            raise ModelError(
                f"the models in {before} and {after} are built differently: {name} is "
                f"{tuple(first.shape)} and {tuple(second.shape)}"
            )
        apart, size, count = sums.get(_group(name), (0.0, 0.0, 0))
        apart += float((second.double() - first.double()).square().sum())
        sums[_group(name)] = (apart, size + float(first.double().square().sum()), count + 1)
    return tuple(
        Change(group, apart**0.5, (apart / size) ** 0.5 if size else float(apart > 0), count)
        for group, (apart, size, count) in sorted(sums.items(), key=lambda each: _order(each[0]))
    )


def _tensors(folder: Path) -> Mapping[str, Callable[[], torch.Tensor]]:
    """What reads each tensor of a model, by name."""
    from safetensors import safe_open

    from autoagent.models.loading import check_folder, load_parts

    if is_adapter(folder):
        model, _, _ = load_parts(folder, device="cpu", dtype="auto", trust_remote_code=False)
        return {name: _given(value) for name, value in model.named_parameters()}
    check_folder(folder)
    found: dict[str, Callable[[], torch.Tensor]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as content:
            found |= {name: _read(file, name) for name in content.keys()}  # noqa: SIM118
    return found


def _given(value: torch.Tensor) -> Callable[[], torch.Tensor]:
    return value.detach


def _read(file: Path, name: str) -> Callable[[], torch.Tensor]:
    def read() -> torch.Tensor:
        from safetensors import safe_open

        with safe_open(file, framework="pt") as content:
            tensor: torch.Tensor = content.get_tensor(name)
            return tensor

    return read


def _group(name: str) -> str:
    if layer := _LAYER.search(name):
        return f"layer {layer[1]}"
    return next((group for part, group in _PARTS if part in name), "others")


def _order(group: str) -> tuple[int, int]:
    if group.startswith("layer "):
        return 1, int(group.removeprefix("layer "))
    return ["embeddings", "", "norms", "head", "others"].index(group), 0
