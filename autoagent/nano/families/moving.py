"""Files as a whole: rename, move, copy, delete."""

from __future__ import annotations

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, does, named

_RENAME = (
    "[Rename|Retitle] [the file |my file |]{old} to {new}",
    "Change the name of [the file |]{old} to {new}",
    "Give [the file |]{old} the [new |]name {new}",
    "[Rename|Turn] {old} into {new}",
    "{old} [should be|shall be|must be|has to be] [called|named|renamed to] {new}[| from now on| instead]",
    "[Call|Name] {old} {new}[| from now on| instead]",
    "[I'd like|I want|I would like] {old} to be [called|named|renamed to] {new}",
    "Let {old} be [called|named] {new}",
    "The [new |]name of {old} [is|should be|shall be] {new}. Rename it",
    "[There is|There's|I have] a file [called|named] {old}. Rename it [to|as] {new}",
    "rename {old} {new}",
    "{old}: rename [to|it to|as] {new}",
    "[Change|Alter] the file name {old} to {new}",
    "{new} [would be|is] a better name [for|than] {old}. [Rename it|Change it]",
    "[The name of |]{old} is wrong: it [should be|must be] [called |renamed to ]{new}",
    "[I need|We need] {old} under the [new |]name {new}: rename it",
    "From {old} to {new}: rename [it|the file]",
    "[Could|Can] {old} be renamed to {new}? [Do it|Please do]",
    "Make {new} the new name of {old}",
    "mv {old} {new}",
    "[Make|Have] {old} be [called|named] {new}[| from now on| instead]",
    "[Set|Fix|Correct|Edit|Switch] the [name|file name] of [the file |my file |]{old} to {new}",
    "[I want|I'd like|I would like|We have] to [rename|change] {old} to {new}",
    "[Can we|Could we|Let us|Let's] [rename|call] {old} {new}[| from now on| instead]",
    "[Instead of|Rather than] {old}, [call|name] the file {new}",
    "[The file |My file |]{old} [gets|needs|has] a new name: {new}",
)


def rename(make: Maker) -> Clause:
    old, new, text = make.new_file(), make.new_file(), make.words.phrase()
    if "/" in old and "/" not in new:  # a bare name would leave it open whether the file stays in its folder
        new = f"{old.rpartition('/')[0]}/{new}"
        if new in make.files or new in make.promised:
            return rename(make)
        make.promised.append(new)
    make.put(old, text)
    make.clutter(1)
    words = make.say(*_RENAME, old=named(make, old), new=named(make, new))
    return does(words, Action("move_file", {"source": old, "target": new}), files={new: text, old: None})


_MOVE = (
    "[Move|Put|Shift|Transfer|Relocate] [the file |my file |]{p} [to|into] {f}",
    "[Put|Stick|Tuck|Drop|Place] {p} [in|into|inside] {f}",
    "{p} [belongs|should go|has to go|should be|must go] [in|into|to] {f}. [Move it|Put it there]",
    "[Take|Get] {p} and [put|move] it [in|into] {f}",
    "[I'd like|I want|I would like] {p} [moved to|in|to be in] {f}",
    "move {p} {f}",
    "[File|Archive|Store away] {p} [under|in] {f}",
    "[There is|There's|I have] a file [called|named] {p}. Move it [to|into] {f}",
    "Into {f} with [the file |]{p}",
    "{p} -> {f}",
    "[Bring|Send|Carry] [the file |]{p} [over to|to|into] {f}",
    "[I need|We need] {p} in {f}: move it[| there]",
    "{p}: move [it |]to {f}",
    "[Could|Can|Should] {p} [go|be moved] into {f}? [Move it|Do it]",
    "Let {p} [go|move] into {f}",
    "The [right|new] place for {p} is {f}. [Move it|Move it there]",
    "Move [the file |]{p} away, [to|into] {f}",
    "mv {p} {f}",
    "[Let's|Let us|I want to|I'd like to] [put|move|have] {p} [in|into|inside] {f}",
    "[Sort|Clear|Take] {p} away into {f}",
    "[I keep|We keep] [this|such things] in {f}: [move|put] {p} there",
)


def move(make: Maker) -> Clause:
    """Into a folder, which may be there or not."""
    w, rng = make.words, make.rng
    path, text = make.new_file(), w.phrase()
    make.put(path, text)
    make.clutter(1)
    folder = w.folder()
    target = f"{folder}/{path.rpartition('/')[2]}"
    if target in (*make.files, *make.promised) or folder in make.files:
        return move(make)
    make.promised.append(target)
    if rng.random() < 0.4:
        make.put(f"{folder}/{w.stem()}.pdf", w.phrase(1, 3))  # the folder is there already
    forms = ("{f}/", "the folder {f}", "the {f} folder", "the directory {f}", "the folder '{f}'")
    words = make.say(*_MOVE, p=named(make, path), f=make.phrase(*forms, f=folder))
    call = Action("move_file", {"source": path, "target": target})
    return does(words, call, files={target: text, path: None})


_COPY = (
    "[Copy|Duplicate|Clone] [the file |my file |]{p} to {q}",
    "[Make|Create|Write] a copy of [the file |]{p} [called|named|in|as] {q}",
    "[Save|Store|Put] a copy of {p} [as|in|under] {q}",
    "[Copy|Duplicate] the [content|contents|text] of {p} [to|into] [the new file |a new file |]{q}",
    "[Back up|Backup] [the file |]{p} [to|as|in] {q}",
    "cp {p} {q}",
    "copy {p} {q}",
    "[I'd like|I want|I need] a copy of {p} [called|named|as|in] {q}",
    "[Read|Open] {p} and [write|save|put] [the same|its text|what it says] [to|into|in] {q}",
    "{q} [should be|shall be] a copy of {p}. [Make it|Create it]",
    "[There is|There's|I have] a file {p}. [Make a copy of it called|Copy it to|Duplicate it as] {q}",
    "{p}: [make a copy|copy it|save a copy] [to|as] {q}",
    "[Write|Put] what [is in|stands in|is written in] {p} [into|to] [the new file |]{q}[| as well| too]",
    "Let {q} [have|hold|get] the same [text|content] as {p}",
    "[Keep|Leave] {p} as it is and [make|write] a copy [called|in|to] {q}",
    "[Take|Get] the [text|content|contents] of {p} and [save|write|put] it [to|in|into] {q}",
    "[A copy|A duplicate] of {p} [should|must] [be in|go to|go into] {q}",
)


def copy(make: Maker) -> Clause:
    """Read the one, write the other."""
    make.clutter(1)
    source, target = make.new_file(), make.new_file()
    text = "\n".join(contents.lines(make, 1, 3))
    make.put(source, text)
    return does(
        make.say(*_COPY, p=named(make, source), q=named(make, target)),
        Action("read_file", {"path": source}),
        Action("write_file", lambda seen: {"path": target, "content": seen[-1]}),
        files={source: text, target: text},
    )


_DELETE = (
    "[Delete|Remove|Erase|Wipe|Trash|Bin|Ditch|Scrap] [the file |my file |]{p}",
    "[Get rid of|Throw away|Throw out|Dispose of|Do away with] [the file |]{p}",
    "[Delete|Remove|Erase] {p}, I [do not|don't] need it [any more|anymore|any longer]",
    "[I no longer need|I don't need|I do not want] {p}[| any more]. [Delete it|Remove it|Throw it away]",
    "{p} [can|may|should|must] [go|be deleted|be removed|be thrown away]",
    "{p} is [old|obsolete|out of date|useless]. [Delete it|Remove it|Get rid of it]",
    "[I want|I'd like|I would like] {p} [gone|deleted|removed|out of the way]",
    "[rm|del|delete] {p}",
    "{p}: [delete|delete it|remove it|throw it away]",
    "[There is|There's|I have] a file [called|named] {p}. [Delete it|Remove it|Erase it]",
    "Make [the file |]{p} [disappear|go away|vanish]",
    "[Nobody needs|Nobody reads|We are done with] {p}: [delete|remove|erase] it",
    "[Clean up|Tidy up]: [delete|remove] {p}",
    "Let {p} be [deleted|removed|erased]",
    "[Could|Can|May] {p} be [deleted|removed]? [Do it|Please do]",
    "The file {p} has to [go|be deleted|disappear]",
    "[Away|Off] with {p}, [delete|remove] it",
    "[Drop|Kill|Clear|Eliminate|Discard|Destroy] the file {p}",
    "[It is|It's] time to [delete|remove|say goodbye to|get rid of] [the file |]{p}",
    "[Nothing in|No line of] {p} is [needed|of use] any more: [delete|remove] [it|the file]",
)


def delete(make: Maker) -> Clause:
    path = make.new_file()
    make.put(path, make.words.phrase(1, 3))
    make.clutter(2)
    words = make.say(*_DELETE, p=named(make, path))
    return does(words, Action("delete_file", {"path": path}), files={path: None})


FAMILIES: dict[str, Kind] = {
    "rename": as_kind(rename, 2, "files"),
    "move": as_kind(move, 1.5, "files"),
    "copy": as_kind(copy, 2, "files"),
    "delete": as_kind(delete, 1.5, "files"),
}
