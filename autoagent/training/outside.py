"""Data sets from outside as training examples: rendered as the model will be served, loss on its own turns.

What is not promised: that somebody else's data is right, or that its wording is one the model will meet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from autoagent.config import Settings
from autoagent.errors import ModelError, UsageError
from autoagent.training.chats import Chat, Dict, Entry, FaultyLine, entries, read_chat, said_by_assistant
from autoagent.training.examples import FROM_OUTSIDE, TOO_LONG, Example, goal_hash
from autoagent.training.pairs import shared
from autoagent.training.react import Failed, read_react, tools_of

FAILED = f"{FROM_OUTSIDE} were no success, as they say themselves"
LONG = f"{FROM_OUTSIDE} {TOO_LONG}"
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
T = TypeVar("T")


class OutsideConfig(Settings):
    """How data from outside is read."""

    format: Literal["auto", "messages", "react"] = Field(
        default="auto",
        description="messages: chats in OpenAI's shape; react: Thought, Action, Observation as text.",
    )
    skip_faulty: bool = Field(default=False, description="Leave faulty lines out, instead of stopping.")
    thoughts: bool = Field(default=True, description="Keep the thoughts of ReAct text before a call.")
    max_length: int = Field(default=4096, ge=8, description="Longer examples are left out, in tokens.")


@dataclass(frozen=True)
class Outside:
    """What was read from a file."""

    examples: tuple[Example, ...]
    faulty: tuple[str, ...]  # what was wrong, with file and line
    refused: Mapping[str, int]  # conversations left out that are not faulty, by reason

    def line(self) -> str:
        """``120 examples; left out: 2 faulty lines, the first: chats.jsonl, line 3: …``."""
        line = f"{len(self.examples):,} examples"
        out = [f"{count} {reason}" for reason, count in self.refused.items()]
        if self.faulty:
            lines = "1 faulty line" if len(self.faulty) == 1 else f"{len(self.faulty)} faulty lines"
            out.append(f"{lines}, the first: {self.faulty[0]}")
        return f"{line}; left out: {', '.join(out)}" if out else line


def outside_examples(
    path: Path, tokenizer: Any, *, stops: Sequence[int] = (), config: OutsideConfig | None = None
) -> Outside:
    """Conversations of a file (JSON Lines, or one JSON list) as examples for a model.

    Args:
        path: The file.
        tokenizer: Of the model, with its chat template.
        stops: Ids that end the model's output; by default the tokenizer's end-of-sequence token.
        config: How it is read.

    Raises:
        UsageError: the file cannot be read, holds nothing, or a line is faulty; it says which and what.
        ModelError: the model's chat template is of no use.
    """
    from autoagent.models.loading import quiet

    config = config or OutsideConfig()
    reading = _Reading(config)
    chats = list(reading.chats(path))
    if not chats and not reading.faulty and not reading.refused:
        raise UsageError(f"{path} holds no conversation: it is empty")
    tools = tools_of(chat for _, chat in chats) if reading.react else ()
    writer = ChatWriter(tokenizer, stops)
    examples: list[Example] = []
    with quiet():  # a tokenizer warns of what is too long, which is left out here and counted
        for entry, chat in chats:
            chat = Chat(chat.messages, tools, chat.untrained) if reading.react else chat
            made = reading.guarded(entry, partial(writer.examples, chat, entry.source))
            if made and any(len(example.ids) > config.max_length for example in made):
                reading.refused[LONG] += 1
            else:
                examples += made or []
    if not examples and reading.faulty:
        raise UsageError(f"every line of it is faulty: {reading.faulty[0]}")
    return Outside(tuple(examples), tuple(reading.faulty), dict(reading.refused))


class _Reading:
    """Entries come in, conversations come out, and what is wrong with the rest."""

    def __init__(self, config: OutsideConfig) -> None:
        self._config = config
        self.react: bool | None = None if config.format == "auto" else config.format == "react"
        self.faulty: list[str] = []
        self.refused: Counter[str] = Counter()

    def chats(self, path: Path) -> Iterator[tuple[Entry, Chat]]:
        for entry in entries(path):
            value = self.guarded(entry, entry.read)
            if value is not None and self.react is None:  # the first that can be read tells what all are
                self.react = "messages" not in value and "output" in value
            chat = None if value is None else self.guarded(entry, partial(self._chat, value))
            if chat is not None:
                yield entry, chat

    def _chat(self, value: Dict) -> Chat | None:
        if not self.react:
            return read_chat(value)
        try:
            return read_react(value, thoughts=self._config.thoughts)
        except Failed:
            self.refused[FAILED] += 1
            return None

    def guarded(self, entry: Entry, act: Callable[[], T]) -> T | None:
        """Do something with an entry; None where it is faulty and faulty ones are left out."""
        try:
            return act()
        except FaultyLine as fault:
            line = f"{entry.place}: {fault}"
            if not self._config.skip_faulty:
                raise UsageError(f"{line}; mend it, or take it out") from None
            self.faulty.append(line)
            return None


class ChatWriter:
    """Renders conversations with a model's own chat template and finds its turns in them, token by token.

    The ids are those the model would be given and would have to sample when served: every turn begins a new
    piece for the tokenizer, as it does in a session.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[int] = ()) -> None:
        from autoagent.models.chat import audit
        from autoagent.models.vocabulary import Vocabulary, control_tokens

        end = tokenizer.eos_token_id
        self._tokenizer, self._now = tokenizer, datetime.now()
        self._audit = audit(tokenizer, stops or ([] if end is None else [int(end)]))
        ends, marks = self._audit.ends, self._audit.marks
        self._vocabulary = Vocabulary(tokenizer, len(tokenizer), ends, marks)
        self._ends = [str(name) for name in tokenizer.convert_ids_to_tokens(list(ends))]
        self._control = control_tokens(tokenizer)

    def examples(self, chat: Chat, source: str = "") -> list[Example]:
        """One example, or one more wherever the template does not extend what it rendered before.

        Raises:
            FaultyLine: the template refuses the conversation, or what the assistant says in it.
        """
        for text in said_by_assistant(chat.messages):
            if found := next((token for token in self._control if token in text), None):
                raise FaultyLine(
                    f"the assistant says the control token {found}: leave turns to the chat template, and "
                    "write calls as tool_calls"
                )
        messages = [self._disarmed(message) for message in chat.messages]
        try:
            made = self._marked(messages, chat) or list(self._by_turns(messages, chat))
        except ModelError as error:
            raise FaultyLine(str(error)) from None
        goal = goal_hash(chat.goal)
        examples = [
            Example(ids=tuple(ids), mask=tuple(mask), run_id="", goal=goal, source=source)
            for ids, mask in made
        ]
        taught = [example for example in examples if example.trained]
        if not taught:
            raise FaultyLine("the assistant answers nothing: what it says first is context only")
        return taught

    def _disarmed(self, message: Dict) -> Dict:
        """The message as a session gives it to the template: control tokens in it are ordinary text."""
        from autoagent.models.vocabulary import disarmed

        return message | {"content": disarmed(str(message["content"]), self._control)}

    def _render(self, messages: Sequence[Dict], chat: Chat, *, ask: bool) -> str:
        from autoagent.models.chat import render

        return render(
            self._tokenizer, messages, list(chat.tools), ask=ask, form=self._audit.form, now=self._now
        )

    def _by_turns(self, messages: Sequence[Dict], chat: Chat) -> Iterator[tuple[list[int], list[int]]]:
        """Ids and masks: what the template adds to a conversation when an assistant's turn is added to it."""
        ids: list[int] = []
        mask: list[int] = []
        text = ""
        for place, message in enumerate(messages):
            if message["role"] != "assistant" or not place:
                continue
            asked = self._render(messages[:place], chat, ask=True)
            said = self._render(messages[: place + 1], chat, ask=False)
            context = asked if said.startswith(asked) else self._shared(asked, said)
            if not context.startswith(text):
                yield ids, mask
                ids, mask, text = [], [], ""
            turn = self._turn(said[len(context) :])
            before, now = self._encode(context[len(text) :], ids), self._vocabulary.encode_after(turn)
            ids = [*ids, *before, *now]
            mask = [*mask, *[0] * len(before), *[int(place not in chat.untrained)] * len(now)]
            text = context + turn
        yield ids, mask

    def _encode(self, text: str, after: Sequence[int]) -> list[int]:
        return self._vocabulary.encode_after(text) if after else self._vocabulary.encode(text)

    def _shared(self, asked: str, said: str) -> str:
        """What two renderings begin with, up to a place where no token can reach across."""
        start = shared(asked, said)
        while start and not said.endswith(("\n", *self._control), 0, start):
            start -= 1
        return said[:start]

    def _turn(self, text: str) -> str:
        """A turn up to its end-of-turn token."""
        found = [text.index(end) + len(end) for end in self._ends if end in text]
        return text[: min(found)] if found else text

    def _marked(self, messages: Sequence[Dict], chat: Chat) -> list[tuple[list[int], list[int]]]:
        """The same by the template's own ``{% generation %}`` marks; nothing where it has none to rely on."""
        from autoagent.models.formats import adapt

        shaped, shown = adapt(messages, list(chat.tools), self._audit.form)
        template = str(self._tokenizer.get_chat_template(tools=shown or None))
        if chat.untrained or not self._audit.keeps_prefix or not _GENERATION.search(template):
            return []
        self._render(messages, chat, ask=False)  # says in one line what the template does not take
        out = self._tokenizer.apply_chat_template(
            shaped, tools=shown or None, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = list(out["input_ids"]), self._to_the_end(out["input_ids"], out["assistant_masks"])
        turns = sum(message["role"] == "assistant" for message in messages)
        if sum(kind for kind, _ in groupby(mask)) != turns:
            return []
        last = len(mask) - mask[::-1].index(1)
        return [(ids[:last], mask[:last])]

    def _to_the_end(self, ids: Sequence[int], mask: Sequence[int]) -> list[int]:
        """Every marked turn up to its end-of-turn token and not beyond, wherever the marks stand."""
        ends, meant, inside = self._audit.ends, [], False
        for place, marked in enumerate(mask):
            begins = marked and not (place and mask[place - 1])
            inside = bool(begins or (inside and (marked or ids[place] in ends)))
            meant.append(int(inside))
            inside = inside and ids[place] not in ends
        return meant
