"""What every test gets: no network, no settings of the developer's own, and a home that is thrown away."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Read when the libraries are imported, so before any test module is. Subprocesses inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Examples are drawn the same way each time: a gate must not fail by chance, nor because a machine is slow.
settings.register_profile(
    "gate", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gate")

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def _stay_offline(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: a connection to anything but this machine is a failure of the test that tried it."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo" and arguments[0] is not None:
        host = os.fsdecode(arguments[0])
    else:
        return
    if not host.startswith(LOOPBACK):
        raise RuntimeError(f"tests are offline, but this one wants to reach {host}")


sys.addaudithook(_stay_offline)


class _OneDay(datetime.date):
    @classmethod
    def today(cls) -> _OneDay:
        return cls(2026, 11, 22)


@pytest.fixture(scope="session", autouse=True)
def _same_day_every_day() -> Iterator[None]:
    """Prompts tell the date, and what a random model makes of them must not change at midnight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoagent.conversation.datetime", SimpleNamespace(date=_OneDay))
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch adds up in the same order each time; for modules whose numbers must agree to the last bit."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _throw_away_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point HOME elsewhere and clear ``AUTOAGENT_*``, so that nobody's own configuration changes a result.

    Nor does the width of a terminal, which pytest-xdist puts into the environment.
    """
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(("AUTOAGENT_", "XDG_")) or name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name)
    return home
