"""What a loaded model is made to say, token by token: what it once said, or a call that somebody else chose.

The session does all the rest as ever (rendering, keys and values, parsing), so what it holds afterwards is to
the token what it would hold if the model had said so itself. Importing this module brings torch in.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from autoagent.config import Sampling
from autoagent.errors import UsageError
from autoagent.models.formats import write_calls
from autoagent.models.guide import Guide
from autoagent.models.local import LocalModel, LocalSession
from autoagent.models.protocol import Calls, Expect, Json, Text, ToolSchema, complete
from autoagent.models.thinking import Walk
from autoagent.models.vocabulary import Mask, Vocabulary
from autoagent.store.branches import Branch
from autoagent.training.branching import NotTheSame
from autoagent.trajectory import Message, Step, ToolCall

_UNLIMITED = 10**6  # tokens: the budget of a reply is looked after elsewhere

Dictation = Callable[[Callable[[], Walk]], Walk]  # from the way the model would go to the one it is led


class LedModel(LocalModel):
    """A loaded model whose next replies are dictated: one for each entry of ``dictations``, then its own.

    It shares everything with the model it is made of. One thread at a time.
    """

    dictations: deque[Dictation]

    @classmethod
    def of(cls, model: LocalModel) -> LedModel:
        """The same model, led."""
        led = cls.__new__(cls)
        vars(led).update(vars(model))
        led.dictations = deque()
        return led

    def walk(self, expect: Expect, prompt: str, budget: int) -> Walk:
        if not self.dictations:
            return super().walk(expect, prompt, budget)
        return self.dictations.popleft()(partial(super().walk, expect, prompt, _UNLIMITED))


class Repeated:
    """A walk that says recorded tokens."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids, self.ended = list(ids), True

    def begin(self) -> list[int]:
        return self._ids

    def allowed(self) -> Mask:
        raise AssertionError("nothing is left to choose")

    def take(self, token: int) -> tuple[bool, list[int]]:
        raise AssertionError("nothing is left to choose")


class Dictated:
    """A walk that spells a text on the way the model would go, where it lets it.

    What the grammar forces is forced, everything else counts as chosen: the tokens are those that the
    tokenizer makes of the text.

    Args:
        walk: The way the model would go.
        vocabulary: Of the model.
        said: The text, without the end of the turn.
    """

    def __init__(self, walk: Walk, vocabulary: Vocabulary, said: str) -> None:
        self._walk, self._vocabulary = walk, vocabulary
        self._rest = said.encode("utf-8")
        self._usual: dict[int, int] = {}  # the tokenizer's own tokens, by how many bytes are left before each
        left = len(self._rest)
        for token in vocabulary.encode_after(said):
            self._usual[left] = token
            left -= len(vocabulary.spell([token]))

    @property
    def ended(self) -> bool:
        return self._walk.ended

    def begin(self) -> list[int]:
        return self._heard(self._walk.begin())

    def allowed(self) -> Mask:
        mask = np.zeros(self._vocabulary.size, dtype=np.bool_)
        mask[self._next(self._walk.allowed())] = True
        return mask

    def take(self, token: int) -> tuple[bool, list[int]]:
        taken, forced = self._walk.take(token)
        return taken, self._heard([token, *forced])[1:]

    def _heard(self, ids: list[int]) -> list[int]:
        for token in ids:
            spelled = self._vocabulary.spell([token])
            if not self._rest.startswith(spelled):
                raise self._refused()
            self._rest = self._rest[len(spelled) :]
        return ids

    def _next(self, allowed: Mask) -> int:
        """The token that goes on: the tokenizer's own where it may come, else the longest that may."""
        if not self._rest:
            ways = [token for token in self._vocabulary.ends if allowed[token]]
        else:
            usual = self._usual.get(len(self._rest))
            if usual is not None and allowed[usual]:
                return usual
            fitting = ((len(self._spelled(token)), token) for token in map(int, np.flatnonzero(allowed)))
            ways = [max((each for each in fitting if each[0]), default=(0, -1))[1]]
        if not ways or ways[0] < 0:
            raise self._refused()
        return ways[0]

    def _spelled(self, token: int) -> bytes:
        """What the token spells, if the rest begins with it."""
        spelled = self._vocabulary.spell([token])
        return spelled if self._rest.startswith(spelled) else b""

    def _refused(self) -> UsageError:
        rest = self._rest[:40].decode("utf-8", "replace")
        return UsageError(f"the model cannot say this: its grammar refuses what begins with {rest!r}")


def dictation(model: LocalModel, text: str, call: ToolCall) -> Dictation:
    """The model is made to say this text and this call, in its own way of writing calls."""
    said = spelled(model, text, call)

    if model.audit.opens_thought and model.audit.thought is not None:
        said = f"{model.audit.thought[1]}\n\n{said}"  # no thought
    return lambda walk: Dictated(walk(), model.vocabulary, said)


def spelled(model: LocalModel, text: str, call: ToolCall) -> str:
    """What the model says when it makes this call after this text."""
    marks, words = model.audit.marks, str(model.disarmed(text))
    call = ToolCall.model_validate(model.disarmed(call.model_dump()))
    if marks.hermes:
        return write_calls(words, [call], marks)
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    before = words + marks.before if words and marks.words else ""
    return before + marks.opening + call.name + marks.middle + arguments + marks.closing


def rehearse(model: LocalModel, text: str, call: ToolCall, tools: Sequence[ToolSchema]) -> int:
    """How many tokens the reply will have.

    Raises:
        UsageError: the grammar of these tools does not let the model say it.
    """
    guide = model.grammars.guide(Calls(tuple(tools)), _UNLIMITED)
    assert isinstance(guide, Guide)  # calls are always bound to a grammar
    walk = Dictated(guide, model.vocabulary, spelled(model, text, call))
    count = len(walk.begin())
    while not walk.ended:
        count += 1 + len(walk.take(int(np.flatnonzero(walk.allowed())[0]))[1])
    return count


def replayed(model: LedModel, branch: Branch, tools: Sequence[ToolSchema]) -> LocalSession:
    """A session that holds the conversation of a branch, token by token as it was recorded.

    Raises:
        NotTheSame: it does not come out as recorded: the model's tokenizer, template or prompts, or the tools
            have changed since, or no token ids are on record.
        ContextFull: no memory is left for it.
    """
    messages = list(branch.opening)
    opening = int(branch.run.settings.get("opening", 2))
    session = model.open(messages, tools)
    for step in branch.steps:
        trace = step.reply.trace
        if trace is not None:
            if trace.kept == 0 and session.used:  # the run was resumed here: everything was read anew
                session.close()
                session = model.open(messages, tools)
            _repeat(model, session, step, branch)
        elif step.kind != "compaction":
            raise NotTheSame(f"run {branch.run.run_id} has no token ids")
        if step.kind == "compaction":
            session.rewind(opening)
            messages = messages[:opening]
            _append(session, messages, [said.message for said in branch.after(step)][opening:])
        else:
            messages.append(step.reply.as_message())
            _append(session, messages, _answers(step))
            _append(session, messages, [said.message for said in branch.after(step)])
    return session


def _repeat(model: LedModel, session: LocalSession, step: Step, branch: Branch) -> None:
    """Have the session say what was said, and see that it is the same."""
    recorded = step.reply.trace
    assert recorded is not None  # asked by the caller
    if not recorded.completion_ids:
        raise NotTheSame(f"run {branch.run.run_id} has no token ids")
    model.dictations.append(lambda walk: Repeated(recorded.completion_ids))
    expect: dict[str, Expect] = {"plan": Json({}), "act": Calls(()), "compaction": Text()}
    reply = complete(
        session.generate(expect[step.kind], sampling=Sampling(), max_tokens=len(recorded.completion_ids))
    )
    made = reply.trace
    same = made is not None and (
        (made.kept, made.prompt_ids, made.completion_ids)
        == (recorded.kept, recorded.prompt_ids, recorded.completion_ids)
    )
    if not same:
        raise NotTheSame(
            f"run {branch.run.run_id} cannot be rebuilt token by token: the model's tokenizer, template or "
            "prompts, or the tools have changed since"
        )


def _answers(step: Step) -> list[Message]:
    return [Message(role="tool", content=seen.content, name=seen.call.name) for seen in step.observations]


def _append(session: LocalSession, held: list[Message], new: Iterable[Message]) -> None:
    for message in new:
        session.append(message)
        held.append(message)
