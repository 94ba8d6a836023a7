"""What an agent may do: the policy, its rules, and the sandbox that programs run in."""

from autoagent.security.policy import Answer, Approve, Decision, Policy, Request, agree, refuse
from autoagent.security.preview import Diff, preview
from autoagent.security.rules import Rule, Rules
from autoagent.security.sandbox import Sandbox, SandboxLimits
from autoagent.security.secrets import Secrets, known_secrets
from autoagent.security.taint import Action, Guard, Taint
from autoagent.security.watch import Outcome

__all__ = [
    "Action",
    "Answer",
    "Approve",
    "Decision",
    "Diff",
    "Guard",
    "Outcome",
    "Policy",
    "Request",
    "Rule",
    "Rules",
    "Sandbox",
    "SandboxLimits",
    "Secrets",
    "Taint",
    "agree",
    "known_secrets",
    "preview",
    "refuse",
]
