"""Connections that keep to a list of hosts and to a deadline, for the HTTP client."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore2 as httpcore

from autoagent.security.hosts import addresses


@dataclass
class Network(httpcore.NetworkBackend):
    """Connects to checked addresses only: a name is looked up once, and what was checked is what is used."""

    hosts: tuple[str, ...]
    deadline: float  # of time.monotonic()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that may be reached and answers.

        Raises:
            ToolError: the host has no address that may be reached.
            httpcore.ConnectError, httpcore.ConnectTimeout: none of them answers.
            httpcore.ReadTimeout: the time of the whole request is up.
        """
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses(host.strip("[]"), port, self.hosts):
            seconds = _within(self.deadline, timeout)
            try:
                stream = httpcore.SyncBackend().connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
                return _Timed(stream, self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem


@dataclass
class _Timed(httpcore.NetworkStream):
    """A stream on which nothing waits beyond the deadline, however slowly the other side drips."""

    stream: httpcore.NetworkStream
    deadline: float

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _within(self.deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _within(self.deadline, timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = _within(self.deadline, timeout)
        return _Timed(self.stream.start_tls(ssl_context, server_hostname, seconds), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)

    def close(self) -> None:
        self.stream.close()


def _within(deadline: float, timeout: float | None) -> float:
    """The seconds to wait, cut to what is left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is up")
    return left if timeout is None else min(timeout, left)
