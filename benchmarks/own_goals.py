"""Three suites as users would write them for their own work; nothing like them is in the recipe's data.

``office`` and ``leisure`` are requests of people (hwu64: Liu et al., CC-BY-4.0), of intents that were held
out by hash before the first training; ``tickets`` is a group of tools that the recipe has nothing like (the
data of the weights shipped so far do, see docs/learning.md). Each has its own tools, always the same, 200
goals to learn from (split ``train``) and 200 to measure on (split ``new``), and no demonstration of any.

    python benchmarks/own_goals.py --data FOLDER          # how the embedded model does, before it learns
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoagent.evals import Argument, Expected, Suite, Task, ToolSpec, print_report, run_suite
from autoagent.models.needs import cores
from autoagent.nano.human import Request, is_held_out_intent, requests

EACH = 200  # goals of a part
Slots = Mapping[str, str]  # arguments by slot


def tool(name: str, description: str, *arguments: str) -> ToolSpec:
    """A tool that answers "Done."; its arguments are texts that may be left out."""
    texts = {each: Argument(optional=True) for each in arguments}
    return ToolSpec(name=name, description=description, arguments=texts, otherwise="Done.")


OFFICE: dict[str, tuple[ToolSpec, Slots]] = {
    "alarm_query": (tool("my_alarms", "Tell which alarms are set", "day"), {"date": "day"}),
    "calendar_query": (
        tool("my_agenda", "Look up what is in the diary", "day", "occasion"),
        {"date": "day", "event_name": "occasion"},
    ),
    "email_querycontact": (
        tool("person_details", "Find somebody's number, address or mail", "who", "what"),
        {"person": "who", "personal_info": "what"},
    ),
    "email_addcontact": (
        tool("remember_person", "Put a person into the phone book", "mail"),
        {"email_address": "mail"},
    ),
    "lists_remove": (tool("cross_off", "Strike something off a list", "which"), {"list_name": "which"}),
}
LEISURE: dict[str, tuple[ToolSpec, Slots]] = {
    "play_music": (
        tool("stereo", "Put music on", "by", "title", "style"),
        {"artist_name": "by", "song_name": "title", "music_genre": "style"},
    ),
    "recommendation_locations": (
        tool("around_here", "Suggest where to go out", "kind", "near"),
        {"business_type": "kind", "place_name": "near"},
    ),
    "audio_volume_down": (tool("softer", "Turn the loudspeaker down", "by"), {"change_amount": "by"}),
}
BESIDE = {  # tools of the same owner that nobody needs here
    "office": (tool("shred", "Destroy a paper", "paper"), tool("print_out", "Print a document", "document")),
    "leisure": (tool("lamp", "Switch the lamp", "state"), tool("heater", "Set the heating", "degrees")),
}


def people(data: Path, name: str, chosen: Mapping[str, tuple[ToolSpec, Slots]]) -> Suite:
    """A suite of requests of people, each answered by one call with the values as they stand in it."""
    found = [each for each in requests(data) if each.source == "hwu64" and each.intent in chosen]
    assert all(is_held_out_intent(each.source, each.intent) for each in found)
    tools = (*(spec for spec, _ in chosen.values()), *BESIDE[name])
    by_goal = {each.text: each for each in found if _is_plain(each)}
    tasks = [_asked(each, *chosen[each.intent], tools, name) for each in by_goal.values()]
    return Suite(name, tuple(_in_two(tasks)))


def _is_plain(request: Request) -> bool:
    """Whether no slot has two values, of which a call could hold one only."""
    names = [name for name, _ in request.slots]
    return len(names) == len(set(names))


def _asked(request: Request, spec: ToolSpec, slots: Slots, tools: tuple[ToolSpec, ...], suite: str) -> Task:
    values = {slots[name]: value for name, value in request.slots if name in slots}
    return Task(
        id=_code(request.text),
        family=f"{suite}: {spec.name}",
        goal=request.text,
        tools=tools,
        only=(),
        expected=Expected(calls=(spec.name,), arguments={spec.name: values}),
    )


def _code(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:10]


def _in_two(tasks: list[Task]) -> Iterator[Task]:
    """The first of them by hash, half to learn from and half to measure on."""
    ordered = sorted(tasks, key=lambda task: task.id)[: 2 * EACH]
    for number, task in enumerate(ordered):
        yield task.model_copy(update={"split": "new" if number % 2 else "train"})


_TICKETS = (
    ToolSpec(
        name="open_ticket",
        description="Report a fault to the service desk",
        arguments={"fault": Argument(), "room": Argument(optional=True)},
        otherwise="Ticket opened.",
    ),
    ToolSpec(
        name="close_ticket", description="Mark a ticket as settled", argument="ticket", otherwise="Closed."
    ),
    ToolSpec(
        name="hand_ticket",
        description="Give a ticket to a colleague",
        arguments={"ticket": Argument(), "colleague": Argument()},
        otherwise="Handed over.",
    ),
    ToolSpec(
        name="ticket_state", description="Say how far a ticket is", argument="ticket", otherwise="In work."
    ),
)
_WAYS: dict[str, tuple[str, ...]] = {
    "open_ticket": (
        "The {fault} in {room} is broken, tell the service desk",
        "Somebody should look at the {fault} in room {room}",
        "Please log a fault: {fault}, {room}",
        "{room}: the {fault} does not work again, report that",
        "Could you raise a ticket for the {fault} in {room}?",
        "I need the {fault} in {room} repaired, open a ticket",
    ),
    "close_ticket": (
        "Ticket {ticket} is done, close it",
        "We can tick off {ticket}",
        "{ticket} has been fixed, please mark it so",
        "Settle ticket {ticket}",
        "Nothing left to do for {ticket}, close that one",
    ),
    "hand_ticket": (
        "Let {colleague} take {ticket}",
        "Pass ticket {ticket} on to {colleague}",
        "{ticket} is one for {colleague}, hand it over",
        "{colleague} should see to {ticket} from now on",
        "Give {colleague} the ticket {ticket}",
    ),
    "ticket_state": (
        "How is {ticket} coming along?",
        "What has become of ticket {ticket}?",
        "Any news about {ticket}?",
        "Tell me where {ticket} stands",
        "Is {ticket} still being worked on?",
    ),
}
_FAULTS = "projector|coffee machine|door lock|blind|radiator|whiteboard|scanner|tap|window|socket".split("|")
_ROOMS = "B12|the canteen|C301|the lobby|A7|the workshop|D220|the archive".split("|")
_COLLEAGUES = "Nuria|Tom Baker|Ms Osei|Ravi|the caretaker|Ilse Kramer".split("|")


def tickets(data: Path | None = None) -> Suite:
    """A suite for a service desk: four tools, with goals worded in 21 ways."""
    rng = random.Random("tickets")
    tasks: dict[str, Task] = {}
    for name in itertools.cycle(_WAYS):
        if len(tasks) >= 2 * EACH:
            break
        values = {
            "fault": rng.choice(_FAULTS),
            "room": rng.choice(_ROOMS),
            "ticket": f"{rng.choice(('T', 'SD', 'INC'))}-{rng.randint(100, 9999)}",
            "colleague": rng.choice(_COLLEAGUES),
        }
        goal = rng.choice(_WAYS[name]).format(**values)
        spec = next(each for each in _TICKETS if each.name == name)
        call = {each: values[each] for each in spec.all_arguments}
        tasks[goal] = Task(
            id=_code(goal),
            family=f"tickets: {name}",
            goal=goal,
            tools=_TICKETS,
            only=(),
            expected=Expected(calls=(name,), arguments={name: call}),
        )
    return Suite("tickets", tuple(_in_two(list(tasks.values()))))


SUITES = {
    "office": lambda data: people(data, "office", OFFICE),
    "leisure": lambda data: people(data, "leisure", LEISURE),
    "tickets": tickets,
}


def main() -> int:
    from rich.console import Console

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with hwu64")
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    for make in SUITES.values():
        report = run_suite(make(options.data), model=options.model, jobs=cores())
        print_report(report, Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
