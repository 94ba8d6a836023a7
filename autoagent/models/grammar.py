"""What a local model may say next: grammars for replies, compiled once, walked token by token by a Guide.

A guide knows which tokens are allowed, which are the only choice, and the shortest valid way to the end. Just
before that way no longer fits the token budget, it is taken: a grammar-bound reply is valid whatever the
weights are, as long as ``max_tokens`` fits the smallest valid reply.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from llguidance import LLMatcher

from autoagent.errors import UsageError
from autoagent.models.formats import own_lark
from autoagent.models.guide import Free, Guide, shortest_end
from autoagent.models.protocol import Calls, Expect, Json, Text, ToolSchema
from autoagent.models.vocabulary import Vocabulary

LONGEST_TEXT = 400  # characters before the first call
LONGEST_STRING = 100_000  # characters of a string whose schema sets no limit

_BEYOND = re.compile(r"\(\?<?[=!]|\\[1-9]|\(\?P=")  # look-around and back-references in a pattern
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")  # name -> schema
_PLAIN = ("enum", "const", "default", "examples", "required")  # values, not schemas
_CANONICAL = {  # as json.dumps(value, ensure_ascii=False) writes it
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    "json_allowed_escapes": 'nrtbf"\\',
    "lenient": True,
}


class Grammars:
    """The compiled grammars of one vocabulary, one for everything that was ever expected."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._compiled: dict[str, Grammar] = {}

    def guide(self, expect: Expect, budget: int) -> Guide | Free:
        """Begin a reply of at most ``budget`` tokens that is what ``expect`` asks for.

        Raises UsageError where a schema cannot be compiled.
        """
        if isinstance(expect, Text):
            return Free(self.vocabulary.permitted, self.vocabulary.ends)
        key = json.dumps([expect.schema] if isinstance(expect, Json) else [expect.tools, expect.at_most])
        if key not in self._compiled:
            if len(self._compiled) >= 128:
                self._compiled.clear()
            self._compiled[key] = Grammar(self.vocabulary, expect)
        return self._compiled[key].start(budget)


class Grammar:
    """A compiled grammar. ``reserve`` is about how many tokens the longest of the shortest replies needs."""

    def __init__(self, vocabulary: Vocabulary, expect: Json | Calls) -> None:
        self.vocabulary = vocabulary
        self.in_call = isinstance(expect, Json)
        lark = (
            f"start: value\nvalue: {_json(expect.schema)}"
            if isinstance(expect, Json)
            else _calls(vocabulary, expect)
        )
        self.matcher = LLMatcher(vocabulary.matching, LLMatcher.grammar_from_lark(lark), log_level=0)
        if self.matcher.is_error():
            what = self.matcher.get_error().strip().splitlines()[0].rpartition("JSON schema: ")[2]
            raise UsageError(f"{self._whose(expect)} cannot be turned into a grammar: {what}; simplify it")
        self.matcher.compute_bitmask()  # warms the automaton that copies share
        self.reserve = max(self._shortest(prefix) for prefix in self._prefixes(expect))

    def start(self, budget: int) -> Guide:
        """Begin a reply of at most ``budget`` tokens."""
        return Guide(self.vocabulary, self.matcher.deep_copy(), budget, self.reserve, self.in_call)

    def _whose(self, expect: Json | Calls) -> str:
        """Which schema it is that cannot be compiled."""
        for tool in expect.tools if isinstance(expect, Calls) else ():
            lark = _calls(self.vocabulary, Calls((tool,)))
            if LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark)):
                return f"the schema of the tool {tool['function']['name']}"
        return "the schema of the reply" if isinstance(expect, Json) else "the tools' schemas"

    def _prefixes(self, expect: Json | Calls) -> list[str]:
        if isinstance(expect, Json):
            return [""]
        marks = self.vocabulary.marks
        begin = marks.opening + marks.head
        return [begin + tool["function"]["name"] + marks.middle for tool in expect.tools]

    def _shortest(self, prefix: str) -> int:
        matcher, tokens = self.matcher.deep_copy(), self.vocabulary.encode(prefix)
        taken = matcher.try_consume_tokens(tokens)
        way = shortest_end(self.vocabulary, matcher, inside=True, limit=512)
        return taken + (512 if way is None else len(way))


def _calls(vocabulary: Vocabulary, expect: Calls) -> str:
    """Write the Lark grammar of a short text and 1 to ``at_most`` calls, one alternative per tool."""
    marks = vocabulary.marks
    if not marks.hermes:
        return own_lark(vocabulary, expect, _json, LONGEST_TEXT)
    opening = f"<[{vocabulary.opening}]>" if vocabulary.opening is not None else _quote(marks.opening)
    closing = f"<[{vocabulary.closing}]>" if vocabulary.closing is not None else _quote(marks.closing)
    more = min(expect.at_most, expect.at_most if marks.many else 1) - 1
    blocks = "block" + (f" ({_quote(marks.between)} block){{0,{more}}}" if more > 0 else "")
    lead = f"(TEXT {_quote(marks.before)})?" if marks.before else "TEXT?"
    lines = [
        f"start: {lead} {blocks}",
        f"TEXT: /[^<\\n]{{1,{LONGEST_TEXT}}}/",
        f'block: {opening} "\\n" call "\\n" {closing}',
        "call: " + " | ".join(f"call_{number}" for number in range(len(expect.tools))),
    ]
    for number, tool in enumerate(expect.tools):
        lines.append(f'call_{number}: {_quote(_head(tool))} args_{number} "}}"')
        lines.append(f"args_{number}: {_json(tool['function'].get('parameters') or {'type': 'object'})}")
    return "\n".join(lines)


def _head(tool: ToolSchema) -> str:
    return f'{{"name": {json.dumps(tool["function"]["name"], ensure_ascii=False)}, "arguments": '


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _json(schema: dict[str, Any]) -> str:
    return "%json " + json.dumps({**bounded(schema), "x-guidance": _CANONICAL}, ensure_ascii=False)


def bounded(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as the grammar takes it; what the tool itself checks later may be left out.

    Every string gets a limit, an object that says what is in it has nothing else in it, and patterns with
    look-around or back-references, which no automaton can follow, are dropped. With ``allOf`` objects stay
    open: its parts describe one object together, and none of them knows of the others' properties.
    """
    close = '"allOf"' not in json.dumps(schema)
    schema = copy.deepcopy(schema)
    if schema.get("type") == "object":
        schema.setdefault("properties", {})
    _bound(schema, close)
    return schema


def _bound(node: Any, close: bool) -> None:
    if isinstance(node, list):
        for item in node:
            _bound(item, close)
    if not isinstance(node, dict):
        return
    kinds = node.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if _BEYOND.search(str(node.get("pattern", ""))):
        del node["pattern"]
    if "string" in kinds and not node.keys() & {"enum", "const", "pattern", "format"}:
        node.setdefault("maxLength", max(LONGEST_STRING, node.get("minLength", 0)))
    if close and isinstance(node.get("properties"), dict):
        node.setdefault("additionalProperties", False)
    for key, value in node.items():
        if key in _NAMED and isinstance(value, dict):
            for inner in value.values():
                _bound(inner, close)
        elif key not in _PLAIN:
            _bound(value, close)
