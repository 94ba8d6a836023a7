"""Which hosts may be reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoagent.errors import ConfigError, ToolError
from autoagent.security.hosts import _public, addresses, check_hosts, target


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("example.org", "https://example.org"),
        ("Example.org", "HTTP://EXAMPLE.org:80/a?b=ü"),
        ("example.org", "https://example.org./a"),
        ("example.org:8080", "http://example.org:8080/"),
        ("example.org:*", "http://example.org:1/"),
        ("*.example.org", "https://a.b.example.org/"),
        ("*", "https://anything.example/"),
        ("localhost:8000", "http://localhost:8000/x"),
        ("10.0.0.0/8", "http://10.1.2.3/"),
        ("[::1]:8000", "http://[::1]:8000/"),
        ("[::1.2.3.4]", "http://[::1.2.3.4]/"),
        ("[::102:304]", "http://[::1.2.3.4]/"),
        ("[2001:DB8:0:0::1]", "http://[2001:db8::1]/"),
        ("64:ff9b::/96", "http://[64:ff9b::10.0.0.1]/"),
        ("bücher.example", "https://bücher.example/"),
    ],
)
def test_a_listed_host_is_reached(entry: str, url: str) -> None:
    if entry.isascii():
        check_hosts([entry])
        assert target(url, [entry]).url.isascii()
    else:
        assert target(url, ["xn--bcher-kva.example"]).host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("example.org", "https://example.org.evil.com/"),
        ("example.org", "https://evil.com/#example.org"),
        ("example.org", "https://www.example.org/"),
        ("example.org", "https://example.org:8443/"),
        ("example.org", "http://example.org:443/"),
        ("example.org:8080", "http://example.org/"),
        ("*.example.org", "https://example.org/"),
        ("*.example.org", "https://evilexample.org/"),
        ("10.0.0.0/8", "http://11.0.0.1/"),
        ("10.0.0.0/8", "http://10.0.0.1:8080/"),
        ("127.0.0.1", "http://2130706433/"),
    ],
)
def test_another_host_is_refused_with_those_that_are_allowed(entry: str, url: str) -> None:
    with pytest.raises(ToolError, match="is not among those allowed here: "):
        target(url, [entry])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https://a b/",
        "https://a\\@b/",
        "https://me:pw@example.org/",
        "https://example.org:99999/",
        "https://[::1/",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_web_address_is_said_so_in_one_line(url: str) -> None:
    with pytest.raises(ToolError, match="address") as error:
        target(url, ["*"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "entry", ["", "https://example.org", "a b", "example.org/x", "a:b", "user@host", "[zz]", "*x"]
)
def test_a_malformed_entry_is_a_mistake_in_the_settings(entry: str) -> None:
    with pytest.raises(ConfigError, match="is malformed: write a name like"):
        check_hosts(["example.org", entry])


def test_addresses_of_this_machine_are_reached_only_when_listed_themselves() -> None:
    for listed in (["localhost"], ["localhost:*"], ["127.0.0.1"], ["127.0.0.0/8", "::1"], ["*", "127.0.0.1"]):
        assert "127.0.0.1" in addresses("localhost", 80, [*listed, "localhost"])
    for unlisted in (["*"], ["example.org", "*"], ["localhost:81"], ["10.0.0.0/8"]):
        with pytest.raises(ToolError, match=r"has the private address .*, reached only when allowed itself"):
            addresses("localhost", 80, unlisted)


def test_a_public_name_that_means_this_machine_is_refused() -> None:
    for trick in ("127.1", "127.0.0.1", "0.0.0.0", "::1"):
        with pytest.raises(ToolError, match="has the private address"):
            addresses(trick, 80, ["*", "localhost"])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f::1", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:a00:1::", False),
    ],
)
def test_public_addresses_are_told_from_the_others(address: str, public: bool) -> None:
    import ipaddress

    assert _public(ipaddress.ip_address(address)) is public


@given(st.text(max_size=30), st.sampled_from(["https://", "http://", "https://example.org", ""]))
def test_any_text_is_an_address_on_the_list_or_a_clear_no(text: str, start: str) -> None:
    try:
        found = target(start + text, ["example.org"])
    except ToolError:
        return
    assert found.host == "example.org"
    assert found.port == {"http": 80, "https": 443}[found.scheme]
    assert target(found.url, ["example.org"]) == found
