"""A run whose project's memory is held by another process: it waits five seconds, goes on, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from autoagent.memory import open_memory

HOLDER = """
import sys, time
from pathlib import Path
from autoagent.memory import open_memory
memory = open_memory(sys.argv[1])
memory.add("the wifi password is 4411")
print("held", flush=True)
time.sleep(120)
"""

RUNNER = """
import json, sys, time
from pathlib import Path
from autoagent import Agent
from autoagent.models import ScriptedModel
from autoagent.trajectory import ToolCall
script = [
    ["look it up", "finish with the answer"],
    ("1. look it up", ToolCall(name="recall_memory", arguments={"query": "wifi password"})),
    ("1. look again", ToolCall(name="save_memory", arguments={"text": "it is off at night"})),
    ("2. finish", ToolCall(name="finish", arguments={"answer": "unknown"})),
]
home, work = map(Path, sys.argv[1:])
began = time.monotonic()
with Agent(model=ScriptedModel(script), home=home, workspace=work) as agent:
    result = agent.run("What is the wifi password? Look in your memory")
seen = [each.content for step in result.trajectory.steps for each in step.observations]
print(json.dumps({"seconds": time.monotonic() - began, "ending": result.ending, "seen": seen}))
"""


def run(home: Path, work: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, home, work], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_run_goes_on_without_memory_after_five_seconds_and_says_so(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, home], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        alone = run(home, work)
    finally:
        holder.kill()
        holder.communicate()
    assert alone["ending"] == "finished"
    assert isinstance(alone["seconds"], float)
    assert 5 <= alone["seconds"] < 30  # the wait comes once, not at every use
    seen = alone["seen"]
    assert isinstance(seen, list)
    assert "in use by another process" in seen[0]
    assert seen[1] == "Saved."  # put aside
    seen = run(home, work)["seen"]
    assert isinstance(seen, list)
    assert "the wifi password is 4411" in seen[0]
    memory = open_memory(home)
    assert memory.recall("is it off?")[0].text == "it is off at night"
    assert memory.counts()["semantic", ""] == 2
    memory.close()
