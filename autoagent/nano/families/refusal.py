"""Goals that no tool at hand can reach: the right answer is to decline, not to pretend."""

from __future__ import annotations

from autoagent.evals.task import Expected
from autoagent.nano.families.base import DECLINE, Episode, Maker
from autoagent.nano.families.custom import distinct, invent

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
)


def decline(make: Maker) -> Episode:
    """Out of reach of the built-in tools, or of a custom tool that happens not to be there."""
    w, rng = make.words, make.rng
    others = [invent(make).spec for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.4:
        goal = invent(make).goal
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
    return make.episode(
        goal, answer=lambda seen: DECLINE, tools=distinct(others), expected=Expected(declines=True)
    )


_FOOD = ["milk", "bread", "rice", "pasta", "tea", "apples", "cheese", "flour", "honey", "coffee"]
