"""Finding files: list a folder, find by name, search by text."""

from __future__ import annotations

from collections.abc import Callable

from autoagent.nano.families import contents
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind, named, tells, typed

_ENDINGS = ("txt", "txt", "md", "csv", "log", "pdf", "json")
_RARE = ("py", "html", "bak", "tex", "xml", "yaml", "rst", "tmp", "sh", "css")  # no other family uses them

_LIST = (
    "[List|Show|Name|Print|Display|Enumerate] [all |all of |]the files [in|inside|of] {f}",
    "[Which|What] files are [there |stored |kept |]in {f}?",
    "[Which|What] files does {f} [contain|have|hold|consist of]?",
    "[List|Show me|Show|Print] [what is|what's|everything|all that is] in {f}",
    "[Tell me|Say|Find out|Check|See|Let me know] [which|what] files are in {f}",
    "[Give|Get|Make|Hand] me a list of [the|all the|all] files in {f}",
    "What [is|do I have|have we got|can be found] in {f}?",
    "What's [in|inside] {f}?",
    "[I'd like to know|I want to know|I would like to see|I want to see] [what is|which files are] in {f}",
    "[Look|Peek|Have a look|Take a look] [into|in|at] {f} and [tell me what is there|list the files]",
    "files in {f}",
    "[list|listing of|contents of|content of] {f}",
    "[Can I see|May I see|Could I see] [the files|what is|all the files] in {f}?",
    "[I need|I want|I'd like] [the names of the files|a list of the files|the file names] in {f}",
    "[Go to|Open] {f} and [list|show|name] [the|all the|its] files",
    "What are the [names of the |]files in {f}[| called]?",
    "[Read out|Write out|Spell out] the names of [the|all] files in {f}",
    "In {f}, [which|what] files [are there|do you see|can you find]?",
    "[Do|Run|Make] a listing of {f}",
    "[There are|There must be] some files in {f}. [List them|Which ones are there|Name them]",
    "[ls|dir] {f}",
    "[What kind of|Which] files [do I have|are kept|live] in {f}?",
    "[Anything|Any files] in {f}? [List|Show] them",
)
_HOW_MANY = (
    "How many files are [there |]in {f}?",
    "[Count|Count up|Tally] [the|all the|all] files in {f}",
    "[Tell me|Find out|Check|Say] how many files are in {f}",
    "What is the number of files in {f}?",
    "How many files does {f} [have|contain|hold]?",
    "[number|count] of files in {f}",
    "[I'd like to know|I want to know] how many files {f} [has|contains|holds]",
    "Give me the number of files in {f}",
    "In {f}, how many files are there?",
    "[Look into|Open|Go through] {f} and count the files",
    "files in {f}: how many?",
    "[Do you know|Any idea|Can you say|Can you see] how many files [are in {f}|{f} has|there are in {f}]?",
    "[I need|I'd like|Get me] [the number|a count] of [the |]files in {f}",
    "The files in {f}: [count them|how many are there]",
    "[Just|Only] count [the files|what is] in {f}",
    "Do a count of the files in {f}",
    "[Work out|Determine] how many files {f} has",
)
_HERE = (
    "this folder",
    "the [current |]folder",
    "the workspace",
    "here",
    "the current directory",
    "this directory",
    "my folder",
)


def _listing(make: Maker, folder: str, place: str) -> Clause:
    """List or count the files of a folder, which has none yet."""
    w, rng = make.words, make.rng
    drawn = (f"{w.stem()}.{rng.choice(_ENDINGS)}" for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 5))))
    names = sorted(dict.fromkeys(drawn))
    for name in names:
        make.put(f"{folder}/{name}" if folder else name, w.phrase(1, 3))
    call = Action("list_files", {"folder": folder} if folder else {})
    if rng.random() < 0.25:
        return tells(
            make.say(*_HOW_MANY, f=place),
            call,
            value=str(len(names)),
            answer=lambda seen: str(len(seen[-1].splitlines())),
            because=lambda seen: ", ".join(f"{n} {x}" for n, x in enumerate(seen[-1].splitlines(), 1)),
        )
    return tells(
        make.say(*_LIST, f=place),
        call,
        value=", ".join(names),
        answer=lambda seen: seen[-1].replace("\n", ", "),
        parts=tuple(names),
    )


def list_files(make: Maker) -> Clause:
    """Of a folder that no other clause has files in."""
    w, rng = make.words, make.rng
    while True:
        folder = w.word() if rng.random() < 0.6 else f"{w.folder()}/{w.word()}"
        if not any(name == folder.split("/")[0] or name.startswith(f"{folder}/") for name in make.files):
            break
    forms = ("{f}", "{f}", "the folder {f}", "the {f} folder", "{f}/", "the directory {f}", "'{f}'")
    return _listing(make, folder, make.phrase(*forms, f=folder))


def list_here(make: Maker) -> Clause:
    """Of the workspace itself, in which nothing else may be."""
    return _listing(make, "", make.phrase(*_HERE))


_FIND = (
    "Where [is|can be found] [the file |]{n}?",
    "[Find|Locate|Search for|Look for|Hunt for|Track down|Dig up] [the file |my file |]{n}",
    "In [which|what] folder [is|do I have|did I put] {n}?",
    "[Find out|Tell me|Say|Check|See] where {n} is[| stored| kept]",
    "Where [did I put|can I find|do I have|do I keep|have I put] [the file |]{n}?",
    "What is the [path|location|folder] of [the file |]{n}?",
    "[I can't find|I cannot find|I lost|I have lost|I am looking for] {n}. [Where is it|Find it|Locate it]",
    "[Which|What] folder [has|contains|holds] [the file |]{n}?",
    "[I'd like to know|I want to know|I need to know] where [the file |]{n} is",
    "path [of|to] {n}",
    "{n}: where is it?",
    "[There must be|There is] a file [called|named] {n} [somewhere|here]. [Find it|Where is it]",
    "[Give|Get|Show|Tell] me the [full |]path [of|to] [the file |]{n}",
    "where is {n} [hiding|stored|kept|located]",
    "[Can you see|Do you know|Any idea] where {n} [is|went|has gone]?",
    "[In which place|Whereabouts] is [the file |]{n}?",
    "The file {n} [must be|is] somewhere: [find it|locate it|where]",
    "[Could you find|Can you find|Can you locate|Did you see] [the file |]{n}?",
    "[Look|Search] everywhere for [the file |a file called |]{n}",
    "[location of|find] {n}",
    "[I need|I want] the [path|location] of [the file |]{n}",
    "[Which|What] [directory|folder|place] is {n} in?",
    "Under [which|what] [path|folder] [do I find|is|can I find] [the file |]{n}?",
)
_FIND_PART = (
    "[Find|Locate|Look for] the file [with|that has] {n} in its name",
    "[Find|Which is|Where is] the file whose name [contains|has] {n}[?|]",
    "[Where|In which folder] is the [file|one] with {n} in the name?",
    "There is a file with {n} in its name. [Where is it|Find it]",
    "[Which|What] file has {n} in its name?",
    "[Tell me|Show me] where the file with {n} in its name is",
    "I [only know|remember] that [the|its|the file's] name [has|contains] {n}. Find the file",
    "The name of the file [contains|has] {n}. Where is it?",
    "[Search for|Hunt for|Track down|Dig up] the file [that has|with] {n} in [its|the] name",
    "[I need|I want|I am looking for] the [path of the |]file [with|that has] {n} in its name",
    "file [with|that has] {n} in [the|its] name",
    "The file is called something with {n}. [Find it|Where is it|Locate it]",
)


def find_file(make: Maker) -> Clause:
    """By its name."""
    name = ""
    while not name or _fitting(make, name):
        name = f"{make.words.stem()}.{make.rng.choice(_ENDINGS)}"
    return _found(make, make.say(*_FIND, n=named(make, name)), name, name)


def find_part(make: Maker) -> Clause:
    """By a part of its name."""
    rng, part = make.rng, ""
    while not part or _fitting(make, part):
        part = _rare_word(make)
    name = rng.choice((part, f"{make.words.stem()}_{part}", f"{part}-{rng.randrange(99)}"))
    name = f"{name}.{rng.choice(_ENDINGS)}"
    return _found(make, make.say(*_FIND_PART, n=typed(make, part)), part, name)


def _found(make: Maker, words: str, wanted: str, name: str) -> Clause:
    """A file somewhere in folders, and no other that fits."""
    w, path = make.words, ""
    while path not in make.files:
        path = f"{w.folder()}/{name}" if make.rng.random() < 0.75 else f"{w.folder()}/{w.folder()}/{name}"
        make.put(path, w.phrase())
    before = list(make.files)
    make.clutter(2)
    for other in [each for each in _fitting(make, wanted) if each not in before]:
        del make.files[other]
    return tells(words, Action("find_file", {"name": wanted}), value=path)


def _fitting(make: Maker, wanted: str) -> list[str]:
    """The files whose name holds a text."""
    return [each for each in make.files if wanted.lower() in each.rpartition("/")[2].lower()]


_FIND_KIND = (
    "[Find|List|Show|Locate|Get|Search for|Look for] [all|all the|every one of the|the] {e} files",
    "[Which|What] {e} files [are there|do I have|exist|can you find]?",
    "Where are [all |]the {e} files?",
    "[Show|Give|Tell] me [the names of |the paths of |][all|all the] {e} files",
    "[Find|List] [all|the|every] [file|files] [ending in|that end in|that ends with|with the ending] .{e}",
    "[all|list of|list of all] {e} files",
    "[Which|What] files end [in|with] .{e}?",
    "[I need|I want|I'd like] [the paths of |a list of |][all|all the] {e} files",
    "[Hunt down|Track down|Dig up] [all|all the|every one of my] {e} files",
    "[Search|Look through] [everything|all folders|the folders] for {e} files",
    "Are there any {e} files? [List them|Which ones]",
    "find *.{e}",
    "[I'd like to know|Tell me|Let me know] where [my|the] {e} files are",
    "{e} files: [list them|where are they|which ones are there]",
    "[Locate|Find|List] [whatever|everything] [that ends|ending] [in|with] .{e}",
    "[I am looking for|Give me a list of|Make a list of] [all|all the|my] {e} files",
)


def find_kind(make: Maker) -> Clause:
    """All files with an ending."""
    w, rng = make.words, make.rng
    make.clutter(2)
    free = [each for each in _RARE if not any(name.endswith(f".{each}") for name in make.files)]
    ending = rng.choice(free)
    drawn = {make.new_file(ending) for _ in range(rng.choice((1, 2, 2, 3)))}
    for path in sorted(drawn):
        make.put(path, w.phrase(1, 3))
    found = [path for path in make.files if path.endswith(f".{ending}")]
    found.sort(key=_walked)
    return tells(
        make.say(*_FIND_KIND, e=ending),
        Action("find_file", {"name": f"*.{ending}"}),
        value=", ".join(found),
        answer=lambda seen: seen[-1].replace("\n", ", "),
        parts=tuple(found),
    )


def _walked(path: str) -> list[tuple[int, str]]:
    """Where a file comes in the order of the tools: before the folders beside it."""
    *folders, name = path.split("/")
    return [*((1, folder) for folder in folders), (0, name)]


_SEARCH = (
    "[Which|What] file [contains|mentions|has|includes|says] [the word |the text |]{t}?",
    "[Find|Search for|Look for|Locate] the file that [contains|mentions|has|includes] {t}",
    "[Search|Look through|Go through|Scan] [all |my |the |all my |]files for {t}",
    "In [which|what] file [does {t} stand|is {t} mentioned|does {t} occur|does it say {t}]?",
    "Where is {t} [mentioned|written|to be found]?",
    "[I wrote|Someone wrote] {t} [somewhere|in some file|in one of the files]. [Where|In which file]?",
    "[Tell me|Find out|Say|Check|See] [which|what] file [mentions|contains|has] {t}",
    "[I'd like to know|I want to know|I need to know] [which|what] file [has|mentions|contains] {t}",
    "[Hunt|Dig|Grep|Comb] through the files for {t}",
    "file [that mentions|that contains|with] {t}",
    "[One|Some file] of [the|my] files mentions {t}: which one?",
    "Which of [the|my] files [contains|mentions|has] {t}?",
    "[Find|Locate|Track down] {t} in [the|my|all] files",
    "[grep|search files for|find text] {t}",
    "[What|Which] file talks about {t}?",
    "[There is|There must be] a file [that mentions|with|containing] {t}. Which [one |]is it?",
    "{t} is [mentioned|written] in [one of the files|some file]. [Which one|In which one]?",
    "[Look up|Check] which file [has|contains] the text {t}",
    "[Give|Show|Tell] me the file [in which {t} stands|that mentions {t}|containing {t}]",
    "[Do you know|Any idea] which file [mentions|contains] {t}?",
    "[Somewhere|In some file] it says {t}. [Where|In which file|Find the file]",
    "[See|Look|Check] in which file {t} [stands|is|is mentioned|occurs]",
    "[The|I need the|Give me the] name of the file [with|that has|that mentions] {t}",
    "[What|Which] is the file with {t}[| in it]?",
    "[Where did I|Where did we] [mention|write about|note] {t}?",
    "[Find|Locate|Dig up] the file in which {t} [occurs|stands|is written]",
)
_SEARCH_LINE = (
    "[Which|What] line [mentions|contains|has] [the word |the text |]{t}?",
    "[Find|Search for|Show me|Look for|Give me] the line [that mentions|that contains|with] {t}",
    "[Search|Look through|Grep|Go through] the files for {t} and [show|tell|give] me the [whole |]line",
    "In what line [does {t} stand|is {t} mentioned]? [Show it|Tell me the line]",
    "line [with|that has|mentioning] {t}",
    "[One|A] line in [the|my] files mentions {t}: what does it say?",
    "[I need|I'd like to see|I want] the line [in which {t} stands|that mentions {t}|containing {t}]",
    "[Read|Tell] me the line [where {t} is mentioned|about {t}]",
    "What does the line [with|about|that mentions] {t} say?",
    "Find {t} in the files. What is the [whole|full] line?",
    "[Grep|Dig|Hunt] for {t} and [print|show|give me] the [whole |]line",
    "[Somewhere|In some file] there is a line with {t}. [Read it|What does it say|Show it]",
    "[Quote|Print|Copy out] the line [that contains|that mentions|with] {t}",
    "[I'd like to know|I want to know] what the line [with|about|containing] {t} says",
    "[Track down|Trace|Spot] the line [that mentions|containing] {t}",
    "[Identify|Pick out] the line [with|that mentions] {t}",
)


def search(make: Maker) -> Clause:
    return _searched(make, *_SEARCH, answer=lambda hit: hit.split(":")[0])


def search_line(make: Maker) -> Clause:
    return _searched(make, *_SEARCH_LINE, answer=lambda hit: hit.split(": ", 1)[1])


def _searched(make: Maker, *patterns: str, answer: Callable[[str], str]) -> Clause:
    """For a text that stands in one line of one file."""
    w, rng = make.words, make.rng
    make.clutter(3)
    path = make.new_file()
    text = rng.choice((_rare_word, _rare_word, _rare_name, lambda make: f"{w.word()} {w.word()}"))(make)
    found = contents.lines(make, 0, 2)
    place = rng.randint(0, len(found))
    found.insert(place, " ".join((*w.phrase(0, 2).split(), text, *w.phrase(0, 2).split())))
    whole = "\n".join(found)
    elsewhere = "\n".join([*make.files.values(), *make.files])
    if text.lower() in elsewhere.lower() or whole.lower().count(text.lower()) != 1:
        return _searched(make, *patterns, answer=answer)
    make.put(path, whole)
    words = make.say(*patterns, t=typed(make, text))
    hit = f"{path}:{place + 1}: {found[place]}"
    return tells(
        words, Action("search_files", {"text": text}), value=answer(hit), answer=lambda seen: answer(seen[-1])
    )


def _rare_word(make: Maker) -> str:
    """A word long enough not to stand in others."""
    while len(word := make.words.word()) < 6:
        pass
    return word


def _rare_name(make: Maker) -> str:
    return f"{make.words.name()} {_rare_word(make).capitalize()}"


FAMILIES: dict[str, Kind] = {
    "list_files": as_kind(list_files, 3, "files"),
    "list_here": Kind(lambda make: make.whole(list_here(make)), 2, "files"),
    "find_file": as_kind(find_file, 3, "files"),
    "find_part": as_kind(find_part, 1, "files"),
    "find_kind": as_kind(find_kind, 1, "files"),
    "search": as_kind(search, 2.5, "files"),
    "search_line": as_kind(search_line, 1.5, "files"),
}
