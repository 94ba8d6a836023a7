"""What an agent may do: the policy."""

from autoagent.security.policy import Approve, Policy, Request, refuse

__all__ = ["Approve", "Policy", "Request", "refuse"]
