"""Dates: some days on or back, the days between two, weekdays."""

from __future__ import annotations

import datetime

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.numbers import in_digits, typed, typed_date

_SPANS = {"day": 1, "week": 7}

_AFTER = (
    "[What date|Which date|What day] is [it |]{n} [after|later than|from] {d}?",
    "[Tell me|Find|Give me|Get me|Work out|I need|I'd like] the date {n} [after|from|later than] {d}",
    "[Add|Count] {n} to [the date |]{d}",
    "What is {d} plus {n}?",
    "{d} + {n}[?|]",
    "[What|Which] [date|day] [comes|follows] {n} after {d}?",
    "{n} [after|from|later than] {d}, [what date|which date|what day] is [that|it]?",
    "[The|Which is the|What is the] date {n} [after|from] {d}?",
    "[A voucher|An offer|A ticket] of {d} is good for {n}, [when|on which date] does it [end|run out]?",
    "[It is|Say it is|Suppose it is] {d}. [What|Which] date is it in {n}?",
    "[Count|Go] {n} [forward|ahead|on] from {d}",
    "I ordered on {d} and it takes {n}, when does it arrive?",
    "Starting [on|from] {d}, what is the date {n} later?",
    "When [is it|will it be] {n} [after|from] {d}?",
    "[A parcel|The parcel|The letter] sent on {d} needs {n}: on which date does it [come|arrive]?",
    "My [holiday|course|trip|visit] [starts|begins] on {d} and [lasts|takes] {n}, on which date is it over?",
    "Which date do I get when I add {n} to {d}?",
    "[Move|Shift] {d} [ahead|on|forward] by {n}, what is the new date?",
    "The deadline is {n} after {d}, [which|what] date is that?",
)

_BEFORE = (
    "[What date|Which date|What day] is [it |]{n} [before|earlier than] {d}?",
    "[Tell me|Find|Give me|Get me|Work out|I need|I'd like] the date {n} [before|earlier than] {d}",
    "[Subtract|Take] {n} from {d}",
    "What is {d} minus {n}?",
    "{d} - {n}[?|]",
    "{n} before {d}, [what date|which date] is that?",
    "The date {n} before {d}?",
    "[Count|Go] {n} back from {d}",
    "[It is|Say it is|Suppose it is] {d}. [What|Which] date was it {n} ago?",
    "I [must|should|want to] [start|begin|leave] {n} before {d}, [on which|what] date is that?",
    "When [was|is] it {n} before {d}?",
    "[What|Which] date [comes|was] {n} before {d}?",
    "The [meeting|party|exam|wedding] is on {d}, remind me {n} earlier: which date is that?",
)


def days_after(make: Maker) -> Clause:
    """A date some days or weeks after or before another."""
    rng = make.rng
    date, in_weeks, later = make.words.date(), rng.random() < 0.25, rng.random() < 0.65
    count = (
        rng.choice((1, *range(1, 9))) if in_weeks else rng.choice((rng.randint(1, 30), rng.randint(1, 400)))
    )
    unit = "week" if in_weeks else "day"
    number, day = typed(make, count, 0.35 if in_weeks else 0.15), typed_date(make, date)
    if count == 1 and rng.random() < 0.5:
        number = "a"
    days = count * _SPANS[unit]
    span = f"{number} {unit}{'s' * (count != 1)}"
    goal = make.say(*(_AFTER if later else _BEFORE), n=span, d=day)
    value = (
        datetime.date.fromisoformat(date) + datetime.timedelta(days=days if later else -days)
    ).isoformat()
    read = in_digits(day=(day, date), count=(number, count))
    weeks = f"{count} * 7 = {days}" if in_weeks else ""
    why = "; ".join(each for each in (read, weeks) if each)
    call = Action("add_days", {"date": date, "days": days if later else -days}, because=lambda seen: why)
    return Clause(goal[0].upper() + goal[1:], (call,), Expected(answer=value), value=value)


_BETWEEN = (
    "How many days are [there |]between {a} and {b}?",
    "How many days [is it|are there|pass|go by|lie] from {a} [to|until|till] {b}?",
    "[Count|Tell me|Find|Work out|Give me] the [days|number of days] [between {a} and|from {a} to] {b}",
    "[Days|Number of days] [between {a} and|from {a} to|from {a} until] {b}[?|]",
    "From {a} [until|to|up to] {b}, how many days is [that|it]?",
    "[A voucher|A ticket|A visa] from {a} ends on {b}, how many days is it [good|valid]?",
    "How many days [does it take|are needed] to get from {a} to {b}?",
    "It [starts|begins] on {a} and [ends|stops] on {b}, how many days [does it last|is that|are in between]?",
    "The number of days [from {a} to|between {a} and] {b}?",
    "How long [is it|does it take] in days from {a} [to|until] {b}?",
    "[My|Our|The] [trip|holiday|project|course] [goes|runs|is] from {a} to {b}, how many days is that?",
    "[Today is|It is|Say it is] {a}, how many days [are left|remain|are there] [until|till|to] {b}?",
    "How many days after {a} [is|comes] {b}?",
    "How many days before {b} is {a}?",
    "[What is|I need|Tell me|Find] the [difference|distance] in days between {a} and {b}",
    "{a} to {b}: how many days?",
    "How far apart are {a} and {b} in days?",
    "[I'd like|I want|I need] to know how many days [pass|there are|lie] between {a} and {b}",
    "I [left|started|moved in|began] on {a} and [came back|stopped|finished] on {b}, count the days",
    "How many days [must|do] [I|we] wait from {a} [to|until] {b}?",
    "[What|How much] is {b} minus {a} in days?",
    "From {a} to {b} [it is|that is|makes] how many days?",
    "[Find|Count] how many days [separate|are between] {a} and {b}",
    "{b} is how many days after {a}?",
    "Days until {b} from {a}[?|]",
)


def days_between(make: Maker) -> Clause:
    start, end = sorted((make.words.date(), make.words.date()))
    if make.rng.random() < 0.4:  # close together, as most are
        shift = datetime.timedelta(days=make.rng.randint(1, 90))
        end = (datetime.date.fromisoformat(start) + shift).isoformat()
    first, last = typed_date(make, start), typed_date(make, end)
    goal = make.say(*_BETWEEN, a=first, b=last)
    read = in_digits(a=(first, start), b=(last, end))
    why = "; ".join(each for each in (read, f"from {start} to {end}") if each)
    days = (datetime.date.fromisoformat(end) - datetime.date.fromisoformat(start)).days
    call = Action("days_between", {"start": start, "end": end}, because=lambda seen: why)
    return Clause(goal, (call,), Expected(answer=str(days)), value=str(days))


_WEEKDAYS = (
    "[What|Which] [weekday|day of the week] [is|was|will be] {d}?",
    "On [what|which] [weekday|day of the week] [is|does|did] {d}[| fall]?",
    "[Tell me|Find|Give me|Work out|Look up] the [weekday|day of the week] [of|for] {d}",
    "Is {d} a [Monday|Friday|Sunday] or which [weekday|day of the week]?",
    "Weekday of {d}[?|]",
    "{d}: [what|which] [weekday|day of the week]?",
    "{d}, [what|which] [weekday|day of the week] is that?",
    "What day of the week [do|does|did] {d} [fall|land] on?",
    "[I was born|I moved in|We met|It happened] on {d}, [what|which] [weekday|day of the week] was that?",
    "[Say|Tell me|Find out|I'd like to know] on [which|what] [weekday|day of the week] {d} [falls|is|was]",
    "[My|Our|The] [exam|party|flight|concert] is on {d}, [what|which] [weekday|day of the week] is that?",
    "I'd like to know the [weekday|day of the week] of {d}",
    "{d} is [what|which] day of the week?",
    "[Which|What] weekday does {d} fall on?",
    "Do you know the [weekday|day of the week] of {d}?",
    "Name the [weekday|day of the week] for {d}",
    "Look {d} up in the calendar, [what|which] weekday is it?",
    "{d} [falls|is|lands] on [what|which] [weekday|day of the week]?",
    "[Find|Look up] on [what|which] [weekday|day of the week] {d} [was|is|falls]",
    "[I need|I want] the [weekday|day of the week] [of|for] [the date |]{d}",
    "[The|What is the] [weekday|day of the week] of {d}?",
    "[Does|Did] {d} [fall|land] on a weekend? [Tell me|Which is] the weekday",
    "The calendar [says|shows] {d}. [What|Which] [weekday|day of the week] is [it|that]?",
    "[Which|What] day of the week [do|did|will] we have on {d}?",
    "{d}, [its weekday|weekday|day of the week]?",
    "On {d}, [which|what] [weekday|day of the week] [is|was] it?",
    "[We meet|I fly|School starts] on {d}. [What|Which] [weekday|day of the week] is that?",
    "[Someone|A friend] asks [what|which] [weekday|day of the week] {d} is",
    "Date {d}, [weekday|day of the week] [wanted|please]",
)


def weekday(make: Maker) -> Clause:
    date = make.words.date()
    day = typed_date(make, date)
    goal = make.say(*_WEEKDAYS, d=day)
    value = datetime.date.fromisoformat(date).strftime("%A")
    read = in_digits(day=(day, date))
    call = Action("weekday_of", {"date": date}, because=lambda seen: read)
    return Clause(goal, (call,), Expected(answer=value), value=value)


_WEEKDAYS_AFTER = (
    "[Which|What] [weekday|day of the week] is [it |]{n} days [after|from|later than] {d}?",
    "On [which|what] [weekday|day of the week] does the day {n} days after {d} fall?",
    "[Tell me|Find|Work out|I need|I'd like to know] the [weekday|day of the week] {n} days [after|from] {d}",
    "Add {n} days to {d}: [which|what] weekday is [it|that]?",
    "{n} days [after|from] {d}, [which|what] [weekday|day of the week] is [it|that]?",
    "[The|Give me the|What is the] [weekday|day of the week] {n} days after {d}?",
    "[It is|Say it is|Suppose it is] {d}. [Which|What] [weekday|day of the week] is it in {n} days?",
    "I [start|leave|begin] on {d} and [stop|return|end] {n} days later, "
    "on [which|what] [weekday|day of the week]?",
    "[Which|What] [weekday|day of the week] [comes|falls|is it] {n} days after {d}?",
    "[The|A|My] parcel [of|sent on] {d} takes {n} days, on [which|what] weekday does it [come|arrive]?",
    "[Find|Get|Give me] the date {n} days after {d} and [tell me|say] its [weekday|day of the week]",
    "{n} days after {d} is [which|what] [weekday|day of the week]?",
    "{d} plus {n} days falls on [which|what] [weekday|day of the week]?",
    "If I wait {n} days from {d}, [which|what] [weekday|day of the week] is it then?",
    "[What|Which] [weekday|day of the week] do we have {n} days after {d}?",
    "From {d} on, count {n} days: [which|what] [weekday|day of the week] is it?",
    "[Work out|Tell me] on [which|what] [weekday|day of the week] the day {n} days after {d} is",
    "{n} days on from {d}: [the weekday|weekday|day of the week]?",
    "A visa from {d} ends {n} days later, on [which|what] [weekday|day of the week]?",
)


def weekday_after(make: Maker) -> Clause:
    """Two steps: a date some days later, and its weekday."""
    date, days = make.words.date(), make.rng.randint(2, 200)
    number, written = typed(make, days), typed_date(make, date)
    goal = make.say(*_WEEKDAYS_AFTER, n=number, d=written)
    read = in_digits(day=(written, date), days=(number, days))
    day = datetime.date.fromisoformat(date) + datetime.timedelta(days=days)
    return Clause(
        goal[0].upper() + goal[1:],
        (
            Action("add_days", {"date": date, "days": days}, because=lambda seen: read),
            Action("weekday_of", lambda seen: {"date": seen[-1]}),
        ),
        Expected(answer=day.strftime("%A")),
        value=day.strftime("%A"),
    )


FAMILIES: dict[str, Kind] = {
    "days_after": as_kind(days_after, 4, "figures"),
    "days_between": as_kind(days_between, 2, "figures"),
    "weekday": as_kind(weekday, 1.5, "figures"),
    "weekday_after": as_kind(weekday_after, 1.5, "figures"),
}
