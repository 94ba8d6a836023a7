"""What commands are built from. ``main`` makes the real ones; a test may load models in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from autoagent.config import Conduct, Limits, Sampling
from autoagent.errors import AutoagentError, ToolError, UsageError
from autoagent.home import PROMPTS, expanded, project_home
from autoagent.settings import Config, Loaded, load_settings

if TYPE_CHECKING:
    from autoagent.models.live import Source
    from autoagent.models.protocol import Model
    from autoagent.prompts import Prompts
    from autoagent.tools import Context
    from autoagent.training.service import FinetuneService


@dataclass
class Parts:
    """Handed from command to command as the context object of typer."""

    load: Callable[[str, Path], Model] | None = None  # by default as the settings say
    chosen_home: Path | None = None  # of --home
    chosen_profile: str | None = None  # of --profile

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
    def loaded(self) -> Loaded:
        """All settings without the flags, and where each comes from.

        Raises:
            ConfigError: a settings file cannot be read, has an unknown key or an impossible value.
        """
        return load_settings(self.home, self.chosen_profile)

    @property
    def settings(self) -> Config:
        """All settings, without the flags; errors as of :attr:`loaded`."""
        return self.loaded.config

    @property
    def config(self) -> dict[str, Any]:
        """The same by name."""
        return self.settings.model_dump()

    @property
    def prompts(self) -> Path:
        """The folder of the user's own prompts; without a setting it may not exist.

        Raises:
            UsageError: the settings name a folder that is not there.
        """
        named = self.settings.prompts
        if named is not None and not Path(named).is_dir():
            source = self.loaded.sources["prompts"]
            raise UsageError(f"{source}: prompts = {named!r}: there is no such folder")
        return self.home / PROMPTS if named is None else Path(named)

    def prompt_set(self, model: str | None = None) -> Prompts:
        """The prompts of a run: the user's own, over those the model was trained with, over the default.

        Args:
            model: As a user names it; by default the configured one.

        Raises:
            UsageError: there is no such model, or the settings name a folder of prompts that is not there.
        """
        from autoagent.models.versions import Versions
        from autoagent.prompts import prompts_of

        wanted = self.settings.model if model is None else model
        source = None if wanted.startswith("openai:") else Versions(self.home).resolve(wanted)
        return prompts_of(source if isinstance(source, Path) else None, self.prompts)

    @property
    def services(self) -> Mapping[str, Callable[..., Any]]:
        """What tools may reach that is above them."""
        return {"finetune": _Finetuning(self)}

    @property
    def limits(self) -> Limits:
        """Budgets of a run, as configured."""
        return Limits(**self._some_of(Limits))

    @property
    def conduct(self) -> Conduct:
        """How a run goes about its goal, as configured."""
        return Conduct(**self._some_of(Conduct))

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn, as configured."""
        return Sampling(**self._some_of(Sampling))

    def _some_of(self, group: type[Limits] | type[Conduct] | type[Sampling]) -> dict[str, Any]:
        return {key: getattr(self.settings, key) for key in group.model_fields}

    def model(self, spec: str, settings: Config | None = None) -> Model:
        """Load a model.

        Args:
            spec: As a user names it.
            settings: How it is loaded or reached; by default as configured.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        if self.load is not None:
            return self.load(spec, self.home)
        from autoagent.models.load import load_model  # brings torch in

        how = settings or self.settings
        return load_model(
            spec,
            home=self.home,
            base_url=how.base_url,
            api_key=how.api_key,
            window=how.window,
            device=how.device,
            dtype=how.dtype,
            trust_remote_code=how.trust_remote_code,
        )

    def followed(self, settings: Config) -> Model | Source:
        """The model of an agent, loaded: the one that is named, else the version in use, wherever that goes.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        if settings.model != "current":
            return self.model(settings.model, settings)
        from autoagent.models.live import Current

        current = Current(self.home, lambda name: self.model(name, settings))
        current.model()  # now, and not when the first run begins
        return current


@dataclass(frozen=True)
class _Finetuning:
    """The service behind the tool ``finetune``; what trains is imported when it is asked for."""

    parts: Parts

    def __call__(self, *, ctx: Context, **chosen: Any) -> str:
        try:
            service = self._service()
        except AutoagentError as problem:
            raise ToolError(f"{problem}; nothing was trained: tell the user") from problem
        return service(**chosen, ctx=ctx)

    def preview(self, **chosen: Any) -> str:
        """What a call would do."""
        try:
            service = self._service()
        except AutoagentError as problem:
            return f"this will fail: {problem}"
        return service.preview(**chosen)

    def _service(self) -> FinetuneService:
        from autoagent.cli.eval_suites import gate_suite
        from autoagent.cli.training_options import to_find
        from autoagent.nano import earlier
        from autoagent.training.finetune import FinetuneConfig
        from autoagent.training.gate import GateConfig
        from autoagent.training.service import finetune_service

        name = self.parts.settings.gate_suite
        config = FinetuneConfig(gate=GateConfig(limits=self.parts.limits), named_suite=to_find(name))
        return finetune_service(self.parts.home, gate_suite(name), config, earlier)


def parts_of(ctx: typer.Context) -> Parts:
    """The parts of this invocation."""
    parts = ctx.find_object(Parts)
    assert parts is not None  # the callback of the app puts them there
    return parts
