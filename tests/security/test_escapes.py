"""A part of the escape suite: one attempt of each kind, in both sandboxes. All: benchmarks/escapes.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autoagent.security import Sandbox

ESCAPES = Path(__file__).parents[2] / "benchmarks" / "escapes.py"


def test_no_attempt_of_the_small_suite_succeeds(tmp_path: Path) -> None:
    blocked = {walls: Sandbox.chosen(walls).blocked for walls in ("bubblewrap", "landlock")}
    there = [walls for walls, why in blocked.items() if not why]
    if not there:
        pytest.skip("; ".join(blocked.values()))
    out = tmp_path / "found.json"
    walls = "both" if len(there) > 1 else there[0]
    command = [sys.executable, str(ESCAPES), "--quick", "--walls", walls, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {each["walls"] for each in found} == {*there}
    assert not [each["name"] for each in found if each["escaped"]]
    assert sum(each["control"] == "succeeds" for each in found) >= 10 * len(there)  # or it would show nothing
