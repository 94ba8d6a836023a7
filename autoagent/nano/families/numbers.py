"""How people write numbers and dates: in digits, in words, with thousands set apart, month by name."""

from __future__ import annotations

import datetime

from autoagent.nano.families.base import Maker

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_MONTHS = "January February March April May June July August September October November December".split()


def has_words(number: float) -> bool:
    """Whether people would write it in words: up to a hundred, and round hundreds and thousands."""
    if number != int(number) or number < 0:
        return False
    return number <= 100 or (number < 1000 and number % 100 == 0) or (number <= 20_000 and number % 1000 == 0)


def in_words(number: int) -> str:
    """A number for which ``has_words``.

    >>> in_words(42), in_words(300), in_words(12_000)
    ('forty-two', 'three hundred', 'twelve thousand')
    """
    if number >= 1000:
        return f"{in_words(number // 1000)} thousand"
    if number >= 100:
        return f"{in_words(number // 100)} hundred"
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def typed(make: Maker, number: float, share: float = 0.15) -> str:
    """A number as it stands in a goal; where it is not in digits, the expert has to write it in digits.

    Args:
        share: How often it is in words, if it has any.
    """
    chance = make.rng.random()
    if chance < share and has_words(number):
        whole = int(number)
        if whole == 12 and make.rng.random() < 0.4:
            return "a dozen"
        text = in_words(whole)
        return text.replace("-", " ") if make.rng.random() < 0.2 else text
    if chance > 0.9 and number == int(number) and number >= 1000:
        return f"{int(number):,}"
    return str(number)


def in_digits(**typed_as: tuple[str, object]) -> str:
    """What stands otherwise in a goal than in a call: ``"forty-two = 42"``; empty where nothing does.

    Args:
        typed_as: How each value stands in the goal, and in the call.
    """
    pairs = dict.fromkeys(typed_as.values())
    return ", ".join(f"{text} = {value}" for text, value in pairs if text != str(value))


def typed_date(make: Maker, date: str, share: float = 0.15) -> str:
    """A date as it stands in a goal, sometimes with the month by name; tools take it as year-month-day."""
    if make.rng.random() >= share:
        return date
    day = datetime.date.fromisoformat(date)
    month = _MONTHS[day.month - 1]
    return make.rng.choice(
        (
            f"{day.day} {month} {day.year}",
            f"{month} {day.day}, {day.year}",
            f"{day.day} {month[:3]} {day.year}",
            f"{month} {day.day} {day.year}",
        )
    )
