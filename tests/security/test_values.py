"""Whether a value was said: by itself, whole, and not as a part of something else."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from autoagent.security.values import Words, leaves, links, vocabulary, without

SAID = (
    "Send $1,200.50 to ann@x.org, and post it on https://example.org/prices/. On May 13 at 14:00 tell @bob in"
    " #general. The IBAN is GB29NWBK60161331926819; use team-building.docx (not “Old notes”)."
)


def said(*texts: str) -> Words:
    words = Words()
    for each in texts:
        words.add(each)
    return words


HELD = """
ann@x.org | ANN@X.ORG | 1200.50 | 13 | https://example.org/prices | example.org/prices/ | bob | general
GB29NWBK60161331926819 | team-building.docx | Old  notes
"""
FOREIGN = """
joann@x.org | nn@x.org | ann@x.org.evil.example | x.org | ann | 14 | 1200 | example.org | https://evil.org
https://example.org/prices/old | https://example.org/prices?to=me | evil.org/example.org/prices
GB29NWBK6016133192681 | building.docx | notes2 | eneral
"""


def values(table: str) -> list[str]:
    return [each.strip() for line in table.strip().splitlines() for each in line.split("|")]


@pytest.mark.parametrize("value", [*values(HELD), 1200.5, 13, "", "  "])
def test_what_was_said_is_held(value: object) -> None:
    assert said(SAID).hold(value)


@pytest.mark.parametrize("value", [*values(FOREIGN), 1200, 14])
def test_a_part_or_an_extension_of_what_was_said_is_not_held(value: object) -> None:
    assert not said(SAID).hold(value)


def test_nothing_is_held_where_nothing_was_said() -> None:
    assert not Words().hold("a")
    assert not said("").hold(0)


def test_two_texts_do_not_run_together() -> None:
    assert not said("Tell Ann", "Lee is here").hold("Ann Lee")


def test_what_was_said_first_is_known_from_what_was_said_later() -> None:
    words = said("Tell Ann", "of 13 things", "Tell Ann", "to Lee, 13 times")
    assert len(words) == 3
    assert [words.hold("Ann", first=number) for number in (0, 1)] == [False, True]
    assert [words.hold("Lee", first=number) for number in (2, 3)] == [False, True]
    assert [words.hold(value, first=1) for value in (13, "13")] == [False, False]
    assert [words.hold(value, first=2) for value in (13, "13")] == [True, True]


@pytest.mark.parametrize(
    ("text", "parts", "left"),
    [
        ("Tell ANN@x.org? Yes, and joann@x.org", ["ann@x.org", "Tell ann@x.org?"], "… yes, and joann@x.org"),
        ("Ann, Ann Lee and Anna", ["Ann", ""], "… , … lee and anna"),
        ("Tell  Ann", [], "tell ann"),
    ],
)
def test_a_text_is_taken_without_what_it_repeats(text: str, parts: list[str], left: str) -> None:
    assert " ".join(without(text, parts).split()) == left


def test_the_parts_of_an_argument_are_found_wherever_they_are() -> None:
    class Item(BaseModel):
        id: int
        to: list[str]

    assert list(leaves({"a": [Item(id=3, to=["x"])], "b": {"k": None}}, frozenset({"a", "id", "to"}))) == [
        3,
        "x",
        "b",
        "k",
    ]
    assert list(leaves(["2024-05-13", "2024-05-13T10:00:00Z", "10:30", True, None, " "])) == []


def test_links_are_found_with_and_without_their_scheme() -> None:
    text = "https://a.example/b?c=1, www.d.example. or evil-site.com/x; not file.txt, e.g. this, ann@x.org."
    assert links(text) == ["https://a.example/b?c=1", "www.d.example", "evil-site.com/x"]


def test_the_vocabulary_of_a_schema_is_its_names_and_choices() -> None:
    schema = {
        "properties": {"to": {"enum": ["r", "rw"]}, "how": {"$ref": "#/$defs/How"}},
        "$defs": {"How": {"properties": {"kind": {"const": "file"}}}},
    }
    assert vocabulary(schema) == (frozenset({"to", "how", "kind"}), frozenset({"r", "rw", "file"}))
