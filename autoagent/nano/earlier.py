"""What is known of the embedded model's own training, for what it learns later.

Fresh demonstrations to mix in, so that it forgets less, and what shows whether it did: other goals, and a
frozen sample of demonstrations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autoagent.evals import Suite
from autoagent.nano.data import as_text, demonstrations, encode
from autoagent.nano.expert import Demonstration
from autoagent.nano.suites import builtin
from autoagent.nano.tokenizer import load_tokenizer
from autoagent.training.examples import REPLAYED, Example, goal_hash

SAMPLE = 128  # demonstrations: about 80,000 tokens, seconds on two cores
_SAMPLE_SEED = "gate sample"  # no training data are made with it
_ENOUGH = 500  # tasks the builtin suite surely has, whatever families are left out
_AT_ONCE = 50  # demonstrations


def replay(folder: Path, tokens: int, seed: int) -> tuple[Example, ...]:
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


def other_goals(target: Suite, *, seed: int, at_least: int) -> Suite | None:
    """The builtin suite without the families of ``target``; None when that leaves nothing.

    Args:
        target: What the new version was to become better at.
        seed: Of the tasks; no training data may use it.
        at_least: How many tasks are wanted, if all families were left.
    """
    known = {task.family for task in target.tasks}
    tasks = builtin(seed, scale=max(1.0, at_least / _ENOUGH)).tasks
    others = tuple(task for task in tasks if task.family not in known)
    return Suite("builtin, other families", others) if others else None


def demonstration_sample(folder: Path, *, count: int = SAMPLE) -> tuple[Example, ...]:
    """Demonstrations of the expert as the embedded model was trained on them; the same ones each time.

    Args:
        folder: Of a model of the embedded line, for its tokenizer and template.
        count: How many.
    """
    tokenizer = load_tokenizer(folder)
    encoded = (encode(as_text(each, tokenizer), tokenizer) for each in demonstrations(_SAMPLE_SEED, count))
    return tuple(Example(ids=tuple(ids), mask=tuple(mask), run_id="", goal="") for ids, mask in encoded)
