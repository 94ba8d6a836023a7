"""Evaluation: suites of tasks, the runner, and what the numbers say.

``report = run_suite(load_suite("suite.toml"), model=model)``, then ``print_report(report, Console())``.
"""

from __future__ import annotations

from autoagent.evals.check import TaskCheck
from autoagent.evals.environment import environment_suite
from autoagent.evals.failures import FailureKind
from autoagent.evals.parallel import SuiteRun, run_suite
from autoagent.evals.report import (
    Comparison,
    FamilyChange,
    FamilyReport,
    Report,
    TaskResult,
    as_json,
    compare,
    summarize,
)
from autoagent.evals.runner import run_task
from autoagent.evals.suite import Suite, load_suite
from autoagent.evals.tables import print_comparison, print_report
from autoagent.evals.task import Argument, Expected, FollowUp, Task, ToolSpec

__all__ = [
    "Argument",
    "Comparison",
    "Expected",
    "FailureKind",
    "FamilyChange",
    "FamilyReport",
    "FollowUp",
    "Report",
    "Suite",
    "SuiteRun",
    "Task",
    "TaskCheck",
    "TaskResult",
    "ToolSpec",
    "as_json",
    "compare",
    "environment_suite",
    "load_suite",
    "print_comparison",
    "print_report",
    "run_suite",
    "run_task",
    "summarize",
]
