"""Where the model of an agent comes from: a fixed one, or the one in use, which changes between runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from autoagent.errors import StoreError, UsageError
from autoagent.models.load import load_model
from autoagent.models.protocol import Model
from autoagent.models.versions import Versions


@runtime_checkable
class Source(Protocol):
    """Gives a model, and may give another one from the next run on."""

    def model(self) -> Model:
        """The model, loaded at first use; ModelError where that cannot be."""

    def renew(self) -> Sequence[str]:
        """Between runs: take a newer model if there is one; lines for the user, mostly none."""


def source_of(model: Model | Source | str | Path | None, home: Path) -> Source:
    """The source of a model as a user of the library names it; None and ``current`` follow the one in use."""
    if isinstance(model, Source):
        return model
    if model is None or model == "current":
        return Current(home, lambda name: load_model(name, home=home))
    return Fixed(model, home)


class Fixed:
    """A model that stays: one at hand, or a version, folder or hub id, loaded at first use."""

    def __init__(self, model: Model | str | Path, home: Path) -> None:
        self._model, self._home = model, home

    def model(self) -> Model:
        if isinstance(self._model, (str, Path)):
            self._model = load_model(self._model, home=self._home)
        return self._model

    def renew(self) -> Sequence[str]:
        return ()


class Current:
    """The version that the project's pointer names, loaded at first use and anew when another is in use.

    Args:
        home: The project's home, where its versions are.
        load: Loads a version by its name.
    """

    def __init__(self, home: Path, load: Callable[[str], Model]) -> None:
        self._versions, self._load = Versions(home), load
        self._lock = threading.Lock()
        self._name = ""  # of the version that is loaded
        self._model: Model | None = None
        self._refused = ""  # a version in use that could not be loaded

    def model(self) -> Model:
        """The model, loaded at first use.

        Raises:
            ModelError: the pointer names no version, or it cannot be loaded.
        """
        with self._lock:
            if self._model is None:
                name = self._versions.current()
                self._model, self._name = self._load(name), name
            return self._model

    def renew(self) -> Sequence[str]:
        """Take the version that is in use by now; lines for the user, mostly none.

        Reads one small file, and loads only what is new. A version that cannot be loaded leaves the one at
        work where it is, and that is said once.
        """
        with self._lock:
            if self._model is None:  # loaded when it is needed, and then the right one
                return ()
            wanted = "?"  # the pointer is damaged
            try:
                wanted = self._versions.current()
                if wanted in (self._name, self._refused):
                    self._refused = "" if wanted == self._name else wanted
                    return ()
                self._model, self._name, self._refused = self._load(wanted), wanted, ""
            except (UsageError, StoreError) as problem:  # UsageError: also of its prompts
                told, self._refused = self._refused == wanted, wanted
                why = f"{self._name} stays at work, for the model in use cannot be had: {problem}"
                return () if told else (why,)
            return (f"another model is in use by now: {wanted}",)
