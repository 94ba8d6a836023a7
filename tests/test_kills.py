"""A run that is killed again and again comes to its end, and writes nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_killed_runs_go_on_and_no_write_happens_twice() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "kills.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "4"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(done.stdout)
    assert tally["kills"] == 4
    assert (tally["lost_steps"], tally["unreadable"]) == (0, 0)
    assert (tally["twice"], tally["unasked"], tally["lost"]) == (0, 0, [])
