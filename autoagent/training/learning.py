"""How a model learns: by which method, in which of its weights, until when. Only settings, no torch."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from autoagent.config import Settings

Method = Literal["sft", "dpo", "kto"]


class AdapterConfig(Settings):
    """Which weights are trained."""

    what: str = Field(
        default="full",
        description="full: all weights; last:N: the last N layers; lora: low-rank adapters on all linear "
        "layers (needs peft); qlora: the same on a base kept in 4 bits (needs CUDA and bitsandbytes, too).",
    )
    rank: int = Field(default=16, ge=1, description="Rank of the adapters.")
    alpha: float = Field(
        default=32.0, gt=0, description="Scale of the adapters: their product is multiplied by alpha / rank."
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the activations dropped in training: before the adapters, or, without any, "
        "wherever the model has dropout.",
    )
    merge: bool = Field(
        default=True,
        description="Write adapters added into the weights, so that anything loads the result; "
        "else the adapter folder alone.",
    )

    @field_validator("what")
    @classmethod
    def _known(cls, what: str) -> str:
        if what not in ("full", "lora", "qlora") and not re.fullmatch(r"last:[1-9]\d*", what):
            raise ValueError("give full, last:N (like last:2), lora or qlora")
        return what

    @property
    def low_rank(self) -> bool:
        """Whether adapters are trained, not the model's own weights."""
        return self.what in ("lora", "qlora")


class PreferenceConfig(Settings):
    """How runs that worked are told from runs that did not."""

    beta: float = Field(
        default=0.1, gt=0, description="How strongly the model is held to what it was: the reward's scale."
    )
    sft: float = Field(
        default=0.0,
        ge=0,
        description="DPO: weight of the chosen sequence's own loss per token (the NLL term of RPO).",
    )
    smoothing: float = Field(
        default=0.0, ge=0, lt=0.5, description="DPO: share of pairs assumed to be the wrong way round."
    )
    desirable: float = Field(default=1.0, gt=0, description="KTO: weight of the good examples.")
    undesirable: float | None = Field(
        default=None,
        gt=0,
        description="KTO: weight of the bad ones; by default such that both kinds weigh the same in sum.",
    )


class Learning(Settings):
    """The method and what is common to all of them."""

    method: Method = Field(
        default="sft",
        description="sft: imitate good runs; dpo: prefer one of two; kto: prefer good to bad, unpaired.",
    )
    adapter: AdapterConfig = Field(default=AdapterConfig(), description="Which weights are trained.")
    preference: PreferenceConfig = Field(default=PreferenceConfig(), description="For dpo and kto.")
    weight_decay: float = Field(default=0.01, ge=0, description="Pull of the weights to 0, times the rate.")
    warmup: float = Field(default=0.02, ge=0, lt=1, description="Share of the steps with a rising rate.")
    decay: float = Field(default=0.4, ge=0, le=1, description="Share of the steps with a falling rate.")
    patience: int | None = Field(
        default=None,
        ge=0,
        description="Measurements of the validation loss without a new best after which training stops; the "
        "best weights are kept. 0: never. By default 4, with fewer than 30 validation examples 0.",
    )
    checkpoint_seconds: float = Field(
        default=120.0, gt=0, description="Time between checkpoints, in seconds."
    )
    wandb: str = Field(default="", description="Project of Weights & Biases to report to; empty: none.")
    trainer: Literal["own", "trl"] = Field(
        default="own",
        description="Who trains: our own trainer, or TRL's SFTTrainer (needs trl), for method sft.",
    )

    @field_validator("trainer")
    @classmethod
    def _can(cls, trainer: str, known: ValidationInfo) -> str:
        if trainer == "trl" and known.data.get("method", "sft") != "sft":
            raise ValueError("it imitates only (method sft); our own trainer prefers, too")
        if trainer == "trl" and "adapter" in known.data and known.data["adapter"].what == "qlora":
            raise ValueError("it trains all weights, the last ones or lora; our own trainer takes qlora, too")
        return trainer


class How(Settings):
    """How to train, all of it: passes, rates, batches, place, method."""

    epochs: int = Field(default=12, ge=1, description="Passes over the training examples.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate; by default by the model's size, the method, and what is trained: "
        "for all weights of a model below 100M parameters 1e-4, or 6e-4 where replay holds it; else 2e-5.",
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=64,
        description="Tokens per update, padding counted; by default a twelfth of a pass, 2048 to 8192.",
    )
    replay_loss: Literal["kl", "tokens"] = Field(
        default="kl",
        description="What replayed examples are for. kl: the model is to predict at all their tokens what it "
        "predicted before (KL divergence); tokens: it imitates their targets, as it always does with TRL.",
    )
    optimizer: Literal["muon", "adamw"] = Field(
        default="adamw",
        description="muon: Muon on hidden matrices, Adam on the rest; adamw: all Adam.",
    )
    device: str = Field(default="auto", description="Where to train: cpu, cuda, mps; auto is cuda if there.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="What to compute in.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 measures.")
    seed: int = Field(default=0, ge=0, description="Seed of the order of the examples.")
    learning: Learning = Field(default=Learning(), description="The method, and which weights are trained.")
