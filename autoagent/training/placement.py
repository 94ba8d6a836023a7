"""Where and in what precision to compute: asked for, or measured on the first batches."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autoagent.errors import UsageError
from autoagent.training.batches import Batch, Feed
from autoagent.training.parallel import ALONE, Group

if TYPE_CHECKING:
    from autoagent.training.losses import Loss
    from autoagent.training.trainer import TrainerConfig

PROBE = 1024  # tokens in the batch that is timed


@dataclass(frozen=True)
class Placement:
    """What was chosen."""

    device: str
    precision: str
    threads: int


def place(
    model: nn.Module, batches: Feed[Any], config: TrainerConfig, loss: Loss, group: Group = ALONE
) -> Placement:
    """Move ``model`` to the device and precision of ``config``, measuring what is left open there."""
    device = pick_device(config.device)
    if device == "cpu":
        precision, threads = _fastest_on_cpu(model, batches, config, loss)
    elif device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        auto = "bf16" if native else "fp32"
        precision, threads = (
            (auto if config.precision == "auto" else config.precision),
            torch.get_num_threads(),
        )
    else:
        precision, threads = (
            ("fp32" if config.precision == "auto" else config.precision),
            torch.get_num_threads(),
        )
    precision, threads = group.agree((precision, threads))
    torch.set_num_threads(threads)
    model.to(device)
    cast(model, precision)
    return Placement(device, precision, threads)


def pick_device(name: str) -> str:
    """``auto`` is cuda if there is one, else cpu. Raises :class:`UsageError` where there is none."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as fault:
        raise UsageError(f"cannot train on device {name!r}: {str(fault).splitlines()[0]}") from None
    return name


def cast(model: nn.Module, precision: str) -> None:
    """Put the parameters in this precision; buffers (rotary frequencies) and packed 4 bits stay."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    for weight in model.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)


def compile_layers(model: nn.Module) -> None:
    """Compile every layer of ``model`` for any length; parameter names stay as they are.

    On a CPU most of a small model's time goes into reading and writing activations; fused, it trains 1.5 to
    1.9 times faster. Layers share the compiled code, which is kept on disk for the next time.
    """
    for layers in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
        for layer in layers:
            layer.compile(dynamic=True)


def has_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler here."""
    return any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++"))


def _fastest_on_cpu(
    model: nn.Module, batches: Feed[Any], config: TrainerConfig, loss: Loss
) -> tuple[str, int]:
    """The quickest of the precisions and thread counts left open, by the time of one forward and backward."""
    here = torch.get_num_threads()
    threads = [config.threads] if config.threads else sorted({1, here})
    precisions = ["fp32", "bf16"] if config.precision == "auto" else [config.precision]
    if len(threads) * len(precisions) == 1:
        return precisions[0], threads[0]
    before = [weight.data for weight in model.parameters()]
    mark = batches.state()
    batch = batches.next()
    batches.restore(mark)
    if not len(batch):  # of a group that shares a few rows; what its first process finds will be taken
        return precisions[0], threads[0]
    batch = batch.rows(PROBE)
    seconds = {}
    for precision in precisions:
        cast(model, precision)
        for count in threads:
            torch.set_num_threads(count)
            seconds[precision, count] = _time(model, batch, loss)
    for weight, data in zip(model.parameters(), before, strict=True):
        weight.data, weight.grad = data, None
    return min(seconds, key=lambda choice: seconds[choice])


def _time(model: nn.Module, batch: Batch, loss: Loss) -> float:
    """Seconds of one forward and backward, the better of two after a first one that warms up."""
    best = float("inf")
    for trial in range(3):
        start = time.perf_counter()
        total, _ = loss(model, batch)
        total.backward()
        model.zero_grad(set_to_none=True)
        if trial:
            best = min(best, time.perf_counter() - start)
    return best
