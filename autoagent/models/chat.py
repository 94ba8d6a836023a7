"""A model's own chat template: rendering with it, and finding out how it writes turns and calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise, product
from typing import Any

from jinja2 import TemplateError

from autoagent.errors import ModelError
from autoagent.models.formats import Form, adapt, marks_of
from autoagent.models.protocol import ToolSchema
from autoagent.models.vocabulary import Marks, special_ids

Dict = dict[str, Any]

_TOOL: ToolSchema = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "Looks into it.",
        "parameters": {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
    },
}
_CALL = {"type": "function", "function": {"name": "probe", "arguments": {"x": "é"}}}
_OTHER = {"type": "function", "function": {"name": "other", "arguments": {"y": "ü"}}}
_ASK = {"role": "user", "content": "question"}
_SAID = "answerqqq"
_TALK: list[Dict] = [  # all that a run may contain, in its order
    {"role": "system", "content": "manner"},
    _ASK,
    {"role": "assistant", "content": _SAID},
    {"role": "user", "content": "actnow"},
    {"role": "assistant", "content": "", "tool_calls": [_CALL]},
    {"role": "tool", "name": "probe", "content": "resultone"},
    {"role": "assistant", "content": "", "tool_calls": [_OTHER]},
    {"role": "tool", "name": "other", "content": "resulttwo"},
    {"role": "user", "content": "nudge"},
]
_TOLD = ("manner", "question", "actnow", "probe", "resultone", "resulttwo", "nudge")
SMALL_WINDOW = 2_048  # tokens
_DATE = re.compile(r"""strftime_now\((\s*(["'])([^"'\\]*)\2\s*)\)""")
_PROBED = datetime(2000, 1, 1)
_THOUGHTS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))


@dataclass(frozen=True)
class Audit:
    """What was found out about a template."""

    marks: Marks
    form: Form  # what messages must be changed into before it can render them
    ends: tuple[int, ...]  # ids that end the model's turn, the template's own first
    keeps_prefix: bool  # a longer conversation begins with the rendering of the shorter one
    shows_tools: bool  # it has a place for tools of its own
    thought: tuple[str, str] | None  # what encloses reasoning, each a token of its own
    opens_thought: bool  # it begins the model's turn inside a thought

    @property
    def hermes(self) -> bool:
        """Whether calls are written as Hermes and Qwen do, ``<tool_call>`` and JSON."""
        return self.marks.hermes

    @property
    def calls(self) -> str:
        """In one word: ``hermes``, ``own`` (the template's own form), ``prompted`` (told in the prompt)."""
        return "prompted" if self.form.prompted else "hermes" if self.hermes else "own"

    def warnings(self, window: int) -> tuple[str, ...]:
        """What will make runs go badly, a line each."""
        found = []
        if window < SMALL_WINDOW:
            found.append(f"the window is small ({window} tokens): only short goals with few tools will fit")
        if self.form.prompted:
            found.append(
                "the chat template has no tool calls that can be bound to a grammar: tools are told in the "
                "system prompt, in Hermes form, which the model may not be used to"
            )
        if not self.keeps_prefix:
            found.append("the chat template rewrites earlier turns: parts are computed again at every step")
        return tuple(found)


def render(
    tokenizer: Any,
    messages: Sequence[Dict],
    tools: Sequence[ToolSchema],
    *,
    ask: bool,
    form: Form | None = None,
    now: datetime | None = None,
) -> str:
    """Render with the model's own template; ``ask`` opens the assistant's turn, ``now`` is its clock."""
    form = form or Form()
    shaped, shown = adapt(messages, tools, form)
    template = str(tokenizer.get_chat_template(tools=shown or None))
    try:
        text = tokenizer.apply_chat_template(
            shaped,
            tools=shown or None,
            chat_template=_without_clock(template),
            tokenize=False,
            add_generation_prompt=ask,
            autoagent_dates=_dates(template, now or datetime.now()),
            **({} if form.thinking else {"enable_thinking": False}),
        )
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"the model's chat template refuses this conversation: {_line(error)}") from error
    return str(text)


@cache
def _without_clock(template: str) -> str:
    """The template with every look at the clock replaced: a date must not change in the middle of a run."""
    return _DATE.sub(r"autoagent_dates[\1]", template)


def _dates(template: str, now: datetime) -> Mapping[str, str]:
    return {found[2]: now.strftime(found[2]) for found in _DATE.findall(template)}


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def audit(tokenizer: Any, stops: Sequence[int], *, thinking: bool = True) -> Audit:
    """Render probes and look at them.

    ``stops`` are the ids that the model's configuration says end its output; ``thinking=False`` asks a
    template that can for a turn without reasoning.
    """
    plain = Form(thinking=thinking)
    asked = render(tokenizer, [_ASK], (), ask=True, form=plain)  # if it cannot do this, it is of no use
    if _ASK["content"] not in asked:
        raise ModelError("the model's chat template leaves out what the user says; mend chat_template.jinja")
    tail = _try(tokenizer, [_ASK, {"role": "assistant", "content": _SAID}], (), plain).partition(_SAID)[2]
    after = tokenizer.encode(tail, add_special_tokens=False)[:1] if tail else []
    special = {*stops, *special_ids(tokenizer)}
    ends = tuple(dict.fromkeys([*(token for token in after if token in special), *stops]))
    if not ends:
        raise ModelError("the model names no end-of-turn token; set eos_token in its tokenizer_config.json")
    stop = str(tokenizer.convert_ids_to_tokens(ends[0]))
    form, marks = _form(tokenizer, plain, stop)
    thought = _thought(tokenizer)
    return Audit(
        marks=marks,
        form=form,
        ends=ends,
        keeps_prefix=_keeps_prefix(tokenizer, form),
        shows_tools=_shows_tools(tokenizer, plain),
        thought=thought,
        opens_thought=thought is not None and asked.rstrip().endswith(thought[0]),
    )


def _form(tokenizer: Any, plain: Form, stop: str) -> tuple[Form, Marks]:
    """The smallest change to messages with which the template renders all that a run may contain."""
    if _shows_tools(tokenizer, plain):
        for system, fold, ids, strings in product((True, False), (False, True), (False, True), (False, True)):
            form = Form(system=system, fold=fold, ids=ids, strings=strings, thinking=plain.thinking)
            text = _try(tokenizer, _TALK, [_TOOL], form)
            marks = marks_of(_turns(tokenizer, form), stop) if all(part in text for part in _TOLD) else None
            if marks is not None:
                return form, marks
    for system, fold in product((True, False), (False, True)):
        form = Form(system=system, fold=fold, prompted=True, thinking=plain.thinking)
        text = _try(tokenizer, _TALK, [_TOOL], form)
        if all(part in text for part in _TOLD):
            return form, Marks(before="\n")
    raise ModelError(
        "the model's chat template cannot render a run's turns; give it another chat_template.jinja"
    )


def _turns(tokenizer: Any, form: Form) -> dict[str, str]:
    """What the template makes of the model's turn: one call, two, one after words, as far as it can."""
    asked = _try(tokenizer, [_ASK], [_TOOL], form, ask=True)
    bare = _try(tokenizer, [_ASK], [_TOOL], form)
    header = asked.removeprefix(bare) if asked.startswith(bare) else ""
    for opening, _ in _THOUGHTS:
        header = header.partition(opening)[0]
    begins = [begin for begin in (bare + header, asked) if begin]

    def turn(content: str, calls: list[Dict]) -> str:
        said = {"role": "assistant", "content": content, "tool_calls": calls}
        text = _try(tokenizer, [_ASK, said], [_TOOL], form)
        found = next((text.removeprefix(begin) for begin in begins if text.startswith(begin)), "")
        for _, closing in _THOUGHTS:
            found = found.partition(closing)[2].lstrip("\n") if closing in found else found
        return found

    return {
        "one": turn("", [_CALL]),
        "two": turn("", [_CALL, _OTHER]),
        "words": turn(_SAID, [_CALL]),
        "said": _SAID,
    }


def _thought(tokenizer: Any) -> tuple[str, str] | None:
    template = str(tokenizer.get_chat_template(tools=None))
    for pair in _THOUGHTS:
        if all(len(tokenizer.encode(mark, add_special_tokens=False)) == 1 for mark in pair) and any(
            mark in template for mark in pair
        ):
            return pair
    return None


def _shows_tools(tokenizer: Any, form: Form) -> bool:
    asked = _try(tokenizer, [_ASK], [_TOOL], form, ask=True)
    return "probe" in asked and "Looks into it." in asked


def _keeps_prefix(tokenizer: Any, form: Form) -> bool:
    """Whether question, call, result, answer and next question each extend the rendering before."""
    talk: list[Dict] = [
        _ASK,
        {"role": "assistant", "content": "", "tool_calls": [_CALL]},
        {"role": "tool", "name": "probe", "content": "result"},
        {"role": "assistant", "content": _SAID},
        _ASK,
    ]
    asked = [_try(tokenizer, talk[:length], [_TOOL], form, ask=True) for length in (1, 3, 5)]
    answered = [_try(tokenizer, talk[:length], [_TOOL], form) for length in (2, 4)]
    chain = [asked[0], answered[0], asked[1], answered[1], asked[2]]
    return all(chain) and all(longer.startswith(shorter) for shorter, longer in pairwise(chain))


def _try(
    tokenizer: Any, messages: list[Dict], tools: Sequence[ToolSchema], form: Form, *, ask: bool = False
) -> str:
    try:
        return render(tokenizer, messages, tools, ask=ask, form=form, now=_PROBED)
    except ModelError:
        return ""
