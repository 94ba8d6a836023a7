"""One streamed answer put together from its chunks. What a server sends is looked at before it is used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from autoagent.errors import ServerError
from autoagent.models.parsing import Thought
from autoagent.trajectory import Counts


class _Function(BaseModel):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _CallDelta(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function = _Function()


class _Delta(BaseModel):
    content: str | None = None
    reasoning_content: str | None = None  # vLLM, SGLang, llama.cpp, transformers
    reasoning: str | None = None  # Ollama, newer vLLM
    tool_calls: list[_CallDelta] | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Details(BaseModel):
    cached_tokens: int | None = Field(default=None, ge=0)


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    prompt_tokens_details: _Details | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] = []
    usage: _Usage | None = None


@dataclass
class RawCall:
    """A call as the server sent it; ``arguments`` is text that should be a JSON object."""

    id: str | None = None
    index: int | None = None
    name: str = ""
    arguments: str = ""

    def as_text(self) -> str:
        return (
            f'<tool_call>\n{{"name": {json.dumps(self.name)}, "arguments": {self.arguments}}}\n</tool_call>'
        )


@dataclass
class Answer:
    """What has arrived so far."""

    text: str = ""
    reasoning: str = ""
    calls: list[RawCall] = field(default_factory=list)
    finish: str | None = None
    usage: _Usage | None = None

    @property
    def whole(self) -> bool:
        """Whether the model came to its own end, instead of being cut at the token limit."""
        return self.finish != "length"

    @property
    def size(self) -> int:
        """Characters made."""
        return len(self.text) + len(self.reasoning) + sum(len(call.arguments) for call in self.calls)

    def take(self, raw: Any, url: str) -> list[str]:
        """Add a chunk; return its pieces for the eye: thoughts, text, and calls in the common markup.

        Raises:
            ServerError: this is no chunk of a chat completion.
        """
        try:
            chunk = _Chunk.model_validate(raw)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the answer"
            raise ServerError(
                f"the server at {url} does not answer with a chat completion ({where}: "
                f"{error.errors()[0]['msg'].lower()}): is it OpenAI-compatible?"
            ) from None
        self.usage = chunk.usage or self.usage
        pieces: list[str] = []
        for choice in chunk.choices[:1]:
            thought = choice.delta.reasoning_content or choice.delta.reasoning or ""
            said = choice.delta.content or ""
            self.reasoning, self.text = self.reasoning + thought, self.text + said
            said += "".join(self._call(delta) for delta in choice.delta.tool_calls or ())
            if choice.finish_reason:
                self.finish = choice.finish_reason
                said += "}\n</tool_call>" if self.calls else ""
            pieces += [Thought(sound(thought)), sound(said)]
        return [piece for piece in pieces if piece]

    def _call(self, delta: _CallDelta) -> str:
        arguments = delta.function.arguments or ""
        arguments = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        opening = ""
        call = self._same(delta)
        if call is None:
            opening = "}\n</tool_call>\n" if self.calls else ""
            call = RawCall(id=delta.id, index=delta.index, name=delta.function.name or "")
            self.calls.append(call)
            opening += f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": '
        call.name = call.name or delta.function.name or ""
        call.arguments += arguments
        return opening + arguments

    def _same(self, delta: _CallDelta) -> RawCall | None:
        """The call that this goes on with. Some servers number every call 0, some give no number."""
        for call in reversed(self.calls):
            if delta.id and call.id:
                if delta.id == call.id:
                    return call
            elif delta.index is None or delta.index == call.index:
                # A name, where the arguments so far are whole already: another call with the same number.
                return None if delta.function.name and _whole(call.arguments) else call
        return None

    def counts(self, prompt: int, completion: int) -> Counts:
        """Tokens as the server counts them; else the estimates given."""
        if self.usage is None:
            return Counts(prefilled=prompt, sampled=completion)
        details = self.usage.prompt_tokens_details
        cached = min((details.cached_tokens or 0) if details else 0, self.usage.prompt_tokens)
        return Counts(
            cached=cached, prefilled=self.usage.prompt_tokens - cached, sampled=self.usage.completion_tokens
        )


def _whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def sound(text: str) -> str:
    """Halves of characters joined, or replaced where the other half is missing: neither can be stored."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
