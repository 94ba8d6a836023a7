"""Long-term memory in Chroma, which keeps texts and vectors; the word index is held in this process.

Vectors are always computed here and handed over: Chroma's own default embedder would download a model.
The word index is saved when a memory is closed, so that opening a large one does not read all of its texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from autoagent.errors import AutoagentError, StoreError
from autoagent.memory.embedder import Embedder, Vectors
from autoagent.memory.places import Place
from autoagent.memory.protocol import Entry
from autoagent.memory.ranking import Shelf
from autoagent.memory.shelved import ROOM, ShelvedMemory

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import Where

BATCH = 1_000  # entries in one write; Chroma takes about 5,000
PAGE = 10_000  # entries in one read of all; more than 32,766 is more than SQLite can ask for
PREFIX = "memory-"
ANEW = "-anew"  # ends the name of a memory while it is written anew
FORMAT = 1  # of the saved word index; another number, and it is made anew
# Wider than Chroma's default search, which misses neighbours: of 200 recalls among 2,400 random texts
# 31 differed from an exact search; with this none, in the same time.
INDEX: CreateHNSWConfiguration = {"space": "cosine", "ef_construction": 200, "ef_search": 400}


class ChromaMemory(ShelvedMemory):
    """The memory in one place until it is closed. Implements ``Memory``."""

    def __init__(self, place: Place, embedder: Embedder | None = None, *, take_over: bool = False) -> None:
        """Open ``place``; see ``open_memory`` for the errors.

        Args:
            place: A folder or a server.
            embedder: Makes the vectors; ``GramEmbedder`` by default.
            take_over: Embed again what another embedder wrote, where otherwise that is an error.
        """
        super().__init__(embedder)
        self._place = place
        self._client: Client | None = None
        self._open = self._changed = False
        self._erased = 0  # entries whose vectors the index still holds, as far as we know
        try:
            with self._told():
                self._client = place.open()
                self._collection = self._own_collection(self._client, take_over)
                self._restore()
                self._open = True
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Save the word index, close Chroma, then let other processes in; closing twice is harmless."""
        with self._guard:
            if self._open and not self._place.shared and self._erased >= max(ROOM, len(self._shelf)):
                with suppress(StoreError), self._told():  # or another time
                    self._renew()
            if self._open and self._changed:
                self._place.save(self._shelf.packed() | self._noted())
            self._place.close(self._client)
            self._client, self._open = None, False

    @property
    def wanted(self) -> bool:
        """Whether another process waits for this one to close it."""
        return self._place.wanted

    def about(self) -> dict[str, Any]:
        """Return where it is, its size in bytes (None where that is not ours to know) and its embedder."""
        return {
            "where": self._place.name,
            "bytes": self._place.size(),
            "embedder": self._embedder.name,
        }

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._told():
            if not self._open:
                raise StoreError(f"Long-term memory in {self._place.name} is closed; open it again.")
            if self._place.shared:
                self._catch_up()
            yield

    def _write(self, entries: Sequence[Entry]) -> None:
        self._will_change()
        for start in range(0, len(entries), BATCH):
            _upsert(self._collection, self._embedder, entries[start : start + BATCH])

    def _erase(self, ids: Sequence[str]) -> None:
        self._will_change()
        self._erased += len(ids)
        for start in range(0, len(ids), BATCH):
            self._collection.delete(ids=list(ids[start : start + BATCH]))

    def _renew(self) -> None:
        """Write all anew: the index marks what is erased and keeps its vectors, so it would grow for ever.

        Only before closing: Chroma holds an index in memory until then, also one that is gone.
        """
        assert self._client is not None
        old, name, ids = self._collection, self._collection.name, self._shelf.chosen()
        fresh = self._client.create_collection(
            name + ANEW, configuration={"hnsw": INDEX}, embedding_function=None
        )
        for start in range(0, len(ids), BATCH):
            kept = old.get(ids=ids[start : start + BATCH], include=["documents", "metadatas", "embeddings"])
            fresh.upsert(kept["ids"], kept["embeddings"], kept["metadatas"], kept["documents"])
        self._client.delete_collection(name)
        fresh.modify(name=name)
        self._collection, self._erased = fresh, 0

    def _read(self, ids: Sequence[str]) -> Mapping[str, Entry]:
        kept: dict[str, Entry] = {}
        for start in range(0, len(ids), BATCH):
            part = list(ids[start : start + BATCH])
            kept |= {entry.id: entry for entry in _entries(self._collection, ids=part)}
        return kept

    def _nearest(self, vectors: Vectors, most: int, kind: str) -> Mapping[str, float]:
        found = self._collection.query(
            query_embeddings=vectors,
            n_results=min(most, len(self._shelf)),
            include=["distances"],
            where={"kind": kind} if kind else None,
        )
        distances = found["distances"] or [[]]
        return {id: 1 - away for id, away in zip(found["ids"][0], distances[0], strict=True)}

    def _own_collection(self, client: Client, take_over: bool) -> Collection:
        """Return our embedder's collection, which is the only one, or becomes it."""
        name = PREFIX + self._embedder.name
        listed = _finished(client, [each.name for each in client.list_collections()], name)
        others = [client.get_collection(each, embedding_function=None) for each in listed if each != name]
        foreign = [other for other in others if other.count()]
        if foreign and not take_over:
            theirs, count = foreign[0].name.removeprefix(PREFIX), foreign[0].count()
            raise StoreError(
                f"Long-term memory in {self._place.name} was made with the embedder {theirs}, not"
                f" {self._embedder.name}: run `autoagent memory reindex` to embed its"
                f" {count} {'entries' if count > 1 else 'entry'} again, or set memory_embedder back."
            )
        mine = client.get_or_create_collection(name, configuration={"hnsw": INDEX}, embedding_function=None)
        for other in others:
            for entries in _pages(other):
                _upsert(mine, self._embedder, entries)
            client.delete_collection(other.name)  # only now: an interrupted move starts again
            self._will_change()
        return mine

    def _noted(self) -> dict[str, Any]:
        """What is saved beside the word index."""
        import numpy as np

        return {"format": _format(self._embedder), "erased": np.array(self._erased)}

    def _restore(self) -> None:
        """Fill the shelf: from what was saved if that is still all there is, else from the texts."""
        saved = self._place.load()
        if saved and saved["format"].tobytes() == _format(self._embedder).tobytes():
            shelf = Shelf.unpacked(saved)
            if len(shelf) == self._collection.count():
                self._shelf = shelf
                self._erased = int(saved.get("erased", 0))
                return
        self._shelf, self._changed = Shelf(), True
        for entry in sorted((e for page in _pages(self._collection) for e in page), key=lambda e: e.age):
            self._shelf.put(entry)

    def _catch_up(self) -> None:
        """Take in what others did on the server: newer entries, and everything anew where that is not all."""
        for entry in sorted(_entries(self._collection, newer_than=self._shelf.last_age), key=lambda e: e.age):
            self._shelf.put(entry)
        if len(self._shelf) != self._collection.count():
            self._restore()

    def _will_change(self) -> None:
        """What was saved at the last closing must not outlive a crash after a change."""
        if not self._changed:
            self._place.unsave()
            self._changed = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever the disk, the server or Chroma raises into one line that names the place."""
        try:
            yield
        except AutoagentError:
            raise
        except Exception as error:
            what = " ".join(str(error).split()) or type(error).__name__
            advice = "restore or move it"
            if "full" in what or "No space" in what:
                advice = "free some space"
            elif self._place.shared:
                advice = "look whether the server runs"
            where = f"Long-term memory in {self._place.name}"
            raise StoreError(f"{where} cannot be used: {what}; {advice}.") from error


def _finished(client: Client, listed: Sequence[str], name: str) -> list[str]:
    """The names of memories; one that was being written anew under this name is completed or dropped."""
    if name + ANEW in listed:
        if name in listed:
            client.delete_collection(name + ANEW)
        else:  # all of it had been written
            client.get_collection(name + ANEW, embedding_function=None).modify(name=name)
        listed = [*listed, name]
    found = dict.fromkeys(each for each in listed if each.startswith(PREFIX))
    return [each for each in found if not each.endswith(ANEW)]


def _format(embedder: Embedder) -> Any:
    import numpy as np

    return np.frombuffer(f"{FORMAT} {embedder.name}".encode(), dtype=np.uint8)


def _upsert(collection: Collection, embedder: Embedder, entries: Sequence[Entry]) -> None:
    collection.upsert(
        ids=[entry.id for entry in entries],
        documents=[entry.text for entry in entries],
        embeddings=embedder.embed([entry.text for entry in entries]),
        metadatas=[{"kind": e.kind, "source": e.source, "lines": e.lines, "age": e.age} for e in entries],
    )


def _pages(collection: Collection) -> Iterator[list[Entry]]:
    """Yield all entries, a page at a time."""
    start = 0
    while page := _entries(collection, start=start):
        yield page
        start += len(page)


def _entries(
    collection: Collection,
    *,
    ids: list[str] | None = None,
    start: int | None = None,
    newer_than: int | None = None,
) -> list[Entry]:
    """Return entries: those of ``ids``, a page from ``start`` on, or those with a higher age."""
    newer: Where | None = None if newer_than is None else {"age": cast("Any", {"$gt": newer_than})}
    kept = collection.get(
        ids=ids,
        where=newer,
        limit=None if start is None else PAGE,
        offset=start,
        include=["documents", "metadatas"],
    )
    entries = []
    for id, text, facts in zip(kept["ids"], kept["documents"] or [], kept["metadatas"] or [], strict=True):
        kind, source, age = str(facts["kind"]), str(facts["source"]), facts["age"]
        lines = str(facts.get("lines") or "")  # older memories have none
        entries.append(Entry(id, text, kind, source, lines, age if isinstance(age, int) else 0))
    return entries
