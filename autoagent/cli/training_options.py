"""The options of the commands that train: how it is learned, and how it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import ValidationError

from autoagent.cli.eval_suites import BUILT_IN
from autoagent.cli.options import Option
from autoagent.config import Settings
from autoagent.errors import UsageError

if TYPE_CHECKING:
    from autoagent.config import Limits

Config = TypeVar("Config", bound=Settings)
TRAINING: dict[str, Any] = {"rich_help_panel": "Training"}
GATE: dict[str, Any] = {"rich_help_panel": "Gate"}


class Method(StrEnum):
    """How it is learned."""

    SFT = "sft"
    DPO = "dpo"
    KTO = "kto"


class ReplayLoss(StrEnum):
    """What replayed demonstrations are for."""

    KL = "kl"
    TOKENS = "tokens"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What the commands that train share: how it is learned, and how it is measured."""

    method: Annotated[
        Method, Option(help="sft: do like verified runs; dpo, kto: and unlike refuted ones.", **TRAINING)
    ] = Method.SFT
    beta: Annotated[
        float | None,
        Option(min=1e-6, help="dpo, kto: how strongly it stays what it was. By default 0.1.", **TRAINING),
    ] = None
    weights: Annotated[
        str | None,
        Option(
            metavar="full|last:N|lora|qlora", help="Which weights are trained. By default full.", **TRAINING
        ),
    ] = None
    rank: Annotated[
        int | None, Option(min=1, help="Rank of the adapters of lora and qlora. By default 16.", **TRAINING)
    ] = None
    max_length: Annotated[
        int | None,
        Option(min=8, help="Leave out longer examples, in tokens. By default 4096.", **TRAINING),
    ] = None
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the examples. By default 12.", **TRAINING)
    ] = None
    lr: Annotated[
        float | None,
        Option(
            min=1e-9,
            help="Peak learning rate. By default, below 100M parameters, 6e-4 with replay by kl, else 1e-4 "
            "(lora 1e-3); above, 2e-5 (lora 2e-4); a tenth of it with dpo and kto.",
            **TRAINING,
        ),
    ] = None
    batch_tokens: Annotated[
        int | None,
        Option(min=64, help="Tokens of an update. By default a twelfth of a pass, 2048 to 8192.", **TRAINING),
    ] = None
    weight_decay: Annotated[
        float | None, Option(min=0, help="Pull of the weights to 0. By default 0.01.", **TRAINING)
    ] = None
    dropout: Annotated[
        float | None, Option(min=0, max=0.9, help="Share of activations dropped. By default 0.", **TRAINING)
    ] = None
    patience: Annotated[
        int | None,
        Option(
            min=0,
            help="Stop after so many measurements without a better loss; 0: never. By default 4, with fewer "
            "than 30 validation examples 0.",
            **TRAINING,
        ),
    ] = None
    replay: Annotated[
        float | None,
        Option(
            min=0,
            max=0.95,
            help="sft of the embedded model: share of tokens from earlier training. By default 0.5.",
            **TRAINING,
        ),
    ] = None
    replay_loss: Annotated[
        ReplayLoss | None,
        Option(
            help="What that share is for. kl: to predict there what it predicted before; tokens: to be "
            "imitated. By default kl; with TRL always tokens.",
            **TRAINING,
        ),
    ] = None
    seed: Annotated[
        int | None, Option(min=0, help="Seed of all that is drawn. By default 0.", **TRAINING)
    ] = None
    device: Annotated[
        str | None,
        Option(
            metavar="DEVICE", help="Where to train: cpu, cuda, mps. By default cuda if there.", **TRAINING
        ),
    ] = None
    wandb: Annotated[
        str, Option(metavar="PROJECT", help="Also report to this project of Weights & Biases.", **TRAINING)
    ] = ""
    margin: Annotated[
        float | None,
        Option(min=0, max=1, help="Least gain in success, 0.02 is 2 points. By default 0.02.", **GATE),
    ] = None
    gate_tasks: Annotated[
        int | None, Option(min=1, help="At most so many goals are compared. By default 100.", **GATE)
    ] = None
    elsewhere: Annotated[
        str,
        Option(
            metavar="FILE.toml|none",
            help="Other goals, on which nothing may be lost. By default, of the embedded model, the builtin "
            "ones of other families.",
            **GATE,
        ),
    ] = ""
    elsewhere_tasks: Annotated[
        int | None, Option(min=20, help="At most so many of those. By default 300.", **GATE)
    ] = None

    def training(self, limits: Limits) -> dict[str, Any]:
        """The settings of a training by name; ``limits`` are the budgets of each run of the gate.

        Raises:
            UsageError: an option says nothing with the others.
        """
        self._need_use()
        adapter = given(what=self.weights, rank=self.rank, dropout=self.dropout)
        learning = given(weight_decay=self.weight_decay, patience=self.patience, wandb=self.wandb)
        own = given(epochs=self.epochs, learning_rate=self.lr, seed=self.seed, replay=self.replay)
        own |= given(batch_tokens=self.batch_tokens, device=self.device, elsewhere=self._others())
        own |= given(replay_loss=self.replay_loss and self.replay_loss.value)
        method = {"method": self.method.value, "preference": given(beta=self.beta)}
        gate = given(tasks=self.gate_tasks, margin=self.margin, other_tasks=self.elsewhere_tasks)
        return {
            **own,
            "learning": {**method, "adapter": adapter, **learning},
            "data": given(max_length=self.max_length),
            "gate": {"limits": limits, **gate},
        }

    def _need_use(self) -> None:
        """Refuse what would be given in vain."""
        if self.rank is not None and self.weights not in ("lora", "qlora"):
            raise UsageError(f"--rank {self.rank} is of adapters: add --weights lora")
        for option, value in (("replay", self.replay), ("replay-loss", self.replay_loss)):
            if value is not None and self.method is not Method.SFT:
                raise UsageError(f"--{option} {value} is of --method sft: leave it out")
        if self.replay_loss is not None and self.replay == 0:
            raise UsageError(f"--replay-loss {self.replay_loss} has no effect with --replay 0: leave it out")
        if self.beta is not None and self.method is Method.SFT:
            raise UsageError(f"--beta {self.beta:g} is of preferences: add --method dpo or kto")

    def _others(self) -> bool | Path | None:
        """The file of the other goals, if one is named; False: none are measured.

        Raises:
            UsageError: there is no such file.
        """
        if self.elsewhere in ("", "none"):
            return False if self.elsewhere else None
        if not Path(self.elsewhere).is_file():
            raise UsageError(f"there is no suite {self.elsewhere}: name a TOML file for --elsewhere, or none")
        return Path(self.elsewhere).absolute()


def given(**values: Any) -> dict[str, Any]:
    """Those that were given."""
    return {key: value for key, value in values.items() if value is not None}


def to_find(suite: str) -> str:
    """The name of a suite, or its file from wherever one looks."""
    by_name = suite in BUILT_IN or suite.startswith("env:")
    return suite if by_name or not Path(suite).is_file() else str(Path(suite).absolute())


def checked(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Settings made of what was given.

    Raises:
        UsageError: a value cannot be; one line says which.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as problem:
        wrong = problem.errors()[0]
        raise UsageError(f"{wrong['input']}: {wrong['msg'].removeprefix('Value error, ')}") from None
