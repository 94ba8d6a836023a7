"""Secrets: found as they stand, as JSON writes them, and where a text was cut; given back to tools only."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoagent.security import Secrets, known_secrets

VALUE = 'p4"ss\\wörd/\n9-long'
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nabcDEF0123456789==\n-----END RSA PRIVATE KEY-----"


def one(value: str = VALUE) -> Secrets:
    secrets = Secrets()
    secrets.add("API_KEY", value)
    return secrets


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"k": VALUE}))[1:-1],
        quote(VALUE, safe=""),
        repr(VALUE)[1:-1],
        base64.b64encode(VALUE.encode()).decode(),
    ],
)
def test_a_value_is_hidden_however_it_is_written(spelled: str) -> None:
    hidden = one().redacted(f"before {spelled} after")
    assert "[secret: API_KEY]" in hidden
    assert "p4" not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


@given(
    st.text(min_size=16, max_size=60).map(str.strip).filter(lambda each: len(each) >= 16),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_any_value_is_hidden_in_any_json(value: str, before: str, after: str) -> None:
    secrets = one(value)
    for coded in (json.dumps([before, value]), json.dumps({"k": value, "l": after}, ensure_ascii=False)):
        hidden = secrets.redacted(coded)
        assert value not in hidden
        assert json.dumps(value)[1:-1] not in hidden


@pytest.mark.parametrize("size", range(8, 20))
def test_what_is_left_of_a_value_at_a_cut_is_hidden(size: int) -> None:
    value = "s3cr3t-0123456789-abcdef"
    hidden = one(value).redacted(f"head {value[:size]}\n… 17 bytes left out …\n{value[-size:]} tail")
    assert hidden == "head [secret: API_KEY]\n… 17 bytes left out …\n[secret: API_KEY] tail"


def test_private_keys_are_hidden_whole_cut_and_in_json() -> None:
    assert Secrets().redacted(f"a {KEY} b") == "a [secret: private-key] b"
    assert Secrets().redacted(json.dumps({"k": KEY})) == '{"k": "[secret: private-key]"}'
    assert Secrets().redacted(f"a {KEY[:60]}") == "a [secret: private-key]"
    assert Secrets().redacted(f"a:\n{KEY[32:]} b") == "a:[secret: private-key] b"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "aws-key"),
        ("ghp_" + "a1" * 18, "github-token"),
        ("github_pat_" + "a1" * 20, "github-token"),
        ("glpat-" + "a" * 20, "gitlab-token"),
        ("xoxb-1234567890-abcdef", "slack-token"),
        ("sk-ant-api03-" + "a" * 30, "anthropic-key"),
        ("sk-proj-" + "aB3" * 10, "openai-key"),
        ("AIza" + "b" * 35, "google-key"),
        ("hf_" + "c" * 34, "huggingface-token"),
        ("sk_live_" + "d" * 24, "stripe-key"),
        ("npm_" + "e" * 36, "npm-token"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijklmnop", "jwt"),
    ],
)
def test_known_forms_are_hidden(text: str, name: str) -> None:
    assert Secrets().redacted(f"it is {text}, then") == f"it is [secret: {name}], then"


def test_a_password_in_an_address_is_hidden_and_the_address_is_not() -> None:
    hidden = Secrets().redacted("git clone https://ann:hunter22@example.org/x.git")
    assert hidden == "git clone https://[secret: password-in-address]@example.org/x.git"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "The token count is 12; see https://example.org/a:b, key=value, sk-learn and AKIA. [secret: none]"
    assert one().redacted(text) == text


def test_two_of_a_form_have_two_names_and_tools_get_the_right_one() -> None:
    secrets = Secrets()
    first, second = "ghp_" + "a" * 36, "ghp_" + "b" * 36
    hidden = secrets.redacted(f"{first} {second} {first}")
    assert hidden == "[secret: github-token] [secret: github-token-2] [secret: github-token]"
    assert secrets.named_in({"x": ["[secret: github-token-2] [secret: other]"]}) == ["github-token-2"]
    assert secrets.filled_in({"x": [hidden, 3]}) == {"x": [f"{first} {second} {first}", 3]}
    assert first not in repr(secrets)


def test_the_environment_and_key_files_are_looked_through(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('DB_PASSWORD="tr0ub4dor&3"\nexport PORT=12345678\n', encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "id_rsa").write_text(KEY, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("API_KEY=not-looked-at-1\n", encoding="utf-8")
    environment = {
        "ACME_TOKEN": "abcd-1234-efgh", "HOME_TOKEN": str(tmp_path), "PASSWORD": "password",
        "PATH": "/usr/bin:/x", "MY_THING": "zyxw-9876-vuts",
    }  # fmt: skip
    secrets = known_secrets(environment, tmp_path, names=["MY_*"])
    assert secrets.values == {
        "ACME_TOKEN": "abcd-1234-efgh",
        "MY_THING": "zyxw-9876-vuts",
        "DB_PASSWORD": "tr0ub4dor&3",
        "id_rsa": "MIIEowIBAAKCAQEA7",
        "id_rsa-2": "abcDEF0123456789==",
    }


@pytest.mark.parametrize(
    ("file", "content", "values"),
    [
        (
            ".netrc",
            "machine a.org\n  login ann-the-first\n  password pw-of-ann-1",
            {"ann-the-first", "pw-of-ann-1"},
        ),
        (".netrc", "machine a.org login ann password pw-of-ann-1 # and more", {"pw-of-ann-1"}),
        (".netrc", "default login ann-the-first password pw-of-ann-1", {"ann-the-first", "pw-of-ann-1"}),
        (".pgpass", "# host:port:database:user:password\nlocalhost:5432:*:ann:pw-of-ann-1", {"pw-of-ann-1"}),
        (".pgpass", r"\:\:1:5432:db:ann:pw\:of\\ann", {r"pw\:of\\ann", r"pw:of\ann"}),
        (".npmrc", "//npm.a.org/:_authToken=0f2e-44aa\nregistry=https://npm.a.org/", {"0f2e-44aa"}),
        (".git-credentials", "https://ann:pw-of-ann-1@a.org", {"pw-of-ann-1"}),
        (".pypirc", "[pypi]\nusername = ann-the-first\npassword = pw-of-ann-1", {"pw-of-ann-1"}),
    ],
)
def test_each_kind_of_key_file_is_read_as_it_is_written(
    tmp_path: Path, file: str, content: str, values: set[str]
) -> None:
    (tmp_path / file).write_text(content + "\n", encoding="utf-8")
    assert set(known_secrets({}, tmp_path).values.values()) == values


def test_more_forms_can_be_named() -> None:
    secrets = known_secrets({}, patterns=[r"ACME-\d{6}"])
    assert secrets.redacted("it is ACME-123456") == "it is [secret: pattern-1]"


def test_everything_inside_a_value_is_hidden() -> None:
    value = {"a": [VALUE, {"b": (VALUE, 1)}], "c": None}
    assert one().redacted_all(value) == {
        "a": ["[secret: API_KEY]", {"b": ["[secret: API_KEY]", 1]}],
        "c": None,
    }
