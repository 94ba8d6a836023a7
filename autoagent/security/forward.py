"""One request of a program in the sandbox, passed on to its host or refused: what the proxy does with each.

The standard library reads it and speaks to the host; what is decided about it is in ``hosts.py``. The host is
told nothing that was not in the request, and which site is meant is written anew from the address that was
checked, so a request for one cannot reach another behind the same address.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from autoagent.errors import ToolError
from autoagent.security.hosts import Target, target

if TYPE_CHECKING:
    from autoagent.security.proxy import Proxy

SILENT = 60.0  # seconds without a sign of one side of a request
_CHUNK = 65_536  # bytes
_BETWEEN_TWO = frozenset(  # headers about one connection only, and those that are written anew
    "connection proxy-connection keep-alive proxy-authenticate proxy-authorization te trailer"
    " transfer-encoding upgrade host expect".split()
)


class Request(BaseHTTPRequestHandler):
    """What a program asks for on one connection; it is dealt with when this is made."""

    protocol_version = "HTTP/1.1"
    timeout = SILENT

    def __init__(self, client: socket.socket, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(client, ("", 0), None)  # type: ignore[arg-type]  # it is nobody's server

    def handle(self) -> None:
        """One request and no more, so that each is checked."""
        self.handle_one_request()

    def do_CONNECT(self) -> None:
        """Pass bytes in both directions, as they are."""
        scheme = "http" if self.path.endswith(":80") else "https"
        if (way := self._way(f"{scheme}://{self.path}/")) is None:
            return
        far = way[1]
        try:
            self.send_response_only(200, "Connection established")
            self.end_headers()
            for each in (self.connection, far):
                each.settimeout(None)
            up = self.proxy.start(_pass_on, self.rfile.read1, self.connection, far)
            _pass_on(far.recv, far, self.connection)
            up.join()
        finally:
            self.proxy.release(far)

    def do_GET(self) -> None:
        """Plain HTTP: ask the host the same, and pass the answer on."""
        size = self._size_of_body()
        if size is None or (way := self._way(self.path)) is None:
            return
        wanted, far = way
        try:
            self._send(self._asked(wanted, far, size))
        except HTTPException as problem:
            self._say(502, f"{wanted.host} cannot be understood: {type(problem).__name__}")
        finally:
            self.proxy.release(far)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def _way(self, url: str) -> tuple[Target, socket.socket] | None:
        """Where a request goes, and the connection; None when it was refused, which has been answered."""
        try:
            wanted = target(url, self.proxy.hosts)
            return wanted, self.proxy.connected(wanted)
        except ToolError as refusal:
            self.proxy.refuse(str(refusal))
            self._say(403, str(refusal))
        except OSError as problem:
            self._say(502, f"{wanted.host} cannot be reached: {problem}")
        return None

    def _size_of_body(self) -> int | None:
        """Bytes that follow the request; None when it does not say so clearly, which has been answered."""
        given = self.headers.get_all("Content-Length", ["0"])
        if self.path.startswith("https://"):
            self._say(400, "an address with https:// is reached by CONNECT")
        elif "Transfer-Encoding" in self.headers:
            self._say(411, "say how long the body is")
        elif len(given) > 1 or not re.fullmatch("[0-9]{1,18}", given[0].strip()):
            self._say(400, "the length of the body is not clear")
        else:
            return int(given[0])
        return None

    def _asked(self, wanted: Target, far: socket.socket, size: int) -> HTTPResponse:
        """The host's answer, as far as its headers."""
        line = HTTPConnection(wanted.host, wanted.port, timeout=SILENT)
        line.sock = far
        line.putrequest(self.command, wanted.path, skip_host=True, skip_accept_encoding=True)
        line.putheader("Host", wanted.url.split("/")[2])
        for name, value in self.headers.items():
            if name.lower() not in self._left_out():
                line.putheader(name, value)
        line.putheader("Connection", "close")
        line.endheaders()
        while size > 0 and (data := self.rfile.read(min(size, _CHUNK))):
            line.send(data)
            size -= len(data)
        return line.getresponse()

    def _left_out(self) -> set[str]:
        named = ",".join(self.headers.get_all("Connection", [])).lower().split(",")
        return {*_BETWEEN_TWO, *(each.strip() for each in named)} - {"content-length"}

    def _send(self, answer: HTTPResponse) -> None:
        """Pass on what the host answered; where its length is not known, in pieces, so that its end is."""
        self.send_response_only(answer.status, _plain(answer.reason))
        for name, value in answer.getheaders():
            if name.lower() not in _BETWEEN_TWO:
                self.send_header(name, value)
        pieces = answer.length is None and self.request_version >= "HTTP/1.1"
        if pieces:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        while data := answer.read1(_CHUNK):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if pieces else data)
        if pieces:
            self.wfile.write(b"0\r\n\r\n")

    def _say(self, status: int, why: str) -> None:
        """Say no; the first line has the reason, too, as many programs show nothing else."""
        why = _plain(why)
        self.send_response_only(status, why)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(why) + 1))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(f"{why}\n".encode("ascii"))

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet: refusals are told with the program's output."""


def _pass_on(read: Callable[[int], bytes], source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes on until one side ends; the other is told."""
    try:
        while data := read(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # broken, not ended: neither direction goes on
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _plain(text: str) -> str:
    """A text as one line of letters that a header may have."""
    line = " ".join(text.encode("ascii", "replace").decode().split())
    return "".join(letter for letter in line if letter.isprintable())[:300]
