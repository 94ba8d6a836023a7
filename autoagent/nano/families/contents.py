"""What the families of files and text share: what stands in files, how it is typed, two shapes of clauses."""

from __future__ import annotations

import re
from collections.abc import Callable

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Kind, Maker, Part, Seen
from autoagent.nano.words import SHOPPING, THINGS

_ACCENTS = (
    "café|naïve|crème|jalapeño|façade|señor|über|piñata|déjà vu|São Paulo|Köln|Zoë|Müller|résumé|Århus"
    "|Łódź|fiancé|Málaga|Besançon|smörgås|Noël|tête|garçon|Čapek|Höhle|brûlée|coöp|Renée"
).split("|")
_HOSTS = "com|org|net|de|io|co.uk|info|eu|fr|app".split("|")
_UNITS = "euros|dollars|kg|people|rooms|points|minutes|pages|boxes|miles|bottles|hours".split("|")
_LINES = (
    *("{phrase}",) * 7,
    "[Call|Ring|Visit|Ask|Meet|Thank|Pay] {name}[| at {time}| on {date}| about the {thing}]",
    "{item}: {price}",
    "{item} [-|=] {price}",
    "{n} {item}",
    "[buy|get|bring|order] {n} [kg of |boxes of |]{item}",
    "[Buy|Get] {item}, {item2} and {item3}",
    "{name}'s {thing}",
    "{thing}: {code}",
    "The {thing} is {code}.",
    "[don't|Don't|never] forget the {thing}",
    "[mail|write to] {email}",
    "see {link}",
    "{date}: {phrase}",
    "{time} {phrase}",
    "{word}-{word2}[| {n}]",
    '{name} said "{word} {word2}"',
    "{accent}[| {word}| {n}]",
    "[-|*] {item}",
    "{name} [and {name2}|({place})|from {place}]",
    "{phrase}[!|?|...]",
    "{n} {unit}",
)
_FIELD = re.compile(r"\{(\w+)\}")
_BARE = re.compile(r"\w[^\"“”`;?!]*[\w€$%]")  # its end is clear without quotes

_DRAW: dict[str, Callable[[Maker], object]] = {
    "phrase": lambda make: make.words.phrase(1, 5),
    "name": lambda make: make.words.name(),
    "name2": lambda make: make.words.name(),
    "place": lambda make: make.words.place(),
    "time": lambda make: time(make),
    "date": lambda make: any_date(make),
    "thing": lambda make: thing(make),
    "item": lambda make: item(make),
    "item2": lambda make: item(make),
    "item3": lambda make: item(make),
    "price": lambda make: price(make),
    "n": lambda make: make.words.number(),
    "code": lambda make: make.words.code(),
    "email": lambda make: email(make),
    "link": lambda make: link(make),
    "word": lambda make: make.words.word(),
    "word2": lambda make: make.words.word(),
    "accent": lambda make: make.words.pick(_ACCENTS),
    "unit": lambda make: make.rng.choice(_UNITS),
}


def line(make: Maker) -> str:
    """A line of a file: words, a price, a date, an address; with capitals, punctuation, accents."""
    pattern = make.rng.choice(_LINES)
    return make.phrase(pattern, **{field: _DRAW[field](make) for field in _FIELD.findall(pattern)})


def lines(make: Maker, low: int, high: int) -> list[str]:
    """Some different lines."""
    count = make.rng.randint(low, high)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(line(make))
    return list(found)


def item(make: Maker) -> str:
    return make.words.pick(SHOPPING) if make.rng.random() < 0.6 else make.words.word()


def thing(make: Maker) -> str:
    return make.words.pick(THINGS) if make.rng.random() < 0.6 else make.words.word()


def time(make: Maker) -> str:
    return f"{make.rng.randrange(24)}:{make.rng.randrange(60):02d}"


def price(make: Maker) -> str:
    rng = make.rng
    amount = rng.choice((f"{rng.randrange(1, 200)}", f"{rng.randrange(100)}.{rng.randrange(100):02d}"))
    return rng.choice(("{} euros", "{} dollars", "${}", "€{}", "{}", "{} EUR")).format(amount)


def any_date(make: Maker) -> str:
    """A date in one of the forms the tools know."""
    rng = make.rng
    iso = make.words.date()
    year, month, day = iso.split("-")
    name = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[int(month) - 1]
    long = "January February March April May June July August September October November December".split()
    spelled = rng.choice((f"{int(day)} {name} {year}", f"{long[int(month) - 1]} {int(day)}, {year}"))
    figures = rng.choice((f"{day}.{month}.{year}", f"{int(day)}/{int(month)}/{year}"))
    return rng.choice((iso, iso, spelled, figures))


def email(make: Maker) -> str:
    w, rng = make.words, make.rng
    who = rng.choice((w.word(), f"{w.word()}.{w.word()}", f"{w.word()}{rng.randrange(1, 100)}", "info"))
    return f"{who}@{w.word()}.{rng.choice(_HOSTS)}"


def link(make: Maker) -> str:
    w, rng = make.words, make.rng
    start = rng.choice(("https://", "https://", "https://www.", "http://", "www."))
    tail = rng.choice(("", "", f"/{w.word()}", f"/{w.word()}/{rng.randrange(100)}", f"/{w.word()}.html"))
    return f"{start}{w.word()}.{rng.choice(_HOSTS)}{tail}"


def a_text(make: Maker, *, long: int = 6) -> str:
    """What a user wants written: some words, or a line as it stands in files."""
    if make.rng.random() < 0.5:
        return make.words.phrase(1, long)
    return line(make)


def typed(make: Maker, text: str, *, bare: bool = True) -> str:
    """A text as it stands in a goal: in quotes it does not hold itself, or bare where its end is clear."""
    if bare and _BARE.fullmatch(text) and make.rng.random() < 0.35:
        return text
    pairs = [pair for pair in ('""', '""', "''", "''", "“”", "``") if not set(pair) & set(text)]
    pair = make.rng.choice(pairs)
    return f"{pair[0]}{text}{pair[1]}"


def named(make: Maker, path: str) -> str:
    """A file as it stands in a goal: bare, now and then in quotes."""
    if make.rng.random() < 0.88:
        return path
    quote = make.rng.choice("'\"`'")
    return f"{quote}{path}{quote}"


def tells(
    words: str,
    *actions: Action,
    value: str,
    answer: Callable[[Seen], str] = lambda seen: seen[-1],
    because: Callable[[Seen], str] = lambda seen: "",
    parts: tuple[str, ...] = (),
) -> Clause:
    """A clause that is asked for an answer.

    Args:
        value: What the answer comes to.
        parts: Of a list: any separators between them are right, when this is the whole goal.
    """
    expected = Expected(answer=_listed(parts) if len(parts) > 1 else value)
    return Clause(words, actions, expected, answer, because, value=value)


def does(words: str, *actions: Action, files: dict[str, str | None]) -> Clause:
    """A clause that is asked for an effect on files."""
    return Clause(words, actions, Expected(files=files), tells=False)


def as_kind(part: Part, share: float, group: str) -> Kind:
    """A part as a family of its own, too."""
    return Kind(lambda make: make.whole(part(make)), share, group, part=part)


def _listed(parts: tuple[str, ...]) -> str:
    """A pattern that finds the parts in order, whatever stands between them."""
    listed = r"[\s,;]+(?:and )?".join(map(re.escape, parts))
    return rf"/(?i)(?<![\w.])(?<![,;]\s){listed}(?!\w)(?!\s*[,;]\s*\w)/"  # no less, and no more
