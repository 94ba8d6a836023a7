"""What commands are built from. ``main`` makes the real ones; a test may load models in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from autoagent.config import Limits
from autoagent.errors import UsageError
from autoagent.home import expanded, load_config, project_home
from autoagent.models.protocol import Model


def _load_model(spec: str, home: Path) -> Model:
    from autoagent.models.load import load_model  # brings torch in

    return load_model(spec, home=home)


@dataclass
class Parts:
    """Handed from command to command as the context object of typer."""

    load: Callable[[str, Path], Model] = _load_model
    chosen_home: Path | None = None  # of --home

    @cached_property
    def home(self) -> Path:
        """Where records, memory and versions live; it may not exist yet.

        Raises:
            UsageError: something that is no folder stands there.
        """
        home = expanded(self.chosen_home).absolute() if self.chosen_home else project_home()
        if home.exists() and not home.is_dir():
            raise UsageError(f"{home} is a file: choose a folder with --home or AUTOAGENT_HOME")
        return home

    @cached_property
    def config(self) -> dict[str, Any]:
        """All settings by name, without the flags.

        Raises:
            ConfigError: a settings file cannot be read or has an unknown key.
        """
        return load_config(self.home)

    @property
    def services(self) -> Mapping[str, Callable[..., Any]]:
        """What tools may reach that is above them."""
        return {"finetune": self._finetune}

    def _finetune(self, note: str = "") -> str:
        from autoagent.nano import suites
        from autoagent.training.finetune import FinetuneConfig
        from autoagent.training.gate import GateConfig
        from autoagent.training.service import finetune_service

        config = FinetuneConfig(gate=GateConfig(limits=self.limits))
        return finetune_service(self.home, suites.builtin, config)(note=note)

    @property
    def limits(self) -> Limits:
        """Budgets of a run, as configured."""
        return Limits(**{key: self.config[key] for key in Limits.model_fields})

    def model(self, spec: str) -> Model:
        """Load a model.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        return self.load(spec, self.home)


def parts_of(ctx: typer.Context) -> Parts:
    """The parts of this invocation."""
    parts = ctx.find_object(Parts)
    assert parts is not None  # the callback of the app puts them there
    return parts
