"""Single values in files: read off the line that holds them, and collected over files."""

from __future__ import annotations

from dataclasses import dataclass

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker, Seen
from autoagent.nano.families.contents import as_kind, does, named, tells

_FACT = (
    "What is the {k} [in|according to|given in|from] [the file |]{p}?",
    "[Read|Look in|Look into|Open|Check] {p} and [tell me|say|give me|find] the {k}",
    "[Find|Look up|Get|Dig up|Fetch|Check] the {k} in [the file |]{p}",
    "Which {k} [is|stands|is given|is noted] in {p}?",
    "According to [the file |]{p}, what is the {k}?",
    "{p} has the {k}: what is it?",
    "What does [the file |]{p} say about the {k}?",
    "[Tell|Give|Show] me the {k} [from|in] [the file |]{p}",
    "[I'd like|I want|I need] to know the {k}[, it is in|. It is in|; it's in] {p}",
    "[I need|I'm looking for|I'd like] the {k} [from|in] [the file |]{p}",
    "{k} [in|from|according to] {p}[?|]",
    "{p}: [what is the|the|which|tell me the] {k}[?|]",
    "[I wrote|I noted|I put|I have] the {k} in {p}. What is it?",
    "[The|My] file {p} [has|holds|contains] the {k}. [Tell me what it is|What is it|Look it up]",
    "In [the file |]{p}, what [is|did I note as] the {k}?",
    "[Do you know|Can you see|Can you find|Can you tell me] the {k} [from|in] {p}?",
    "[I forgot|I can't remember|I don't remember] the {k}. [It is|It's|It must be] in {p}",
    "[What was|What's] the {k} again? [It is|It's|Look] in {p}",
    "[Pull|Take|Read] the {k} [from|out of|off] [the file |]{p}",
    "[Somewhere in|In] {p} there is the {k}. [What is it|Find it|Read it out]",
    "[Use|Open|Consult] {p} to find [out |]the {k}",
    "The {k}, please: [look in|see|it is in] {p}",
    "[Someone|My boss|{n}] [wants|needs|asks for] the {k}[. It is|. It stands|: it is] in {p}",
)
_WHOSE = (
    "What is {n}'s {k} [in|according to] {p}?",
    "[Look up|Find|Get|Check] {n}'s {k} in {p}",
    "[Tell|Give] me [the {k} of {n}|{n}'s {k}] [from|in] {p}",
    "[Which|What] {k} does {n} have[,| according to| in] {p}?",
    "[I need|I'd like|I'm looking for] {n}'s {k} from {p}",
    "{n}'s {k} in {p}",
    "According to {p}, what is the {k} of {n}?",
    "{p}: {k} of {n}[?|]",
    "[Open|Read|Look into] {p} and [tell me|find] the {k} of {n}",
    "In {p}, what is {n}'s {k}?",
    "What does {p} [say about|give as] the {k} of {n}?",
    "[I forgot|I can't remember] the {k} of {n}. It is in {p}",
    "[Who|Whoever] asked: what is {n}'s {k}? [It is|Look] in {p}",
    "[See|Check|Consult|Use] {p} [for|to find] {n}'s {k}",
    "[Tell|Give|Get|Show] me {n}'s {k}[. It is|: it stands|, it is] in [the file |]{p}",
    "[Read|Pull|Take] {n}'s {k} [from|off|out of] {p}",
    "[Find|Look] in {p} what {k} {n} has",
    "[Can you find|Do you see] the {k} of {n} in {p}?",
)
_COST = (
    "[How much is|What is the price of] {k} [in|according to] {p}?",
    "[What does|How much does] {k} cost[ in|, according to|, going by] {p}?",
    "[Look up|Find|Get|Check] the price of {k} in {p}",
    "[Tell|Give] me the price of {k} [from|in] {p}",
    "According to {p}, [how much is|what does] {k}[| cost]?",
    "price of {k} in {p}",
    "{p}: [price of|how much is] {k}[?|]",
    "[I need|I'd like to know] the price of {k}[, it is in|. It is in] {p}",
    "In {p}, what is the price of {k}?",
    "[Open|Read|Look into] {p} and tell me [how much {k} is|the price of {k}|what {k} costs]",
    "What [would|will] {k} cost me[, according to| by the prices in] {p}?",
    "[What|How much] do I pay for {k}[, according to| by] {p}?",
    "[See|Check|Consult|Use] {p} [for|to find] the price of {k}",
    "[Read|Pull|Take] the price of {k} [from|off|out of] {p}",
    "[Is there a price|What price is there] for {k} in {p}?",
)


@dataclass(frozen=True)
class Fact:
    """One line of a file of facts, and how to ask for its value."""

    key: str
    value: str
    line: str


def facts(make: Maker, low: int, high: int) -> list[Fact]:
    """Facts of one file, in one style, with different keys and values."""
    rng, w = make.rng, make.words
    sign = rng.choice((": ", ": ", ": ", " = ", " is ", "=", " - ", ":"))
    start = rng.choice(("", "", "", "", "- ", "* ", "The "))
    end = "." if sign == " is " and rng.random() < 0.5 else ""
    if start == "The ":
        sign = " is "
    found: list[Fact] = []
    for _ in range(rng.randint(low, high)):
        while True:
            key, value = w.thing(), w.code()
            if not any(_alike(key, fact.key) or value == fact.value for fact in found):
                break
        shown = key[0].upper() + key[1:] if not start and rng.random() < 0.2 else key
        found.append(Fact(key, value, f"{start}{shown}{sign}{value}{end}"))
    return found


def _alike(key: str, other: str) -> bool:
    """Whether one could be taken for the other."""
    return bool(set(key.lower().split()) & set(other.lower().split()))


def read_value(make: Maker) -> Clause:
    """The value of a key: facts, what people have, or prices."""
    rng = make.rng
    make.clutter(1)
    path = make.new_file(rng.choice(("txt", "txt", "md", "cfg", "ini")))
    kind = rng.random()
    found = facts(make, 2, 5) if kind < 0.7 else _people(make) if kind < 0.85 else _prices(make)
    lines = [fact.line for fact in found]
    if rng.random() < 0.3:
        lines.insert(0, make.phrase("# {t}", "{t}:", "{t}", t=make.words.phrase(1, 2).title()))
    make.put(path, "\n".join(lines))
    fact = rng.choice(found)
    p = named(make, path)
    if kind < 0.7:
        words = make.say(*_FACT, k=fact.key, p=p, n=make.words.name())
    elif kind < 0.85:
        name, _, key = fact.key.partition("|")
        words = make.say(*_WHOSE, n=name, k=key, p=p)
    else:
        words = make.say(*_COST, k=fact.key, p=p)
    return tells(
        words,
        Action("read_file", {"path": path}),
        value=fact.value,
        answer=lambda seen: fact.value,
        because=lambda seen: fact.line,
    )


def _people(make: Maker) -> list[Fact]:
    """A list of people; the key is the name and what is listed."""
    rng, w = make.rng, make.words
    what = rng.choice(("email", "phone number", "birthday", "room", "city", "team", "desk number"))
    draw = {"email": lambda: contents.email(make), "birthday": w.date, "city": w.place, "team": w.word}.get(
        what, lambda: str(rng.randrange(100, 10**6 if "phone" in what else 1000))
    )
    sign = rng.choice((": ", ", ", " - ", "; "))
    names = list(dict.fromkeys(w.name() for _ in range(rng.randint(2, 5))))
    values = list(dict.fromkeys(draw() for _ in names))
    return [
        Fact(f"{name}|{what}", value, f"{name}{sign}{value}")
        for name, value in zip(names, values, strict=False)
    ]


def _prices(make: Maker) -> list[Fact]:
    sign = make.rng.choice((": ", " ", " - ", " = "))
    found: dict[str, Fact] = {}
    for _ in range(make.rng.randint(2, 5)):
        key, value = contents.item(make), contents.price(make)
        if all(value != fact.value for fact in found.values()):
            found.setdefault(key, Fact(key, value, f"{key}{sign}{value}"))
    return list(found.values())


_COLLECT = (
    "[Tell|Give|Show|Read|Get|Find|Fetch] me {facts}[| all together| in one go| one after the other]",
    "[What are|I need|I need to know|I'd like to know|I have to know|I want to know] {facts}",
    "[Look up|Find|Get|Collect|Gather|Check|Hunt for|Dig out] {facts}[| for me| and tell me]",
    "[Read out|Put together|Dig up|Pull together] {facts}[|, in this order|, one by one]",
    "[List|Name] {facts}",
    "{facts}[, please|: tell me]",
    "[Find out|Say|Let me know] what {facts} are",
    "[Can you tell me|Can you find|Could I have|May I have|Could I get] {facts}[| right now]?",
    "[I want|I am looking for|I would like|We need] {facts}[| in this order| together]",
    "Which values do we have for {facts}?",
    "[Open the files and|Go and|Read the files and] [get|find|collect] {facts}",
    "[In short|Briefly]: {facts}",
    "[Look into the files|Check the files|Go through the files] and [tell|give] me {facts}",
    "[I forgot|I need to look up|I am asked for|Please report|Report] {facts}",
    "[Bring|Get|Fetch|Hand] me {facts}, [in that order|one after the other|all together|in this order]",
    "[Do you know|Could you look up|Would you find|Could you tell me] {facts}?",
    "[All together|In one answer|In one go]: {facts}",
    "[One after the other|In this order|In turn], [tell|give] me {facts}",
    "[Extract|Read|Work out|Determine] {facts}[| for me| one by one| from the files]",
    "[Do me a favour|Help me] and [find|get|look up] {facts}",
    "[Have|Take] a look at the files: [what are|I need|tell me] {facts}",
    "[Could you|Can you] [tell me|give me|get me|find] {facts}?",
    "[I have to report|I must know|I am after] {facts}[| today| now]",
    "[Open|Read] what you need to and [tell|give] me {facts}",
)
_COLLECT_INTO = (
    "[Write|Put|Save|Collect] {facts} [to|into|in] [the new file |]{q}, [one per line|line by line]",
    "[Collect|Gather|Put together] {facts} [in|into] {q}, [one per line|each on its own line]",
    "[Look up|Find|Get] {facts}, and [write|save|put] them [to|into|in] {q}, one per line",
    "[Make|Create|Write] a file {q} with {facts}, [one per line|each on its own line]",
    "{q} should [list|hold|contain] {facts}, [one per line|line by line]",
    "In [a new file |]{q}, [write|list|put] {facts}, [one per line|line by line]",
    "[I need|I'd like|I want] {facts} in a new file {q}, one per line",
    "[Copy|Bring] {facts} together in {q}, [one per line|each on its own line]",
    "Into {q}, line by line: {facts}",
    "[Store|Note|Note down] {facts} in {q}, [one per line|line by line]",
    "[Take|Read] {facts} and [write|put] them line by line into {q}",
    "[Put together|Make|Compile|Build] a [list|file] {q} [of|with] {facts}, [one per line|line by line]",
    "[Record|Enter|File|Summarize] {facts} in [a new file |]{q}, [one per line|each on its own line]",
    "[Collect|Gather|Bring together] in {q}, one per line: {facts}",
    "A new file {q} [should|has to|must] [hold|list] {facts}, one per line",
    "[Read|Go through] the files and [write|put|save] {facts} [to|into] {q}, [one per line|line by line]",
    "[Look for|Find] {facts}; [write|list] them in {q}, [one per line|line by line]",
    "[Go and collect|Go and find] {facts} and [note|list] them in {q}, one per line",
    "[Write|Note] down {facts}, one per line, in {q}",
    "{q} is to hold {facts}, one per line",
)


@dataclass(frozen=True)
class _Collected:
    """One value to be read off one file."""

    path: str
    fact: Fact
    words: str


def _to_collect(make: Maker) -> list[_Collected]:
    rng = make.rng
    found: list[_Collected] = []
    for _ in range(rng.choice((2, 2, 3))):
        path = make.new_file()
        there = facts(make, 1, 3)
        make.put(path, "\n".join(fact.line for fact in there))
        fact = rng.choice(there)
        link = make.phrase("in", "from", "from", "given in") if rng.random() < 0.5 else "from"
        found.append(_Collected(path, fact, f"the {fact.key} {link} {named(make, path)}"))
    return found


def _in_words(found: list[_Collected]) -> str:
    return f"{', '.join(each.words for each in found[:-1])} and {found[-1].words}"


def collect(make: Maker) -> Clause:
    """Values from two or three files, told together."""
    found = _to_collect(make)
    values = [each.fact.value for each in found]
    return tells(
        make.say(*_COLLECT, facts=_in_words(found)),
        *(Action("read_file", {"path": each.path}) for each in found),
        value="; ".join(values),
        answer=lambda seen: "; ".join(values),
        because=lambda seen: "; ".join(each.fact.line for each in found),
        parts=tuple(values),
    )


def collect_into(make: Maker) -> Clause:
    """Values from two or three files, written into a new one."""
    found = _to_collect(make)
    path = make.new_file()
    content = "\n".join(each.fact.value for each in found)

    def because(seen: Seen) -> str:
        return "Found: " + "; ".join(each.fact.line for each in found)

    return does(
        make.say(*_COLLECT_INTO, facts=_in_words(found), q=named(make, path)),
        *(Action("read_file", {"path": each.path}) for each in found),
        Action("write_file", {"path": path, "content": content}, because),
        files={path: content},
    )


FAMILIES: dict[str, Kind] = {
    "read_value": as_kind(read_value, 7, "files"),
    "collect": as_kind(collect, 2, "files"),
    "collect_into": as_kind(collect_into, 2, "files"),
}
