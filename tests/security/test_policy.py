"""Who may do what: allowed, asked, denied, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoagent.errors import Denied
from autoagent.security import Answer, Policy, Request, Rules, agree, refuse


class Person:
    """Answers what it was told to answer, and remembers what it was asked."""

    def __init__(self, *answers: bool | Answer) -> None:
        self.answers, self.asked = list(answers), list[Request]()

    def __call__(self, request: Request) -> bool | Answer:
        self.asked.append(request)
        return self.answers.pop(0)


def goes(policy: Policy, tool: str, effects: tuple[str, ...] = (), **arguments: Any) -> str:
    """What the loop does with a call: "free", "granted" or the words of the refusal."""
    request = policy.asks(tool, effects, arguments)
    if request is None:
        return "free"
    try:
        policy.permit(request)
    except Denied as refusal:
        return str(refusal)
    return "granted"


@pytest.mark.parametrize("effect", ["read", "write", "ask"])
def test_by_default_what_stays_in_the_workspace_is_allowed(effect: str) -> None:
    assert goes(Policy(), "any", (effect,)) == goes(Policy(), "any") == "free"


@pytest.mark.parametrize("effect", ["execute", "network", "train", "unheard-of"])
def test_by_default_the_rest_is_asked_and_nobody_to_ask_means_no(effect: str) -> None:
    request = Policy().asks("fetch", ("read", effect), {"x": 1})
    assert request == Request("fetch", {"x": 1}, (effect,))
    assert goes(Policy(), "fetch", (effect,)) == (
        f"permission for fetch was refused ({effect}): nobody is there to ask; "
        "--allow fetch, --yes or an allow rule in the settings allows it"
    )
    assert goes(Policy(rules=Rules(allow=("fetch",))), "fetch", (effect,)) == "free"
    assert goes(Policy(approve=lambda request: True), "fetch", (effect,)) == "granted"


def test_running_programs_is_free_in_the_sandbox_and_only_there() -> None:
    policy = Policy(sandboxed=("run_shell",))
    assert goes(policy, "run_shell", ("execute",), command="ls") == "free"
    assert goes(policy, "deploy", ("execute",)).startswith("permission for deploy was refused (execute): ")
    assert "network" in policy.asks("run_shell", ("execute", "network"), {}).effects  # type: ignore[union-attr]
    strict = Policy(sandboxed=("run_shell",), decisions={"execute": "deny"})
    assert goes(strict, "run_shell", ("execute",)) == "run_shell is not permitted here (execute)"


def test_deny_goes_before_ask_and_ask_before_allow() -> None:
    rules = Rules(allow=("*",), ask=("write_file", "delete_file"), deny=("delete_file(keep/**)",))
    person = Person(True, True)
    policy = Policy(approve=person, rules=rules)
    assert goes(policy, "http_get", ("network",), url="https://example.org/") == "free"
    assert goes(policy, "write_file", ("write",), path="a") == "granted"
    assert goes(policy, "delete_file", ("write",), path="a") == "granted"
    assert goes(policy, "delete_file", ("write",), path="keep/a") == (
        "delete_file is not permitted here (the rule delete_file(keep/**))"
    )
    assert [request.reason for request in person.asked] == [
        "the rule write_file says ask",
        "the rule delete_file says ask",
    ]
    assert person.asked[0].effects == ("write",)


def test_a_yes_lasts_as_long_as_was_said() -> None:
    kept: list[str] = []
    person = Person(True, Answer(True, "run"), Answer(True, "always"))
    policy = Policy(approve=person, remember=kept.append)

    def get(url: str) -> str:
        return goes(policy, "http_get", ("network",), url=url)

    assert get("https://a.org/1") == "granted"
    assert get("https://a.org/1") == "granted"  # asked anew, and now for the run
    assert get("https://a.org/2") == "free"
    assert get("https://b.org/1") == "granted"
    assert get("https://b.org/2") == "free"
    assert len(person.asked) == 3
    assert kept == ["http_get(https://b.org/*)"]
    later = Policy(rules=Rules(allow=tuple(kept)))
    assert later.asks("http_get", ("network",), {"url": "https://b.org/3"}) is None
    assert later.asks("http_get", ("network",), {"url": "https://b.org.evil.com/3"}) is not None


def test_always_is_offered_only_where_it_would_help() -> None:
    def scopes(policy: Policy) -> tuple[str, ...]:
        request = policy.asks("finetune", ("train",), {})
        assert request is not None
        return request.scopes

    assert scopes(Policy()) == ("once", "run")
    assert scopes(Policy(remember=print)) == ("once", "run", "always")
    assert scopes(Policy(remember=print, rules=Rules(ask=("finetune",)))) == ("once", "run")


def test_a_yes_for_the_run_answers_an_ask_rule_but_lifts_no_deny() -> None:
    rules = Rules(ask=("run_shell",), deny=("run_shell(rm *)",))
    policy = Policy(approve=Person(Answer(True, "run")), rules=rules)
    assert goes(policy, "run_shell", ("execute",), command="make") == "granted"
    assert goes(policy, "run_shell", ("execute",), command="make") == "free"
    assert "not permitted" in goes(policy, "run_shell", ("execute",), command="rm a")


def test_yes_to_everything_lifts_no_deny() -> None:
    policy = Policy(approve=agree, rules=Rules(deny=("finetune",)))
    assert goes(policy, "http_get", ("network",)) == "granted"
    assert goes(policy, "finetune", ("train",)) == "finetune is not permitted here (the rule finetune)"


def test_what_is_denied_is_not_asked_for() -> None:
    person = Person()
    policy = Policy(person, {"read": "allow", "network": "ask", "execute": "deny"})
    assert goes(policy, "shell", ("network", "execute")) == "shell is not permitted here (execute)"
    assert person.asked == []


def test_what_the_person_says_with_a_no_reaches_the_model() -> None:
    policy = Policy(approve=Person(Answer(False, feedback="use a copy")))
    request = policy.asks("finetune", ("train",), {})
    assert request is not None
    with pytest.raises(Denied, match=r"permission for finetune was refused \(train\): use a copy") as refusal:
        policy.permit(request)
    assert (refusal.value.by, refusal.value.feedback) == ("user", "use a copy")


def test_an_answer_is_as_true_as_it_grants_and_says_whose_it_is() -> None:
    request = Request("finetune", {}, ("train",))
    assert (bool(refuse(request)), refuse(request).by) == (False, "policy")
    assert (bool(agree(request)), agree(request).by) == (True, "yes")
    assert Answer(True, "run").by == "user"


def test_a_preview_is_made_only_when_there_is_something_to_ask() -> None:
    made: list[int] = []

    def show() -> str:
        made.append(1)
        return "--- a"

    policy = Policy(rules=Rules(deny=("rm",)))
    assert policy.asks("read", ("read",), {}, preview=show) is None
    assert policy.asks("rm", ("write",), {}, preview=show) is not None
    assert made == []
    request = policy.asks("go", ("network",), {}, preview=show)
    assert request is not None
    assert request.preview == "--- a"


def test_links_are_followed_where_the_workspace_is_known(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "reports" / "way").symlink_to(tmp_path / "secret")
    rules = Rules(allow=("save(reports/**)",), deny=("read_file(secret/**)",))
    policy = Policy(rules=rules, workspace=tmp_path)
    assert goes(policy, "save", ("network",), path="reports/a") == "free"
    assert goes(policy, "save", ("network",), path=f"{tmp_path}/reports/a") == "free"
    refused = goes(policy, "save", ("network",), path="reports/way/a")
    assert refused.startswith("permission for save was refused (network): ")
    assert "not permitted" in goes(policy, "read_file", ("read",), path="reports/way/a")
