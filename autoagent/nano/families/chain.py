"""Goals of several steps: clauses one after another, each a goal of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Seen


def join(clauses: Sequence[Clause], words: str, parts: Sequence[str]) -> Clause:
    """Several clauses as one; what is told is told in order, separated by "; ".

    Args:
        clauses: In the order they are done; their files lie in the same world already.
        words: Of the whole goal.
        parts: Of each clause, as they stand in the whole.
    """
    starts = [sum(len(each.actions) for each in clauses[:number]) for number in range(len(clauses))]
    actions = [
        replace(_moved(action, start, number), part=part)
        for clause, start, part in zip(clauses, starts, parts, strict=True)
        for number, action in enumerate(clause.actions)
    ]
    told = [(clause, start) for clause, start in zip(clauses, starts, strict=True) if clause.tells]

    def answer(seen: Seen) -> str:
        if not told:
            return seen[-1]
        return "; ".join(clause.answer(_own(clause, start, seen)) for clause, start in told)

    def because(seen: Seen) -> str:
        found = [clause.because(_own(clause, start, seen)) for clause, start in told]
        return "; ".join(each for each in found if each)

    return Clause(
        words,
        tuple(actions),
        _all([clause.expected for clause in clauses], [clause for clause, _ in told]),
        answer,
        because,
        tells=bool(told),
        value="; ".join(clause.value for clause, _ in told),
        memory=tuple(text for clause in clauses for text in clause.memory),
        tools=tuple(tool for clause in clauses for tool in clause.tools),
        answers=tuple(text for clause in clauses for text in clause.answers),
    )


def _pattern(answer: str) -> str:
    """An expected answer as a part of a larger pattern."""
    if len(answer) > 2 and answer.startswith("/") and answer.endswith("/"):
        body = answer[1:-1].removeprefix("(?i)")
        return body.removesuffix(r"(?!\s*[,;]\s*\w)").replace(r"(?<![,;]\s)", "")  # others stand around it
    return r"(?<![\w.])" + r"\s+".join(map(re.escape, answer.split())) + r"(?!\w)"


def _own(clause: Clause, start: int, seen: Seen) -> Seen:
    return seen[start : start + len(clause.actions)]


def _moved(action: Action, start: int, number: int) -> Action:
    """The same action further on: it is shown the observations of its own clause only."""

    def moved(function: Callable[[Seen], object]) -> Callable[[Seen], object]:
        return lambda seen: function(seen[start : start + number])

    arguments = moved(action.arguments) if callable(action.arguments) else action.arguments
    return replace(action, arguments=arguments, because=moved(action.because))  # type: ignore[arg-type]


def _all(parts: Sequence[Expected], told: Sequence[Clause]) -> Expected:
    """What all parts expect; of the answers, that they are told in order."""
    answers = [_pattern(clause.expected.answer or clause.value) for clause in told]
    answer = "/(?is)" + ".{1,40}?".join(answers) + "/" if answers else None
    files = {name: content for part in parts for name, content in part.files.items()}
    return Expected(
        answer=answer,
        files=files,
        remembers=next((part.remembers for part in parts if part.remembers), None),
        calls=tuple(dict.fromkeys(call for part in parts for call in part.calls)),
    )
