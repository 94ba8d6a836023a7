"""Token sequences into batches: sorted by length into few shapes, shuffled by seed, resumable.

A *source* says what there is to train on, pass after pass: a list in memory (:class:`Examples`) or a folder
of shards that may still be growing (:class:`Shards`). :class:`Batches` cuts what it gives into batches.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from autoagent.errors import UsageError
from autoagent.training.parallel import ALONE, Group

MULTIPLE = 64  # lengths are rounded up to multiples of this, in tokens
Example = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]  # ids (T,), mask (T,): 1 target, -1 held
Item = TypeVar("Item")  # what batches are made of: an example, a pair of them
Given = TypeVar("Given", covariant=True)


@dataclass(frozen=True)
class Batch:
    """Sequences padded on the right; padding has weight 0 and id 0.

    Where the weight is negative, it is not this token that is to be predicted: the model is held to what it
    predicted before training (``holding``), and that counts as much as the weight's size.
    """

    ids: Tensor  # (B, T) int64
    weights: Tensor  # (B, T) fp32: how much predicting this token counts
    tokens: int  # that are not padding

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return Batch(self.ids.to(device), self.weights.to(device), self.tokens)

    def __len__(self) -> int:
        """How many rows; rows that belong together count as one."""
        return len(self.ids)

    def cut(self, first: int, end: int) -> Batch:
        """Some of the rows; how many of their tokens are padding is not known."""
        ids = self.ids[first:end]
        return Batch(ids, self.weights[first:end], min(self.tokens, ids.numel()))

    def rows(self, tokens: int) -> Batch:
        """The first rows, of about this many tokens but at least one row."""
        return self.cut(0, max(1, tokens * len(self) // max(1, self.ids.numel())))

    def parts(self, count: int) -> list[Batch]:
        """The same rows in ``count`` batches, or in one each where there are fewer."""
        size = max(1, -(-len(self) // count))
        return [self] if size >= len(self) else [self.cut(at, at + size) for at in range(0, len(self), size)]


class Source(Protocol[Given]):
    """What there is to train on."""

    def files(self, epoch: int) -> list[str]:
        """The parts of this pass, in a fixed order."""
        ...

    def holds(self, names: Sequence[str]) -> bool:
        """Whether these parts can still be loaded."""
        ...

    def load(self, names: Sequence[str]) -> Sequence[Given]: ...


class Examples:
    """Examples in memory, as a source of one part."""

    def __init__(self, examples: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
        self._examples = [
            (np.asarray(ids, dtype=np.int64), np.asarray(mask, dtype=np.float32)) for ids, mask in examples
        ]

    def files(self, epoch: int) -> list[str]:
        return ["memory"]

    def holds(self, names: Sequence[str]) -> bool:
        return set(names) <= {"memory"}

    def load(self, names: Sequence[str]) -> list[Example]:
        return self._examples


class Shards:
    """Files ``shard-*.npz`` in a folder: ids uint16 (N,), mask uint8 (N,), starts int64 (E+1,).

    The folder is listed anew at every pass, so shards written during training are picked up.
    """

    def __init__(self, folder: Path, *, vocabulary: int | None = None) -> None:
        """Ids from ``vocabulary`` on are refused where it is given: another tokenizer made them."""
        self._folder, self._vocabulary = folder, vocabulary
        self._starts: dict[str, np.ndarray[Any, Any]] = {}

    def files(self, epoch: int) -> list[str]:
        names = sorted(path.name for path in self._folder.glob("shard-*.npz"))
        if not names:
            raise UsageError(f"no training data in {self._folder}: make shards there first (shard-*.npz)")
        return names

    def holds(self, names: Sequence[str]) -> bool:
        return all((self._folder / name).is_file() for name in names)

    def load(self, names: Sequence[str]) -> list[Example]:
        return [example for name in names for example in self._examples(name)]

    def tokens(self, name: str) -> int:
        """Tokens of a shard."""
        return int(self._index(name)[-1])

    def episodes(self, name: str) -> int:
        """Episodes of a shard."""
        return len(self._index(name)) - 1

    def episode_at(self, name: str, token: int) -> int:
        """The first episode that begins at this token of a shard or after it."""
        return int(np.searchsorted(self._index(name)[:-1], token))

    def _index(self, name: str) -> np.ndarray[Any, Any]:
        """Where the episodes of a shard begin, and its length: (E + 1,)."""
        if name not in self._starts:
            (self._starts[name],) = self._read(name, "starts")
        return self._starts[name]

    def _examples(self, name: str) -> Iterator[Example]:
        ids, mask, starts = self._read(name, "ids", "mask", "starts")
        path = self._folder / name
        if len(ids) != len(mask) or starts[0] != 0 or starts[-1] != len(ids):
            raise UsageError(f"training shard {path} is inconsistent: delete it and make it again")
        if self._vocabulary is not None and len(ids) and ids.max() >= self._vocabulary:
            raise UsageError(
                f"training shard {path} has token id {ids.max()}, but the tokenizer has {self._vocabulary} "
                "ids: it was made with another tokenizer"
            )
        for start, end in pairwise(starts.tolist()):
            yield ids[start:end], mask[start:end]

    def _read(self, name: str, *arrays: str) -> list[np.ndarray[Any, Any]]:
        path = self._folder / name
        try:
            with np.load(path) as shard:
                return [shard[array] for array in arrays]
        except (OSError, ValueError, KeyError, BadZipFile) as fault:
            raise UsageError(f"cannot read training shard {path}, make it again: {fault}") from None


class Feed(ABC, Generic[Item]):
    """Endless batches of about ``tokens`` tokens from a source; ``state()`` and ``restore()`` resume exactly.

    Lengths are rounded up to multiples of 64 and a batch holds one rounded length, so that there are few
    shapes and little padding. Parts are visited in an order shuffled by seed and pass, ``window`` at a time;
    their items are mixed. Sequences longer than ``max_length`` are cut.

    In a ``group`` every process plans the same batches and takes its share of the items of each.
    """

    def __init__(
        self,
        source: Source[Item],
        *,
        tokens: int = 8192,
        seed: int = 0,
        max_length: int = 1024,
        window: int = 4,
        group: Group = ALONE,
    ) -> None:
        self._source, self._tokens, self._seed, self._group = source, tokens, seed, group
        self.max_length, self._window = max_length, window
        self._epoch, self._names, self._next_window, self._next_batch = 0, list[str](), 0, 0
        self._items: Sequence[Item] = []
        self._plan: list[list[int]] = []

    @abstractmethod
    def _length(self, item: Item) -> int:
        """Tokens of the item's row, or of its rows together."""

    @abstractmethod
    def _counts(self, item: Item) -> bool:
        """Whether there is something to learn from it."""

    @abstractmethod
    def _collate(self, chosen: Sequence[Item]) -> Batch: ...

    def ready(self, model: nn.Module, device: str) -> None:
        """Called once before training, with the untrained model where and as it will be trained."""

    def next(self) -> Batch:
        """The next batch, opening the next part or the next pass where one ends."""
        empty = 0
        while self._next_batch >= len(self._plan):
            self._advance()
            empty += not self._plan
            if empty > 1 + len(self._names):
                raise UsageError("the training data holds no sequence with a token to learn")
        mine = self._plan[self._next_batch][self._group.rank :: self._group.size]
        chosen = [self._items[index] for index in mine]
        self._next_batch += 1
        return self._collate(chosen)

    def batches_per_pass(self) -> int:
        """Batches in one pass over a source of a single part (fine-tuning: steps an epoch)."""
        return len(self._cut(self._source.load(self._source.files(0)), random.Random(self._seed)))

    def everything(self) -> Sequence[Item]:
        """All there is to learn from in a source of a single part."""
        return [item for item in self._source.load(self._source.files(0)) if self._counts(item)]

    def state(self) -> dict[str, Any]:
        """Where we are, as plain values."""
        return {
            "epoch": self._epoch,
            "names": list(self._names),
            "window": self._next_window,
            "batch": self._next_batch,
            "of": len(self._plan),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue after the batch at which ``state`` was taken; a new pass where its parts are gone."""
        self._epoch, self._names = state["epoch"], list(state["names"])
        self._plan = []
        if not self._group.agree(self._source.holds(self._names)):
            self._epoch, self._names, self._next_window, self._next_batch = self._epoch + 1, [], 0, 0
            return
        self._next_window = state["window"]
        if self._next_window > 0:
            self._open(self._next_window - 1)
        before = state.get("of", len(self._plan))  # another number of processes cuts other batches
        self._next_batch = state["batch"] * len(self._plan) // before if before else 0

    def _advance(self) -> None:
        if self._next_window * self._window >= len(self._names):
            if self._names:
                self._epoch += 1
            self._names = self._group.agree(self._source.files(self._epoch))
            random.Random(f"{self._seed}/{self._epoch}").shuffle(self._names)
            self._next_window = 0
        self._open(self._next_window)
        self._next_window += 1
        self._next_batch = 0

    def _open(self, window: int) -> None:
        first = window * self._window
        self._items = self._source.load(self._names[first : first + self._window])
        self._plan = self._cut(self._items, random.Random(f"{self._seed}/{self._epoch}/{window}"))

    def _cut(self, items: Sequence[Item], chance: random.Random) -> list[list[int]]:
        by_length: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            if self._counts(item):
                by_length.setdefault(-(-self._length(item) // MULTIPLE), []).append(index)
        plan = []
        for multiples, members in by_length.items():
            chance.shuffle(members)
            rows = self._rows(multiples * MULTIPLE)
            plan += [members[start : start + rows] for start in range(0, len(members), rows)]
        chance.shuffle(plan)
        return plan

    def _rows(self, length: int) -> int:
        """How many items of this length make a batch: in a group, as many for each process."""
        size = self._group.size
        if size == 1:
            return max(1, self._tokens // length)
        return max(1, round(self._tokens / length / size)) * size


class Batches(Feed[Example]):
    """Batches of single sequences. The tokens that are not targets count ``context_weight`` of a target."""

    def __init__(
        self,
        source: Source[Example],
        *,
        tokens: int = 8192,
        seed: int = 0,
        max_length: int = 1024,
        context_weight: float = 0.0,
        window: int = 4,
        group: Group = ALONE,
    ) -> None:
        super().__init__(source, tokens=tokens, seed=seed, max_length=max_length, window=window, group=group)
        self._context_weight = context_weight

    def _length(self, item: Example) -> int:
        return min(len(item[0]), self.max_length)

    def _counts(self, item: Example) -> bool:
        return self._context_weight > 0 or bool(item[1][1 : self.max_length].any())

    def _collate(self, chosen: Sequence[Example]) -> Batch:
        return collate(chosen, self.max_length, self._context_weight)


def collate(chosen: Sequence[Example], max_length: int, context_weight: float = 0.0) -> Batch:
    """The sequences as rows of a batch, cut to ``max_length`` and padded to a multiple of 64."""
    longest = max((min(len(ids), max_length) for ids, _ in chosen), default=1)
    length = -(-longest // MULTIPLE) * MULTIPLE
    ids = np.zeros((len(chosen), length), dtype=np.int64)
    weights = np.zeros((len(chosen), length), dtype=np.float32)
    for row, (tokens, mask) in enumerate(chosen):
        count = min(len(tokens), max_length)
        ids[row, :count] = tokens[:count]
        weights[row, :count] = np.where(mask[:count] != 0, mask[:count], context_weight)
    weights[:, 0] = 0  # nothing predicts the first token
    count = sum(min(len(tokens), max_length) for tokens, _ in chosen)
    return Batch(torch.from_numpy(ids), torch.from_numpy(weights), count)
