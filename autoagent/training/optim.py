"""Muon for matrices, Adam for the rest, fp32 master weights under bf16 parameters.

Muon (Keller Jordan, 2024) takes the momentum of a matrix's gradient and replaces it by the nearest
semi-orthogonal matrix, found by five Newton-Schulz steps: every direction of the matrix learns at one pace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients that converge fastest near zero


def orthogonalise(gradients: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, of each matrix in (N, rows, columns)."""
    a, b, c = NEWTON_SCHULZ
    tall = gradients.shape[-2] > gradients.shape[-1]
    x = gradients.bfloat16()
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    out: Tensor = (x.mT if tall else x).to(gradients.dtype)
    return out


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised. All parameters must be matrices; equal shapes are updated together."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, *, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for shape, weights in by_shape.items():
                self._update(weights, max(1.0, shape[0] / shape[1]) ** 0.5, group)

    def _update(self, weights: list[Tensor], scale: float, group: dict[str, Any]) -> None:
        moments = [self.state[weight].setdefault("momentum", torch.zeros_like(weight)) for weight in weights]
        gradients: list[Tensor] = [weight.grad for weight in weights]  # type: ignore[misc]
        torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
        looked_ahead = torch._foreach_lerp(gradients, moments, group["momentum"])  # Nesterov
        updates = orthogonalise(torch.stack(looked_ahead))
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, list(updates.unbind()), alpha=-group["lr"] * scale)


def is_hidden_matrix(name: str, weight: Tensor) -> bool:
    """Whether Muon may train it: a matrix between hidden layers, neither embedding nor output."""
    return weight.ndim == 2 and not any(part in name for part in ("embed", "lm_head", "wte", "wpe", "score"))


class Optimizers:
    """Everything that changes the weights of a model: masters, gradient clipping, Muon and Adam.

    Parameters in 16 bit get an fp32 master copy that is updated and rounded back; fp32 ones are their own.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        kind: str,
        muon_lr: float,
        adam_lr: float,
        weight_decay: float,
        exact: Mapping[str, Tensor] | None = None,
    ) -> None:
        """``exact`` are weights by name as they were before they were rounded, where somebody kept them."""
        exact = exact or {}
        self.named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        self.masters = [
            weight
            if weight.dtype == torch.float32
            else exact.get(name, weight).detach().to(weight.device, torch.float32).requires_grad_()
            for name, weight in self.named
        ]
        pairs = [(name, master) for (name, _), master in zip(self.named, self.masters, strict=True)]
        matrices = [master for name, master in pairs if kind == "muon" and is_hidden_matrix(name, master)]
        taken = {id(master) for master in matrices}
        others = [master for _, master in pairs if id(master) not in taken]
        decayed = [master for master in others if master.ndim >= 2]
        plain = [master for master in others if master.ndim < 2]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = []
        if others:
            adam = torch.optim.AdamW(
                [group for group in groups if group["params"]],
                lr=adam_lr,
                betas=(0.9, 0.95),
                eps=1e-8,
                fused=True,
            )
            self._parts.append((adam, adam_lr))
        if matrices:
            self._parts.append((Muon(matrices, muon_lr, weight_decay=weight_decay), muon_lr))

    @torch.no_grad()
    def step(self, scale: float, clip: float) -> None:
        """Apply the gradients at ``scale`` times the learning rates, their total norm clipped to ``clip``."""
        for (_, weight), master in zip(self.named, self.masters, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
                weight.grad = None
        if clip > 0:
            torch.nn.utils.clip_grad_norm_(self.masters, clip)
        for optimizer, rate in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the parameters the model computes with."""
        for (_, weight), master in zip(self.named, self.masters, strict=True):
            if master is not weight:
                weight.copy_(master)

    def weights(self) -> dict[str, Tensor]:
        """The fp32 masters by parameter name."""
        return {name: master.detach() for (name, _), master in zip(self.named, self.masters, strict=True)}

    def state(self) -> dict[str, Any]:
        return {"masters": self.weights(), "parts": [part.state_dict() for part, _ in self._parts]}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        for (name, _), master in zip(self.named, self.masters, strict=True):
            master.copy_(state["masters"][name])
        for (part, _), saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self.publish()
