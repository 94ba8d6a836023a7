"""Goals of several steps: clauses one after another, each a goal of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Seen

_SHORT = 60  # characters of an answer that is noted


def join(clauses: Sequence[Clause], words: str, parts: Sequence[str]) -> Clause:
    """Several clauses as one; what is told is told in order, separated by "; ".

    Args:
        clauses: In the order they are done; their files lie in the same world already.
        words: Of the whole goal.
        parts: Of each clause, as they stand in the whole.
    """
    starts = [sum(len(each.actions) for each in clauses[:number]) for number in range(len(clauses))]
    placed = list(zip(clauses, starts, strict=True))
    told = [(clause, start) for clause, start in placed if clause.tells]
    actions: list[Action] = []
    for number, ((clause, start), part) in enumerate(zip(placed, parts, strict=True)):
        first, *rest = (
            replace(_moved(each, start, place), part=part) for place, each in enumerate(clause.actions)
        )
        before = _came_to(number, *placed[number - 1]) if number else None
        actions += [replace(first, found=before) if before else first, *rest]

    def answer(seen: Seen) -> str:
        if not told:
            return seen[-1]
        return "; ".join(clause.answer(_own(clause, start, seen)) for clause, start in told)

    return Clause(
        words,
        tuple(actions),
        _all([clause.expected for clause in clauses], [clause for clause, _ in told]),
        answer,
        _came_to(len(placed), *placed[-1]),  # what came before was noted when it was done
        tells=bool(told),
        value="; ".join(clause.value for clause, _ in told),
        memory=tuple(text for clause in clauses for text in clause.memory),
        tools=tuple(tool for clause in clauses for tool in clause.tools),
        answers=tuple(text for clause in clauses for text in clause.answers),
    )


def _came_to(number: int, clause: Clause, start: int) -> Callable[[Seen], str]:
    """What is noted of a part when it is done: its evidence, and ``2 is 36.5`` unless that is long."""

    def found(seen: Seen) -> str:
        own = _own(clause, start, seen)
        answer = clause.answer(own)
        noted = f"{number} is {answer}" if len(answer) <= _SHORT and "\n" not in answer else ""
        return "; ".join(each for each in (clause.because(own), noted) if each)

    return found if clause.tells else lambda seen: ""


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
        arguments={name: given for part in parts for name, given in part.arguments.items()},
    )
