"""What ``autoagent doctor`` looks at, one function each. Nothing is written, and nothing takes long."""

from __future__ import annotations

from collections.abc import Iterator

from autoagent.cli.checkup.finding import Finding, Look
from autoagent.cli.checkup.machine import device, home, packages, program_hosts, python, sandbox, terminal
from autoagent.cli.checkup.model import model
from autoagent.cli.checkup.project import memory, prompts, record, settings, tools
from autoagent.cli.parts import Parts
from autoagent.errors import AutoagentError

__all__ = ["Finding", "look"]

LOOKS: tuple[Look, ...] = (
    python,
    packages,
    settings,
    home,
    terminal,
    sandbox,
    program_hosts,
    record,
    prompts,
    tools,
    memory,
    device,
    model,
)


def look(parts: Parts) -> Iterator[Finding]:
    """Everything, one finding after the other. A look that fails is itself a finding."""
    for each in LOOKS:
        try:
            yield from each(parts)
        except AutoagentError as problem:
            yield Finding(each.__name__, "fail", " ".join(str(problem).split()))
        except Exception as fault:
            yield Finding(each.__name__, "fail", f"{type(fault).__name__}: {' '.join(str(fault).split())}")
