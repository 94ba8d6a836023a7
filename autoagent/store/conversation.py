"""The conversation of a run, put together from what was recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autoagent.trajectory import Message, Step


class Said(NamedTuple):
    """A message of the runtime's own, and where in the run it was said."""

    message: Message
    after: int | None  # step; None: before the first
    compaction: int  # how often the conversation had been compacted


def stretches(said: Sequence[Said], steps: Sequence[Step]) -> list[list[Message]]:
    """The conversation as the model had it before each compaction, and as it has it now."""
    return [_stretch(said, steps, number) for number in range(_compactions(said) + 1)]


def current(said: Sequence[Said], steps: Sequence[Step]) -> list[Message]:
    """The conversation as the model has it now: what the last compaction left, and all that came after."""
    return _stretch(said, steps, _compactions(said))


def _compactions(said: Sequence[Said]) -> int:
    return max((each.compaction for each in said), default=0)


def _stretch(said: Sequence[Said], steps: Sequence[Step], number: int) -> list[Message]:
    kept = [each for each in said if each.compaction == number]
    start = _covered(said, number)
    end = _covered(said, number + 1)
    conversation = [each.message for each in kept if each.after is None or each.after <= start]
    for step in steps:
        if step.index > start and (step.index <= end or end < 0):
            conversation += _of_step(step, kept)
    return conversation


def _covered(said: Sequence[Said], number: int) -> int:
    """The last step that the first messages of a compaction stand for; -1 for none."""
    first = next((each for each in said if each.compaction == number), None)
    return -1 if not number or first is None or first.after is None else first.after


def before(said: Sequence[Said], steps: Sequence[Step], number: int) -> list[Message]:
    """The conversation as the model had it when it replied in step ``number``."""
    told = [each for each in said if each.after is None or each.after < number]
    return current(told, [step for step in steps if step.index < number])


def history(said: Sequence[Said], steps: Sequence[Step]) -> Iterator[Message | Step]:
    """All that was ever said and done, for people: what was compacted stands there, and each summary once."""
    starts = {each.compaction: each.after for each in reversed(said)}
    ordinary = [each for each in said if not each.compaction or each.after != starts[each.compaction]]
    spoken = [each.message for each in ordinary if each.after is None]
    yield from spoken
    for step in steps:
        yield step
        appended = [each.message for each in ordinary if each.after == step.index]
        spoken += _of_step(step, ordinary)
        left = [each.message for each in said if each.after == step.index and each not in ordinary]
        for message in left:  # a compaction repeats what stays: new in it is the summary
            if message not in spoken:
                spoken.append(message)
                appended.append(message)
        yield from appended


def whole(said: Sequence[Said], steps: Sequence[Step]) -> list[Message]:
    """The same as messages only."""
    conversation: list[Message] = []
    for item in history(said, steps):
        conversation += _of_step(item, ()) if isinstance(item, Step) else [item]
    return conversation


def _of_step(step: Step, said: Sequence[Said]) -> list[Message]:
    """The reply, what its actions returned, and what was appended then."""
    # The words of a compaction are in the messages that it left.
    replied = [] if step.kind == "compaction" else [step.reply.as_message()]
    answers = [Message(role="tool", content=seen.content, name=seen.call.name) for seen in step.observations]
    return [*replied, *answers, *(each.message for each in said if each.after == step.index)]
