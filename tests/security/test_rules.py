"""Rules over tools and arguments: what slips through an allow, and past a deny."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent.errors import ConfigError
from autoagent.security import Rule, Rules


def allows(rule: str, tool: str, **arguments: Any) -> bool:
    return Rule.parse(rule).allows(tool, arguments)


def touches(rule: str, tool: str, **arguments: Any) -> bool:
    return Rule.parse(rule).touches(tool, arguments)


@pytest.mark.parametrize(
    "text", ["", "  ", "()", "run_shell(", "run_shell()", "a b", "(x)", "tool) x", "é(", None, 3]
)
def test_a_malformed_rule_is_one_clear_line(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"rule .* is malformed: write it like delete_file") as error:
        Rules(deny=(text,))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rule", "tool", "fits"),
    [
        ("delete_file", "delete_file", True),
        ("delete_file", "delete_files", False),
        ("delete_*", "delete_file", True),
        ("mcp:*", "mcp:search", True),
        ("*", "anything", True),
        ("delete_file(*)", "delete_file", True),
    ],
)
def test_a_rule_names_tools(rule: str, tool: str, fits: bool) -> None:
    assert allows(rule, tool, path="a/b") is touches(rule, tool, path="a/b") is fits


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("reports/**", "reports/a.txt", True),
        ("reports/**", "./reports//x/../a/b.txt", True),
        ("./reports/**", "reports/a.txt", True),
        ("reports/", "reports/a/b", True),
        ("reports/**", "reports", False),
        ("reports/**", "reports/../secret", False),
        ("reports/**", "./reports/../../reports/a", False),
        ("reports/**", "/reports/a", False),
        ("reports/**", "reports2/a", False),
        ("reports/*", "reports/a", True),
        ("reports/*", "reports/a/b", False),
        ("*.txt", "a.txt", True),
        ("*.txt", "../a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "a/b/c.txt", True),
        ("**/*.txt", "/etc/c.txt", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "ab", False),
        ("r?.txt", "r1.txt", True),
        ("r?.txt", "r/.txt", False),
        (r"\*.txt", "*.txt", True),
        (r"\*.txt", "a.txt", False),
        ("a.c", "abc", False),
        ("/data/**", "/data/x", True),
        ("/data/**", "/data/../etc/x", False),
    ],
)
def test_files_are_matched_after_their_path_is_put_straight(glob: str, path: str, fits: bool) -> None:
    assert allows(f"write_file({glob})", "write_file", path=path, content="reports/x") is fits


def test_all_files_of_a_call_must_fit_to_allow_and_one_is_enough_to_deny() -> None:
    inside, out = {"source": "reports/a", "target": "reports/b"}, {"source": "reports/a", "target": "b"}
    assert allows("move_file(reports/**)", "move_file", **inside)
    assert not allows("move_file(reports/**)", "move_file", **out)
    assert touches("move_file(reports/**)", "move_file", **out)
    assert touches("read_file(secret/**)", "read_file", path="Secret/../SECRET/a")  # some disks do not care
    assert touches("list_files(secret/**)", "list_files", folder="secret")


@pytest.mark.parametrize(
    "command",
    [
        "git status",
        "git",
        "git log | git shortlog",
        "git add a && git commit -m 'a; b > c # d'",
        "git  x;",
        'git commit -m "a | b"',
        r"git add a\;b",
        "git a\ngit b",
        "git log --format=$x",
    ],
)
def test_a_command_is_allowed_when_every_part_of_it_is(command: str) -> None:
    assert allows("run_shell(git *)", "run_shell", command=command)


@pytest.mark.parametrize(
    "command",
    [
        "rm x",
        "gitx",
        "git a; rm b",
        "git a && rm b",
        "git a || rm b",
        "git a | sh",
        "git a & rm b",
        "git a\nrm b",
        "git $(rm b)",
        "git `rm b`",
        'git "$(rm b)"',
        'git "`rm b`"',
        "git a > b",
        "git a >> b",
        "git < b",
        "git <(rm b)",
        "git ${x:=$(rm)}",
        "git $'a' ; rm",
        "(git a)",
        "git a # '\nrm b #'",
        "git \\\n a",
        "git 'a",
        'git "a',
        "x=1 git a",
        "{ git a; }",
        "git a |& sh",
        "",
        " ",
        "git a;\trm b",
        "git a\r\nrm b",
        "! git a",
        "git $[`rm b`]",
    ],
)
def test_no_other_command_slips_through(command: str) -> None:
    assert not allows("run_shell(git *)", "run_shell", command=command)


@pytest.mark.parametrize(
    "command",
    [
        "rm a",
        "git a; rm b",
        "echo $(rm b)",
        "echo `rm b`",
        "(rm b)",
        "a|rm b",
        "RM  b",
        "'rm' b",
        r"r\m b",
        "x && rm",
        'echo "$(rm -rf b)"',
    ],
)
def test_a_denied_command_is_found_inside_a_line(command: str) -> None:
    assert touches("run_shell(rm *)", "run_shell", command=command)
    assert not touches("run_shell(rm *)", "run_shell", command="echo format arm")


def test_a_line_allowed_word_for_word_is_allowed_whatever_is_in_it() -> None:
    rule = Rule.covering("run_shell", {"command": "make > out.txt && ls *"})
    assert str(rule) == r"run_shell(make > out.txt && ls \*)"
    assert allows(str(rule), "run_shell", command="make > out.txt && ls *")
    assert not allows(str(rule), "run_shell", command="make > out.txt && ls a")


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://example.org/docs/a", True),
        ("HTTPS://Example.ORG:443/docs/a?q=1", True),
        ("https://user@example.org/docs/a", True),
        ("https://example.org/docs/../admin", False),
        ("https://example.org/docs/%2e%2e/admin", False),
        ("https://example.org/docs/..%2fadmin", False),
        ("https://example.org.evil.com/docs/a", False),
        ("https://example.org@evil.com/docs/a", False),
        ("https://evil.com/?https://example.org/docs/", False),
        ("https://example.org\\@evil.com/docs/a", False),
        ("https://example.org:8443/docs/a", False),
        ("http://example.org/docs/a", False),
        ("https://example.org/docs/ a", False),
        ("//example.org/docs/a", False),
        ("https://[bad/docs/", False),
    ],
)
def test_addresses_are_matched_by_what_they_mean(url: str, fits: bool) -> None:
    assert allows("http_get(https://example.org/docs/*)", "http_get", url=url) is fits


def test_an_ipv6_address_is_the_same_in_every_spelling() -> None:
    for spelling in ("[::102:304]", "[::1.2.3.4]", "[0:0:0:0:0:0:102:304]"):
        assert allows("http_get(http://[::102:304]/*)", "http_get", url=f"http://{spelling}/a")
        assert touches("http_get(http://[::102:304]/*)", "http_get", url=f"http://{spelling}/a")
    assert not allows("http_get(http://[::102:304]/*)", "http_get", url="http://[::1.2.3.5]/a")


def test_other_tools_are_matched_by_their_first_argument() -> None:
    assert allows("order(milk*)", "order", what="milk, 2 l", note="eggs")
    assert not allows("order(milk*)", "order", what="eggs", note="milk")
    assert not allows("save(reports/*)", "save", place="reports/../x")  # it may be a path for all we know
    assert allows("set_level(3)", "set_level", level=3)
    assert not allows("order(milk)", "order")


def test_rules_that_name_no_tool_are_told() -> None:
    rules = Rules(allow=("read_file", "raed_file"), deny=("wirte_*",))
    assert list(map(str, rules.naming_nothing(("read_file", "write_file")))) == ["wirte_*", "raed_file"]


# --- generated -------------------------------------------------------------------------------------------

PIECES = ["reports", "secret", "..", ".", "", "a.txt", "way", "loop", "*", "é", "\\", "~", " "]
GENERATED_PATHS = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["", "", "/", "//", "{root}/", "{root}/reports/"]),
    st.lists(st.sampled_from(PIECES), max_size=6),
)


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve() / "workspace"
        (root / "reports" / "reports").mkdir(parents=True)
        (root / "secret").mkdir()
        (root / "reports" / "way").symlink_to("../secret")
        (root / "reports" / "loop").symlink_to("loop")
        yield root


@settings(max_examples=500, deadline=None)
@given(path=GENERATED_PATHS)
def test_what_a_file_glob_allows_lies_below_its_folder(tree: Path, path: str) -> None:
    path = path.replace("{root}", str(tree))
    rule = Rule.parse("write_file(reports/**)")
    if rule.allows("write_file", {"path": path}, tree):
        assert Path(os.path.realpath(tree / path)).is_relative_to(tree / "reports")
    if Path(os.path.realpath(tree / path)).is_relative_to(tree / "secret"):
        assert Rule.parse("write_file(secret/**)").touches("write_file", {"path": path}, tree)


WORDS = [
    *("git", "canary", "a", "-m", " ", " ", "\t", "\n", ";", "&", "|", "&&", "$(", ")", "`", "'", '"', "\\"),
    *(
        "<(",
        ">",
        "<",
        "#",
        "{",
        "}",
        "!",
        "$'",
        "((",
        "${",
        "$x",
        "*",
        "=",
        "\r",
        "[",
        "]",
        "~",
        "<<",
        "\\\n",
    ),
    *('"$(canary)"', "<(canary)", "`canary`", "${x:-$(canary)}", " # '", "\ncanary", "canary #'", "$'\\''"),
]


@pytest.fixture(scope="module")
def shell() -> Iterator[Path]:
    """A folder with two commands, one of which leaves a trace; bash finds no other."""
    with tempfile.TemporaryDirectory() as name:
        for command, text in (("git", ":"), ("canary", "echo > $TRACE")):
            file = Path(name, command)
            file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            file.chmod(0o755)
        yield Path(name)


@settings(max_examples=1500, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=9))
def test_what_a_command_glob_allows_runs_that_command_only(shell: Path, words: list[str]) -> None:
    line = "git " + "".join(words)
    if "canary" not in line or not Rule.parse("run_shell(git *)").allows("run_shell", {"command": line}):
        return
    trace = shell / "trace"
    environment = {"PATH": str(shell), "TRACE": str(trace)}
    subprocess.run(["/bin/bash", "-c", line], cwd=shell, env=environment, capture_output=True, timeout=10)
    assert not trace.exists(), line


@given(
    arguments=st.one_of(
        st.builds(lambda text: {"command": text}, st.text()),
        st.builds(lambda text: {"path": text}, st.text() | GENERATED_PATHS),
        st.builds(lambda text: {"url": f"https://{text}"}, st.text()),
        st.builds(lambda text: {"anything": text}, st.text()),
    )
)
def test_the_rule_of_a_longer_yes_can_be_stored_and_fits_what_was_granted(arguments: dict[str, str]) -> None:
    stored = str(Rule.covering("tool", arguments))
    assert str(Rule.parse(stored)) == stored
    path = arguments.get("path", "")
    if os.path.normpath(path).split("/")[0] != "..":
        assert allows(stored, "tool", **arguments)
    assert not allows(stored, "other", **arguments)
