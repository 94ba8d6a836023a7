"""Writing files: new ones, lines at the end, pieces, lines and words replaced."""

from __future__ import annotations

from collections.abc import Callable

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, does, named, typed

_WRITE = (
    "[Write|Put|Save|Store] {t} [to|in|into] [the file |a file called |a new file |]{p}",
    "[Create|Make|Start] [a |the |]file {p} [with the text|with the content|containing|that says] {t}",
    "[Create|Make|Start] [a note|a file|a new file] {p} with {t}",
    "Write a [note|file|new file] {p} [that says|saying|with the text] {t}",
    "[Make|Write] {p} with the [text|line|content] {t}",
    "[Jot down|Note down|Write down|Take down|Put down] {t} in [the file |]{p}",
    "[Make a note|Take a note] in {p}: {t}",
    "[New file|Create|Write|New note] {p}: {t}",
    "{p} [should|shall|must] [say|contain|read|hold] {t}",
    "[I'd like|I want|I need] a file [called|named] {p} [that says|with the text|containing] {t}",
    "[Save|Store|Keep|Record] {t} as [the file |]{p}",
    "[Put|Place] [the text|the words|the line] {t} [into|in] [a file called |a new file |]{p}",
    "Let there be a file {p} [with the text|that says] {t}",
    "Into [the file |]{p} [write|put] {t}",
    "In [a new file |a file called |]{p}[,|] [write|put|note] {t}",
    "write {p} {t}",
    "[Set up|Prepare] a file {p} [with the content|that contains|with the line] {t}",
    "Text for [the new file |]{p}: {t}",
    "[We need|There should be] a file {p} [that says|with] {t}. [Create it|Write it|Make it]",
    "[Open|Begin] a new file {p} and [write|put] {t} in it",
    "[Could {p} say|Can you make {p} say] {t}?",
    "[Leave|Write] me a note in {p} [saying|that says]: {t}",
    "[Type|Enter|Log|Drop|Dump] {t} [in|into] [the file |a new file |a file called |]{p}",
)


def write_note(make: Maker) -> Clause:
    make.clutter(1)
    path, text = make.new_file(), contents.a_text(make)
    words = make.say(*_WRITE, t=typed(make, text), p=named(make, path))
    return does(words, Action("write_file", {"path": path, "content": text}), files={path: text})


_WRITE_LIST = (
    "[Write|Put|Save|Store] {t} [to|in|into] {p}, [one per line|each on its own line|one on each line]",
    "[Make|Create|Write] a [list|file] {p} with the lines {t}",
    "[Make|Create|Write] a file {p} with one line each for {t}",
    "[Make|Create|Write|Start] a list [in|called] {p}: {t}, [one per line|each on its own line]",
    "{p} should [list|contain|hold] {t}, [one per line|line by line|each on its own line]",
    "[I need|I want|I'd like] a list of {t} in {p}, [one per line|line by line]",
    "In {p}, [write|list|put] {t}, [one per line|each on a line of its own]",
    "[List|Note down|Jot down] {t} in [a new file |]{p}, [one per line|line by line]",
    "[New list|List] {p}, one per line: {t}",
    "[Write|Save] a file {p} with these lines: {t}",
    "The lines of [the new file |]{p} [are|should be] {t}. [Write it|Create it]",
    "Put each of {t} on [its own line|a line of its own] [in|of] [the new file |]{p}",
    "Lines for [a new file |]{p}: {t}",
    "[Store|Keep|Record|Enter] {t} as [separate |single |]lines [of|in] [the new file |]{p}",
    "[Turn|Make] {t} into [a list|lines] in [the new file |a new file |]{p}, [one per line|line by line]",
    "[I want|I need|I'd like|We need] a [new |]file {p} with the lines {t}",
    "[Create|Write|Make] {p} with {t}, [one on each line|line by line|each on a new line]",
    "[Line by line|One per line], [write|put|note] {t} [into|in] {p}",
)


def write_lines(make: Maker) -> Clause:
    """A list of two to five items, one on each line."""
    make.clutter(1)
    path, rng, w = make.new_file(), make.rng, make.words
    kinds: list[Callable[[], str]] = [w.name, w.word]
    kinds += [lambda: contents.item(make), lambda: f"{w.word()} {w.word()}"]
    draw = rng.choice(kinds)
    found = list(dict.fromkeys(draw() for _ in range(rng.randint(2, 5))))
    shown = [f'"{each}"' for each in found] if rng.random() < 0.25 else found
    text = f"{', '.join(shown[:-1])} and {shown[-1]}" if len(found) > 1 else shown[0]
    words = make.say(*_WRITE_LIST, t=text, p=named(make, path))
    content = "\n".join(found)
    return does(words, Action("write_file", {"path": path, "content": content}), files={path: content})


_APPEND = (
    "[Append|Add] {t} to [the file |the end of |my file |]{p}",
    "Add [the line|a line|the text|the item|the note] {t} to {p}",
    "[Append|Add] a [line|note|new line] to {p}: {t}",
    "[Put|Write|Stick|Tack|Note] {t} at the end of [the file |]{p}",
    "[Append|Add] to {p}[:| the line|] {t}",
    "[Tack|Stick|Tag] {t} [on to|onto] [the end of |][the file |]{p}",
    "{p} [needs|should get|gets|wants] [another|one more|a new|an extra] line: {t}",
    "[Add|Put] {t} [on|onto] [the list in |the list ]{p}",
    "[I'd like|I want|I would like] {t} [added to|at the end of|appended to] {p}",
    "{p}: [add|append|also note] {t}",
    "[Also|Furthermore|In addition] [write|note|put] {t} in {p}[| at the end| below the rest]",
    "At the end of [the file |]{p}[,|] [write|put|add] {t}",
    "[Add|Put|Write] [another|one more|a new] line [in|to] {p}: {t}",
    "[Extend|Continue|Complete] [the file |]{p} [with|by] [the line |]{t}",
    "To {p}[,|] [add|append] {t}",
    "append {p} {t}",
    "[There is|There's|I have] a file [called|named] {p}. [Add|Append] {t}[| to it]",
    "[Don't overwrite|Keep what is in] {p}, [just|only] add {t}",
    "[One more thing|Another entry|A new entry] for {p}: {t}",
    "Let {p} end with the [new |additional ]line {t}",
    "[Could|Can] {t} be added to {p}? [Do it|Please do that]",
    "[Put|Drop|Slip] {t} in at the [end|bottom] of {p}",
    "[Scribble|Jot|Note] {t} [below the rest of|at the bottom of|at the end of] {p}",
)


def append_note(make: Maker) -> Clause:
    path, text = make.new_file(), contents.a_text(make)
    before = "\n".join(contents.lines(make, 1, 3))
    make.put(path, before)
    make.clutter(1)
    words = make.say(*_APPEND, t=typed(make, text), p=named(make, path))
    call = Action("append_file", {"path": path, "content": text})
    return does(words, call, files={path: f"{before}\n{text}"})


_EDIT = (
    "[Replace|Change] {old} [by|with|to|into] {new} in [the file |]{p}",
    "In [the file |]{p}, [replace|change] {old} [by|with|to|into] {new}",
    "Edit {p}: [replace|change] {old} [by|with|to] {new}",
    "[Swap|Exchange|Trade] {old} for {new} in [the file |]{p}",
    "[Substitute|Put] {new} for {old} in {p}",
    "[Correct|Fix] {old} to {new} in {p}",
    "[Turn|Make] {old} [in|from] {p} into {new}",
    "{p}: [change|replace|make] {old} [to|with|into] {new}",
    "{old} in {p} [should be|must be|has to be|ought to be] {new}",
    "[There is|There's] a mistake in {p}: {old} [should be|must be] {new}",
    "[I'd like|I want|I need] {old} [changed to|replaced by|replaced with] {new} in {p}",
    "[Open|Take|Go to] {p} and [change|replace] {old} [to|by|with] {new}",
    "[Update|Edit|Revise] {p} so that it says {new} instead of {old}",
    "{p} should say {new} [instead of|and not|where it says|rather than] {old}",
    "[Write|Put] {new} [instead of|in place of|where it says] {old} in {p}",
    "Where {p} says {old}, [write|put|make it] {new}",
    "replace {old} {new} in {p}",
    "{old} -> {new} in [the file |]{p}",
    "[Could|Can] {old} be changed to {new} in {p}? [Do it|Please do]",
    "In {p} it says {old}. [Make that|Change it to|Change that to|Correct it to] {new}",
    "[Alter|Modify] [the file |]{p}: {new} instead of {old}",
    "[Please replace|Do replace|Exchange|Correct] the text {old} [with|by|for] {new} in [the file |]{p}",
    "[Correct|Fix|Edit] the text in {p}: [not|it is not] {old} but {new}",
    "[It is not|It's not|Not] {old} but {new}: [correct|fix|change|edit] [that in |it in |]{p}",
    "[Find|Look for] {old} in {p} and [replace it with|change it to|make it|turn it into] {new}",
    "[There is|There's] {old} in {p}, [change it to|replace it by|make it] {new}",
    "[Rewrite|Amend|Adjust|Update|Edit] {p}, [replacing|changing] {old} [with|to|into] {new}",
)


def edit(make: Maker) -> Clause:
    """A piece that stands once in a file."""
    w, rng = make.words, make.rng
    path = make.new_file()
    draw = rng.choice((w.word, w.word, w.name, w.number, lambda: contents.time(make), lambda: w.phrase(2, 3)))
    old, new = str(draw()), str(draw())
    found = contents.lines(make, 1, 3)
    place = rng.randrange(len(found))
    found[place] = " ".join((*w.phrase(0, 2).split(), old, *w.phrase(0, 2).split()))
    before = "\n".join(found)
    if before.count(old) != 1 or old == new or before.lower().count(old.lower()) != 1:
        return edit(make)
    make.put(path, before)
    make.clutter(1)
    bare = " " not in f"{old}{new}"  # else one could end anywhere in "replace milk bread eggs"
    shown = [typed(make, each, bare=bare) for each in (old, new)]
    words = make.say(*_EDIT, old=shown[0], new=shown[1], p=named(make, path))
    call = Action("edit_file", {"path": path, "old": old, "new": new})
    return does(words, call, files={path: before.replace(old, new)})


_EDIT_LINE = (
    "[Replace|Change|Overwrite] line {n} of [the file |]{p} [with|by|to] {t}",
    "[Replace|Change] the {o} line of [the file |]{p} [with|by|to] {t}",
    "In [the file |]{p}, [replace|change|set] line {n} [with|by|to] {t}",
    "Line {n} of {p} [should|must|shall] [say|read|be] {t}",
    "The {o} line of {p} [should|must|shall] [say|read|be] {t}",
    "[Make|Set] line {n} of {p} {t}",
    "[Make|Set] the {o} line of {p} say {t}",
    "{p} line {n}: [change to|replace with|should be] {t}",
    "Edit line {n} of {p}: it [should|must] [say|read] {t}",
    "[Write|Put] {t} [in|on] line {n} of {p} instead of what is there",
    "[I'd like|I want] line {n} of {p} [to be|to say|changed to|replaced by] {t}",
    "[Open|Take|Go to] {p} and [change|replace] line {n} [to|by|with] {t}",
    "[Put|Write] {t} in place of line {n} [in|of] {p}",
    "Line {n} [in|of] {p} is wrong: [make it|change it to|it should be] {t}",
    "Update line {n} [in|of] {p} to {t}",
    "[Rewrite|Redo] the {o} line [in|of] {p} as {t}",
    "[Let|Have] the {o} line [in|of] {p} [be|say] {t}",
    "New text for line {n} of {p}: {t}",
    "[There is|There's] a file {p}. [Replace|Change] its {o} line [by|with|to] {t}",
    "[Line number|In place of line|Instead of line] {n} of {p}, [write|put|I want] {t}",
    "[Amend|Correct|Fix|Alter|Modify] line {n} of [the file |my file |]{p} to [say |read |]{t}",
    "[Swap|Exchange] [the {o} line|line {n}] of {p} for {t}",
    "[For|As] the {o} line of {p}, [use|write|put|take] {t}",
)
_ORDINALS = "first second third fourth fifth sixth seventh eighth".split()


def edit_line(make: Maker) -> Clause:
    """A line by its number."""
    path, text = make.new_file(), contents.a_text(make)
    found = contents.lines(make, 2, 6)
    number = make.rng.randint(1, len(found))
    make.put(path, "\n".join(found))
    words = make.say(*_EDIT_LINE, n=number, o=_ORDINALS[number - 1], t=typed(make, text), p=named(make, path))
    found[number - 1] = text
    call = Action("replace_line", {"path": path, "number": number, "text": text})
    return does(words, call, files={path: "\n".join(found)})


_EVERYWHERE = (
    "[Replace|Change] {old} [by|with|to] {new} everywhere in [the file |]{p}",
    "[Replace|Change] [every|each] {old} [by|with|to|into] {new} in {p}",
    "[Replace|Change] all occurrences of {old} [by|with|to] {new} in {p}",
    "In [the file |]{p}, [replace|change] [every|each|all occurrences of] {old} [by|with|to] {new}",
    "[Replace|Change] {old} [by|with|to] {new} [throughout|all over] [the file |]{p}",
    "[Swap|Exchange] every {old} for {new} in {p}",
    "Everywhere in {p}, [write|put] {new} instead of {old}",
    "[Substitute|Put] {new} for [every|each|all occurrences of] {old} in {p}",
    "Wherever {p} says {old}, [change it to|make it|put|write] {new}",
    "{p}: [replace|change] all {old} [by|with|to] {new}",
    "{p}: {old} -> {new} everywhere",
    "[Turn|Make] every {old} in {p} into {new}",
    "[I'd like|I want|I need] every {old} in {p} [changed to|replaced by|replaced with] {new}",
    "All {old} in {p} [should be|must become|have to be] {new}",
    "[Each|Every] {old} in {p} [should be|must become|has to be] {new}",
    "{p} says {old} several times. [Change them all|Make it every time|Change each of them] to {new}",
    "[Find|Search] and replace in {p}: {old} [by|with] {new}, [every time|everywhere|all of them]",
    "replace all {old} {new} in {p}",
    "[Go through|Go over] {p} and [replace|change] {old} [by|with|to] {new} [every time|everywhere]",
    "[From start to end|Throughout], change {old} to {new} in {p}",
    "{new} instead of {old}, [everywhere|every time|throughout], in {p}",
    "[Any|Each|Every] [mention|occurrence|instance] of {old} in {p} [should|must|has to] become {new}",
    "[Correct|Fix|Alter|Update] {old} to {new} [everywhere|throughout|each time] in [the file |]{p}",
    "[No more|Never again] {old} in {p}: [always write|write|put] {new} [everywhere|every time]",
    "[Change|Turn] {old} into {new} [all through|all over|everywhere in] {p}",
    "[Overwrite|Substitute] every {old} in {p} [with|by] {new}",
)


def replace_everywhere(make: Maker) -> Clause:
    """A word that stands two to four times in a file."""
    w, rng = make.words, make.rng
    path = make.new_file()
    draw = rng.choice((w.word, w.word, w.name, w.place, lambda: contents.item(make)))
    old, new = draw(), draw()
    found = contents.lines(make, 1, 3)
    times = rng.choice((2, 2, 3, 3, 4))
    for _ in range(times):
        place = rng.randrange(len(found))
        parts = found[place].split(" ")
        parts.insert(rng.randint(0, len(parts)), old)
        found[place] = " ".join(parts)
    before = "\n".join(found)
    if old == new or len(old) < 3 or not before.count(old) == before.lower().count(old.lower()) == times:
        return replace_everywhere(make)
    make.put(path, before)
    make.clutter(1)
    words = make.say(*_EVERYWHERE, old=typed(make, old), new=typed(make, new), p=named(make, path))
    call = Action("replace_all", {"path": path, "old": old, "new": new})
    return does(words, call, files={path: before.replace(old, new)})


FAMILIES: dict[str, Kind] = {
    "write_note": as_kind(write_note, 5, "files"),
    "write_lines": as_kind(write_lines, 2, "files"),
    "append_note": as_kind(append_note, 5, "files"),
    "edit": as_kind(edit, 3, "files"),
    "edit_line": as_kind(edit_line, 2, "files"),
    "replace_everywhere": as_kind(replace_everywhere, 2, "text"),
}
