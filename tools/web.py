"""The web: get what is at an address, or read a page as text. Only hosts on the run's list are reached.

What is not covered: what an address gives away to the host it names. Redirects are held to the list of hosts,
not to the rules of the policy. Proxies are not used.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urljoin

from autoagent.errors import ToolError
from autoagent.security.hosts import Target, target
from autoagent.tools.base import Context, tool

_SECONDS = 30.0  # for all of it, redirects included
_QUIET = 10.0  # seconds without a sign from the other side
_MOST_BYTES = 2_000_000
_MOST_HOPS = 5
_TEXTUAL = ("json", "xml", "javascript", "yaml", "toml", "x-www-form-urlencoded")
_NOISE = (
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "nav",
    "header",
    "footer",
    "aside",
    "form",
    "iframe",
)


@dataclass(frozen=True)
class _Answer:
    status: int
    kind: str  # "text/html"
    charset: str
    location: str  # of a redirect
    body: bytes
    cut: bool


@tool(
    effects=("network",),
    hints="url internet download fetch api request http https www endpoint",
    needs="hosts",
)
def http_get(url: str, *, ctx: Context) -> str:
    """Get the text at a web address."""
    answer = _fetched(url, ctx.hosts)
    text = _decoded(answer)
    return (text if not answer.cut else f"{text}\n… cut at {_MOST_BYTES} bytes") or "The answer is empty."


@tool(
    effects=("network",),
    hints="site url internet article online news link http https www open visit look up",
    needs="hosts",
)
def read_web_page(url: str, *, ctx: Context) -> str:
    """Read a web page as plain text."""
    answer = _fetched(url, ctx.hosts)
    text = _page(answer) if answer.kind in ("text/html", "application/xhtml+xml") else _decoded(answer)
    return text.strip() or "The page has no text."


def _fetched(url: str, hosts: tuple[str, ...]) -> _Answer:
    """What is at the address, after redirects.

    Raises:
        ToolError: it may not be reached, cannot be, or answers with an error.
    """
    if not hosts:
        raise ToolError("The web cannot be reached here: no host is allowed.")
    deadline = time.monotonic() + _SECONDS
    here = target(url, hosts)
    for _ in range(_MOST_HOPS + 1):
        answer = _get(here, hosts, deadline)
        if not answer.location:
            break
        here = _redirected(here, answer.location, hosts)
    else:
        raise ToolError(f"{url} leads on more than {_MOST_HOPS} times")
    if answer.status >= 400:
        raise ToolError(f"{here.url} answered with status {answer.status}")
    return answer


def _redirected(here: Target, location: str, hosts: tuple[str, ...]) -> Target:
    """Where a redirect leads.

    Raises:
        ToolError: that is no address, or may not be reached, or is not encrypted where this one is.
    """
    try:
        url = urljoin(here.url, location)
    except ValueError as problem:
        raise ToolError(f"{here.url} leads to {location!r}, which is not an address: {problem}") from None
    following = target(url, hosts)
    if (here.scheme, following.scheme) == ("https", "http"):
        raise ToolError(f"{here.url} leads to {following.url}, which is not encrypted")
    return following


def _get(where: Target, hosts: tuple[str, ...], deadline: float) -> _Answer:
    import httpcore2 as httpcore

    from autoagent.security.network import Network

    headers: list[tuple[bytes | str, bytes | str]] = [
        ("Host", where.url.split("/")[2]),
        ("User-Agent", "autoagent"),
        ("Accept", "text/html, text/*, application/json, */*;q=0.5"),
        ("Accept-Encoding", "identity"),
    ]
    waits = dict.fromkeys(("connect", "read", "write", "pool"), _QUIET)
    try:
        with (
            httpcore.ConnectionPool(network_backend=Network(hosts, deadline)) as pool,
            pool.stream("GET", where.url, headers=headers, extensions={"timeout": waits}) as response,
        ):
            found = {
                name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers
            }
            moved = response.status in (301, 302, 303, 307, 308)
            location = found.get("location", "") if moved else ""
            body, cut = (b"", False) if location else _bounded(response.iter_stream())
    except httpcore.TimeoutException:
        raise ToolError(f"{where.host} does not answer in time") from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as problem:
        raise ToolError(f"{where.url} cannot be reached: {problem}") from None
    about = Message()
    about["content-type"] = found.get("content-type", "text/plain")
    charset = str(about.get_param("charset", "") or "")
    return _Answer(response.status, about.get_content_type(), charset, location, body, cut)


def _bounded(chunks: Iterable[bytes]) -> tuple[bytes, bool]:
    """The first bytes of an answer, and whether there were more."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > _MOST_BYTES:
            return bytes(body[:_MOST_BYTES]), True
    return bytes(body), False


def _decoded(answer: _Answer) -> str:
    """The answer as text.

    Raises:
        ToolError: it is not text.
    """
    main, _, kind = answer.kind.partition("/")
    if main != "text" and not any(kind == each or kind.endswith(f"+{each}") for each in _TEXTUAL):
        raise ToolError(f"this is {answer.kind} ({len(answer.body)} bytes), not text")
    try:
        return answer.body.decode(answer.charset or "utf-8", "replace")
    except (LookupError, UnicodeError):  # no such encoding, or one that is not for texts, such as "undefined"
        return answer.body.decode("utf-8", "replace")


def _page(answer: _Answer) -> str:
    """A page's title and main text, with its headings, lists and tables."""
    import bs4
    import markdownify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may be XML, or no page at all: what can be read is read
        soup = bs4.BeautifulSoup(answer.body, "lxml", from_encoding=answer.charset or None)
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for each in soup(_NOISE):
        each.decompose()
    main = soup.find("main") or soup.find("article") or soup.body or soup
    try:
        text = markdownify.MarkdownConverter(
            heading_style="ATX",
            strip=["a", "img"],
            escape_asterisks=False,
            escape_underscores=False,
            escape_misc=False,
        ).convert_soup(main)
    except RecursionError:  # thousands of elements in one another
        text = main.get_text("\n", strip=True)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for number, line in enumerate(lines) if line or lines[number - 1]]
    return "\n".join([title, "", *kept] if title and title not in " ".join(kept[:1]) else kept)


TOOLS = [http_get, read_web_page]
