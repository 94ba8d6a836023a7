"""Natural wordings for every built-in tool: its hints bring it forward and do not push another away."""

from __future__ import annotations

import pytest

from autoagent.tools import builtin_tools
from autoagent.tools.rank import rank

SHOWN = 8  # to the embedded model, among all built-in tools

TEXT_AND_TABLES = {
    "count_text": [
        "How many words are in essay.txt?",
        "Count the lines of log.txt",
        "How long is poem.txt in characters?",
        "What is the number of words in report.md?",
        "How many lines does todo.txt have?",
        "Tell me the word count of draft.txt",
        "count characters in name.txt please",
        "How many letters are in notes.txt",
        "whats the line count of access.log",
        "I need to know how many words my letter.md has",
        "give me the length of bio.txt in characters",
    ],
    "count_matches": [
        "How often does error occur in log.txt?",
        "How many times is milk mentioned in list.txt?",
        "Count how often 'the' appears in story.txt",
        "How many times does the word apple stand in fruit.txt",
        "Count the occurrences of TODO in plan.md",
        "What is the number of times Anna is named in chat.txt?",
        "In log.txt, how often does timeout come up?",
        "how frequently does 'however' show up in thesis.txt",
        "tell me how many times I wrote love in poem.txt",
        "number of mentions of Paris in trip.md?",
    ],
    "extract_text": [
        "List all email addresses in contacts.txt",
        "Extract the numbers from report.txt",
        "Which dates are mentioned in diary.md?",
        "Get all links from page.md",
        "Pull the phone numbers out of notes.txt",
        "What email addresses stand in letter.txt?",
        "Give me every date in calendar.txt",
        "Find all the URLs in links.txt",
        "Which numbers are in data.txt?",
        "Collect the e-mail addresses from people.txt",
        "I want all web links found in readme.md",
        "What numbers does bill.txt contain?",
        "which days/dates does schedule.txt name",
    ],
    "replace_all": [
        "Replace every foo with bar in code.txt",
        "Change all occurrences of Tom to Tim in story.txt",
        "In letter.txt swap cat for dog everywhere",
        "Substitute each colour with color in text.md",
        "Replace all commas in list.txt by semicolons",
        "Fill the placeholder {name} in letter.txt with Anna",
        "replace Monday with Friday throughout plan.md",
        "turn every 2023 in report.txt into 2024",
        "Everywhere in doc.md, write client instead of customer",
        "Please replace all instances of red by green in paint.txt",
    ],
    "replace_line": [
        "Replace line 3 of notes.txt with hello",
        "Change the second line of todo.txt to call Bob",
        "Set line 5 in config.txt to debug=true",
        "Line 2 of list.txt should read milk",
        "In poem.txt, replace the line number 4 by 'the end'",
        "make line 1 of a.txt say Title",
        "Overwrite line 7 in log.txt with done",
        "Rewrite line 4 of intro.txt as 'Welcome'",
        "the 3rd line of plan.txt must become 'rest'",
        "Update line 12 in settings.ini to port=80",
    ],
    "sort_lines": [
        "Sort the lines of names.txt",
        "Put the lines in list.txt into alphabetical order",
        "Sort numbers.txt in descending order",
        "Order the lines of words.txt alphabetically",
        "Sort todo.txt",
        "arrange the lines in guests.txt from a to z",
        "Reverse sort scores.txt",
        "Alphabetize shopping.txt",
        "Please bring the entries of names.txt into order",
        "Sort the numbers in values.txt from small to large",
    ],
    "compare_files": [
        "Compare a.txt and b.txt",
        "What is the difference between old.txt and new.txt?",
        "Are draft.txt and final.txt the same?",
        "Do a.md and b.md differ?",
        "Is copy.txt identical to original.txt?",
        "Which lines are only in a.txt and not in b.txt?",
        "Show me the differences between v1.txt and v2.txt",
        "Does a.txt have the same content as b.txt?",
        "check whether x.md equals y.md",
        "what changed between draft1.txt and draft2.txt",
    ],
    "sort_table": [
        "Sort prices.csv by price",
        "Order the table people.csv by age, descending",
        "Sort the rows of stock.csv by name",
        "Arrange sales.csv by the column date",
        "Sort the table orders.csv by amount",
        "Put the rows of team.csv in order of score",
        "Sort employees.csv by salary from high to low",
        "I'd like cars.csv ordered by year",
        "Arrange the rows in books.csv by title",
    ],
    "select_rows": [
        "Which rows of prices.csv have a price greater than 5?",
        "Show all orders in orders.csv with a total above 100",
        "Who in people.csv is older than 30?",
        "List the rows in stock.csv where amount is less than 3",
        "Which products in items.csv cost at most 10?",
        "Filter sales.csv by city Rome",
        "Show the rows of team.csv where role is chef",
        "which people in staff.csv live in Berlin?",
        "all rows in cars.csv with year before 2000",
        "Which students in grades.csv scored more than 90?",
        "find entries in stock.csv whose quantity is below 5",
        "show me everyone from Paris in guests.csv",
    ],
    "extreme_row": [
        "Which product in prices.csv is the most expensive?",
        "Show the row of sales.csv with the largest amount",
        "Who is the oldest in people.csv?",
        "Which item in stock.csv has the lowest price?",
        "Find the cheapest thing in menu.csv",
        "Which city in cities.csv has the most people?",
        "What is the name of the row with the highest score in team.csv?",
        "Which order in orders.csv has the smallest total?",
        "Who earns the most in salaries.csv?",
        "Which car in cars.csv is the cheapest?",
        "tell me which mountain in peaks.csv is tallest",
        "Name the student with the lowest grade in grades.csv",
    ],
    "join_tables": [
        "Join orders.csv and customers.csv on id into all.csv",
        "Merge the tables a.csv and b.csv by name into c.csv",
        "Combine prices.csv with stock.csv on item and write it to both.csv",
        "Match people.csv with cities.csv on the column city into full.csv",
        "Join the two tables x.csv and y.csv on key",
        "Put left.csv and right.csv together by id in one table out.csv",
        "Combine users.csv and orders.csv by user_id, store in merged.csv",
        "link table a.csv to b.csv using id and save as ab.csv",
        "Merge two csv tables prices.csv and names.csv on code into out.csv",
    ],
}

OTHERS = {
    "list_files": [
        "Which files are in docs/?",
        "List the files here",
        "What is in the folder reports/?",
    ],
    "read_file": [
        "Read notes.txt",
        "What does letter.txt say?",
        "Open agenda.md and tell me the room number",
    ],
    "write_file": [
        "Write hello into note.txt",
        "Create a file list.txt containing milk",
        "Save 'buy stamps' in a new file errands.txt",
    ],
    "append_file": [
        "Add the line 'call Eve' to errands.txt",
        "Append milk to list.txt",
        "Put tea at the end of shopping.txt",
    ],
    "edit_file": [
        "In agenda.md swap Monday for Tuesday",
        "Replace foo with bar in a.txt",
        "Change the date in plan.md from May to June",
    ],
    "move_file": [
        "rename old.txt to new.txt please",
        "Move a.txt to docs/",
        "Give draft.md the new name final.md",
    ],
    "delete_file": [
        "Delete old.txt",
        "Get rid of draft.md",
        "Remove the file notes.txt",
    ],
    "find_file": [
        "Where did I put passport.md?",
        "Find the file budget.csv",
        "Locate report.txt",
    ],
    "search_files": [
        "Which file mentions the landlord?",
        "Search all files for invoice",
        "Find the file that contains 'secret'",
    ],
    "show_lines": [
        "Show lines 2 to 5 of a.txt",
        "What is on line 3 of notes.txt?",
        "Show me the first 3 lines of log.txt",
    ],
    "search_pattern": [
        "Search with the regular expression [0-9]+",
        "Grep for the regex ^a in docs/",
        "Find lines that match the regexp x+y",
    ],
    "show_table": [
        "Show me the first rows of sales.csv",
        "Which columns does people.csv have?",
        "Look at the table prices.csv",
    ],
    "column_figure": [
        "What is the average of the column age in people.csv?",
        "Add up the price column of orders.csv",
        "What is the largest amount in sales.csv?",
        "How many rows does stock.csv have?",
        "What is the highest score in team.csv?",
        "Sum the totals in a.csv",
    ],
    "json_value": [
        "What is the port in config.json?",
        "Look up the key servers[0].name in set.json",
        "Give me the value of the key name in package.json",
    ],
    "calculate": [
        "how much is (12.5 + 7) * 4",
        "Subtract 17 from 300",
        "What is 15 percent of 80?",
    ],
    "convert_units": [
        "Turn 3.5 hours into minutes.",
        "I weigh 180 pounds, what is that in kg?",
        "Convert 10 miles to km",
    ],
    "add_days": [
        "Give me the date 45 days after 2025-06-01",
        "What date is 10 days before 2026-01-01?",
        "Add 3 days to 2026-02-27",
    ],
    "days_between": [
        "how many days until 2026-12-24 from 2026-10-01",
        "How many days are between 2025-01-01 and 2025-03-01?",
        "Count the days from 2026-01-01 to 2026-02-01",
    ],
    "weekday_of": [
        "Which day of the week was 1999-12-31",
        "What weekday is 2026-03-01?",
        "On which day does 2026-12-24 fall?",
    ],
    "save_memory": [
        "Never forget that my locker is number 12",
        "Remember that I like tea",
        "Keep in mind that Anna is vegetarian",
    ],
    "recall_memory": [
        "What did I tell you about my locker?",
        "Do you remember my birthday?",
        "What do you know about Anna?",
    ],
    "run_shell": [
        "Run the shell command ls",
        "Run make in the terminal",
        "Run git status",
    ],
    "run_python": [
        "Run a Python script that prints 1",
        "Execute this Python code: print(2)",
        "Run the program code print(3) in Python",
    ],
    "http_get": [
        "Get the text at the web address http://localhost:8000/",
        "Get http://example.org/a.txt",
        "Download the text at an address",
    ],
    "read_web_page": [
        "Read the web page https://example.org",
        "What does the page at https://example.org say?",
        "Read the web site example.org as text",
    ],
    "finetune": [
        "Train yourself on your runs",
        "Retrain your model",
        "Finetune the model",
    ],
    "delegate": [
        "Let a helper do this part",
        "Delegate the subtask to a sub-agent",
        "Give a helper a smaller goal",
    ],
}
WORDINGS = [(goal, name) for name, goals in (TEXT_AND_TABLES | OTHERS).items() for goal in goals]


@pytest.mark.parametrize(("goal", "name"), WORDINGS)
def test_a_tool_is_among_the_best_for_what_people_say(goal: str, name: str) -> None:
    assert name in [each.name for each in rank(goal, builtin_tools())[:SHOWN]]


def test_nearly_all_wordings_bring_their_tool_among_the_first_five_and_most_to_the_first_place() -> None:
    tools = builtin_tools()
    places = [[each.name for each in rank(goal, tools)].index(name) for goal, name in WORDINGS]
    assert sum(place < 5 for place in places) >= 0.95 * len(WORDINGS)
    assert sum(place == 0 for place in places) >= 0.8 * len(WORDINGS)


@pytest.mark.parametrize(
    ("goal", "wanted"),
    [
        ("Sort names.txt and then count its lines", {"sort_lines", "count_text"}),
        ("Extract the emails from a.txt and write them to b.txt", {"extract_text", "write_file"}),
        (
            "Find the row with the largest price in prices.csv and save its name to best.txt",
            {"extreme_row", "write_file"},
        ),
        ("Join a.csv and b.csv on id into c.csv, then sum the price", {"join_tables", "column_figure"}),
        ("Compare a.txt and b.txt and write the result to diff.txt", {"compare_files", "write_file"}),
        ("Count how often milk stands in list.txt and remember it", {"count_matches", "save_memory"}),
        ("Replace every red with blue in a.txt, then read it", {"replace_all", "read_file"}),
        ("Filter people.csv for age > 30 and put the result in old.txt", {"select_rows", "write_file"}),
    ],
)
def test_both_tools_of_a_goal_in_two_parts_are_among_the_best(goal: str, wanted: set[str]) -> None:
    assert wanted <= {each.name for each in rank(goal, builtin_tools())[:SHOWN]}


def test_every_tool_that_is_looked_for_by_words_has_wordings() -> None:
    known = {*TEXT_AND_TABLES, *OTHERS}
    steering = {"plan", "ask_user", "find_tools", "finish", "decline"}
    assert known == {each.name for each in builtin_tools()} - steering
    assert min(map(len, TEXT_AND_TABLES.values())) >= 6
    assert min(map(len, OTHERS.values())) >= 3
