"""Where Chroma keeps a memory: in a folder of this machine, held by one process at a time, or on a server."""

from __future__ import annotations

import json
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from autoagent.errors import StoreError, UsageError
from autoagent.memory.lock import MemoryLock

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.config import Settings

SLOWEST = 60.0  # seconds a server may take to answer; Chroma's client would wait forever


class Place(Protocol):
    """A place for a memory, from ``open`` to ``close``."""

    name: str  # in messages
    shared: bool  # others may write at the same time

    def open(self) -> Client: ...
    def close(self, client: Client | None) -> None: ...
    def load(self) -> dict[str, npt.NDArray[Any]]: ...  # arrays saved when it was last closed; empty if none
    def save(self, arrays: dict[str, npt.NDArray[Any]]) -> None: ...
    def unsave(self) -> None: ...  # before a change: what was saved no longer holds
    def size(self) -> int | None: ...  # bytes on this machine
    @property
    def wanted(self) -> bool: ...  # whether another process waits for it to be closed


class Folder:
    """A folder, locked while it is open: two processes writing to one embedded Chroma corrupt it."""

    shared = False

    def __init__(self, folder: Path, wait: float) -> None:
        self.name = str(folder)
        self._folder, self._wait = folder, wait
        self._saved = folder / "words.npz"
        self._lock = MemoryLock(folder)

    def open(self) -> Client:
        """Wait for the lock, then open Chroma.

        Raises:
            MemoryLocked: another process holds it.
            OSError: the folder cannot be made.
        """
        import chromadb

        self._lock.acquire(self._wait)
        return cast("Client", chromadb.PersistentClient(self._folder, _settings()))

    def close(self, client: Client | None) -> None:
        """Close Chroma, then let other processes in."""
        if client is not None:
            client.close()
        self._lock.release()

    @property
    def wanted(self) -> bool:
        """Whether another process waits for it."""
        return self._lock.wanted

    def load(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays saved at the last closing; nothing if there are none or they are damaged."""
        try:
            with self._saved.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        except Exception:  # numpy, zipfile and zlib each have their own; a rebuild is always right
            return {}

    def save(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Write the arrays; a full disk only means that the next opening takes longer."""
        new = self._saved.with_suffix(".new")
        with suppress(OSError):
            with new.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            new.replace(self._saved)

    def unsave(self) -> None:
        """Remove what was saved."""
        self._saved.unlink(missing_ok=True)

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())


class Server:
    """A Chroma server. No lock: it may have many clients."""

    shared = True
    wanted = False  # many may have it open

    def __init__(self, url: str, wait: float) -> None:
        """See ``open_memory``.

        Raises:
            UsageError: ``url`` is none.
        """
        self.name = url
        self._wait = wait
        try:
            parts = urlsplit(url)
            self._host, port = parts.hostname or "", parts.port
        except ValueError:
            self._host, port = "", None
        if not self._host or parts.scheme not in ("http", "https") or parts.path.strip("/"):
            raise UsageError(f"memory_url {url!r} is no address of a Chroma server: write http://host:8000")
        self._ssl = parts.scheme == "https"
        self._port: int = port or (443 if self._ssl else 8000)

    def open(self) -> Client:
        """Connect.

        Raises:
            StoreError: nobody answers there, or no Chroma server does.
        """
        self._knock()
        import chromadb

        client = cast("Client", chromadb.HttpClient(self._host, self._port, self._ssl, settings=_settings()))
        for session in _sessions(client):
            session.timeout = SLOWEST
        return client

    def _knock(self) -> None:
        """Ask for the heartbeat first: Chroma's own failure has no time limit and many lines."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"http{'s' * self._ssl}://{host}:{self._port}/api/v2/heartbeat"
        try:
            with urllib.request.urlopen(address, timeout=max(0.1, self._wait)) as answer:
                beat = json.loads(answer.read(10_000))
        except ValueError:
            beat = None
        except OSError as error:
            reason = getattr(error, "reason", error)
            said = getattr(reason, "strerror", None) or str(reason)
            raise StoreError(
                f"The Chroma server at {self.name} cannot be reached ({said}): start it with"
                " `chroma run`, or correct memory_url."
            ) from None
        if not isinstance(beat, dict) or "nanosecond heartbeat" not in beat:
            raise StoreError(f"What answers at {self.name} is no Chroma server: correct memory_url.")

    def close(self, client: Client | None) -> None:
        """Disconnect; Chroma's own closing leaves the sockets open."""
        if client is not None:
            client.close()
            for session in _sessions(client):
                session.close()

    def load(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing: others may have changed it since."""
        return {}

    def save(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Keep nothing."""

    def unsave(self) -> None:
        """Nothing to remove."""

    def size(self) -> None:
        """Not known from here."""


def _sessions(client: Client) -> list[Any]:
    """The HTTP clients behind a Chroma client, which offers no way to them; none if that has changed."""
    servers: list[Any] = [getattr(part, "_server", None) for part in (client, client._admin_client)]
    return [server._session for server in servers if hasattr(server, "_session")]


def _settings() -> Settings:
    from chromadb.config import Settings

    no_env_file: dict[str, Any] = {"_env_file": None}  # a .env in the user's folder is not meant for us
    return Settings(anonymized_telemetry=False, **no_env_file)
