"""Examples of the embedded model's own training, mixed into what it learns later so that it forgets less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autoagent.nano.data import as_text, demonstrations, encode
from autoagent.nano.expert import Demonstration
from autoagent.nano.tokenizer import load_tokenizer
from autoagent.training.examples import REPLAYED, Example, goal_hash

_AT_ONCE = 50  # demonstrations


def rehearsal(folder: Path, tokens: int, seed: int) -> tuple[Example, ...]:
    """Fresh demonstrations of the expert, of so many tokens in all or a little more, the same for a seed.

    Args:
        folder: Of a model that descends from the embedded one, for its tokenizer and template.
        tokens: How many.
        seed: Of the demonstrations; neither the recipe nor the gate has any of them.
    """
    tokenizer = load_tokenizer(folder)
    made: list[Example] = []
    total = 0
    for text, goal in _demonstrated(seed):
        if total >= tokens:
            break
        ids, mask = encode(as_text(text, tokenizer), tokenizer)
        made.append(
            Example(ids=tuple(ids), mask=tuple(mask), run_id="", goal=goal_hash(goal), source=REPLAYED)
        )
        total += len(ids)
    return tuple(made)


def _demonstrated(seed: int) -> Iterator[tuple[Demonstration, str]]:
    number = 0
    while True:
        for each in demonstrations(f"rehearsal {seed} {number}", _AT_ONCE):
            yield each, each.messages[1].content
        number += 1
