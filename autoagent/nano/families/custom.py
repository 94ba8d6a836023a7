"""Custom tools: invented names and descriptions, so that a tool never seen works from its description."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from autoagent.evals.task import Argument, Expected, ToolSpec
from autoagent.nano.families.base import Action, Clause, Episode, Kind, Maker, Split, in_order
from autoagent.nano.families.several import argument_names, blueprints, value_of
from autoagent.nano.families.vocabulary import (
    ATTRIBUTES,
    ENTITIES,
    LOOK_UP,
    OBJECTS,
    SAME_VERB,
    VERBS,
)
from autoagent.nano.habits import builtin_names
from autoagent.nano.words import Words, is_held_out

_DONE = ("[Done|OK|Ready]: {v}", "{v} [done|ok]", "[Done|Ok|Finished].", "{v} is [ready|set|done]")


@dataclass(frozen=True)
class Invention:
    """A custom tool, a goal only it can reach, and how.

    Attributes:
        about: What the tool does, however it is worded: of two that are about the same, both would do.
    """

    spec: ToolSpec
    goal: str
    call: Action
    reply: str
    about: str


def look_up(make: Maker) -> Clause:
    return _clause(make, invent_look_up(make))


def command(make: Maker) -> Clause:
    return _clause(make, invent_command(make))


def several(make: Maker) -> Clause:
    return _clause(make, invent_several(make))


def crowd(make: Maker) -> Episode:
    """Many custom tools, and hardly any others."""
    made = invent(make)
    return make.whole(_with(make, made, make.rng.randint(3, 9)))


def _clause(make: Maker, made: Invention) -> Clause:
    return _with(make, made, make.rng.randint(0, 3))


def _with(make: Maker, made: Invention, most: int) -> Clause:
    tools = [made.spec, *others(make, made, most)]
    make.rng.shuffle(tools)
    arguments = made.call.resolve(())
    expected = Expected(
        answer=made.reply, calls=(made.spec.name,), arguments={made.spec.name: arguments} if arguments else {}
    )
    return Clause(made.goal, (made.call,), expected, value=made.reply, tools=tuple(tools))


def others(make: Maker, made: Invention, most: int) -> list[ToolSpec]:
    """Up to so many other tools, none of which would do what ``made`` does."""
    drawn = [invent(make) for _ in range(most)]
    return distinct([made.spec, *(each.spec for each in drawn if each.about != made.about)])[1:]


def distinct(specs: Sequence[ToolSpec]) -> list[ToolSpec]:
    """Without tools that share a name or a description with an earlier one."""
    kept: list[ToolSpec] = []
    for spec in specs:
        if all(spec.name != other.name and spec.description != other.description for other in kept):
            kept.append(spec)
    return kept


def invent(make: Maker) -> Invention:
    kind = make.rng.random()
    if kind < 0.5:
        return invent_look_up(make)
    return invent_command(make) if kind < 0.75 else invent_several(make)


def invent_look_up(make: Maker) -> Invention:
    """A tool that looks something up about something."""
    w, rng, of_tools = make.words, make.rng, _words_of_tools(make)
    known = rng.random() < 0.65
    attribute = of_tools.pick(list(ATTRIBUTES)) if known else _two(of_tools)
    entity = of_tools.pick(ENTITIES) if rng.random() < 0.7 else of_tools.word().lower()
    verb = rng.choice(LOOK_UP)
    value = rng.choice((w.name, w.place, w.word, w.code))()
    description = make.phrase(
        "{verb} the {attribute} of [a|the] {entity}",
        "{verb} the {attribute} of a {entity}",
        "{verb} the {attribute} for a [given |]{entity}",
        "{verb} a {entity}'s {attribute}",
        "{verb} the {attribute} by {entity}",
        "{attribute} of a {entity}",
        "{verb} [which|what] {attribute} a {entity} has",
        verb=verb,
        attribute=attribute,
        entity=entity,
    )
    values = {"a": attribute, "e": entity, "v": value}
    natural = make.on_side(ATTRIBUTES.get(attribute, ())) if rng.random() < 0.4 else []
    goal = make.say(*(natural or _QUESTIONS), **values)
    argument = _argument(make, entity)
    reply = w.code() if rng.random() < 0.7 else w.phrase(1, 4)
    spec = ToolSpec(
        name=_name(make, (verb.split()[0], attribute, entity)),
        description=description[0].upper() + description[1:],
        argument=argument,
        replies={value: reply},
    )
    return Invention(spec, goal, Action(spec.name, {argument: value}), reply, attribute)


_QUESTIONS = (
    "What is the {a} of [the {e} |]{v}?",
    "[What|Which] {a} does [the {e} |]{v} have?",
    "[Look up|Find|Get|Tell me|Give me|Show me|Find out|Check] the {a} of [the {e} |]{v}",
    "[Look up|Find|Get|Tell me|Give me|Check] {v}'s {a}",
    "[I need|I want to know|Do you know|I am looking for] the {a} [of|for] {v}",
    "What's the {a} for [the {e} |]{v}?",
    "{v}: what is the {a}?",
    "{a} of [the {e} |]{v}",
    "{v} {a}?",
    "[What about|How about] the {a} of {v}?",
    "[Is there|Have we got] a {a} for {v}? [Which|What is it]?",
    "For the {e} {v}[ I need|, tell me| please get| fetch] the {a}",
    "I [forgot|can't remember|don't know] the {a} of {v}",
    "[Could I have|May I have|Let me have|Let me see] the {a} of [the {e} |]{v}?",
    "[The {e} is|It is about] {v}. [What is its|Tell me its|Its] {a}?",
    "{v} is a {e}. What's [its|the] {a}?",
    "[Someone|Somebody|A client] [asks|wants to know] the {a} of {v}",
    "[Dig up|Pull up|Bring up] the {a} of [the {e} |]{v}",
)


def invent_command(make: Maker) -> Invention:
    """A tool that does something to something."""
    w, rng, of_tools = make.words, make.rng, _words_of_tools(make)
    verb = of_tools.pick(VERBS)
    thing = of_tools.pick(OBJECTS) if rng.random() < 0.7 else of_tools.word().lower()
    where = rng.choice(("of a {e}", "by {e}", "of the named {e}", "for a {e}", "with the given {e}"))
    entity = rng.choice(
        ("room", "name", "number", "place", "label", "person", "city", "team", "floor", "user")
    )
    value = rng.choice((w.name, w.place, w.word, w.code))()
    worded = rng.choice(SAME_VERB[verb].split("|")) if verb in SAME_VERB and rng.random() < 0.35 else verb
    goal = make.say(
        "{verb} the {thing} {link} {v}",
        "{verb} [the|our|my|that] {thing} {link} {v} [now|at once|today|right away|next]",
        "{verb} [the|our|this] {v} {thing}",
        "[Go and|Would you|I would like you to|I want you to|It is time to] {low} the {thing} {link} {v}",
        "[Go ahead and|Try to|You may|You should|We want to] {low} [the|our|my] {thing} {link} {v}[ now|]",
        "[The|Our|That] {thing} {link} {v}: [please |]{low} it[ now|]",
        "{low} {thing} {v}[ now|]",
        "[Time to|Let's|Let us|We should|You can now] {low} [the|our] {thing} {link} {v}",
        "[Somebody should|Someone must|We have to|I must] {low} the {thing} {link} {v}",
        "[It's up to you to|Your job is to|What remains is to] {low} [the|our] {thing} {link} {v}",
        "For {v}, [please |now |]{low} [the|a] {thing}",
        "[Make sure to|Don't forget to|Remember to|Be sure to] {low} [the|our] {thing} {link} {v}[ today|]",
        "[Can|Could] the {thing} {link} {v} be handled? {verb} it[ now|]",
        "[There is|We still have|I have] the {thing} {link} {v}. {verb} it",
        "{v} [has|needs|came with|got] [a|that] {thing}: {low} it",
        "[About|As for|Regarding] the {thing} {link} {v}: {low} it[, please| now|]",
        "[Is|Was] the {thing} {link} {v} [dealt with|taken care of|finished]? If not, {low} it[ now|]",
        verb=worded,
        low=worded.lower(),
        thing=thing,
        v=value,
        link=rng.choice(("of", "for", "in", "named", "at")),
    )
    reply = make.phrase(*_DONE, v=value)
    argument = _argument(make, entity)
    spec = ToolSpec(
        name=_name(make, (verb, thing)),
        description=f"{verb} the {thing} {where.format(e=entity)}",
        argument=argument,
        replies={value: reply},
    )
    return Invention(spec, goal, Action(spec.name, {argument: value}), reply, f"{verb} {thing}".lower())


def invent_several(make: Maker) -> Invention:
    """A tool with two or three arguments, one of which may be left out."""
    rng, of_tools = make.rng, _words_of_tools(make)
    side = [
        (drawn, worded)
        for drawn in blueprints()
        if is_held_out(drawn.about[0]) == of_tools.held_out and (worded := make.on_side(drawn.wordings))
    ]
    drawn, patterns = rng.choice(side)
    description = rng.choice(drawn.about)
    names = argument_names(drawn.slots, rng, of_tools)
    pattern = rng.choice(patterns)
    optional = [slot for slot, kind in drawn.slots.items() if kind.endswith("?")]
    left_out = {slot for slot in optional if f"{{{slot}}}" not in pattern or rng.random() < 0.5}
    said: dict[str, str] = {}
    given: dict[str, object] = {}
    arguments: dict[str, Argument] = {}
    for slot, kind in drawn.slots.items():
        value, said[slot], arguments[names[slot]] = value_of(kind, rng, make.words)
        if slot not in left_out:
            given[names[slot]] = value
    order = list(arguments.items())
    if rng.random() < 0.6:
        rng.shuffle(order)
    arguments = dict(order)
    given = {name: given[name] for name in arguments if name in given}
    goal = make.phrase(_optional(pattern, left_out), **said)
    if pattern.startswith("{"):
        make.names.append(goal)
    reply = make.phrase(*_DONE, v=next(iter(given.values())))
    words = tuple(word for word in description.split() if word not in ("a", "to", "the", "of"))
    spec = ToolSpec(name=_name(make, words), description=description, arguments=arguments, otherwise=reply)
    call = Action(spec.name, given, because=lambda seen: in_order(goal, given))
    return Invention(spec, goal, call, reply, drawn.about[0])


def _optional(pattern: str, left_out: set[str]) -> str:
    """A pattern with the parts of what is left out taken away, and those of the rest for certain."""

    def resolve(match: re.Match[str]) -> str:
        slots = re.findall(r"{(\w+)}", match[1])
        if not slots:
            return match[0]
        return "" if set(slots) & left_out else match[1]

    return re.sub(r"\[([^\[\]]*)\]", resolve, pattern)


def _words_of_tools(make: Maker) -> Words:
    """What the tools themselves are made of: held out where tools are what is measured."""
    return Words(make.rng, make.split == "tools", make.words.more)


def _two(words: Words) -> str:
    return f"{words.word().lower()}{words.rng.choice(('', ' ' + words.word().lower()))}"


def _name(make: Maker, parts: tuple[str, ...]) -> str:
    """A speaking name, or (often) one that says nothing, so that the description has to be read."""
    w, rng = _words_of_tools(make), make.rng
    if rng.random() < 0.45:
        words = [w.word().lower() for _ in range(rng.randint(1, 2))]
    else:
        words = " ".join(parts[: rng.randint(min(2, len(parts)), len(parts))]).lower().split()
    joined = "_".join(word for word in words if word.isascii() and word.isalnum())
    if not joined or joined in builtin_names():
        return "tool_" + "".join(rng.choice("abcdefghijklmnop") for _ in range(4))
    return joined


def _argument(make: Maker, entity: str) -> str:
    if make.split == "tools" and not is_held_out(entity):
        entity = _words_of_tools(make).word()
    fixed = ("name", "query", "value", "key", "item", "id", "what", "text") if make.split != "tools" else ()
    chosen = entity if make.rng.random() < 0.55 else make.rng.choice((*fixed, _words_of_tools(make).word()))
    chosen = chosen.lower().replace(" ", "_")
    return chosen if chosen.isascii() and chosen.isidentifier() else "name"


_SPLITS: tuple[Split, ...] = ("seen", "values", "wordings", "tools")
FAMILIES: dict[str, Kind] = {
    "custom_look_up": Kind(lambda make: make.whole(look_up(make)), 9, "custom", _SPLITS, look_up),
    "custom_command": Kind(lambda make: make.whole(command(make)), 5, "custom", _SPLITS, command),
    "custom_several": Kind(lambda make: make.whole(several(make)), 6, "custom", _SPLITS, several),
    "custom_crowd": Kind(crowd, 4, "custom", _SPLITS),
}
