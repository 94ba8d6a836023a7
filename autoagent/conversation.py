"""What is said between runtime and model: within the window, the tokens and the time of the run."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from autoagent import events
from autoagent.compaction import SIZES, compacted
from autoagent.config import Conduct, Limits, Sampling
from autoagent.deadline import Deadline
from autoagent.errors import ContextFull
from autoagent.events import Event
from autoagent.models.parsing import Thought
from autoagent.models.protocol import Expect, Model, Session, Text
from autoagent.plan import Plan
from autoagent.prompts import Prompts
from autoagent.security import Secrets
from autoagent.trajectory import Ending, Message, Record, Reply, Step, ToolCall

_MESSAGE = 8  # tokens a chat template puts around a message, about
_ROOMY = 0.75  # of the share of the window at which is compacted: what a summary may fill


class OutOfBudget(Exception):
    """The run ends here, with ``ending``."""

    def __init__(self, ending: Ending) -> None:
        self.ending: Ending = ending


@dataclass
class Conversation:
    """One session with what it may use; ``spent`` are the tokens used so far.

    Args:
        session: Holds ``opening`` already.
        window: Of the model, in tokens; 0: unknown, then it is never full ahead of time.
        count: Tokens in a text.
        held: What the session holds at first; by default ``opening``.
        secrets: What no reply may hold, once it has been said.
        meant: The calls of the latest reply as the model wrote them.
    """

    session: Session
    record: Record
    prompts: Prompts
    limits: Limits
    sampling: Sampling
    conduct: Conduct
    opening: Sequence[Message]
    window: int
    count: Callable[[str], int]
    deadline: Deadline = field(default_factory=Deadline)
    held: Sequence[Message] = ()
    secrets: Secrets | None = None
    spent: int = 0
    meant: tuple[ToolCall, ...] = ()
    _unread: int = 0  # tokens appended since the latest reply, about
    _beside: int = -1  # tokens of tools and the like, beside the messages; unknown before the first reply

    @property
    def used(self) -> int:
        """Tokens of the window in use, about."""
        return self.session.used + self._unread

    @property
    def full(self) -> bool:
        """Whether older steps should give way before the next reply."""
        return bool(self.window) and self.used > self._share

    def say(self, text: str) -> None:
        """Put a word of the runtime's own into the conversation, and on record."""
        message = Message(role="user", content=text)
        self.append(message)
        self.record.said(message)

    def append(self, message: Message) -> None:
        """Add a message that is on record already, such as an observation."""
        before = self.session.used
        self.session.append(message)
        if self.session.used == before:  # it does not count what it has not read, as a remote session does
            self._unread += self.count(message.content) + _MESSAGE

    def go_on_with(self, model: Model, session: Session) -> None:
        """Another model takes over; its session holds all that was said."""
        before = self.used
        self.session.close()
        self.session, self.window, self.count = session, model.window, model.count
        self._unread = max(0, before - session.used)

    def reply(self, expect: Expect) -> Generator[Event, None, Reply]:
        """One model call, its text passed on as it comes.

        Raises:
            OutOfBudget: the tokens or the time of the run are used up.
            ContextFull: the conversation does not fit the window.
        """
        left = self.limits.max_tokens - self.spent
        if left <= 0:
            raise OutOfBudget("max_tokens")
        stream = self.session.generate(
            expect, sampling=self.sampling, max_tokens=min(self.limits.reply_tokens, left)
        )
        mark = self.session.mark()
        try:
            while True:
                if self.deadline.left <= 0:
                    raise OutOfBudget("timeout")
                piece = next(stream)
                if piece:  # a remote model says nothing now and then, to let the time be looked at
                    yield events.Token(text=str(piece), reasoning=isinstance(piece, Thought))
        except StopIteration as stop:
            reply: Reply = stop.value
        finally:
            stream.close()
        self.spent += reply.counts.spent
        if self._beside < 0:
            read = reply.counts.cached + reply.counts.prefilled
            self._beside = max(0, read - self._tokens(self.held or self.opening) - self._unread)
        self._unread = 0
        return self._without_secrets(reply, mark)

    def _without_secrets(self, reply: Reply, mark: int) -> Reply:
        """The reply that is recorded, and that the model is held to have given: where it holds a secret, the
        session forgets what was said since ``mark``. Token ids would spell it, so there are none then."""
        self.meant = reply.calls
        if self.secrets is None:
            return reply
        calls = [
            call.model_copy(update={"arguments": self.secrets.redacted_all(call.arguments)})
            for call in reply.calls
        ]
        clean = reply.model_copy(
            update={
                "text": self.secrets.redacted(reply.text),
                "reasoning": self.secrets.redacted(reply.reasoning),
                "value": self.secrets.redacted_all(reply.value),
                "calls": tuple(calls),
            }
        )
        if clean == reply:
            return reply
        self.session.rewind(mark)
        self.session.append(clean.as_message())  # about as long as what was said, which is counted already
        return clean.model_copy(update={"trace": None})

    def compact(
        self, plan: Plan, steps: Sequence[Step], *, forced: bool
    ) -> Generator[Event, None, Reply | None]:
        """Let older steps give way to a summary, which is returned; None where that would not help.

        ``forced``: nothing more fits, so that anything saved is a help; else it has to make the conversation
        no longer ``full``.
        """
        before = self.used
        messages, after = self._shorter(plan, steps, "")
        if not self.opening or after >= before or (not forced and after > self._share):
            return None
        summary = Reply(text="")
        if self.conduct.summary == "model" and before + self.limits.reply_tokens < self.window:
            self.say(self.prompts.render("reflection"))
            with contextlib.suppress(ContextFull):  # no room to ask in: the template has to do
                summary = yield from self.reply(Text())
            own, size = self._shorter(plan, steps, summary.text)
            messages, after = (own, size) if size < before else (messages, after)
        self.session.rewind(len(self.opening))
        self._unread = 0
        for message in messages[len(self.opening) :]:
            self.append(message)
        summary = summary.model_copy(update={"text": messages[len(self.opening)].content})
        self.record.replied(len(steps), summary, "compaction")
        self.record.compacted(messages)
        yield events.Compacted(step=len(steps), before=before, after=after)
        return summary

    def _shorter(self, plan: Plan, steps: Sequence[Step], summary: str) -> tuple[list[Message], int]:
        """The conversation with older steps summarised, as roomy as the window allows, and its tokens."""
        for size in SIZES:
            messages = compacted(self.opening, plan, steps, size=size, summary=summary, prompts=self.prompts)
            tokens = self._tokens(messages) + max(0, self._beside)
            if tokens <= self._share * _ROOMY:
                break
        return messages, tokens

    @property
    def _share(self) -> float:
        return self.limits.compact_at * self.window

    def _tokens(self, messages: Sequence[Message]) -> int:
        return sum(self.count(message.content) + _MESSAGE for message in messages)


def opening_messages(
    goal: str,
    prompts: Prompts | None = None,
    *,
    today: datetime.date | None = None,
    recalled: Sequence[object] = (),
    plan: bool = True,
) -> list[Message]:
    """What every run starts with: the system prompt, its date frozen for the run, and the goal.

    Args:
        goal: What is wanted, in the user's words.
        prompts: The prompt set of the run.
        today: The date that is told.
        recalled: Memories (with ``text`` and ``source``) to put beside the goal.
        plan: Whether a plan is asked for.
    """
    prompts = prompts or Prompts()
    date = (today or datetime.date.today()).isoformat()
    parts = [prompts.render("goal", goal=goal.strip())]
    parts += [prompts.render("recalled", memories=recalled)] if recalled else []
    parts += [prompts.render("plan")] if plan else []
    return [
        Message(role="system", content=prompts.render("system", date=date)),
        Message(role="user", content="\n\n".join(part for part in parts if part)),
    ]
