"""Human requests as episodes: one call of an invented tool, with the values as they stand in the request.

Intents become tools (``intents.txt``), slots their arguments; other intents of the same data set are the
distractors. Training takes the training parts of the intents that are seen, and nothing else.
"""

from __future__ import annotations

import functools
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from autoagent.errors import UsageError
from autoagent.evals.suite import Suite
from autoagent.evals.task import Argument, Expected, Task, ToolSpec
from autoagent.nano.families.base import DECLINE, Action, Episode, in_order
from autoagent.nano.habits import builtin_names
from autoagent.nano.human import (
    OUT_OF_SCOPE,
    Request,
    frequent_slots,
    is_held_out_intent,
    requests,
    words,
)
from autoagent.nano.intents import TWINS, Intent, argument_names, catalogue, name_from
from autoagent.nano.words import NAMES, PLACES, Words, is_held_out

Intents = Literal["seen", "held out"]
SUITE_TOOLS = 6  # in each task of a suite, the right one among them
_SAME_SCENARIO = 2  # of the distractors
_SHARES = {"hwu64": 0.4, "clinc150": 0.25, "snips": 0.35}  # of the training episodes
_WITH_SLOTS = 0.75  # of those from data sets that have slots
_DECLINED = 0.12  # of the training episodes of the other two: no tool there does it
_ALONE = 0.5  # of the training episodes: no built-in tools besides
_REQUIRED = 0.6  # share of an intent's requests from which a slot is required
_REPLIES = "Done.|Done.|Done.|OK.|All right, done.|It is done.|Finished.|Ready.|Success.|ok|done".split("|")
# What a built-in tool does, too: those are not shown beside it.
_BUILT_IN = frozenset(
    "hwu64/qa_maths hwu64/datetime_query hwu64/datetime_convert hwu64/calendar_set hwu64/lists_query"
    " clinc150/calculator clinc150/measurement_conversion clinc150/date clinc150/reminder"
    " clinc150/reminder_update clinc150/shopping_list clinc150/shopping_list_update clinc150/todo_list"
    " clinc150/todo_list_update clinc150/what_can_i_ask_you clinc150/change_user_name clinc150/user_name"
    " hwu64/lists_remove hwu64/music_likeness".split()
)
# Tools that might do for any request: not there when none should do.
_ANYTHING = frozenset("hwu64/general_quirky hwu64/qa_factoid clinc150/smart_home clinc150/order".split())


@dataclass
class HumanData:
    """The requests of a folder, ready to be drawn from.

    Attributes:
        words: English words of the training parts, see ``human.words``.
        slots: Frequent slots of each intent with their shares, from its training requests.
    """

    folder: Path
    words: tuple[str, ...]
    slots: Mapping[str, Mapping[str, float]]
    _training: Mapping[tuple[str, bool], Sequence[Request]] = field(repr=False)
    _tests: Mapping[tuple[str, bool], Sequence[Request]] = field(repr=False)
    _out_of_scope: Sequence[Request] = field(repr=False)

    @classmethod
    def of(cls, folder: Path) -> HumanData:
        """Read a folder, once in the life of the process.

        Raises:
            UsageError: there are no such data sets, or one is damaged.
        """
        return _read(folder)

    def episode(self, rng: random.Random) -> Episode:
        """A training episode. Its tools are of seen intents only."""
        sources = sorted({source for source, _ in self._training})
        source = rng.choices(sources, [_SHARES[each] for each in sources])[0]
        with_slots = (source, True) in self._training and rng.random() < _WITH_SLOTS
        request = rng.choice(
            self._training.get((source, with_slots)) or self._training[source, not with_slots]
        )
        if source != "snips" and rng.random() < _DECLINED:
            if self._out_of_scope and rng.random() < 0.4:
                request = rng.choice(self._out_of_scope)
            return self._unanswered(request, rng)
        drawn = self._asked(request, rng, count=rng.randint(3, 8), training=True)
        alone = request.key in _BUILT_IN or rng.random() < _ALONE
        task = drawn.task.model_copy(update={"goal": _retyped(request, rng), "only": () if alone else None})
        return Episode(task, drawn.actions)

    def tasks(self, seed: int, count: int, intents: Intents) -> list[Task]:
        """Test requests with six tools each, of every data set alike as far as they last.

        Raises:
            UsageError: the folder has no test requests of such intents.
        """
        held_out = intents == "held out"
        rng = random.Random(f"human {seed} {intents}")
        rows = {
            source: list(rows) for (source, side), rows in sorted(self._tests.items()) if side == held_out
        }
        for each in rows.values():
            rng.shuffle(each)
        chosen: list[Request] = []
        while len(chosen) < count and any(rows.values()):
            chosen += [each.pop() for each in rows.values() if each]
        if not chosen:
            raise UsageError(f"{self.folder} has no test requests of intents that are {intents}")
        return [
            self._asked(request, rng, count=SUITE_TOOLS, training=False).task.model_copy(
                update={
                    "id": f"{request.source}-{request.intent}-{seed}-{number}",
                    "family": request.source,
                    "split": f"intents {intents}",
                    "tags": _tags(request),
                    "only": (),
                }
            )
            for number, request in enumerate(chosen[:count])
        ]

    def _asked(self, request: Request, rng: random.Random, *, count: int, training: bool) -> Episode:
        """The request with its tool and distractors, and the call that answers it."""
        intent = catalogue()[request.key]
        values = dict(request.slots)
        spec, names = self._tool(intent, rng, training, values)
        others = _distractors(intent, rng, count - 1, training)
        tools = _distinct([spec, *(self._tool(each, rng, training)[0] for each in others)])
        right = tools[0]
        call = {names[slot]: values[slot] for slot in names if slot in values}
        rng.shuffle(tools)
        expected = Expected(calls=(right.name,), arguments={right.name: call} if call else {})
        task = Task(id="", family="human", goal=request.text, tools=tuple(tools), expected=expected)
        listed = in_order(request.text, call) if len(names) > 1 else ""
        return Episode(task, (Action(right.name, dict(call), because=lambda seen: listed),))

    def _unanswered(self, request: Request, rng: random.Random) -> Episode:
        """A request that none of the tools there can do."""
        intent = catalogue().get(request.key)
        some = [each for each in catalogue().values() if each.source == request.source]
        away = [
            each
            for each in some
            if not is_held_out_intent(each.source, each.name)
            and each.key not in _ANYTHING
            and (intent is None or each.scenario != intent.scenario)
        ]
        chosen = rng.sample(away, min(len(away), rng.randint(3, 8)))
        tools = _distinct([self._tool(each, rng, True)[0] for each in chosen])
        alone = request.key in _BUILT_IN or rng.random() < _ALONE
        task = Task(
            id="",
            family="human",
            goal=_retyped(request, rng),
            tools=tuple(tools),
            only=() if alone else None,
            expected=Expected(declines=True),
        )
        return Episode(task, (), answer=lambda seen: DECLINE, declines=True)

    def _tool(
        self, intent: Intent, rng: random.Random, training: bool, values: Mapping[str, str] | None = None
    ) -> tuple[ToolSpec, dict[str, str]]:
        """An intent as a tool, and what its slots are called as arguments, in the order of the arguments.

        Args:
            values: Of the request it is for, if any: their slots are among the arguments at any rate, and
                no other is required.
        """
        shares = self.slots.get(intent.key, {})
        slots = list(dict.fromkeys([*shares, *(values or {})]))
        names: dict[str, str] = {}
        for slot in rng.sample(slots, len(slots)):
            free = [name for name in argument_names()[slot] if name not in names.values()]
            names[slot] = rng.choice(free) if free else slot
        optional = {
            slot: shares.get(slot, 0) <= _REQUIRED or (values is not None and slot not in values)
            for slot in names
        }
        spec = ToolSpec(
            name=_name(intent, rng, training),
            description=rng.choice(intent.descriptions),
            arguments={name: Argument(optional=optional[slot]) for slot, name in names.items()},
            otherwise=rng.choice(_REPLIES),
        )
        return spec, names


def human_suite(folder: Path, seed: int = 0, count: int = 300, intents: Intents = "seen") -> Suite:
    """Test requests as tasks: the right one of six invented tools has to be called, with the right values.

    Raises:
        UsageError: there are no such data sets in the folder, or one is damaged.
    """
    return Suite(f"human, intents {intents}", tuple(HumanData.of(folder).tasks(seed, count, intents)))


@functools.cache
def _read(folder: Path) -> HumanData:
    rows = [row for row in requests(folder) if _usable(row)]
    by_intent: dict[str, list[Request]] = defaultdict(list)
    training: dict[tuple[str, bool], list[Request]] = defaultdict(list)
    tests: dict[tuple[str, bool], list[Request]] = defaultdict(list)
    seen = {_letters(row.text) for row in rows if row.part == "train"}
    for row in rows:
        held_out = is_held_out_intent(row.source, row.intent)
        if row.intent == OUT_OF_SCOPE:
            continue
        if row.part == "train":
            by_intent[row.key].append(row)
            if not held_out and not _names_held_out(row.text):
                training[row.source, bool(row.slots)].append(row)
        elif _letters(row.text) not in seen:
            tests[row.source, held_out].append(row)
    unclear = [row for row in rows if row.intent == OUT_OF_SCOPE and row.part == "train"]
    if not training:
        raise UsageError(f"{folder} has no requests to train on")
    slots = {key: frequent_slots(mine) for key, mine in by_intent.items()}
    return HumanData(folder, words(folder), slots, training, tests, unclear)


def _letters(text: str) -> str:
    """A request without case and punctuation: written alike, it is the same one."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _names_held_out(text: str) -> bool:
    """Whether a request mentions a name or a place that the suites keep for measuring."""
    return bool(_kept() & set(re.findall(r"\w+", text.casefold())))


@functools.cache
def _kept() -> frozenset[str]:
    return frozenset(name.casefold() for name in (*NAMES, *PLACES) if is_held_out(name))


def _usable(row: Request) -> bool:
    """Every slot once, its value in the text, and a known intent."""
    once = len(dict(row.slots)) == len(row.slots)
    there = all(value in row.text for _, value in row.slots)
    return once and there and (row.key in catalogue() or row.intent == OUT_OF_SCOPE)


def _tags(request: Request) -> tuple[str, ...]:
    slots = "2+" if len(request.slots) > 1 else len(request.slots)
    return (f"slots-{slots}", *(("twin",) if request.key in TWINS else ()))


def _distractors(intent: Intent, rng: random.Random, count: int, training: bool) -> list[Intent]:
    """Other intents of the same data set, two of them of the same scenario where it has as many."""
    others = [
        each
        for each in catalogue().values()
        if each.source == intent.source
        and each != intent
        and not (training and is_held_out_intent(each.source, each.name))
    ]
    rng.shuffle(others)
    near = [each for each in others if each.scenario == intent.scenario][:_SAME_SCENARIO]
    return [*near, *(each for each in others if each not in near)][:count]


def _name(intent: Intent, rng: random.Random, training: bool) -> str:
    """One of its own names, one made of a description, or an invented word."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(intent.names)
    if kind < 0.65:
        return name_from(rng.choice(intent.descriptions))
    draw = Words(rng, held_out=not training)
    words = [draw.word().lower() for _ in range(rng.choice((1, 1, 2)))]
    return "_".join(word for word in words if word.isascii() and word.isalpha()) or "tool"


def _distinct(specs: Sequence[ToolSpec]) -> list[ToolSpec]:
    """The first as it is, the others without those of the same description; all with names of their own."""
    taken, told = set(builtin_names()), set[str]()
    kept: list[ToolSpec] = []
    for spec in specs:
        if spec.description in told:
            continue
        told.add(spec.description)
        name = spec.name
        while name in taken:
            name += "_it"
        taken.add(name)
        kept.append(spec if name == spec.name else spec.model_copy(update={"name": name}))
    return kept


def _retyped(request: Request, rng: random.Random) -> str:
    """The request as others would type it: with a capital or a full stop, values untouched."""
    text = request.text
    if rng.random() < 0.2 and not any(text.startswith(value) for _, value in request.slots):
        text = text[0].upper() + text[1:]
    if rng.random() < 0.15 and text[-1].isalnum():
        text += "."
    return text
