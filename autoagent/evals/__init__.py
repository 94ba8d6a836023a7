"""Evaluation: suites of tasks, the runner, and what the numbers say.

``report = run_suite(load_suite("suite.toml"), model=model)``, then ``print_report(report, Console())``.
"""

from __future__ import annotations

from autoagent.evals.check import TaskCheck
from autoagent.evals.failures import FailureKind
from autoagent.evals.report import (
    Comparison,
    FamilyChange,
    FamilyReport,
    Report,
    TaskResult,
    compare,
    print_comparison,
    print_report,
    summarize,
)
from autoagent.evals.runner import run_suite, run_task
from autoagent.evals.suite import Suite, load_suite
from autoagent.evals.task import Expected, Task, ToolSpec

__all__ = [
    "Comparison",
    "Expected",
    "FailureKind",
    "FamilyChange",
    "FamilyReport",
    "Report",
    "Suite",
    "Task",
    "TaskCheck",
    "TaskResult",
    "ToolSpec",
    "compare",
    "load_suite",
    "print_comparison",
    "print_report",
    "run_suite",
    "run_task",
    "summarize",
]
