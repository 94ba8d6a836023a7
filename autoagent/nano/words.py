"""The words that worlds are made of, split by hash into those seen in training and those kept for measuring.

Real words come from the help topics that ship with every Python (``pydoc_data.topics``), so that the recipe
needs no download; invented ones are put together from syllables. A fifth of all words, chosen by their hash,
is held out: training never sees them, the suites use nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
from dataclasses import dataclass

_HELD_OUT = 5  # every fifth word, by hash

THINGS = (
    "wifi code|door code|locker number|train time|meeting room|phone number|favourite colour|birthday"
    "|address|car plate|bike lock|gate code|flight number|hotel name|shoe size|team name|desk number"
    "|order number|ticket number|budget|deadline|password hint|locker key|garden code|alarm code"
    "|dentist|doctor|landlord|teacher|manager|office floor|parking spot|library card|coffee order|tea"
    "|lunch place|boat name|cat name|dog name|printer name|server name|project name|invoice number"
    "|account name|postcode|street|bus line|platform|seat|gym day|bin day|rent|tax number|blood type"
    "|shirt size|wifi name|router|backup disk|spare key|toolbox|passport number|insurance|supplier"
    "|price"
).split("|")
NAMES = (
    "Anna Ben Carla David Emma Felix Greta Hugo Ines Jonas Karin Leo Mara Nils Olga Paul Rosa Sami"
    " Tina Uwe Vera Willi Xenia Yara Zoe Amir Bruno Chloe Dario Elif Fatma Gino Hana Ivan Julia Kofi"
    " Lena Mika Nora Omar Pia Quinn Ravi Sara Tom Uma Viktor Wendy Yusuf Zara Adele Boris Cora Dina"
    " Erik Fiona Georg Helen Igor Jane Klara Luis Maya Noah"
).split()
PLACES = (
    "Berlin Paris Rome Madrid Vienna Oslo Lisbon Athens Dublin Prague Cairo Lima Quito Tokyo Delhi"
    " Sydney Boston Dallas Denver Miami Austin Seattle Toronto Helsinki Warsaw Zurich Geneva Porto"
    " Lyon Milan Naples Turin Hamburg Munich Cologne Bremen Graz Basel Ghent Bruges Leeds York Bath"
    " Cork Galway Bergen Malmo Turku Riga Tallinn"
).split()
FILE_WORDS = (
    "notes todo report sales budget data list plan summary draft letter invoice orders items prices"
    " stock recipes contacts log results scores shopping ideas tasks diary journal expenses income"
    " staff team members cities weather trips books movies songs quotes facts config settings readme"
    " minutes agenda calendar inventory numbers values"
).split()
FOLDERS = (
    "docs data notes reports archive work home inbox projects logs files papers drafts old new temp lists"
).split()
SHOPPING = (
    "milk bread eggs butter cheese apples pears rice pasta coffee tea sugar salt flour honey soap"
    " paper towels water juice tomatoes onions garlic carrots potatoes beans lentils oats yogurt"
    " cream chicken fish olives lemons nuts"
).split()
COLUMNS = (
    "price amount quantity total cost weight height age score points units hours days sales profit"
    " income tax distance speed size length width year stock visits clicks rating temperature"
    " rainfall population area budget salary"
).split()
_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl pr sh sl st th tr qu".split()
_VOWELS = "a e i o u a e i o ai ea ee ou oo".split()
_LETTERS = "aabcdeefghiijklmnoopqrsttuuvwxyzaeioéüñ"
_ACCENTS = "àáâãäåæçèêëìíîïòóôõöøùúûýßœąćčęěłńřśšťůźżžőűğış"  # for training, as people's words have any
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "k", "x", "nd", "rt", "sh"]

_SENTENCES = (
    "Call <name> about the <thing>|Call <name> at <time>|Meet <name> in <place> at <time>|Buy <n> <food>"
    "|Buy <food>, <food> and <food>|The <thing> is <code>|<name> owes me <price>|Pay <price> to <name>"
    "|Send the <thing> to <email>|See <link>|<name>'s <thing> is due on <date>|Don't forget the <food>"
    "|Ask <name>: who has the <thing>?|<n> <word> left in the <word>|Moved to <place> on <date>"
    "|Finish the <word> <word> by <date>|<word>, <word> & <word>|<thing> #<n>: <word>|Re: <word> <word>"
    "|<name> said \"<word> <word>\"|<word>/<word> = <decimal>|It's <name>'s <word>|TODO: <word> the <word>"
    "|<word>_<word> is at <n>%|Version <decimal> of <word>|We need <n> more <word>s|<time> <word> with <name>"
    "|<name> lives in <place>|Total: <price>|- <word> <word>|* <food> (<n>)|<place> is <n> km away"
).split("|")


def is_kept(text: str, every: int) -> bool:
    """Whether the hash of a text keeps it for measuring: about one text in ``every`` is kept."""
    return hashlib.sha256(text.encode()).digest()[0] % every == 0


def is_held_out(word: str) -> bool:
    """Whether a word is kept for measuring, decided by its hash alone."""
    return is_kept(word.lower(), _HELD_OUT)


@functools.cache
def real_words() -> tuple[str, ...]:
    """A few thousand English words of 3 to 11 letters, from Python's own help topics."""
    from pydoc_data import topics

    found = set(re.findall(r"\b[a-z]{3,11}\b", " ".join(topics.topics.values())))
    return tuple(sorted(found))


@dataclass
class Words:
    """Draws words, names, files and values from one side of the split.

    Attributes:
        more: English words from outside data, for training; those on the other side are passed over.
    """

    rng: random.Random
    held_out: bool = False
    more: tuple[str, ...] = ()

    def pick(self, pool: tuple[str, ...] | list[str]) -> str:
        """One entry of a pool, from this side of the split (by the entry's own hash)."""
        for _ in range(200):
            word = self.rng.choice(pool)
            if is_held_out(word) == self.held_out:
                return word
        raise LookupError("the pool has no word on this side of the split")

    def word(self) -> str:
        """A real or invented word."""
        kind = self.rng.random()
        if kind < 0.6:
            return self.pick(self.more if self.more and kind < 0.4 else real_words())
        while True:
            word = self._invented() if kind < 0.85 else self._odd()
            if is_held_out(word) == self.held_out:
                return word

    def _invented(self) -> str:
        syllables = self.rng.choice((2, 2, 3))
        choose = self.rng.choice
        return "".join(choose(_ONSETS) + choose(_VOWELS) for _ in range(syllables)) + choose(_CODAS)

    def _odd(self) -> str:
        """Letters in an order that no syllable explains: what is copied has to be copied letter by letter."""
        rng = self.rng
        letters = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(3, 7)))
        if not self.held_out and rng.random() < 0.15:
            place = rng.randrange(len(letters))
            letters = letters[:place] + rng.choice(_ACCENTS) + letters[place + 1 :]
        return rng.choice((letters, letters, letters, letters.capitalize(), letters.upper()))

    def name(self) -> str:
        """A person's name."""
        return self.pick(NAMES) if self.rng.random() < 0.5 else self.word().capitalize()

    def place(self) -> str:
        return self.pick(PLACES) if self.rng.random() < 0.5 else self.word().capitalize()

    def phrase(self, low: int = 1, high: int = 5) -> str:
        """The text of a note: some words in a row, or, where there is room, a short sentence."""
        rng = self.rng
        if high >= 4 and rng.random() < 0.35:
            return self.sentence()
        words = [
            self.word() if rng.random() < 0.6 else self.pick(SHOPPING) for _ in range(rng.randint(low, high))
        ]
        if not words:
            return ""
        if rng.random() < 0.2:
            words[rng.randrange(len(words))] = str(self.number())
        if rng.random() < 0.25:
            words[0] = words[0].capitalize()
        if rng.random() < 0.1 and len(words) > 1:
            words[0] += rng.choice((",", ":"))
        return " ".join(words)

    def sentence(self) -> str:
        """A line as people leave one for themselves."""
        rng = self.rng
        pattern = rng.choice(_SENTENCES)
        text = re.sub(r"<(\w+)>", lambda slot: str(self._slot(slot[1])), pattern)
        if rng.random() < 0.3:
            text += rng.choice((".", ".", "!", " :)", " (done)", " - urgent"))
        return text[0].lower() + text[1:] if rng.random() < 0.3 else text

    def _slot(self, kind: str) -> object:
        rng = self.rng
        match kind:
            case "time":
                return f"{rng.randrange(24)}:{rng.randrange(60):02d}"
            case "n":
                return rng.randint(2, 60)
            case "price":
                return (
                    f"{rng.choice('$€£')}{self.number()}" if rng.random() < 0.5 else f"{self.decimal():.2f}"
                )
            case "food":
                return self.pick(SHOPPING)
            case "email":
                return self.email()
            case "link":
                return f"https://{self.word().lower()}.{rng.choice(('com', 'org', 'net'))}/{self.word()}"
            case _:
                return getattr(self, kind)()

    def email(self) -> str:
        return f"{self.word().lower()}@{self.word().lower()}.{self.rng.choice(('com', 'org', 'net', 'io'))}"

    def number(self) -> int:
        """A whole number of one to four digits, short ones as likely as long ones."""
        digits = self.rng.randint(1, 4)
        return self.rng.randrange(10 ** (digits - 1), 10**digits)

    def decimal(self) -> float:
        return round(self.rng.uniform(0.1, 200), self.rng.choice((1, 1, 2)))

    def code(self) -> str:
        """A short value: a number, a word, a name, a code, an amount, a time, a date, an e-mail."""
        rng = self.rng
        kind = rng.randrange(9)
        if kind == 0:
            return str(rng.randrange(100, 1_000_000))
        if kind == 1:
            return self.word()
        if kind == 2:
            return self.name()
        if kind == 3:
            return (
                f"{rng.choice('ABCDEFGHKLMNPRSTUVWXYZ')}{rng.choice(('-', '', ''))}{rng.randrange(10, 9999)}"
            )
        if kind == 4:
            return f"{rng.randrange(24)}:{rng.randrange(60):02d}"
        if kind == 5:
            return f"{self.word()} {self.word()}"
        if kind == 6:
            return rng.choice((self.date, self.email, self.place, self._secret))()
        if kind == 7:
            return (
                f"{rng.choice('$€£')}{rng.randrange(1, 2000)}" if rng.random() < 0.5 else str(self.decimal())
            )
        return f"{self.number()} {rng.choice(('euros', 'dollars', 'kg', 'people', 'rooms', 'points'))}"

    def _secret(self) -> str:
        """What a password or a key looks like."""
        signs = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"
        return "".join(self.rng.choice(signs) for _ in range(self.rng.randint(4, 9)))

    def stem(self) -> str:
        """A file name without its ending."""
        rng = self.rng
        kind = rng.randrange(6)
        if kind < 2:
            return self.pick(FILE_WORDS)
        if kind < 4:
            return self.word()
        if kind == 4:
            return f"{self.pick(FILE_WORDS)}{rng.choice('_-')}{self.word()}"
        return f"{self.word()}{rng.choice(('', '_', '-'))}{rng.randrange(1, 2030)}"

    def file(self, ending: str = "") -> str:
        """A file name, sometimes in a folder."""
        name = f"{self.stem()}.{ending or self.rng.choice(('txt', 'txt', 'txt', 'md', 'md', 'log'))}"
        return f"{self.folder()}/{name}" if self.rng.random() < 0.2 else name

    def folder(self) -> str:
        return self.pick(FOLDERS) if self.rng.random() < 0.5 else self.word()

    def thing(self) -> str:
        """Something a fact is about."""
        if self.rng.random() < 0.6:
            return self.pick(THINGS)
        return f"{self.word()} {self.word()}" if self.rng.random() < 0.4 else self.word()

    def column(self) -> str:
        return self.pick(COLUMNS) if self.rng.random() < 0.6 else self.word()

    def date(self) -> str:
        rng = self.rng
        return f"{rng.randrange(1990, 2040)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
