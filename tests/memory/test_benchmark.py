"""benchmarks/memory.py runs; what it measures is on docs/memory.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_measures_ours_on_generated_questions_and_says_which_peers_are_missing(tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    done = subprocess.run(
        [
            sys.executable, ROOT / "benchmarks" / "memory.py",
            "--sizes", "200", "--limit", "30", "--markdown", out,
        ],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = out.read_text(encoding="utf-8")
    assert shown in done.stdout
    for ranker in ("ours: grams-384-v1 alone", "ours: words alone", "ours: grams-384-v1 + words"):
        one, five, mean = re.search(
            rf"\| {re.escape(ranker)} \| (.*?)% \| (.*?)% \| (.*?) \|", shown
        ).groups()  # type: ignore[union-attr]
        assert float(one) / 100 <= float(mean) <= 1
        assert float(five) >= 80  # the questions are easy
    for peer in ("bm25s", "scikit-learn"):
        assert f"{peer} is not installed" in done.stdout or f"{peer} " in shown
    assert re.search(r"^\| 200 \|", shown, re.MULTILINE)
