"""Long-term memory on disk: Chroma keeps texts and vectors, a lock keeps other processes out.

Vectors are always computed here and handed over: Chroma's own default embedder would download a model.
The texts are also held in this process, read once when opened, for BM25.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock, Timeout

from autoagent.errors import StoreError
from autoagent.memory.embedder import Embedder, GramEmbedder
from autoagent.memory.protocol import MemoryLocked, Recalled
from autoagent.memory.ranking import Entry, Shelf, clean, depth, identify

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection

BATCH = 1_000  # entries in one write; Chroma takes about 5,000
# Wider than Chroma's default search, which misses neighbours: of 200 recalls among 2,400 random texts
# 31 differed from an exact search; with this none, in the same time.
INDEX: CreateHNSWConfiguration = {"space": "cosine", "ef_construction": 200, "ef_search": 400}


class ChromaMemory:
    """The memory in one folder, held exclusively until closed or the process ends. Implements ``Memory``."""

    def __init__(self, folder: Path, *, wait: float, embedder: Embedder | None = None) -> None:
        """Open ``folder``; see ``open_memory`` for ``wait`` (seconds) and the errors."""
        self._folder = folder
        self._embedder: Embedder = embedder or GramEmbedder()
        self._guard = threading.RLock()
        self._client: Client | None = None
        # Not thread-local: the thread that closes need not be the one that opened. No soft lock: that is a
        # mere file and would outlive a killed process.
        self._file_lock = FileLock(folder / "lock", thread_local=False, fallback_to_soft=False)
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._told():
                self._file_lock.acquire(timeout=wait)
                self._client = _client(folder)
                self._collection = self._opened(self._client)
                self._shelf = Shelf(_entries(self._collection))
        except BaseException:
            self.close()
            raise

    def add(self, text: str, kind: str = "semantic", source: str = "") -> str:
        """Remember ``text``, on disk when this returns; see ``Memory.add``."""
        text = clean(text)
        id = identify(text, kind, source)
        with self._guard, self._told():
            if id not in self._shelf.entries:
                entry = Entry(id, text, kind, source, self._shelf.next_age)
                self._write(self._collection, [entry])
                self._shelf.put(entry)
        return id

    def recall(self, query: str, k: int = 3) -> list[Recalled]:
        """Return the best ``k`` texts; see ``Memory.recall``."""
        wanted = depth(k)
        with self._guard, self._told():
            if not self._shelf.entries or not query.strip():
                return []
            found = self._collection.query(
                query_embeddings=self._embedder.embed([query]),
                n_results=min(wanted, len(self._shelf.entries)),
                include=["distances"],
            )
            distances = found["distances"] or [[]]
            similar = {id: 1 - away for id, away in zip(found["ids"][0], distances[0], strict=True)}
            return self._shelf.rank(query, similar, k)

    def forget(self, *ids: str, source: str = "") -> int:
        """Remove entries; see ``Memory.forget``."""
        with self._guard, self._told():
            chosen = self._shelf.chosen(ids, source)
            for start in range(0, len(chosen), BATCH):
                batch = chosen[start : start + BATCH]
                self._collection.delete(ids=batch)
                for id in batch:
                    self._shelf.drop(id)
        return len(chosen)

    def count(self) -> int:
        """Return the number of texts kept."""
        return len(self._shelf.entries)

    def close(self) -> None:
        """Close Chroma, then let other processes in; closing twice is harmless."""
        with self._guard:
            if self._client is not None:
                self._client.close()
                self._client = None
            self._file_lock.release()

    def _opened(self, client: Client) -> Collection:
        """Return our embedder's collection; what another embedder wrote moves there, embedded again."""
        name = f"memory-{self._embedder.name}"
        mine = client.get_or_create_collection(name, configuration={"hnsw": INDEX}, embedding_function=None)
        others = [other.name for other in client.list_collections() if other.name.startswith("memory-")]
        for other in others:
            if other != name:
                entries = _entries(client.get_collection(other, embedding_function=None))
                for start in range(0, len(entries), BATCH):
                    self._write(mine, entries[start : start + BATCH])
                client.delete_collection(other)  # only now: an interrupted move starts again
        return mine

    def _write(self, collection: Collection, entries: list[Entry]) -> None:
        collection.upsert(
            ids=[entry.id for entry in entries],
            documents=[entry.text for entry in entries],
            embeddings=self._embedder.embed([entry.text for entry in entries]),
            metadatas=[{"kind": e.kind, "source": e.source, "age": e.age} for e in entries],
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever the disk or Chroma raises into one line that names the folder."""
        where = f"Long-term memory in {self._folder}"
        try:
            yield
        except Timeout:
            raise MemoryLocked(f"{where} is in use by another process; end that one first.") from None
        except StoreError:
            raise
        except Exception as error:
            if self._client is None and hasattr(self, "_shelf"):
                raise StoreError(f"{where} is closed; open it again.") from None
            what = " ".join(str(error).split()) or type(error).__name__
            advice = "free some space" if "full" in what or "No space" in what else "restore or move it"
            raise StoreError(f"{where} cannot be used: {what}; {advice}.") from error


def _client(folder: Path) -> Client:
    import chromadb
    from chromadb.config import Settings

    no_env_file: dict[str, Any] = {"_env_file": None}  # a .env in the user's folder is not meant for us
    settings = Settings(anonymized_telemetry=False, **no_env_file)
    return cast("Client", chromadb.PersistentClient(folder, settings))


def _entries(collection: Collection) -> list[Entry]:
    """Return all entries of a collection."""
    kept = collection.get(include=["documents", "metadatas"])
    entries = []
    for id, text, facts in zip(kept["ids"], kept["documents"] or [], kept["metadatas"] or [], strict=True):
        kind, source, age = str(facts["kind"]), str(facts["source"]), facts["age"]
        entries.append(Entry(id, text, kind, source, age if isinstance(age, int) else 0))
    return entries
