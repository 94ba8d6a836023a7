"""Reading files: all of one, some lines, one value, several together; comparing two."""

from __future__ import annotations

import json
from typing import Any

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, named, tells

_READ = (
    "[Read|Show me|Open|Print|Display|View|Cat] [the file |my file |]{p}",
    "What [does|did] [the file |my file |]{p} say?",
    "What [is|stands|is written|is there] in [the file |my file |]{p}?",
    "[Read|Open|Look at] {p} and tell me what [it says|is in it|is written there|you find]",
    "[Tell me|Say|Let me know|Find out] what [is|is written|stands] in {p}",
    "[Show|Give|Print|Get|Fetch] me the [content|contents|text|whole text] of {p}",
    "What are the contents of [the file |]{p}?",
    "What's in [the file |]{p}?",
    "[Peek|Look|Have a look|Take a look] [at|into|in] {p}. What [does it say|is there]?",
    "[I'd like|I want|I would like|I need] to [see|read|know] what {p} [says|contains|holds]",
    "[I'd like|I want|I need] to [see|read] [the file |]{p}",
    "[content|contents|text] of {p}",
    "{p}[|: read it|: show it|: what does it say?|, read it to me]",
    "[cat|read|show|print|open] {p}",
    "[Read|Recite|Quote] {p} [to me|out loud|aloud|word for word]",
    "[There is|There's|I have] a file [called|named] {p}. [Read it|What does it say|Show it to me]",
    "[Can I see|May I see|Could I read|Can I read] [what is in |]{p}?",
    "[Do you know|Can you see|Could you say] what {p} [says|contains]?",
    "[Someone|{name}] [left|sent|wrote] me {p}. What does it say?",
    "The [text|content|contents] of {p}, [word for word|please|in full]",
    "[Open up|Pull up|Bring up] [the file |]{p}[| for me to read]",
    "[I forgot|I can't remember] what {p} says. [Read it|Tell me]",
    "[Let me|I want to] [see|read] [the file |my file |]{p}",
    "[Go and|Please do] read [me |]{p}",
    "[Everything|All|All that is] in {p}, [word for word|read it out]",
    "[Type|Write|Give|Spell] out [what is in |the text of |the content of |]{p}",
    "[What have I|What did I|What did we] [written|write|put|note] in {p}?",
    "The file {p}: [what is in it|what does it say|let me see it]?",
    "[Let me know|Tell me] [everything|all] that is in {p}",
    "[What|Whatever] does it say in {p}?",
)


def read_all(make: Maker) -> Clause:
    make.clutter(2)
    path = make.new_file()
    found = contents.lines(make, 1, 1) if make.rng.random() < 0.6 else contents.lines(make, 2, 4)
    text = "\n".join(found)
    make.put(path, text)
    words = make.say(*_READ, p=named(make, path), name=make.words.name())
    return tells(words, Action("read_file", {"path": path}), value=text)


_LINE_RANGE = (
    "[Show|Print|Give|Read|Display] [me |]lines {a} to {b} of [the file |]{p}",
    "[Show|Print|Give|Read] [me |]lines {a}-{b} [of|from|in] {p}",
    "What [do|are] lines {a} [to|through] {b} of {p}[| say]?",
    "What [stands|is written|is] in lines {a} to {b} of [the file |]{p}?",
    "lines {a} to {b} of {p}",
    "{p} lines {a}-{b}",
    "{p}: [show|print|read] lines {a} to {b}",
    "[I'd like|I want|I need] [to see |to read |]lines {a} to {b} of {p}",
    "[From|In] {p}, [show|print|read|give me] lines {a} to {b}",
    "[Only|Just] [show|print|read] lines {a} to {b} of [the file |]{p}",
    "[Open|Look at|Take] {p} and [show|read] [me |]lines {a} to {b}",
    "[Show|Print|Read] [the part|the piece] of {p} from line {a} to line {b}",
    "[Show|Display|Print] {p} from line {a} to [line |]{b}",
    "[Can I see|May I see|Could I see] lines {a} to {b} of {p}?",
    "[There is|There's] a file {p}. [Show|Read|Print] lines {a} to {b}",
    "[Tell me|Say] what lines {a} to {b} of {p} say",
    "[Pull|Get|Fetch] lines {a} through {b} [of|from] {p}",
    "[The lines|Lines] from {a} to {b} of {p}, [show them|read them]",
    "What is between line {a} and line {b} [of|in] {p}?",
    "[Which|What] text [is|stands] [on|in] lines {a} to {b} of {p}?",
    "[Quote|Copy out|Type out|Recite] lines {a} to {b} of [the file |]{p}",
)
_ONE_LINE = (
    "What [is|stands|is written] [in|on] line {a} of [the file |]{p}?",
    "What does line {a} of [the file |]{p} say?",
    "[Show|Print|Read|Give|Tell] me line {a} of [the file |]{p}",
    "[Show|Print|Read|Display] line {a} of [the file |]{p}",
    "[Show|Print|Read|Tell] me the {o} line of [the file |]{p}",
    "What is the {o} line [of|in] [the file |]{p}?",
    "line {a} of {p}",
    "{p} line {a}",
    "{p}: [what is|show|read] line {a}",
    "[I'd like|I want|I need] [to see |to read |]line {a} of {p}",
    "[From|In] {p}, [read|show|tell me|what is] line {a}",
    "[Just|Only] [show|read|print] the {o} line of {p}",
    "[Open|Look at|Take] {p} and read line {a}[| to me]",
    "[There is|There's] a file {p}. [What is|Read|Show me] its {o} line",
    "[Can I see|May I see|Could I see] line {a} of {p}?",
    "[Tell me|Say|Let me know] what [is|stands] [in|on] line {a} of {p}",
    "The {o} line of {p}[, please|: what does it say?]",
    "[Do you know|Can you say] what the {o} line of {p} says?",
    "[Look up|Fetch|Get|Pull|Copy out] line {a} of [the file |]{p}",
    "[Which|What] text [is|stands] [on|in] line {a} of {p}?",
    "The line [with number|number] {a} [in|of] {p}: [what is it|read it|show it]",
    "How does line {a} of {p} [read|go]?",
)
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()


def show_lines(make: Maker) -> Clause:
    """A range of lines, or one line by its number."""
    rng = make.rng
    path = make.new_file()
    found = contents.lines(make, 3, 7)
    make.put(path, "\n".join(found))
    first = rng.randint(1, len(found))
    last = rng.randint(first, len(found)) if rng.random() < 0.5 else first
    call = Action("show_lines", {"path": path, "first": first, "last": last})
    if first == last:
        words = make.say(*_ONE_LINE, a=first, o=_ORDINALS[first - 1], p=named(make, path))
        return tells(words, call, value=found[first - 1], answer=lambda seen: seen[-1].split(": ", 1)[1])
    words = make.say(*_LINE_RANGE, a=first, b=last, p=named(make, path))
    shown = "\n".join(f"{number}: {found[number - 1]}" for number in range(first, last + 1))
    return tells(words, call, value=shown)


_LAST = (
    "What is the last line [of|in] [the file |]{p}?",
    "[Show|Print|Read|Tell|Give] me the last line of [the file |]{p}",
    "[Read|Print|Show] the last line [of|in] {p}",
    "last line of {p}",
    "What does the last line of {p} say?",
    "How does [the file |]{p} end? [Read the last line|Tell me its last line]",
    "[I'd like|I want|I need] [to see |to read |]the last line of {p}",
    "{p}: [what is the |the |]last line",
    "[Open|Look at|Take] {p} and [tell me|read] the last line",
    "In {p}, what [is|stands in] the last line?",
    "[Tell me|Say|Find out] what [is|stands] [in|on] the last line of {p}",
    "With which line does {p} [end|close]?",
    "Which line is the last [one |]in {p}?",
    "[What is|What's] at the [very |]end of {p}, [in|on] the last line?",
    "[What|Which] [text|sentence] [is|stands] in the last line of {p}?",
    "[Quote|Fetch|Get|Copy out] the last line of [the file |my file |]{p}",
    "[Just|Only] the last line of {p}[|, please]",
    "The last line of {p}: [what is it|read it|show it to me]",
    "[I want to know|I'd like to know] what the last line of {p} [is|says]",
    "[Can I see|Could you read|May I see] the last line of {p}?",
)


def last_line(make: Maker) -> Clause:
    path = make.new_file()
    found = contents.lines(make, 2, 5)
    make.put(path, "\n".join(found))
    words = make.say(*_LAST, p=named(make, path))
    return tells(
        words,
        Action("read_file", {"path": path}),
        value=found[-1],
        answer=lambda seen: seen[-1].splitlines()[-1],
    )


_COMPARE = (
    "[Compare|Diff] [the files |]{p} [and|with|to] {q}",
    "Are [the files |]{p} and {q} [the same|identical|equal|alike]?",
    "What is [different|the difference] between {p} and {q}?",
    "[Do|Where do|How do] [the files |]{p} and {q} differ?",
    "[Tell me|Find|Find out|Show|Show me] [how|where|in what|whether] {p} and {q} differ",
    "Is {p} [the same as|identical to|different from] {q}?",
    "difference between {p} and {q}",
    "[diff|compare] {p} {q}",
    "{p} [vs|versus|against] {q}: [what differs|any difference|compare]",
    "[What are|Show me|Tell me|Find|List] the differences between [the files |]{p} and {q}",
    "[Check|See|Test|Verify] [if|whether] {p} and {q} [are the same|are identical|differ|are equal]",
    "[I'd like to know|I want to know|I wonder] [if|whether|how] {p} and {q} differ",
    "[There are|I have] two files, {p} and {q}. [Compare them|Are they the same|How do they differ]",
    "[Put|Hold] {p} [next to|beside|against] {q} and [tell me|say] what differs",
    "[Look at|Take|Read] {p} and {q}: [are they the same|what is the difference|do they differ]?",
    "Does {p} [have|hold|contain] the same text as {q}?",
    "What has changed [between|from] {p} [and|to] {q}?",
    "[Do you see|Is there|Are there] any difference[|s] between {p} and {q}?",
    "Spot the [difference|differences] between {p} and {q}",
    "[Do|Make|Run] a [comparison|diff|line by line comparison] of [the files |]{p} [and|with] {q}",
    "In what [way|respect|lines] [do {p} and {q} differ|is {p} different from {q}]?",
    "[Are there lines|Is there anything] in {p} that is not in {q}, or the other way round?",
    "[Is|Has] {p} [still|really] [the same as|identical to] {q}?",
    "[Tell|Show] me [whether|if|how] {p} is [different from|the same as] {q}",
)


def compare(make: Maker) -> Clause:
    rng = make.rng
    first, second = make.new_file(), make.new_file()
    one = contents.lines(make, 1, 4)
    two = list(one)
    value = "They are the same."
    if rng.random() < 0.65:
        place = rng.randrange(len(one))
        fresh = contents.line(make)
        kind = rng.choice(("changed", "changed", "more", "less")) if len(one) > 1 else "changed"
        if fresh in one:
            return compare(make)
        only = []
        if kind != "more":
            only.append(f"Only in {first}: {one[place]}")
            del two[place]
        if kind != "less":
            only.append(f"Only in {second}: {fresh}")
            two.insert(place, fresh)
        value = "\n".join(only)
    make.put(first, "\n".join(one))
    make.put(second, "\n".join(two))
    words = make.say(*_COMPARE, p=named(make, first), q=named(make, second))
    return tells(words, Action("compare_files", {"first": first, "second": second}), value=value)


_BOTH = (
    "What do {files} say?",
    "[Read|Show me|Open|Print] {files}",
    "[Read|Open|Look at] {files} and tell me what they say",
    "What is [written |noted |]in {files}?",
    "[Tell me|Say|Let me know] what [is in|stands in] {files}",
    "[Show|Give] me the [contents|text|texts] of {files}",
    "[I'd like|I want|I need] to [know what is in|read|see] {files}",
    "[Put together|Collect|Gather|Report|Tell me] what {files} say[| to me]",
    "[contents|texts] of {files}",
    "[Go through|Read through] {files} and [tell|give] me their [text|contents], in [that|this] order",
    "[There are|I have] the files {files}. [Read them|What do they say]",
    "{files}: [what do they say?|read them all|read them]",
    "[Can I see|May I read] what is in {files}?",
    "What do [the files |my files |]{files} [contain|hold|have in them]?",
    "First to last, [read|show] {files}",
    "[Open|Read|Show|Print|Display|View] [the files |my files |the texts |]{files}[| one by one]",
    "[Give|Tell|Show|Read] me [the whole text|the contents|everything] [of|in] {files}, one after the other",
    "[What|Which texts] [did I put|did I write|do I have] in {files}?",
    "[Look|Peek|Have a look] into {files} and [say|tell me] what [they say|is there|you find]",
    "[One after the other|One by one|In this order], [read|show me|print|open|give me] {files}",
    "[The text|The contents|What is] in {files}, [one by one|in that order|in a row]",
)


def read_several(make: Maker) -> Clause:
    """Two or three files one after another, and what they say together."""
    rng = make.rng
    paths: list[str] = []
    texts = []
    for _ in range(rng.choice((2, 2, 3))):
        paths.append(make.new_file())
        texts.append(contents.line(make))
        make.put(paths[-1], texts[-1])
    shown = [named(make, path) for path in paths]
    files = f"{', '.join(shown[:-1])} and {shown[-1]}"
    return tells(
        make.say(*_BOTH, files=files),
        *(Action("read_file", {"path": path}) for path in paths),
        value="; ".join(texts),
        answer=lambda seen: "; ".join(seen),
        parts=tuple(texts),
    )


_JSON = (
    "What is [the value of |]{k} in {p}?",
    "[Look up|Get|Read|Find|Fetch|Check] [the value of |]{k} in {p}",
    "[Tell me|Show me|Give me|Print] [the value of |]{k} [from|in] [the JSON file |the config |]{p}",
    "[Which|What] value does {k} have in {p}?",
    "[I need|I'd like to know|I want to know] [the value of |]{k} in {p}",
    "What does {p} [say about|have for|give for] {k}?",
    "In {p}, what is {k}?",
    "{p}: [what is|value of|look up] {k}",
    "value of {k} in {p}",
    "[What is|What's] {k} [set to|configured as] in {p}?",
    "[There is|There's] a JSON file {p}. What is {k}[| in it]?",
    "According to {p}, what is {k}?",
    "[Open|Look into|Look at|Read] {p} and [tell me|say|give me] {k}",
    "How is {k} set in {p}?",
    "[Do you know|Can you see|Can you tell me] {k} from {p}?",
    "[From|Out of] {p}, [get|read|take] [the value of |]{k}",
    "[json|config] value {k} {p}",
    "[In|From] the [JSON|config|settings] file {p}, [what is|look up|read|get|give me] {k}",
    "[Look|Peek|Go] into {p} and [find|read|look up|get] [the value of |]{k}",
    "[Pull|Dig|Take|Read] {k} out of [the JSON |the JSON file |]{p}",
    "[Which|What] [setting|entry|value] [does {p} have|is there in {p}|stands in {p}] for {k}?",
    "[The value of |]{k} in the JSON [file |]{p}",
    "JSON file {p}: [what is|read|look up|I need] {k}",
)
_KEYS = (
    "port|host|name|level|size|color|mode|path|limit|user|title|version|id|email|age|city|price|speed"
    "|width|height|timeout|language|theme|status|owner|label|count|rate|score|region|model|unit"
).split("|")
_GROUPS = "server|database|window|user|account|logging|cache|camera|printer|network|project|team|app".split(
    "|"
)
_LISTS = "users|servers|items|books|rooms|cars|tasks|players|songs|orders|sensors|people".split("|")


def json_value(make: Maker) -> Clause:
    """A value of a JSON file: at the top, in a group, or of one of a list."""
    rng, w = make.rng, make.words
    path = make.new_file("json")
    keys = list(dict.fromkeys(_json_key(make) for _ in range(rng.randint(2, 3))))
    kind = rng.choice(("top", "group", "group", "list"))
    key = rng.choice(keys)
    document: dict[str, Any] = {each: _json_leaf(make) for each in keys}
    if kind == "top":
        value, where = document[key], key
        said = [key, f"the {key}", f"the {key}"]
    elif kind == "group":
        group = w.pick(_GROUPS) if rng.random() < 0.7 else w.word()
        value, where = document[key], f"{group}.{key}"
        said = [where, f"the {key} of the {group}", f"the {group} {key}", f"the {key} of {group}"]
        document = {_json_key(make): _json_leaf(make), group: document}
    else:
        name = w.pick(_LISTS)
        rows = [{each: _json_leaf(make) for each in keys} for _ in range(rng.randint(2, 3))]
        place = rng.randrange(len(rows))
        value, where = rows[place][key], f"{name}[{place}].{key}"
        said = [where, where, f"the {key} of {name}[{place}]"]
        document = {name: rows}
    text = json.dumps(document, ensure_ascii=False, indent=rng.choice((None, None, 1)))
    make.put(path, text)
    shown = value if isinstance(value, str) else json.dumps(value)
    words = make.say(*_JSON, k=rng.choice(said), p=named(make, path))
    return tells(words, Action("json_value", {"path": path, "key": where}), value=shown)


def _json_key(make: Maker) -> str:
    return make.words.pick(_KEYS) if make.rng.random() < 0.7 else make.words.word()


def _json_leaf(make: Maker) -> Any:
    w, rng = make.words, make.rng
    return rng.choice((w.word, w.name, w.number, w.number, w.code, lambda: rng.random() < 0.5))()


FAMILIES: dict[str, Kind] = {
    "read_all": as_kind(read_all, 4, "files"),
    "show_lines": as_kind(show_lines, 2.5, "files"),
    "last_line": as_kind(last_line, 1, "files"),
    "compare": as_kind(compare, 2, "files"),
    "read_several": as_kind(read_several, 2, "files"),
    "json_value": as_kind(json_value, 2, "tables"),
}
