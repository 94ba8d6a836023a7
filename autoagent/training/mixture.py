"""Several folders of training shards as one source, each with its share of the tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoagent.errors import UsageError
from autoagent.training.batches import Example, Shards

Piece = tuple[str, str, int, int]  # folder, shard, first and last + 1 of its episodes


class Mixture:
    """A part is one shard of the first folder and, from each other folder, the tokens that belong to it.

    A pass is a pass over the first folder. The others go round at their own pace, and each part takes up
    where the one before it stopped. Folders are listed anew at every pass.
    """

    def __init__(self, shares: Mapping[Path, float], *, vocabulary: int | None = None) -> None:
        """``shares`` are relative to each other; the order matters, see above."""
        if len({folder.name for folder in shares}) < len(shares):
            raise UsageError("folders of training data need different names")
        if any(share <= 0 for share in shares.values()):
            raise UsageError("the share of a folder of training data must be above 0")
        self._folders = {folder.name: Shards(folder, vocabulary=vocabulary) for folder in shares}
        first = next(iter(shares.values()))
        self._ratios = {folder.name: share / first for folder, share in shares.items()}

    def files(self, epoch: int) -> list[str]:
        (main, shards), *others = self._folders.items()
        names = shards.files(epoch)
        tokens = [shards.tokens(name) for name in names]
        parts: list[list[Piece]] = [[(main, name, 0, shards.episodes(name))] for name in names]
        for folder, source in others:
            rounds = _Round(folder, source, epoch)
            at = epoch * sum(tokens) * self._ratios[folder]
            for part, count in zip(parts, tokens, strict=True):
                wanted = count * self._ratios[folder]
                part += rounds.pieces(at, at + wanted)
                at += wanted
        return [json.dumps(part) for part in parts]

    def holds(self, names: Sequence[str]) -> bool:
        try:
            return all(self._folders[folder].holds([name]) for folder, name, _, _ in _pieces(names))
        except (ValueError, KeyError):  # names of a source of another kind, or of another folder
            return False

    def load(self, names: Sequence[str]) -> list[Example]:
        examples = []
        for folder, name, first, end in _pieces(names):
            examples += self._folders[folder].load([name])[first:end]
        return examples


def _pieces(names: Sequence[str]) -> list[Piece]:
    return [(folder, name, first, end) for part in names for folder, name, first, end in json.loads(part)]


class _Round:
    """The tokens of a folder as an endless line, its shards over and over."""

    def __init__(self, folder: str, source: Shards, epoch: int) -> None:
        self._folder, self._source = folder, source
        self._names = source.files(epoch)
        self._tokens = [source.tokens(name) for name in self._names]

    def pieces(self, start: float, end: float) -> list[Piece]:
        """Which episodes begin from token ``start`` of the line up to ``end``."""
        found = []
        place = start // sum(self._tokens) * sum(self._tokens)  # where the round of ``start`` begins
        while place < end:
            for name, count in zip(self._names, self._tokens, strict=True):
                first, last = (self._source.episode_at(name, int(edge - place)) for edge in (start, end))
                if first < last:
                    found.append((self._folder, name, first, last))
                place += count
        return found
