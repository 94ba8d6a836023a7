"""Files: list, find, read and answer, write, append, and the smaller ones."""

from __future__ import annotations

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Episode, Maker
from autoagent.nano.language import quoted


def list_files(make: Maker) -> Episode:
    w, rng = make.words, make.rng
    folder = w.folder() if rng.random() < 0.7 else "."
    names = sorted(
        {f"{w.stem()}.{rng.choice(('txt', 'md', 'csv', 'log'))}" for _ in range(rng.randint(1, 4))}
    )
    for name in names:
        make.put(name if folder == "." else f"{folder}/{name}", w.phrase())
    counting = rng.random() < 0.25
    if counting:
        goal = make.say(
            "How many files are [there |]in {where}?",
            "Count the files in {where}",
            "[Tell me|Find out] how many files are in {where}",
            "What is the number of files in {where}?",
            where=_place(make, folder),
        )
    else:
        goal = make.say(
            "[List|Show|Name] [all |]the files in {where}",
            "[Which|What] files are [there |]in {where}?",
            "[Which|What] files does {where} [contain|have|hold]?",
            "[List|Show me] what is in {where}",
            "[Tell me|Say] which files are in {where}",
            "Give me a list of the files in {where}",
            where=_place(make, folder),
        )
    call = Action("list_files", {} if folder == "." else {"folder": folder})
    if counting:
        return make.episode(
            goal,
            call,
            answer=lambda seen: str(len(seen[-1].splitlines())),
            expected=Expected(answer=str(len(names))),
        )
    listing = ", ".join(names)
    return make.episode(
        goal, call, answer=lambda seen: seen[-1].replace("\n", ", "), expected=Expected(answer=listing)
    )


def _place(make: Maker, folder: str) -> str:
    if folder == ".":
        return make.say(
            "this folder", "the [current |]folder", "the workspace", "here", "the current directory"
        )
    return make.say("{f}", "the folder {f}", "the {f} folder", "{f}/", "the directory {f}", "'{f}'", f=folder)


def find_file(make: Maker) -> Episode:
    w = make.words
    make.clutter(2)
    name = f"{w.stem()}.{make.rng.choice(('txt', 'md', 'csv', 'log', 'pdf'))}"
    path = f"{w.folder()}/{name}" if make.rng.random() < 0.7 else f"{w.folder()}/{w.folder()}/{name}"
    make.put(path, w.phrase())
    goal = make.say(
        "Where is [the file |]{name}?",
        "[Find|Locate] [the file |]{name}",
        "In which folder is {name}?",
        "[Find out|Tell me] where {name} is[| stored]",
        "Where [did I put|can I find|do I have] {name}?",
        "What is the path of {name}?",
        name=name,
    )
    return make.episode(goal, Action("find_file", {"name": name}), expected=Expected(answer=path))


def read_all(make: Maker) -> Episode:
    w = make.words
    make.clutter(2)
    path, text = w.file(), w.phrase(2, 7)
    make.put(path, text)
    goal = make.say(
        "[Read|Show me|Open|Print|Display] [the file |]{path}",
        "What [does|did] {path} say?",
        "What is [written |]in [the file |]{path}?",
        "[Read|Open] {path} and tell me what it says",
        "Tell me what is in {path}",
        "[Show|Give] me the [content|contents|text] of {path}",
        "What are the contents of {path}?",
        path=path,
    )
    return make.episode(goal, Action("read_file", {"path": path}), expected=Expected(answer=text))


def read_value(make: Maker) -> Episode:
    w, rng = make.words, make.rng
    make.clutter(1)
    path = w.file(rng.choice(("txt", "md", "cfg", "ini", "txt")))
    keys = list(dict.fromkeys(w.thing() for _ in range(rng.randint(2, 4))))
    sign = rng.choice((": ", ": ", " = ", " is "))
    values = {key: w.code() for key in keys}
    make.put(path, "\n".join(f"{key}{sign}{value}" for key, value in values.items()))
    key = rng.choice(keys)
    goal = make.say(
        "What is the {key} [in|according to|given in] {path}?",
        "[Read|Look in|Look into|Open] {path} and [tell me|say|give me] the {key}",
        "[Find|Look up|Get] the {key} in {path}",
        "Which {key} [is|stands] in {path}?",
        "According to {path}, what is the {key}?",
        "{path} has the {key}: what is it?",
        "What does {path} say about the {key}?",
        "Tell me the {key} from {path}",
        key=key,
        path=path,
    )
    value = values[key]
    return make.episode(
        goal, Action("read_file", {"path": path}), answer=lambda seen: value, expected=Expected(answer=value)
    )


def write_note(make: Maker) -> Episode:
    w = make.words
    make.clutter(1)
    path, text = w.file(), w.phrase(1, 6)
    goal = make.say(
        "[Write|Put|Save|Store] {text} [to|in|into] [the file |a file called |a new file |]{path}",
        "[Create|Make] [a |the |]file {path} [with the text|with the content|containing|that says] {text}",
        "[Create|Make] [a note|a file] {path} with {text}",
        "Write a [note|file] {path} [that says|saying|with the text] {text}",
        "[Make|Write] {path} with the [text|line|content] {text}",
        text=quoted(make.rng, text),
        path=path,
    )
    call = Action("write_file", {"path": path, "content": text})
    return make.episode(goal, call, expected=Expected(files={path: text}))


def append_note(make: Maker) -> Episode:
    w = make.words
    path, text, before = w.file(), w.phrase(1, 6), w.phrase(1, 6)
    make.put(path, before)
    make.clutter(1)
    goal = make.say(
        "[Append|Add] {text} to [the file |the end of |]{path}",
        "Add [the line|a line|the text|the item] {text} to {path}",
        "[Append|Add] a [line|note] to {path}: {text}",
        "[Put|Write] {text} at the end of {path}",
        "[Append|Add] to {path}[:| the line|] {text}",
        text=quoted(make.rng, text),
        path=path,
    )
    call = Action("append_file", {"path": path, "content": text})
    return make.episode(goal, call, expected=Expected(files={path: f"{before}\n{text}"}))


def rename(make: Maker) -> Episode:
    w = make.words
    old, new, text = w.file(), w.file(), w.phrase()
    make.put(old, text)
    make.clutter(1)
    if new in make.files:
        return rename(make)
    goal = make.say(
        "[Rename|Move] [the file |]{old} to {new}",
        "Change the name of {old} to {new}",
        "Give {old} the [new |]name {new}",
        "[Rename|Move] {old} into {new}",
        old=old,
        new=new,
    )
    call = Action("move_file", {"source": old, "target": new})
    return make.episode(goal, call, expected=Expected(files={new: text, old: None}))


def delete(make: Maker) -> Episode:
    path = make.words.file()
    make.put(path, make.words.phrase())
    make.clutter(2)
    goal = make.say(
        "[Delete|Remove|Erase] [the file |]{path}",
        "[Get rid of|Throw away] {path}",
        "[Delete|Remove] {path}, I do not need it [any more|anymore]",
        path=path,
    )
    return make.episode(goal, Action("delete_file", {"path": path}), expected=Expected(files={path: None}))


def edit(make: Maker) -> Episode:
    w = make.words
    path, old, new = w.file(), w.word(), w.word()
    before, after = w.phrase(1, 3), w.phrase(1, 3)
    if old in f"{before} {after}" or old == new:
        return edit(make)
    make.put(path, f"{before} {old} {after}")
    goal = make.say(
        "[Replace|Change] {old} [by|with|to|into] {new} in {path}",
        "In {path}, [replace|change] {old} [by|with|to] {new}",
        "Edit {path}: [replace|change] {old} [by|with|to] {new}",
        "Swap {old} for {new} in [the file |]{path}",
        old=quoted(make.rng, old),
        new=quoted(make.rng, new),
        path=path,
    )
    call = Action("edit_file", {"path": path, "old": old, "new": new})
    return make.episode(goal, call, expected=Expected(files={path: f"{before} {new} {after}"}))


def search(make: Maker) -> Episode:
    w = make.words
    make.clutter(3)
    text = w.word()
    if any(text.lower() in content.lower() for content in make.files.values()):
        return search(make)
    path = w.file()
    if path in make.files:
        return search(make)
    make.put(path, f"{w.phrase(1, 2)} {text} {w.phrase(1, 2)}")
    if path not in make.files or make.files[path].lower().count(text.lower()) != 1:
        return search(make)
    goal = make.say(
        "Which file [contains|mentions|has] [the word |]{text}?",
        "[Find|Search for] the file that [contains|mentions] {text}",
        "Search [all |my |the |]files for {text}",
        "In which file [does|is] {text} [stand|mentioned]?",
        "Where is {text} mentioned?",
        text=quoted(make.rng, text),
    )
    return make.episode(
        goal,
        Action("search_files", {"text": text}),
        answer=lambda seen: seen[-1].split(":")[0],
        expected=Expected(answer=path),
    )
