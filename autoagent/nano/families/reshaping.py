"""Tables sorted, and two of them joined."""

from __future__ import annotations

from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.sheets import Table, of_table, row_name, style, table

_SORTING = {
    "ascending": (
        "Sort {p} by {c}[|, smallest first|, ascending|, from low to high| in ascending order]",
        "[Order|Arrange|Sort] [the rows of |the table |]{p} by "
        "{c}[|, lowest first|, smallest first|, ascending]",
        "[Put|Bring|Get] the rows of {p} [in order of|into order by] {c}",
        "[Sort|Order] the table {p} by [the |][column |]{c}[| in ascending order]",
        "{p} sorted by {c}[| ascending], please",
        "I want {p} [sorted|ordered] by {c}",
        "Rows of {p} should be [sorted|ordered] by {c}[|, smallest first]",
        "Sort by {c} in {p}",
        "[Rearrange|Reorder] {p} so that {c} goes from [low to high|small to large]",
        "Can you [sort|order] {p} by {c}?",
    ),
    "descending": (
        "Sort {p} by {c}, [largest first|highest first|descending|from high to low|in descending order]",
        "[Order|Arrange|Sort] [the rows of |the table |]{p} by {c}, [highest first|biggest first|descending]",
        "Put the rows of {p} in descending order of {c}",
        "[Sort|Order] the table {p} by [the |][column |]{c} in [descending|reverse] order",
        "{p} sorted by {c} descending, please",
        "I want {p} [sorted|ordered] by {c}, the [largest|highest] first",
        "Rows of {p} should be [sorted|ordered] by {c}, [largest|highest] first",
        "Sort by {c} in {p}, descending",
        "[Rearrange|Reorder] {p} so that {c} goes from [high to low|large to small]",
        "Can you [sort|order] {p} by {c} [downwards|in descending order]?",
    ),
}


def sort(make: Maker) -> Clause:
    """A table sorted by one of its columns."""
    rng = make.rng
    data = table(make, rows=(3, 6), numeric=(1, 2), quoted=False)
    order = "descending" if rng.random() < 0.4 else "ascending"
    name = rng.choice(data.numeric)
    place = data.header.index(name)
    done = sorted(data.rows, key=lambda row: float(row[place]), reverse=order == "descending")
    if done == list(data.rows):  # nothing would be left to do
        data = replace(data, rows=data.rows[::-1])
        make.files[data.path] = data.content() + "\n"
    arguments = {"path": data.path, "column": name}
    if order == "descending":
        arguments["order"] = order
    goal = make.say(*of_table(_SORTING[order]), p=data.path, c=name)
    return Clause(
        goal, (Action("sort_table", arguments),), Expected(files={data.path: data.content(done)}), tells=False
    )


_JOINING = (
    "Join {p} [and|with|to] {q} [on|by|over|using] {k} [into|to|as] {t}",
    "[Merge|Combine|Link] [the tables |]{p} [and|with] {q} [on|by] [the column |]{k} into {t}",
    "[Put|Bring] {p} and {q} together [by|on] [the |]{k} in {t}",
    "[Match|Join|Merge|Combine] {p} with {q} on {k} and [write|save|store] [it|that|the result] [to|in] {t}",
    "[Make|Create|Build|Write] {t} [from|out of] {p} and {q}, [joined|matched|merged] on {k}",
    "Combine the tables {p} and {q} over {k}, the result goes to {t}",
    "{p} and {q} have {k} in common: join them into {t}",
    "Into {t}, [join|merge] {p} and {q} on {k}",
    "[I need|I want] {p} joined with {q} on {k}, [saved|stored] as {t}",
    "Join {p} with {q} by {k}, and call [it|the result] {t}",
    "[Bring|Put] the rows of {p} and {q} together where {k} is the same, into {t}",
    "Link {p} and {q} on {k} and [store|save] the [table|result] in {t}",
)


def join(make: Maker) -> Clause:
    """Two tables with the same first column, as one in a new file."""
    rng, w = make.rng, make.words
    left = table(make, rows=(2, 5), numeric=(1, 2), quoted=False)
    headings = [left.key]
    while len(headings) < 2 or headings[-1] in left.header:
        headings = [left.key, w.column()]
    fitting = rng.sample(left.rows, rng.randint(1, len(left.rows)))
    draw = style(make, headings[1])
    partners = {row[0]: draw() for row in fitting}
    if rng.random() < 0.4:
        partners.setdefault(row_name(make, left.key), draw())
    lines = [tuple(headings), *partners.items()]
    right, target = make.new_file("csv"), ""
    make.put(right, "\n".join(",".join(line) for line in lines))
    target = make.new_file("csv")
    wanted = [(*row, partners[row[0]]) for row in left.rows if row[0] in partners]
    whole = Table(target, (*left.header, headings[1]), tuple(wanted), ())
    call = {"first": left.path, "second": right, "column": left.key, "target": target}
    goal = make.say(*_JOINING, p=left.path, q=right, k=left.key, t=target)
    return Clause(
        goal, (Action("join_tables", call),), Expected(files={target: whole.content()}), tells=False
    )


FAMILIES: dict[str, Kind] = {
    "sort_table": as_kind(sort, 2, "tables"),
    "join_tables": as_kind(join, 2.5, "tables"),
}
