"""Shell and Python, as the model gets them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent.errors import ToolError
from autoagent.security import Sandbox, SandboxLimits
from autoagent.tools import Context, Toolbox, builtin_tools
from autoagent.tools.execute import CONFINED
from autoagent.workspace import Workspace

Run = Callable[[str, str], str]


@pytest.fixture(params=["sandbox", "unsafe"])
def run(request: pytest.FixtureRequest, root: Path) -> Run:
    """``run("run_shell", "ls")``, with and without walls; where there can be no walls, it is refused."""
    sandbox = Sandbox(unsafe=request.param == "unsafe", limits=SandboxLimits(seconds=20))
    tools, context = Toolbox(builtin_tools()), Context(Workspace.at(root), sandbox=sandbox)

    def call(tool: str, text: str) -> str:
        return tools[tool]({"command" if tool == "run_shell" else "code": text}, context)

    if sandbox.blocked:
        with pytest.raises(ToolError, match="--unsafe-no-sandbox"):
            call("run_shell", "echo > trace")
        assert not (root / "trace").exists()
        pytest.skip(sandbox.blocked)
    return call


def test_programs_run_in_the_workspace(run: Run, root: Path) -> None:
    assert run("run_shell", "echo hello > a.txt; cat a.txt") == "hello"
    assert (root / "a.txt").read_text(encoding="utf-8") == "hello\n"
    assert run("run_python", "print(open('a.txt').read().upper())") == "HELLO"
    (root / "mine.py").write_text("value = 42\n", encoding="utf-8")
    assert run("run_python", "import mine\nprint(mine.value)") == "42"
    assert run("run_shell", "true") == "It ran without output."


def test_a_failure_holds_the_output_and_how_it_ended(run: Run) -> None:
    with pytest.raises(ToolError, match=r"^some words\nEnded with exit code 3\.$"):
        run("run_shell", "echo some words; exit 3")
    with pytest.raises(ToolError, match=r"ZeroDivisionError: division by zero\nEnded with exit code 1\.$"):
        run("run_python", "1 / 0")
    with pytest.raises(ToolError, match=r"^Ended with (signal 9|exit code 137)\.$"):
        run("run_shell", "kill -9 $$")


@pytest.mark.parametrize(
    ("code", "limits", "says"),
    [
        ("x = bytearray(900 * 2**20)", {"memory": 300 * 2**20}, "Programs here .* 300 MiB of memory."),
        ("open('x', 'wb').write(b'0' * 10**7)", {"file_size": 2**20}, "A file written here .* 1 MiB."),
        ("import subprocess; subprocess.run('head -c 400000000 /dev/zero > /tmp/x', shell=True, check=True)",
         {"memory": 200 * 2**20}, "/tmp here is in memory, at most 200 MiB"),
    ],
)  # fmt: skip
def test_a_limit_that_was_met_is_told(root: Path, code: str, limits: dict[str, int], says: str) -> None:
    sandbox = Sandbox(only="bubblewrap", limits=SandboxLimits(**limits))  # type: ignore[arg-type]
    if sandbox.blocked:
        pytest.skip(sandbox.blocked)
    tools, context = Toolbox(builtin_tools()), Context(Workspace.at(root), sandbox=sandbox)
    with pytest.raises(ToolError, match=rf"Ended with .*\. {says}"):
        tools["run_python"]({"code": code}, context)


@pytest.mark.parametrize("text", ["", " \n", "echo \0", "echo " + "x" * 200_000, "echo \ud800"])
def test_odd_texts_are_refused_or_run(run: Run, text: str) -> None:
    for tool in CONFINED:
        with contextlib.suppress(ToolError):
            assert isinstance(run(tool, text), str)


def test_a_run_without_a_sandbox_says_so(root: Path) -> None:
    for tool in builtin_tools():
        if tool.name in CONFINED:
            assert (tool.needs, tool.effects) == ("sandbox", ("execute",))
            with pytest.raises(ToolError, match="Programs cannot be run here"):
                tool({next(iter(tool.parameters["properties"])): "1"}, Context(Workspace.at(root)))
