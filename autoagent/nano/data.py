"""Training data: demonstrations of the expert, rendered and tokenised as at run time, in shards on disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoagent.errors import UsageError
from autoagent.models import disk
from autoagent.nano.datasheet import stamp
from autoagent.nano.expert import Demonstration, NotShown, demonstrate
from autoagent.nano.families import FAMILIES, Episode, Maker
from autoagent.nano.habits import HABITS
from autoagent.nano.pieces import cut_words
from autoagent.nano.tokenizer import load_tokenizer

SHARD_EPISODES = 4_000
_FEWER, _FEWEST = 0.4, 5  # of the demonstrations show fewer tools than a run, though so many at least
_UNATTENDED = 0.15  # of the episodes that ask nobody: nobody is there who could be asked


@dataclass(frozen=True)
class Mix:
    """What training data are made of.

    Attributes:
        more: Factors by family, for shares other than the usual.
        human: Folder of data sets of human requests (see ``human``), if any; their words are used, too.
        human_share: Of the episodes that are human requests.
        cut_words: Share of the episodes some of whose words are in smaller pieces than the tokenizer's.
    """

    more: Mapping[str, float] = field(default_factory=dict)
    human: Path | None = None
    human_share: float = 0.3
    cut_words: float = 0.5

    def told(self) -> dict[str, Any]:
        """For the record; where the data sets lie is nobody's business."""
        people = self.human_share if self.human is not None else 0.0
        return {
            "more": dict(sorted(self.more.items())),
            "human_share": people,
            "cut_words": self.cut_words,
        }


def training_episode(rng: random.Random, mix: Mix = Mix()) -> tuple[str, Episode]:  # frozen
    """A family drawn by its share, and one of its episodes, on the training side of all splits.

    In some of those that ask nobody there is no ``ask_user``, as in a run without a terminal.
    """
    name, episode = _drawn(rng, mix)
    if rng.random() < _UNATTENDED and all(each.tool != "ask_user" for each in episode.actions):
        episode = replace(episode, task=episode.task.model_copy(update={"ask": False}))
    return name, episode


def _drawn(rng: random.Random, mix: Mix) -> tuple[str, Episode]:
    words: tuple[str, ...] = ()
    if mix.human is not None:
        from autoagent.nano.requests import HumanData

        people = HumanData.of(mix.human)
        words = people.words
        if rng.random() < mix.human_share:
            return "human", people.episode(rng)
    names = list(FAMILIES)
    name = rng.choices(names, [FAMILIES[each].share * mix.more.get(each, 1) for each in names])[0]
    return name, FAMILIES[name].make(Maker.of(rng, more=words))


def demonstrations(seed: str, count: int, mix: Mix = Mix()) -> Iterator[Demonstration]:  # frozen
    """``count`` demonstrations, the same for a seed. Goals whose tool the ranking misses are left out.

    Most show as many tools as a run does, the others fewer, so that both are known.
    """
    rng = random.Random(seed)
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # in memory: 10x faster
    with tempfile.TemporaryDirectory(dir=scratch, prefix="autoagent-") as folder:
        made = 0
        while made < count:
            _, episode = training_episode(rng, mix)
            shown = rng.randint(_FEWEST, HABITS.shown_tools - 1) if rng.random() < _FEWER else None
            try:
                yield demonstrate(episode, Path(folder) / "world", rng=rng, shown=shown)
            except NotShown:
                continue
            made += 1


def as_text(demonstration: Demonstration, tokenizer: Any) -> str:
    """The conversation as the chat template renders it."""
    text: str = tokenizer.apply_chat_template(
        [message.for_template() for message in demonstration.messages],
        tools=list(demonstration.tools),
        tokenize=False,
    )
    return text


def encode(text: str, tokenizer: Any, cut: random.Random | None = None) -> tuple[list[int], list[int]]:
    """Token ids (T,) and the loss mask (T,): 1 on what the assistant says, its end-of-turn token included.

    With ``cut`` some words are in smaller pieces than the tokenizer's, see :mod:`autoagent.nano.pieces`.
    """
    ids: list[int] = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        if cut is None
        else cut_words(text, tokenizer, cut)
    )
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    head: list[int] = tokenizer("assistant\n", add_special_tokens=False)["input_ids"]
    mask = [0] * len(ids)
    place = 0
    while place < len(ids):
        if ids[place] == start and ids[place + 1 : place + 1 + len(head)] == head:
            place += 1 + len(head)
            stop = ids.index(end, place)
            mask[place : stop + 1] = [1] * (stop + 1 - place)
            place = stop
        place += 1
    return ids, mask


def train_tokenizer(
    out: Path,
    *,
    vocab_size: int = 1536,
    digits: int = 1,
    episodes: int = 12_000,
    mix: Mix = Mix(),  # frozen
) -> None:
    """Learn the tokenizer from what demonstrations say, and write its folder."""
    from autoagent.nano.tokenizer import build_tokenizer

    build_tokenizer(_sayings(episodes, mix), out, vocab_size=vocab_size, digits=digits)


def _sayings(episodes: int, mix: Mix) -> Iterator[str]:
    if mix.human is not None:
        from autoagent.nano.human import is_held_out_intent, requests

        for each in requests(mix.human):
            if each.part == "train" and not is_held_out_intent(each.source, each.intent):
                yield each.text
    for demonstration in demonstrations("tokenizer", episodes, mix):
        for message in demonstration.messages:
            yield message.content
            for call in message.calls:
                yield json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)


def write_shards(
    tokenizer_folder: Path,
    out: Path,
    *,
    shards: int,
    seed: int = 0,
    workers: int = 1,
    mix: Mix = Mix(),  # frozen
    on_shard: Callable[[int, int], None] = lambda done, tokens: None,
) -> None:
    """Write ``shards`` shards of 4,000 episodes; those there are kept, so it can be stopped and resumed.

    Args:
        tokenizer_folder: The tokenizer to encode with; its hash must be the same for all shards of a folder.
        out: Folder of ``shard-*.npz``: ``ids`` uint16 (N,), ``mask`` uint8 (N,), ``starts`` int64 (E + 1,).
        shards: How many there shall be in the end.
        seed: Of the first shard; each shard adds its number.
        workers: Processes.
        mix: What they are made of.
        on_shard: Called with the number of shards done and the tokens of the newest one.
    """
    stamp(out, tokenizer_folder, {"seed": seed} | mix.told())
    jobs = [
        (tokenizer_folder, out / f"shard-{number:05d}.npz", f"{seed}-{number}", mix)
        for number in range(shards)
        if not (out / f"shard-{number:05d}.npz").exists()
    ]
    done = shards - len(jobs)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for tokens in pool.imap_unordered(_write_shard, jobs):
            done += 1
            on_shard(done, tokens)


def _write_shard(job: tuple[Path, Path, str, Mix]) -> int:
    tokenizer_folder, file, seed, mix = job
    tokenizer = load_tokenizer(tokenizer_folder)
    encoded = []
    for number, each in enumerate(demonstrations(seed, SHARD_EPISODES, mix)):
        rng = random.Random(f"pieces {seed} {number}")
        cut = rng if rng.random() < mix.cut_words else None
        encoded.append(encode(as_text(each, tokenizer), tokenizer, cut))
    arrays = pack(encoded)
    partial = file.with_name(f".partial-{os.getpid()}-{file.name}")  # no trainer picks it up
    try:
        np.savez(partial, **arrays)  # type: ignore[arg-type]  # numpy types the keywords as its own options
        partial.replace(file)
    except OSError as fault:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write {file}, those before are kept: {disk.reason(fault)}") from None
    return int(arrays["ids"].size)


def pack(encoded: Sequence[tuple[list[int], list[int]]]) -> dict[str, NDArray[Any]]:
    """Episodes one after another, with their offsets."""
    starts = np.cumsum([0, *(len(ids) for ids, _ in encoded)], dtype=np.int64)
    ids = np.concatenate([np.asarray(ids, dtype=np.uint16) for ids, _ in encoded])
    mask = np.concatenate([np.asarray(mask, dtype=np.uint8) for _, mask in encoded])
    return {"ids": ids, "mask": mask, "starts": starts}
