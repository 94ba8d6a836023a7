"""Text of files: count, extract, sort."""

from __future__ import annotations

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, does, named, tells, typed

_COUNT = (
    "How many {u} [are there in|are in|can be found in|stand in|do you find in] [the file |]{p}?",
    "How many {u} does [the file |]{p} [have|contain|hold|consist of|come to]?",
    "[Count|Count up|Tally|Tally up|Add up] [the|all|all the] {u} [in|of] [the file |]{p}",
    "[Tell me|Find out|Check|Work out|Determine|See|Let me know] how many {u} [there are in|are in] {p}",
    "[What is|What's|Give me|Tell me] the {one} count [of|for] [the file |]{p}",
    "{p} {one} count",
    "{p}: [how many|number of|count the|count] {u}",
    "{one} count [for|of] [the file |my file |]{p}",
    "[number|count|total|total number] of {u} in {p}",
    "[I'd like to know|I want to know|I would like to know|I wonder] how many {u} {p} [has|contains]",
    "I need the [number of {u}|{one} count] [in|of] [the file |]{p}",
    "In [the file |]{p}, how many {u} [are there|do you count|stand there]?",
    "[There is|There's|I have|We have] a file [called|named] {p}. [Count its|Tally its|Count the] {u}",
    "[Give|Get|Fetch] me the [number of|total of] {u} in [the file |]{p}",
    "What [number|total] of {u} does {p} have?",
    "[Do|Make|Run] a {one} count [on|for|of] [the file |]{p}",
    "[Open|Look at|Go through|Go over|Take] {p} and count [the|its] {u}",
    "Count how many {u} [the file |]{p} [has|contains|holds]",
    "Total {u} in [the file |]{p}?",
    "[Do you know|Any idea|Can you say|Could you say] how many {u} {p} [has|contains]?",
    "[Just|Only|Simply|Quickly] count the {u} [of|in] {p}",
    "How [long|big|large] is {p}[, counted| measured|] in {u}?",
    "[The|My] file {p}: [how many|what number of] {u} does it have?",
    "I [have to|must|need to] [know|report] how many {u} [are in|there are in] {p}",
    "The {u} [of|in] {p}: [count them|how many are there|how many]?",
)
_UNITS = {"lines": ("lines", "line"), "words": ("words", "word"), "characters": ("characters", "character")}


def _count(make: Maker, what: str) -> Clause:
    rng = make.rng
    make.clutter(1)
    path = make.new_file()
    found = contents.lines(make, 1, 4) if what != "lines" else contents.lines(make, 1, 8)
    text = "\n".join(found)
    make.put(path, text)
    many, one = _UNITS[what]
    if what == "lines" and rng.random() < 0.15:
        many, one = rng.choice((("rows", "row"), ("entries", "entry"), ("text lines", "line")))
    words = make.say(*_COUNT, u=many, one=one, p=named(make, path))
    value = {"lines": len(found), "words": len(text.split()), "characters": len(text)}[what]
    return tells(words, Action("count_text", {"path": path, "what": what}), value=str(value))


def count_lines(make: Maker) -> Clause:
    return _count(make, "lines")


def count_words(make: Maker) -> Clause:
    return _count(make, "words")


def count_characters(make: Maker) -> Clause:
    return _count(make, "characters")


_MATCHES = (
    "How [often|many times] does {t} [appear|occur|stand|come up|show up] in [the file |]{p}?",
    "How [often|many times] is {t} [in|mentioned in|found in|written in] [the file |]{p}?",
    "[Count|Tally|Tally up] how [often|many times] {t} [appears|occurs|stands|is] in {p}",
    "[Tell me|Find out|Check|Say|See|Determine] how [often|many times] {t} [appears|occurs|comes up] in {p}",
    "[Count|Tally|Number] [the|all|all the] [occurrences|mentions|instances|appearances] of {t} in {p}",
    "What is the [number|count] of [occurrences|mentions|times] of {t} in {p}?",
    "How many [occurrences|mentions|instances] of {t} [are there in|does|are in] {p}[| have]?",
    "[number|count] of [times|mentions of|occurrences of] {t} in {p}",
    "[count|occurrences of|mentions of] {t} in {p}[|: how many]",
    "[I'd like to know|I want to know|I wonder] how [often|many times] {p} [mentions|has|contains] {t}",
    "How [often|many times] does {p} [mention|say|contain|use|have] [the word |the text |]{t}?",
    "In [the file |]{p}, how [often|many times] [does {t} occur|is {t} used|do you see {t}]?",
    "[The word|The text] {t} in {p}: how [often|many times] [is it there|does it occur]?",
    "[Look at|Go through|Search|Take|Open] {p} and count how [often|many times] {t} [occurs|is there]",
    "[Get|Give] me [a count of|the number of times for|the frequency of] {t} in {p}",
    "{p}: how [often|many times] {t}?",
    "[There is|There's] a file {p}. How many times does [it mention|it say|it contain] {t}?",
    "[Do you know|Any idea|Can you say] how [often|many times] {t} [occurs|appears] in {p}?",
    "[What is|What's|Tell me] the frequency of [the word |]{t} in [the file |]{p}",
    "I need [a count of|the number of] {t} in {p}[, how many times is it there|, count it]",
    "How frequently [does {t} come up|is {t} used|is {t} mentioned] in {p}?",
    "[frequency|tally] of {t} in [the file |]{p}",
)


def count_matches(make: Maker) -> Clause:
    rng, w = make.rng, make.words
    make.clutter(1)
    path = make.new_file()
    while True:
        text = contents.item(make) if rng.random() < 0.7 else w.name()
        found = contents.lines(make, 1, 4)
        times = rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 5))
        for _ in range(times):
            place = rng.randrange(len(found))
            parts = found[place].split(" ")
            parts.insert(rng.randint(0, len(parts)), text)
            found[place] = " ".join(parts)
        whole = "\n".join(found)
        if whole.lower().count(text.lower()) == times and len(text) > 2:
            break
    make.put(path, whole)
    words = make.say(*_MATCHES, t=typed(make, text), p=named(make, path))
    return tells(words, Action("count_matches", {"path": path, "text": text}), value=str(times))


_EXTRACT = (
    "[Extract|Pull|Get|Take|Grab|Pick|Fish] [the|all|all the|every one of the] {k} [from|out of] {p}",
    "[List|Show|Give|Collect|Gather|Name] [the|all|all the] {k} [in|from|found in|mentioned in] {p}",
    "[Which|What] {k} [are|stand|are there|can be found|are mentioned] in [the file |]{p}?",
    "[Which|What] {k} does [the file |]{p} [contain|mention|have|hold|list|include]?",
    "[Find|Look up|Search for|Dig up|Dig out|Hunt for] [the|all|all the|any] {k} in [the file |]{p}",
    "[Show|Give|Get|Tell|Fetch] me [the|all|all the] {k} [from|in|of] [the file |]{p}",
    "[Pull|Take|Pick|Fish|Copy] out the {k} [from|of|in] {p}",
    "[I need|I want|I'd like|I would like] [the|all|all the] {k} [from|in|out of|that are in] {p}",
    "{p}: [all|list the|which|what] {k}",
    "{k} [in|from] [the file |]{p}[|, all of them|, please list them]",
    "[all|all the] {k} [in|from|of] [the file |]{p}",
    "In [the file |]{p} there are some {k}. [List|Extract|Collect|Show] them",
    "[Go through|Look through|Scan|Comb through] {p} [and list|and extract|for] [the|all|all the] {k}",
    "[I'd like to know|Tell me|Let me know|I want to know] [which|what] {k} [are|stand] in {p}",
    "Are there any {k} in {p}? [List|Extract|Show] them",
    "[Make|Give me|Create] a list of [the|all|all the] {k} [in|from] {p}",
    "[Can I have|May I see|Can I get|Could I get] [the|all the] {k} [from|in|of] {p}?",
    "From {p}, [extract|pull|list|collect|get] [the|all|all the] {k}",
    "[There is|There's|I have] a file [called|named] {p}. [Extract|Pull out|List] its {k}",
    "What are the {k} [in|of|mentioned in] [the file |]{p}?",
    "[Every one|Every single one] of the {k} in {p}[, list them|, extract them|]",
    "extract {k} {p}",
    "[Filter|Sift|Strip] [the|all] {k} out of [the file |]{p}",
)
_KINDS = {
    "emails": ("emails", "e-mails", "email addresses", "e-mail addresses", "mail addresses", "emails"),
    "numbers": ("numbers",),
    "dates": ("dates", "dates", "dates", "calendar dates"),
    "links": ("links", "links", "URLs", "web addresses", "urls", "web links"),
}
_HOLDING = {
    "emails": ("mail {v}", "{name}: {v}", "{v}", "[write|send it] to {v}", "{name} <{v}>", "ask {v}, {word}"),
    "numbers": ("{v} {item}", "{item}: {v}", "{word} {v} {word2}", "{v}", "we need {v} more", "{item} ({v})"),
    "dates": ("{v}: {word}", "{word} on {v}", "[due|from|until] {v}", "{v} {word}", "{name}, born {v}"),
    "links": ("see {v}", "{word}: {v}", "{v}", "[more at|source:] {v}", "{name} sent {v}"),
}


def extract(make: Maker) -> Clause:
    rng, w = make.rng, make.words
    make.clutter(1)
    path = make.new_file()
    kind = rng.choice(list(_KINDS))
    values = list(dict.fromkeys(_value(make, kind) for _ in range(rng.choice((1, 2, 2, 3, 3, 4)))))
    holding = [
        make.phrase(
            *_HOLDING[kind], v=value, name=w.name(), word=w.word(), word2=w.word(), item=contents.item(make)
        )
        for value in values
    ]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        holding.insert(rng.randint(0, len(holding)), _plain(make))
    make.put(path, "\n".join(holding))
    words = make.say(*_EXTRACT, k=rng.choice(_KINDS[kind]), p=named(make, path))
    call = Action("extract_text", {"path": path, "kind": kind})
    return tells(
        words,
        call,
        value=", ".join(values),
        answer=lambda seen: seen[-1].replace("\n", ", "),
        parts=tuple(values),
    )


def _value(make: Maker, kind: str) -> str:
    if kind == "numbers":
        return str(make.words.number() if make.rng.random() < 0.75 else make.words.decimal())
    return {"emails": contents.email, "dates": contents.any_date, "links": contents.link}[kind](make)


def _plain(make: Maker) -> str:
    """A line without anything that could be extracted."""
    return " ".join(make.words.word() for _ in range(make.rng.randint(1, 4)))


_SORT = (
    "[Sort|Order|Arrange] [the lines of |the lines in |the file |]{p}[| alphabetically| by line]{d}",
    "[Sort|Order|Put] the [lines|entries|rows] [of|in] [the file |]{p} in {o} order",
    "[Put|Bring|Get|Place] [the lines of|the entries of|the lines in] {p} [in|into] {o} order",
    "[Alphabetize|Alphabetise|Sort] [the file |the lines of |]{p}{d}",
    "Make [the lines of|the entries of] {p} [be|stand] in {o} order",
    "[I want|I'd like|I need] the lines of {p} [sorted|in order|ordered]{d}",
    "[I want|I'd like|I need] {p} [sorted|ordered] line by line{d}",
    "{p}: [sort|sort the|order the|arrange the] lines{d}",
    "sort {p}{d}",
    "[Rearrange|Reorder|Re-order] [the lines of |the lines in |]{p} in {o} order",
    "In [the file |]{p}, [sort|order|arrange] the lines{d}",
    "The lines [of|in] {p} [are in no order|are mixed up|are a mess]. Sort them{d}",
    "[Could the lines of|Can the lines of|Should the lines of] {p} be sorted{d}? [Do it|Please do that]",
    "[There is|There's] a [list|file] [called|named] {p}. [Sort it|Sort its lines|Order its lines]{d}",
    "[Give|Bring] [some |]order to [the lines of|the list in] {p}: sort [it|them]{d}",
    "[Tidy up|Clean up|Straighten out] {p} by sorting its lines{d}",
    "The lines of {p} should be [sorted|in {o} order|arranged]{d}",
    "[Do|Run] a sort of [the lines in |]{p}{d}",
    "[Run|Do|Perform] a {o} sort on [the lines of |]{p}",
    "[Line up|Arrange] [the entries|the lines|everything] in {p} in {o} order",
    "Sort [everything|what is|all lines|the list] in {p}{d}",
    "Have [the lines of |]{p} sorted{d}",
)


def sort_lines(make: Maker) -> Clause:
    rng, w = make.rng, make.words
    make.clutter(1)
    path = make.new_file()
    draw = rng.choice((lambda: contents.item(make), w.name, w.word, lambda: w.phrase(1, 3), w.number, w.date))
    found = list(
        {str(each).casefold(): str(each) for each in (draw() for _ in range(rng.randint(3, 6)))}.values()
    )
    down = rng.random() < 0.3
    figures = all(each.isdecimal() for each in found)
    if figures:
        ordered = sorted(found, key=int, reverse=down)
    else:
        ordered = sorted(found, key=str.casefold, reverse=down)
    if ordered == found:
        return sort_lines(make)
    make.put(path, "\n".join(found))
    d = rng.choice((" descending", " in descending order", " backwards", " in reverse") if down else ("",))
    up = ("ascending", "ascending", "rising") if figures else ("alphabetical", "ascending", "rising")
    o = rng.choice(("descending", "reverse") if down else up)
    words = make.say(*_SORT, p=named(make, path), d=d, o=o)
    arguments = {"path": path, **({"order": "descending"} if down else {})}
    return does(words, Action("sort_lines", arguments), files={path: "\n".join(ordered)})


FAMILIES: dict[str, Kind] = {
    "count_lines": as_kind(count_lines, 2, "text"),
    "count_words": as_kind(count_words, 2, "text"),
    "count_characters": as_kind(count_characters, 1, "text"),
    "count_matches": as_kind(count_matches, 2.5, "text"),
    "extract": as_kind(extract, 3, "text"),
    "sort_lines": as_kind(sort_lines, 2, "text"),
}
