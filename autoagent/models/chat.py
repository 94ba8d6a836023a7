"""What a chat template does with turns and calls, found out by rendering small conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jinja2 import TemplateError

from autoagent.errors import ModelError
from autoagent.models.protocol import ToolSchema
from autoagent.models.vocabulary import Marks

_TOOL: ToolSchema = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
    },
}
_CALL = {"type": "function", "function": {"name": "probe", "arguments": {"x": "é"}}}
_ASK = {"role": "user", "content": "question"}
_SAID = "answerqqq"


@dataclass(frozen=True)
class Audit:
    """What was found out about a template."""

    marks: Marks
    ends: tuple[int, ...]  # ids that end the model's turn, the template's own first
    hermes: bool  # calls are rendered exactly as the grammar makes them
    keeps_prefix: bool  # a longer conversation begins with the rendering of the shorter one


def render(
    tokenizer: Any, messages: Sequence[dict[str, Any]], tools: Sequence[ToolSchema], *, ask: bool
) -> str:
    """Render with the model's own template; ``ask`` opens the assistant's turn."""
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=ask
        )
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"the model's chat template refuses this conversation: {error}") from error
    return str(text)


def audit(tokenizer: Any, stops: Sequence[int]) -> Audit:
    """Render probes and look at them.

    ``stops`` are the ids that the model's configuration says end its output.
    """
    asked = render(tokenizer, [_ASK], (), ask=True)  # a template that cannot do this is of no use
    if _ASK["content"] not in asked:
        raise ModelError("the model's chat template leaves out what the user says; mend chat_template.jinja")
    plain = _try(tokenizer, [_ASK, {"role": "assistant", "content": _SAID}], ())
    tail = plain.partition(_SAID)[2]
    after = tokenizer.encode(tail, add_special_tokens=False)[:1] if tail else []
    special = {*stops, *tokenizer.all_special_ids}
    ends = tuple(dict.fromkeys([*(token for token in after if token in special), *stops]))
    if not ends:
        raise ModelError("the model names no end-of-turn token; set eos_token in its tokenizer_config.json")
    marks, hermes = _marks(tokenizer)
    return Audit(marks=marks, ends=ends, hermes=hermes, keeps_prefix=_keeps_prefix(tokenizer))


def _marks(tokenizer: Any) -> tuple[Marks, bool]:
    opening, closing = Marks().opening, Marks().closing
    text = _try(
        tokenizer, [_ASK, {"role": "assistant", "content": _SAID, "tool_calls": [_CALL, _CALL]}], [_TOOL]
    )
    many = bool(text)
    text = text or _try(
        tokenizer, [_ASK, {"role": "assistant", "content": _SAID, "tool_calls": [_CALL]}], [_TOOL]
    )
    turn = text.partition(_SAID)[2]
    before, found, rest = turn.partition(opening)
    block, _, rest = rest.partition(closing)
    if not found or before.strip():
        return Marks(), False
    between, again, _ = rest.partition(opening)
    usable = many and again and not between.strip()
    marks = Marks(before=before, between=between if usable else "\n", many=bool(usable))
    return marks, block == '\n{"name": "probe", "arguments": {"x": "é"}}\n'


def _keeps_prefix(tokenizer: Any) -> bool:
    """Whether question, call, result, answer and next question each extend the rendering before."""
    talk: list[dict[str, Any]] = [
        _ASK,
        {"role": "assistant", "content": "", "tool_calls": [_CALL]},
        {"role": "tool", "name": "probe", "content": "result"},
        {"role": "assistant", "content": _SAID},
        _ASK,
    ]
    asked = [_try(tokenizer, talk[:length], [_TOOL], ask=True) for length in (1, 3, 5)]
    answered = [_try(tokenizer, talk[:length], [_TOOL]) for length in (2, 4)]
    chain = [asked[0], answered[0], asked[1], answered[1], asked[2]]
    return all(chain) and all(longer.startswith(shorter) for shorter, longer in pairwise(chain))


def _try(
    tokenizer: Any, messages: list[dict[str, Any]], tools: Sequence[ToolSchema], *, ask: bool = False
) -> str:
    try:
        return render(tokenizer, messages, tools, ask=ask)
    except ModelError:
        return ""
