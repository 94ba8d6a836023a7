"""Small frozen settings, a sentence and a unit per field. Nothing here reads the environment or the disk."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

LARGEST_SEED = 2**63 - 1  # what the record can hold


class Settings(BaseModel):
    """Base of every settings class: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(Settings):
    """What one run may use before it ends with ``max_steps``, ``max_tokens`` or ``timeout``."""

    max_steps: int = Field(default=16, ge=1, description="Model calls after the plan, in steps.")
    max_tokens: int = Field(
        default=16_384, ge=1, description="Tokens prefilled and generated in the run, plan included."
    )
    timeout: float = Field(default=600.0, gt=0, description="Wall-clock time of the run, in seconds.")
    reply_tokens: int = Field(default=512, ge=16, description="Longest single reply of the model, in tokens.")
    observation_chars: int = Field(
        default=2_000,
        ge=80,
        description="Longest observation shown to the model, in characters; the rest is cut.",
    )
    shown_tools: int = Field(
        default=8, ge=3, le=12, description="Tools shown to the model, pinned ones included."
    )
    calls_per_turn: int = Field(
        default=1, ge=1, le=8, description="Tool calls the model may make in one reply."
    )


class Sampling(Settings):
    """How the next token is drawn. The default is greedy decoding."""

    temperature: float = Field(
        default=0.0, ge=0, description="0 is greedy; 1 samples the model's own distribution."
    )
    top_k: int = Field(default=0, ge=0, description="Keep the k likeliest tokens; 0 keeps all.")
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Keep the smallest set of tokens with this probability."
    )
    seed: int = Field(
        default=0, ge=0, le=LARGEST_SEED, description="Seed of the random generator of a session."
    )
