"""The ranking shows the right tool for what people say, in their own words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent.tools import Tool, Toolbox, builtin_tools
from autoagent.tools.rank import rank


def made(name: str, description: str, argument: str) -> Tool:
    return Tool.from_parts(repr, name=name, description=description, arguments={argument: str})


OWN = [
    made("zorp", "Look up the opening hours of a museum", "museum"),
    made("kettle_on", "Boil the kettle in a room", "room"),
    made("get_stock", "Query the stock level by product", "product"),
    made("x_7", "Find the salary of an employee", "name"),
]
TOOLS = [*OWN, *builtin_tools()]


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ("What's in my downloads folder?", ["list_files"]),
        ("Could you show me everything inside reports/ ?", ["list_files"]),
        ("Which day of the week was 1999-12-31", ["weekday_of"]),
        ("how many days until 2026-12-24 from 2026-10-01", ["days_between"]),
        ("Give me the date 45 days after 2025-06-01", ["add_days"]),
        ("I weigh 180 pounds, what is that in kg?", ["convert_units"]),
        ("Turn 3.5 hours into minutes.", ["convert_units"]),
        ("how much is (12.5 + 7) * 4", ["calculate"]),
        ("Subtract 17 from 300", ["calculate"]),
        ("Open agenda.md and tell me the room number", ["read_file"]),
        ("What does letter.txt say about the rent?", ["read_file"]),
        ("Put 'buy stamps' in a new file errands.txt", ["write_file"]),
        ("Add the line 'call Eve' to errands.txt", ["append_file"]),
        ("In agenda.md swap Monday for Tuesday", ["edit_file"]),
        ("rename old.txt to new.txt please", ["move_file"]),
        ("Get rid of draft.md", ["delete_file"]),
        ("Where did I put passport.md?", ["find_file"]),
        ("Which file mentions the landlord?", ["search_files"]),
        ("What is the average of the column age in people.csv?", ["column_figure"]),
        ("Show me the first rows of sales.csv", ["show_table"]),
        ("Never forget that my locker is number 12", ["save_memory"]),
        ("What did I tell you about my locker?", ["recall_memory"]),
        ("Train yourself on your runs", ["finetune"]),
        ("When is the Louvre open? I need the opening hours", ["zorp"]),
        ("Boil the kettle in the kitchen", ["kettle_on"]),
        ("How many lamps are left? Check the stock level of lamps", ["get_stock"]),
        ("What is Tom's salary?", ["x_7"]),
        (
            "Add up the price column of orders.csv and write the sum to total.txt",
            ["column_figure", "write_file"],
        ),
        ("Convert 10 miles to km, then remember the result", ["convert_units", "save_memory"]),
        ("Find report.md and read it", ["find_file", "read_file"]),
        ("Work out 12 * 12 and then append it to log.txt", ["calculate", "append_file"]),
    ],
)
def test_the_right_tools_are_among_those_shown(goal: str, wanted: list[str]) -> None:
    shown = [each.name for each in Toolbox(TOOLS).shown_for(goal, at_most=12)]
    assert set(wanted) <= set(shown)


def test_the_clear_case_comes_first() -> None:
    assert rank("Boil the kettle in the kitchen", TOOLS)[0].name == "kettle_on"
    assert rank("2 + 2 * 7", TOOLS)[0].name == "calculate"
    assert rank("Which weekday is 2026-03-01?", TOOLS)[0].name == "weekday_of"


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ("will I need an umbrella tomorrow", "sky_1"),
        ("who is the boss of this firm", "sky_2"),
        ("I am hungry, what can I cook", "sky_3"),
    ],
)
def test_a_tool_is_found_by_words_that_go_with_its_own(goal: str, wanted: str) -> None:
    own = [
        made("sky_2", "Find the manager of a company", "company"),
        made("sky_3", "Suggest a recipe for a meal", "ingredients"),
        made("sky_1", "Tell the weather forecast", "day"),
    ]
    assert rank(goal, [*builtin_tools(), *own])[0].name == wanted


def test_every_part_of_a_goal_has_its_say_in_turn() -> None:
    best = rank("Boil the kettle in the kitchen and then look up the salary of Tom", TOOLS)
    assert {each.name for each in best[:2]} == {"kettle_on", "x_7"}


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_whatever_the_goal(goal: str) -> None:
    ranked = rank(goal, TOOLS)
    assert sorted(each.name for each in ranked) == sorted(each.name for each in TOOLS)
    assert rank(goal, TOOLS) == ranked


def test_ties_keep_the_order_given() -> None:
    assert rank("§", TOOLS) == TOOLS
    assert rank("§", TOOLS[::-1]) == TOOLS[::-1]
    assert rank("anything", []) == []
