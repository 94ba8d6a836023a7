"""Custom tools: invented names and descriptions, so that a tool never seen works from its description."""

from __future__ import annotations

from dataclasses import dataclass

from autoagent.evals.task import Expected, ToolSpec
from autoagent.nano.families.base import Action, Episode, Maker

_LOOK_UP = "Look up|Find|Get|Fetch|Tell|Give|Return|Show|Query|Check|Read out|Report".split("|")
_ATTRIBUTES = (
    "phone number|opening hours|price|weather|stock level|owner|capital|population|status|temperature"
    "|address|schedule|balance|score|rating|author|colour|menu|timetable|delivery date|supplier|boss"
    "|salary|email|version|location|calorie count|exchange rate|traffic|tide|birthday|serial number"
    "|warranty|next train|queue length|meaning|rank"
).split("|")
_ENTITIES = (
    "person|city|shop|product|country|order|room|book|customer|employee|company|team|player|ship|bus"
    "|parcel|museum|song|star|plant|server|invoice|hotel|station|movie|course|patient|member|device"
    "|article|ticket|word|recipe"
).split("|")
_VERBS = (
    "Start|Stop|Open|Close|Lock|Unlock|Clean|Paint|Reset|Book|Cancel|Wash|Charge|Ring|Water|Feed|Dim"
    "|Light|Ship|Pack|Print|Scan|Mute|Play|Pause|Call|Invite|Notify|Order|Reserve|Archive|Approve"
    "|Reject|Restart|Update|Boil|Fold"
).split("|")
_OBJECTS = (
    "door|lamp|pump|engine|window|gate|heater|alarm|robot|valve|fan|camera|screen|garden|car|boat"
    "|guest|job|song|parcel|table|room|meeting|machine|printer|plant|cat|dog|kettle|oven|curtain|bell"
    "|drone|lift|light|server"
).split("|")


@dataclass(frozen=True)
class Invention:
    """A custom tool, a goal only it can reach, and how."""

    spec: ToolSpec
    goal: str
    call: Action
    reply: str


def custom(make: Maker) -> Episode:
    made = invent(make)
    others = [invent(make).spec for _ in range(make.rng.randint(0, 3))]
    tools = distinct([made.spec, *others])
    make.rng.shuffle(tools)
    expected = Expected(answer=made.reply, calls=(made.spec.name,))
    return make.episode(made.goal, made.call, tools=tools, expected=expected)


def distinct(specs: list[ToolSpec]) -> list[ToolSpec]:
    """Without tools that share a name or a description with an earlier one."""
    kept: list[ToolSpec] = []
    for spec in specs:
        if all(spec.name != other.name and spec.description != other.description for other in kept):
            kept.append(spec)
    return kept


def invent(make: Maker) -> Invention:
    return _question(make) if make.rng.random() < 0.65 else _command(make)


def _question(make: Maker) -> Invention:
    """A tool that looks something up about something."""
    w, rng, say = make.words, make.rng, make.say
    attribute = (
        rng.choice(_ATTRIBUTES) if rng.random() < 0.6 else f"{w.word()}{rng.choice(('', ' ' + w.word()))}"
    )
    entity = rng.choice(_ENTITIES) if rng.random() < 0.7 else w.word()
    verb = rng.choice(_LOOK_UP)
    value = rng.choice((w.name, w.place, w.word, w.code))()
    description = say(
        "{verb} the {attribute} of a {entity}",
        "{verb} the {attribute} of a {entity}",
        "{verb} the {attribute} for a [given |]{entity}",
        "{verb} a {entity}'s {attribute}",
        "{verb} the {attribute} by {entity}",
        verb=verb,
        attribute=attribute,
        entity=entity,
    )
    goal = say(
        "What is the {a} of [the {e} |]{v}?",
        "[What|Which] {a} does [the {e} |]{v} have?",
        "[Look up|Find|Get|Tell me|Give me|Show me|Find out|Check] the {a} of [the {e} |]{v}",
        "[Look up|Find|Get|Tell me|Give me|Check] {v}'s {a}",
        "[I need|I want to know|Do you know] the {a} [of|for] {v}",
        "What's the {a} for [the {e} |]{v}?",
        "{v}: what is the {a}?",
        a=attribute,
        e=entity,
        v=value,
    )
    argument = _argument(make, entity)
    reply = w.code() if rng.random() < 0.7 else w.phrase(1, 4)
    spec = ToolSpec(
        name=_name(make, (verb.split()[0], attribute, entity)),
        description=description,
        argument=argument,
        replies={value: reply},
    )
    return Invention(spec, goal, Action(spec.name, {argument: value}), reply)


def _command(make: Maker) -> Invention:
    """A tool that does something to something."""
    w, rng, say = make.words, make.rng, make.say
    verb = rng.choice(_VERBS)
    thing = rng.choice(_OBJECTS) if rng.random() < 0.7 else w.word()
    where = rng.choice(("of a {e}", "by {e}", "of the named {e}", "for a {e}", "with the given {e}"))
    entity = rng.choice(
        ("room", "name", "number", "place", "label", "person", "city", "team", "floor", "user")
    )
    value = rng.choice((w.name, w.place, w.word, w.code))()
    goal = say(
        "{verb} the {thing} {link} {v}",
        "{verb} the {thing} {link} {v}",
        "{verb} the {v} {thing}",
        "[Go and|Would you|I would like you to] {low} the {thing} {link} {v}",
        verb=verb,
        low=verb.lower(),
        thing=thing,
        v=value,
        link=rng.choice(("of", "for", "in", "named", "at")),
    )
    reply = say(
        "{thing} {v}: [done|ok|ready|set]", "[Done|OK|Ready]: {v}", "{v} [done|ok]", thing=thing, v=value
    )
    argument = _argument(make, entity)
    spec = ToolSpec(
        name=_name(make, (verb, thing)),
        description=f"{verb} the {thing} {where.format(e=entity)}",
        argument=argument,
        replies={value: reply},
    )
    return Invention(spec, goal, Action(spec.name, {argument: value}), reply)


def _name(make: Maker, parts: tuple[str, ...]) -> str:
    """A speaking name, or (often) one that says nothing, so that the description has to be read."""
    w, rng = make.words, make.rng
    if rng.random() < 0.45:
        words = [w.word() for _ in range(rng.randint(1, 2))]
    else:
        words = " ".join(parts[: rng.randint(2, len(parts))]).lower().split()
    joined = "_".join(word for word in words if word.isascii() and word.isalnum())
    return joined or f"{w.word()}_tool"


def _argument(make: Maker, entity: str) -> str:
    fixed = ("name", "query", "value", "key", "item", "id", "what", "text")
    choice = entity if make.rng.random() < 0.55 else make.rng.choice((*fixed, make.words.word()))
    return choice.replace(" ", "_") if choice.isascii() and choice.isidentifier() else "name"
