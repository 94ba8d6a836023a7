"""Who may do what: allowed, asked, denied."""

from __future__ import annotations

import pytest

from autoagent.errors import Denied
from autoagent.security import Policy, Request


def asked(answer: bool, log: list[Request]) -> Policy:
    def approve(request: Request) -> bool:
        log.append(request)
        return answer

    return Policy(approve, {"read": "allow", "network": "ask", "execute": "deny"})


def test_by_default_what_stays_in_the_workspace_is_allowed_and_the_rest_asked_for() -> None:
    effects = ("read", "write", "ask", "execute", "network", "train")
    assert Policy().asks(effects) == ("execute", "network", "train")
    assert Policy().asks(()) == ()


def test_an_effect_nobody_decided_on_is_asked_for() -> None:
    assert Policy(decisions={}).asks(("read",)) == ("read",)


def test_the_answer_of_the_approver_counts_and_nobody_to_ask_means_no() -> None:
    request = Request("fetch", {"url": "x"}, ("network",))
    log: list[Request] = []
    asked(True, log).permit(request)
    assert log == [request]
    with pytest.raises(Denied, match="permission for fetch was refused"):
        asked(False, log).permit(request)
    with pytest.raises(Denied, match="permission for fetch was refused"):
        Policy().permit(request)


def test_what_is_denied_is_not_asked_for() -> None:
    log: list[Request] = []
    with pytest.raises(Denied, match=r"shell is not permitted here \(execute\)"):
        asked(True, log).permit(Request("shell", {}, ("network", "execute")))
    assert log == []
