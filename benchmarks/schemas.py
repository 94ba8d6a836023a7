"""Tool schemas of others: how many become a grammar, and what those grammars let through.

    python benchmarks/schemas.py --data FOLDER

The data are the function schemas and gold calls of the Berkeley Function Calling Leaderboard (BFCL,
Apache-2.0), which are not part of this repository: ``FOLDER`` is ``bfcl_eval/data`` of the PyPI package
``bfcl-eval``. Objects that say what is in them are read as closed, and formats count, as in strict function
calling; what its functions call "any" stays any.

Three shares are printed. Of the different function schemas, how many compile. Of the gold calls that satisfy
their schema (jsonschema decides, not we), how many can be said: each is walked token by token as a reply is,
through the masks and the forced tokens, with all functions of its question on offer. And as the control, of
calls made invalid (a required argument left out, a value of a wrong type, an argument or a function that
nobody declared; jsonschema again), how many are refused. The exit status is 0 when the targets are met, 1
when not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
from bfcl import Call, Question, alternatives, questions
from stand_in import write_stand_in
from transformers import AutoTokenizer

from autoagent.errors import UsageError
from autoagent.models.chat import audit
from autoagent.models.grammar import Grammars
from autoagent.models.guide import Guide
from autoagent.models.protocol import Calls
from autoagent.models.versions import WEIGHTS
from autoagent.models.vocabulary import Vocabulary

COMPILES, ACCEPTED, REFUSED = 0.998, 1.0, 1.0  # targets, shares
BUDGET = 100_000  # tokens: never tight, so a walk meets the grammar and nothing else
STRANGE = ("text", 7, 7.5, True, None, [], {}, ["text"], [7], {"key": "text"})  # one is wrong for any type


@dataclass
class Tally:
    """What was found with one tokenizer."""

    compiled: Counter[bool] = field(default_factory=Counter)
    accepted: Counter[bool] = field(default_factory=Counter)
    refused: Counter[bool] = field(default_factory=Counter)
    unfit: int = 0  # gold calls that their own schema forbids
    failures: list[str] = field(default_factory=list)

    def met(self) -> bool:
        found = share(self.compiled), share(self.accepted), share(self.refused)
        return all(is_ >= target for is_, target in zip(found, (COMPILES, ACCEPTED, REFUSED), strict=True))


def share(counts: Counter[bool]) -> float:
    return counts[True] / max(1, counts.total())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="bfcl_eval/data of the package bfcl-eval")
    parser.add_argument("--every", type=int, default=1, help="take every n-th question only")
    parser.add_argument("--failures", type=int, default=10, help="how many failures to print per tokenizer")
    options = parser.parse_args(arguments)
    asked = list(questions(options.data))[:: options.every]
    if not asked:
        print(f"no BFCL_*.json in {options.data}: give bfcl_eval/data of bfcl-eval", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        stand_in = write_stand_in(Path(folder), hidden=64, layers=1)
        tallies = [
            measure("embedded, 1,024 tokens", WEIGHTS, asked, options.failures),
            measure("byte-level BPE, 16,384 tokens", stand_in, asked, options.failures),
        ]
    return 0 if all(tally.met() for tally in tallies) else 1


def measure(name: str, folder: Path, asked: Sequence[Question], failures: int) -> Tally:
    """Measure with the tokenizer in ``folder``, and print what was found."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    found = audit(tokenizer, [tokenizer.eos_token_id])
    grammars = Grammars(Vocabulary(tokenizer, len(tokenizer), found.ends, found.marks))
    tally = Tally()
    _compile_each(grammars, asked, tally)
    for number, question in enumerate(asked):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{number}/{len(asked)} {question.name}", end="", file=sys.stderr, flush=True)
        _walk_calls(grammars, question, tally)
    _print(name, tally, failures)
    return tally


def _print(name: str, tally: Tally, failures: int) -> None:
    print(f"\n{name}")
    for what, counts, target in (
        ("schemas that compile", tally.compiled, COMPILES),
        ("valid gold calls accepted", tally.accepted, ACCEPTED),
        ("invalid calls refused", tally.refused, REFUSED),
    ):
        numbers = f"{counts[True]:6d} of {counts.total():6d}"
        print(f"  {what:26} {numbers}  {share(counts):8.3%}  (target {target:.1%})")
    print(f"  gold calls left out, for their own schema forbids them: {tally.unfit}")
    for line in tally.failures[:failures]:
        print(f"  {line}")


def _compile_each(grammars: Grammars, asked: Sequence[Question], tally: Tally) -> None:
    """Compile every different schema, alone."""
    different = {json.dumps(tool["function"]["parameters"]): tool for each in asked for tool in each.tools}
    for schema, tool in different.items():
        try:
            grammars.guide(Calls((tool,)), BUDGET)
            tally.compiled[True] += 1
        except UsageError as error:
            tally.compiled[False] += 1
            tally.failures.append(f"does not compile: {tool['function']['name']}: {error}: {schema[:300]}")


def _walk_calls(grammars: Grammars, question: Question, tally: Tally) -> None:
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in question.tools}
    expect = Calls(tuple(question.tools))
    for call in question.gold:
        for arguments in alternatives(call, schemas[call.name]):
            if not fits(arguments, schemas[call.name]):
                tally.unfit += 1
                continue
            said = spoken(grammars, expect, call.name, arguments)
            tally.accepted[said] += 1
            if not said:
                tally.failures.append(f"not accepted: {call.name} {json.dumps(arguments)[:300]}")
    for call in question.gold[:1]:
        for name, arguments in spoiled(call, schemas[call.name]):
            said = spoken(grammars, expect, name, arguments)
            tally.refused[not said] += 1
            if said:
                tally.failures.append(f"not refused: {name} {json.dumps(arguments)[:300]}")


def fits(arguments: Any, schema: dict[str, Any]) -> bool:
    formats = jsonschema.FormatChecker()
    return bool(jsonschema.Draft202012Validator(schema, format_checker=formats).is_valid(arguments))


def spoiled(call: Call, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Invalid calls made from a valid one, one fault each."""
    arguments = next((made for made in alternatives(call, schema) if fits(made, schema)), None)
    if arguments is None:
        return
    yield f"{call.name}_x", arguments
    yield call.name, {**arguments, "undeclared": 1}
    for name in schema.get("required", []):
        yield call.name, {key: value for key, value in arguments.items() if key != name}
    for name in arguments:
        for value in STRANGE:
            wrong = {**arguments, name: value}
            if not fits(wrong, schema):
                yield call.name, wrong


def spoken(grammars: Grammars, expect: Calls, name: str, arguments: dict[str, Any]) -> bool:
    """Whether a reply that wants to say exactly this call can, token by token."""
    marks, call = grammars.vocabulary.marks, {"name": name, "arguments": arguments}
    left = f"{marks.opening}\n{json.dumps(call, ensure_ascii=False)}\n{marks.closing}".encode()
    guide = grammars.guide(expect, BUDGET)
    assert isinstance(guide, Guide)
    new = guide.begin()
    while True:
        forced = grammars.vocabulary.spell(new)
        if not left.startswith(forced):
            return False
        left = left[len(forced) :]
        if not left:
            return guide.ended or bool(guide.allowed()[list(grammars.vocabulary.ends)].any())
        wanted = grammars.vocabulary.matching.tokenize_bytes(left, parse_special=True)[0]
        if guide.ended or not guide.allowed()[wanted]:
            return False
        new = [wanted, *guide.take(wanted)[1]]


if __name__ == "__main__":
    raise SystemExit(main())
