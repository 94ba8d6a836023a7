"""The stories of the word problems with one operation: what happens, by the expression that answers it.

In a story, n and o are names, i and j are things that can be counted, m is a currency, a to d are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    """Stories that one expression answers.

    Attributes:
        expression: With the letters of the numbers.
        why: The same in words: what the expert thinks before it calculates.
        draw: How each number is drawn: "few" 2-12, "some" 3-60, "many" 20-400, "money" and "price" with
            cents at times, "percent", "hours", "speed". "x b" is a multiple of b, "> b" more than b.
        tellings: Ways to tell it.
    """

    expression: str
    why: str
    draw: dict[str, str]
    tellings: tuple[str, ...]


STORIES: tuple[Story, ...] = (
    Story(
        "{a} + {b}",
        "{a} and {b} more",
        {"a": "some", "b": "some"},
        (
            "{n} has {a} {i} and [buys|gets|finds|picks] {b} more. "
            "How many {i} [does {n} have now|are that]?",
            "There are {a} {i} [on the table|in the box|in the shop], and {o} brings {b} more. "
            "How many are there now?",
            "{n} has {a} {i}, {o} has {b} {i}. How many {i} do they have [together|in total|altogether]?",
            "I [had|owned] {a} {i} and [was given|received|bought] {b} [others|more], "
            "how many do I have now?",
            "[Yesterday|On Monday] {n} [sold|read|packed] {a} {i}, [today|on Tuesday] {b}. "
            "How many is that in total?",
            "{n} is {a} years old and {o} is {b} years older. How old is {o}?",
            "A [bus|train|tram] with {a} people takes on {b} more. How many [people |]are on it now?",
            "How many {i} are there altogether if {n} brings {a} and {o} brings {b}?",
            "It [was|is] {a} degrees in the morning and got {b} degrees warmer by noon. "
            "How warm is it at noon?",
        ),
    ),
    Story(
        "{a} - {b}",
        "{a} less {b}",
        {"a": "> b", "b": "some"},
        (
            "{n} has {a} {i} and [gives away|loses|eats|sells] {b}. "
            "How many {i} [are left|remain|does {n} still have]?",
            "There [were|are] {a} {i} in the [box|basket|shop]. {n} takes {b}. "
            "How many [are left|remain|stay there]?",
            "Of {a} {i}, {b} are [gone|broken|sold|spoiled]. How many [are left|remain|are still good]?",
            "A book has {a} pages and {n} has read {b}. How many pages are left?",
            "{n} has {a} {i}, {o} has {b}. How many more does {n} have [than {o}|]?",
            "I had {a} {i} and used {b}, how many do I still have?",
            "A [bus|train] carries {a} people and {b} get off. How many stay on?",
            "{n} is {a} and {o} is {b} years old. How many years [older is {n}|are between them]?",
            "How many {i} remain [if|when] {n} had {a} and {o} took {b}?",
            "The [rope|board|cable] is {a} cm long and {n} cuts off {b} cm. How long is the rest?",
        ),
    ),
    Story(
        "{a} * {b}",
        "{a} times {b}",
        {"a": "few", "b": "few"},
        (
            "{n} has {a} [boxes|bags|packs] with {b} {i} each. "
            "How many {i} [is that|are there|does {n} have]?",
            "There are {a} [rows|shelves|tables] of {b} {i}. How many {i} are there [in all|altogether|]?",
            "Every day {n} [eats|makes|sells] {b} {i}. How many is that in {a} days?",
            "{a} [children|friends|people] each bring {b} {i}, how many {i} are there?",
            "How many {i} are in {a} [boxes|crates|bags] of {b}?",
            "Each of {a} [tables|cars|rooms] [has|needs] {b} {i}. How many {i} are [needed|that]?",
            "{n} packs {b} {i} into each of {a} [boxes|bags]. How many {i} are packed?",
            "A [pack|box] holds {b} {i}, I [bought|have] {a} of them. How many {i} do I have?",
            "{o} runs {b} km a day. How many km are that in {a} days?",
            "A garden has {a} rows with {b} [plants|trees|bushes] in each. How many are growing there?",
        ),
    ),
    Story(
        "{a} / {b}",
        "{a} shared by {b}",
        {"a": "x b", "b": "few"},
        (
            "{n} [shares|divides|splits] {a} {i} [equally |fairly |]among {b} [friends|children|people]. "
            "How many does each get?",
            "{a} {i} are [packed|put] into {b} [boxes|bags], the same number in each. How many are in each?",
            "{b} [friends|people|children] share {a} {i} [equally|fairly|evenly]. "
            "How many {i} [are for each|does each one get]?",
            "How many {i} does each of {b} [children|guests|teams] get [if|when] there are {a}?",
            "A class of {a} [children|students] is split into {b} equal groups. How big is a group?",
            "I want to [share|divide] {a} {i} evenly between {b} people, how many are for each?",
            "{n} reads {a} pages in {b} days, the same number every day. How many pages a day is that?",
            "{a} {i} go into boxes of {b}. How many boxes [are filled|does {n} need]?",
            "A [rope|ribbon] of {a} cm is cut into {b} equal pieces. How long is a piece?",
            "{n} [must|has to] [read|solve|write] {a} [pages|pieces|lines], {b} a day. "
            "How many days does it take?",
        ),
    ),
    Story(
        "{a} * {b}",
        "{a} times the price {b}",
        {"a": "few", "b": "price"},
        (
            "One {t} costs {b} {m}. [What|How much] do {a} [of them |]cost?",
            "{n} buys {a} {i} at {b} {m} each. [How much does {n} pay|What does it cost]?",
            "What do {a} {i} cost [if|when] one costs {b} {m}?",
            "A {t} is {b} {m}. [How much|What] do I pay for {a}?",
            "[I need|I want to buy] {a} {i}, each is {b} {m}. How much [money |]is that?",
            "{n} [orders|takes] {a} {i} for {b} {m} a piece. What is the [total|bill]?",
            "The price of a {t} is {b} {m}. How much [is it|are they] for {a}?",
            "{n} earns {b} {m} an hour and works {a} hours. How much [does {n} earn|money is that]?",
            "How much do {a} kg of {i} cost at {b} {m} per kg?",
            "{a} {i}, {b} {m} each: what is the total?",
        ),
    ),
    Story(
        "{b} / {a}",
        "{b} divided by {a}",
        {"a": "few", "b": "money"},
        (
            "{a} {i} cost {b} {m}. [How much|What] does one cost?",
            "{n} pays {b} {m} for {a} {i}. What is the price of one?",
            "{a} friends share a bill of {b} {m}. [How much|What] does each pay?",
            "I paid {b} {m} for {a} {i}, [how much|what] was each?",
            "What does one {t} cost if {a} cost {b} {m}?",
            "{n} earned {b} {m} in {a} hours. How much is that per hour?",
            "A bill of {b} {m} is split among {a} people. What is the share of each?",
            "For {a} kg of {i} {n} pays {b} {m}. What is the price of a kg?",
        ),
    ),
    Story(
        "{a} * {b}",
        "{a} an hour for {b} hours",
        {"a": "speed", "b": "hours"},
        (
            "A [car|train|bus] [drives|goes|travels] {b} hours at {a} km/h. How far does it get?",
            "{n} cycles at {a} km an hour for {b} hours. How many km is that?",
            "At a speed of {a} km/h, how far does a [car|train|boat] get in {b} hours?",
            "How far does {n} travel in {b} hours at {a} km per hour?",
            "A machine makes {a} {i} an hour. How many does it make in {b} hours?",
            "A tap gives {a} litres an hour. How many litres come out in {b} hours?",
            "[A printer|A press] makes {a} pages an hour. How many pages are that in {b} hours?",
            "[A plane|A train] covers {a} km every hour. How far is it after {b} hours?",
            "For {b} hours a [ship|plane] moves at {a} km/h. What distance is that?",
        ),
    ),
    Story(
        "{a} / {b}",
        "{a} at {b} an hour",
        {"a": "x b", "b": "speed"},
        (
            "How [long|many hours] does a [car|train|bus] need for {a} km at {b} km/h?",
            "{n} drives {a} km at {b} km/h. [How many|What number of] hours does it take?",
            "[A|One|This] [ship|train] goes {b} km an hour. How many hours are {a} km?",
            "It is {a} km to {o}. At {b} km/h, how many hours is that?",
            "A machine makes {b} {i} an hour. How many hours does it need for {a}?",
            "At {b} km an hour, how many hours does {n} take for {a} km?",
        ),
    ),
    Story(
        "{a} / {b}",
        "{a} in {b} hours",
        {"a": "x b", "b": "few"},
        (
            "A [car|train|bus] goes {a} km in {b} hours. How fast is it, in km/h?",
            "{n} cycles {a} km in {b} hours. What is the speed in km per hour?",
            "What is the [average |]speed if {a} km take {b} hours?",
            "{a} km in {b} hours: how many km an hour is that?",
            "How fast does {n} go, [when|if] {a} km take {b} hours?",
            "A machine makes {a} {i} in {b} hours. How many is that per hour?",
        ),
    ),
    Story(
        "{a} * {b}",
        "{a} long times {b} wide",
        {"a": "some", "b": "some"},
        (
            "A [room|garden|field] is {a} m long and {b} m wide. What is its area?",
            "What is the area of a [rectangle|wall|floor] of {a} by {b} m?",
            "How many square metres has a [room|garden] of {a} m by {b} m?",
            "{n} paints a wall {a} m long and {b} m high. How large is its area?",
            "A rectangle has sides of {a} and {b} cm. How big is the area?",
            "The floor measures {a} m by {b} m, how many square metres is that?",
        ),
    ),
    Story(
        "{a} * {b}",
        "{b} times as many as {a}",
        {"a": "some", "b": "few"},
        (
            "{n} has {a} {i} and {o} has {b} times as many. How many does {o} have?",
            "{o} owns {b} times as many {i} as {n}, who has {a}. How many has {o}?",
            "A small box holds {a} {i}, a big one {b} times as many. How many does the big one hold?",
            "{n} is {a} years old and {o} is {b} times as old. How old is {o}?",
            "Last year there were {a} visitors, this year {b} times as many. How many is that?",
            "My bag weighs {a} kg and yours {b} times as much. How heavy is yours?",
        ),
    ),
    Story(
        "{a} / 2",
        "half of {a}",
        {"a": "even"},
        (
            "{n} has {a} {i} and gives half [of them |]to {o}. How many does {o} get?",
            "Half of the {a} {i} are [sold|broken|gone]. How many are that?",
            "{o} has half as many {i} as {n}, who has {a}. How many does {o} have?",
            "{n} is {a} years old & {o} is half as old. How old is {o}?",
            "I want to halve a recipe with {a} grams of flour, how many grams do I take?",
            "A trip is {a} km long and {n} has done half of it. How many km are that?",
        ),
    ),
)
