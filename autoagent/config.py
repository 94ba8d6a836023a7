"""Small frozen settings, a sentence and a unit per field. Nothing here reads the environment or the disk."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LARGEST_SEED = 2**63 - 1  # what the record can hold


def _expression(text: str) -> str:
    try:
        empty = re.compile(text).match("") is not None
    except re.error as problem:
        raise ValueError(f"this is no regular expression: {problem}") from None
    if empty:
        raise ValueError("this fits nothing at all, and so every text")
    return text


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
        description="Longest observation shown to the model, in characters; the rest is kept on file.",
    )
    calls_per_turn: int = Field(
        default=1, ge=1, le=8, description="Tool calls the model may make in one reply."
    )
    retries: int = Field(
        default=0, ge=0, description="Times a refuted check is told to the model, which then goes on."
    )
    replans: int = Field(default=3, ge=0, description="Times a run may make a new plan.")
    compact_at: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of the model's window in use above which older steps are summarised.",
    )


class Conduct(Settings):
    """How a run goes about its goal. None: as the model is used to (see ``Habits``)."""

    plan: Literal["auto", "ask", "off"] = Field(
        default="auto", description="Make a plan and go on; let the user edit it first; or make none."
    )
    shown_tools: int | None = Field(
        default=None, ge=3, le=12, description="Tools shown to the model, pinned ones included."
    )
    recall: int | None = Field(
        default=None, ge=0, le=20, description="Memories put before the model at the goal and each new plan."
    )
    summary: Literal["template", "model"] = Field(
        default="template", description="Who writes the summary when older steps are compacted."
    )
    dry_run: bool = Field(
        default=False, description="Carry out nothing that changes the world; say what would be done."
    )


class Habits(Settings):
    """What a model was trained with, told by ``autoagent.json`` in its folder; the default fits any model."""

    shown_tools: int = Field(default=12, ge=3, le=12, description="Tools shown, pinned ones included.")
    pinned: tuple[str, ...] = Field(
        default=("finish", "decline", "plan", "ask_user", "find_tools"),
        description="Tools that are always shown, where the run offers them; they come last.",
    )
    builtins: tuple[str, ...] | None = Field(
        default=None, description="Built-in tools it knows; others are not offered. None: all."
    )
    ranked: bool = Field(
        default=True,
        description="Tools that fit the goal are chosen and come first; else the first ones, in their order.",
    )
    recall: int = Field(default=3, ge=0, description="Memories put before it at the goal and each new plan.")
    conversation: bool = Field(default=True, description="Earlier goals of a chat are shown to it.")


class Safety(Settings):
    """What a run is guarded against: orders that come from outside, and secrets that get out."""

    taint: Literal["off", "ask", "deny", "strict"] = Field(
        default="ask",
        description="After reading from outside: ask (or deny) unless you named the place; strict: always.",
    )
    untrusted: tuple[str, ...] = Field(
        default=(), description="Files in the workspace that others wrote, like downloads/**."
    )
    secrets: bool = Field(
        default=True, description="Keep secrets from the model, the record and exports, as [secret: NAME]."
    )
    secret_names: tuple[str, ...] = Field(
        default=(), description="More environment variables that hold secrets, like ACME_*."
    )
    secret_patterns: tuple[Annotated[str, AfterValidator(_expression)], ...] = Field(
        default=(), description="More forms of secrets, as regular expressions."
    )
    secret_files: tuple[str, ...] = Field(
        default=(), description="More names of files in the workspace that hold secrets, like *.secret."
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
    min_p: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Drop tokens below this share of the likeliest one's probability.",
    )
    repetition_penalty: float = Field(
        default=1.0, gt=0, description="Above 1, tokens that occurred before become less likely."
    )
    seed: int = Field(
        default=0, ge=0, le=LARGEST_SEED, description="Seed of the random generator of a session."
    )
