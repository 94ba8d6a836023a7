"""Templates: placeholders of a file filled in, by values that the goal gives or another file holds."""

from __future__ import annotations

from collections.abc import Callable

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker, Seen
from autoagent.nano.families.contents import as_kind, does, named

_LETTERS = (
    "Dear {a},\nyour {thing} is {b}.",
    "Hello {a},\nsee you in {b}.",
    "To: {a}\nAbout: {b}",
    "{a} lives in {b}.",
    "Invoice for {a}\nTotal: {b}",
    "Name: {a}\n{Thing}: {b}",
    "The meeting with {a} is at {b}.",
    "Thank you, {a}!\nWe got your {b}.",
    "{a} has ordered {b}.",
    "Team: {a}\nRoom: {b}\n{phrase}",
    "{phrase}\n{a}, {b}",
)
_FIELDS = (
    "name|city|date|time|room|price|total|order|title|place|guest|team|product|code|number|street".split("|")
)
_STYLES = ("{{{}}}", "{{{}}}", "<{}>", "[{}]", "{{{{{}}}}}", "${}", "%{}%", "__{}__")
_FILL = (
    "[Fill in|Fill out|Complete|Fill] [the template |the form |]{p}: {facts}",
    "[Fill in|Fill out|Complete|Fill] [the template |the form |]{p} with {facts}",
    "[Use|Take] the template {p} and [fill in|put in|insert] {facts}",
    "In the template {p}, [fill in|set|put] {facts}",
    "{p} is a template: [fill in|insert|put in] {facts}",
    "[Insert|Put|Enter] {facts} [into|in] the [template|placeholders of|blanks of] {p}",
    "Replace the placeholders in {p}: {facts}",
    "[I need|I'd like|I want] the template {p} [filled in|filled out|completed] with {facts}",
    "[There is|There's|I have] a template [called|named|in] {p}. [Fill it in|Fill it|Complete it]: {facts}",
    "Fill the [gaps|blanks|placeholders] [in|of] {p}: {facts}",
    "template {p}, fill in: {facts}",
    "The placeholders in {p} [are|mean|stand for] {facts}. Fill them in",
    "[Personalize|Personalise] the template {p} with {facts}",
    "[Make|Let] the template {p} [say|have|use] {facts}",
    "[Where it has placeholders|For the placeholders], {p} gets {facts}",
    "[Complete|Finish|Fill in] {p}[, which is a template|, my template|, the form]: {facts}",
    "[Here are|These are] the values for the template {p}: {facts}. [Fill them in|Insert them]",
)
_FILL_FROM = (
    "[Fill in|Fill out|Complete|Fill] the template {p} [with the values from|with what is in|from] {q}",
    "[Take|Get|Read] the values from {q} and fill in the template {p}",
    "[Use|Take] the [facts|values|data] in {q} to [fill in|complete] the template {p}",
    "The values for the template {p} are in {q}. Fill [it|them] in",
    "[Insert|Put] the [values|facts|data] from {q} [into|in] the template {p}",
    "Replace the placeholders in {p} by the values [in|from] {q}",
    "{p} is a template, {q} has the values: [fill it in|complete it]",
    "Fill the placeholders [in|of] {p} with the values [from|in] {q}",
    "With [the values from |the data in |]{q}, [fill in|complete] the template {p}",
    "template {p}, values in {q}: fill it in",
    "[Look up|Read] the values in {q}, then [fill in|complete] the template {p}",
    "The [placeholders|gaps|blanks] in {p} [should|must] be filled [from|by what is in] {q}",
    "[Read|Open] {q} and [fill|put|insert] its values [into|in] the template {p}",
    "[Complete|Fill in|Personalize] {p} [by means of|with the help of|using] {q}",
)


def _says(text: str) -> Callable[[Seen], str]:
    return lambda seen: text


def fill_template(make: Maker) -> Clause:
    """Placeholders replaced one by one, by values that the goal gives or another file holds."""
    w, rng = make.words, make.rng
    path = make.new_file()
    keys = rng.sample(_FIELDS, rng.choice((1, 2, 2)))
    values = [rng.choice((w.name, w.code, w.place, w.word))() for _ in keys]
    style = rng.choice(_STYLES)
    marks = [style.format(key.upper() if rng.random() < 0.2 else key) for key in keys]
    thing = contents.thing(make)
    text = rng.choice(_LETTERS).format(
        a=marks[0],
        b=(marks[1:] or [w.word()])[0],
        thing=thing,
        Thing=thing.capitalize(),
        phrase=w.phrase(1, 4),
    )
    filled = text
    for mark, value in zip(marks, values, strict=True):
        filled = filled.replace(mark, value)
    if any(mark in value for mark in marks for value in values) or text.count(marks[0]) != 1:
        return fill_template(make)
    make.put(path, text)
    steps = [Action("read_file", {"path": path})]
    if rng.random() < 0.4:
        source = make.new_file()
        rows = [f"{key}: {value}" for key, value in zip(keys, values, strict=True)]
        rng.shuffle(rows)
        make.put(source, "\n".join(rows))
        words = make.say(*_FILL_FROM, p=named(make, path), q=named(make, source))
        steps.insert(0, Action("read_file", {"path": source}))
    else:
        sign = rng.choice((" is ", " is ", " = ", ": ", " "))
        given = [f"{key}{sign}{value}" for key, value in zip(keys, values, strict=True)]
        rng.shuffle(given)
        words = make.say(*_FILL, p=named(make, path), facts=rng.choice((", ", " and ")).join(given))
    steps += [
        Action("replace_all", {"path": path, "old": mark, "new": value}, because=_says(f"{key}: {value}"))
        for key, mark, value in zip(keys, marks, values, strict=True)
    ]
    return does(words, *steps, files={path: filled})


FAMILIES: dict[str, Kind] = {
    "fill_template": as_kind(fill_template, 2, "text"),
}
