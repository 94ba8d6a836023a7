"""Goals that no tool at hand can reach: the right answer is to decline, not to pretend."""

from __future__ import annotations

import re
from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import DECLINE, Episode, Kind, Maker
from autoagent.nano.families.custom import Invention, distinct, invent

_OUT_OF_REACH = (
    "[Book|Reserve] [a flight|a train ticket|a hotel room|a taxi|a table] [to|in|for] {place}",
    "[Send|Write] [an email|an e-mail|a message|a text] to {name}[| about {word}]",
    "[Order|Buy] [a pizza|some {food}|two kilos of {food}|a new {word}][| online]",
    "[Call|Phone|Ring] {name}[| on the phone| right now]",
    "[Play|Put on] [some music|the song {word}|a film|a podcast about {word}]",
    "Translate [{word}|this sentence|the word {word}] [into|to] [French|German|Spanish|Chinese|Latin]",
    "[Draw|Paint|Sketch] [a picture|a portrait|an image] of [{name}|a {word}|{place}]",
    "What is the weather [in {place}|like today|tomorrow|like in {place}]?",
    "Who is the [president|king|mayor|prime minister] of {place}?",
    "[Tell me a joke|Sing me a song|Write a poem|Write a story] about [{name}|a {word}|{place}]",
    "[Set an alarm|Wake me|Set a timer] for {hour} o'clock",
    "[Post|Publish|Share] [a tweet|a photo|this] [on|to] [the web|social media|my blog]",
    "[Drive|Take|Bring] me to {place}",
    "[Turn|Switch] [on|off] the [lights|heating|television|radio] in the [kitchen|bedroom|office]",
    "[What is|Tell me] the [meaning of life|capital of {place}|news of today|score of the game]",
    "[Transfer|Send|Pay] {n} euros to {name}",
    "[Download|Install|Update] [the app {word}|{word} from the internet|my computer]",
    "[Take|Make] a [photo|screenshot|video] of [{name}|the {word}|my desk]",
    "[Invite|Introduce] {name} to [the meeting|{name2}|my party]",
    "How do I get [from {place} to {place2}|to {place} by train]?",
    "[Recommend|Suggest] [a book|a restaurant|a film|a gift] for {name}",
    "Why is [the sky blue|{name} late|{word} so popular]?",
    "[Fix|Debug|Rewrite] [my program|the code of {word}|the website]",
    "When does the [train|bus|shop|bank] [to {place}|in {place}] [leave|open|close]?",
    "Which [team|party|song|film] [won|is the best|is most popular] [this year|in {place}]?",
    "[Cook|Bake|Make] me [a cake|some {food}|dinner|breakfast]",
    "Do you [like|love|believe in|feel] {word}?",
    "[Explain|Teach me] [quantum physics|how to swim|the history of {place}|{word}]",
    "[Win|Play] [a game of chess|a lottery|poker] [for me|with me|against {name}]",
    "What [should|shall] I [wear|eat|cook|do] [today|tonight|in {place}]?",
    "[Water|Feed|Walk] [the plants|the dog|my cat|the {word}]",
    "[Pick up|Collect|Fetch] [my parcel|{name}|the {food}] [from|at] [the shop|{place}|the station]",
    "How [old|tall|rich|famous] is {name}?",
    "[Marry|Kiss|Hug|Follow] {name}",
    "[Predict|Forecast] [the stock market|the weather in {place}|who wins the election]",
    "[Sign|Renew|Cancel] my [contract|passport|subscription|lease][| with {word}]",
    "[Remind|Tell|Ask] {name} [to come|to call me|about the {word}]",
    "[Open|Close|Lock] the [door|window|garage|car]",
    "[Charge|Restart|Unlock|Find] my [phone|car|bike|laptop]",
    "What time [is it|does it get dark] in {place}?",
    "I [want|need] [a ride|a doctor|a lawyer|a holiday][| in {place}| to {place}]",
    "[Is|Was] {name} [at home|married|a good {word}]?",
    "[Scan|Print|Fax] [my letter|the {word}|ten copies]",
    "Show me [pictures|photos|a map|videos] of {place}",
)


def decline(make: Maker) -> Episode:
    """Out of reach of the built-in tools, or of a custom tool that happens not to be there."""
    w, rng = make.words, make.rng
    there = [invent(make) for _ in range(rng.choice((0, 0, 1, 2, 3, 5)))]
    if rng.random() < 0.4:
        goal, about = _for_another_tool(make)
        there = [each for each in there if each.about != about]
    else:
        goal = make.say(
            *_OUT_OF_REACH,
            place=w.place(),
            place2=w.place(),
            name=w.name(),
            name2=w.name(),
            word=w.word(),
            food=w.pick(_FOOD),
            hour=rng.randint(1, 12),
            n=w.number(),
        )
        there = [each for each in there if not _may_do(each, goal)]
    made = make.episode(
        goal,
        answer=lambda seen: DECLINE,
        tools=distinct([each.spec for each in there]),
        expected=Expected(declines=True),
    )
    return replace(made, declines=True)


def _for_another_tool(make: Maker) -> tuple[str, str]:
    """A goal for a custom tool that is not there, and what it is about; none that could be a note to keep."""
    while True:
        made = invent(make)
        if not made.goal.startswith(("Remember to", "Don't forget to", "Make sure to")):
            return made.goal, made.about


def _may_do(tool: Invention, goal: str) -> bool:
    """Whether a custom tool comes near what one of the goals out of reach asks for."""
    text = goal.lower()
    near = _NEAR.get(tool.about)
    return re.search(near, text) is not None if near else all(word in text for word in tool.about.split())


_NEAR = {
    "Book a room": "room|hotel|book|reserve",
    "Send a message": "send|write|tell|remind|ask|invite",
    "Schedule a meeting": "meet|invite|introduce|remind",
    "Transfer money": "euros",
    "Order food": "order|buy|pizza|cook|bake|eat|fetch|collect|pick up",
    "Find connections between two places": "train|bus|flight|how do i get|drive|bring me|take me|ride",
    "Set the brightness of a lamp": "light",
    "Set the thermostat": "heating",
    "age": "how old",
    "height": "how tall",
    "opening hours": "open|close",
    "departure time": "leave|train|bus",
    "next train": "leave|train|bus",
    "temperature": "weather",
    "author": "song|film",
}  # by what a custom tool is about: the goals that it might do
_FOOD = ["milk", "bread", "rice", "pasta", "tea", "apples", "cheese", "flour", "honey", "coffee"]


FAMILIES: dict[str, Kind] = {
    "decline": Kind(decline, 8, "refusal"),
}
