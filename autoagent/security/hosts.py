"""Which hosts may be reached: a list of names; private addresses only when they are listed themselves.

Entries: ``example.org`` (its ordinary ports), ``example.org:8080``, ``*.example.org`` (what is below it),
``*`` (any public host), ``127.0.0.1:8000``, ``localhost``, ``10.0.0.0/8``.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from autoagent.errors import ConfigError, ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:/@\s]+)(?::(\d{1,5}|\*))?")
_NAME = re.compile(r"\*|(?:\*\.)?[\w-]+(?:\.[\w-]+)*")
_READY = "%/?:@!$&'()*+,;=-._~[]"  # signs that may stand in an address as they are
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Target:
    """Where a request goes, in the form that was checked."""

    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def url(self) -> str:
        """The address without what is only for reading."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def check_hosts(entries: Sequence[str]) -> None:
    """Check a list of hosts as it is read from settings.

    Raises:
        ConfigError: an entry is no host, host:port, ``*.host``, address or network.
    """
    for entry in entries:
        if _network(entry) is None and not _host_and_port(entry):
            raise ConfigError(
                f"host {entry!r} is malformed: write a name like example.org, *.example.org, localhost:8000,"
                " 10.0.0.0/8 or [::1]:8000"
            )


def target(url: str, entries: Sequence[str]) -> Target:
    """Take an address apart and check that its host is on the list.

    Raises:
        ToolError: it is no web address, or its host is not listed.
    """
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise ToolError(f"{url!r} is not an address: it holds spaces or signs that none may hold")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
        host = plain_address(host)
    except ValueError as problem:
        raise ToolError(f"{url} is not an address: {problem}") from None
    if parts.scheme not in _PORTS or not host:
        raise ToolError(f"{url} is not an address; it has to begin with https:// or http://")
    if parts.username or parts.password:
        raise ToolError("an address with a user name or password in it is not fetched")
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_READY)
    found = Target(parts.scheme, host, port or _PORTS[parts.scheme], path)
    if not any(_covers(entry, found) for entry in entries):
        listed = ", ".join(entries) or "none"
        raise ToolError(f"the host {host} (port {found.port}) is not among those allowed here: {listed}")
    return found


def concerns(entries: Sequence[str], host: str) -> bool:
    """Whether an entry is about this very host or address, whatever the port."""
    for entry in entries:
        known, network = _host_and_port(entry), _network(entry)
        if known and known[0] == host:
            return True
        with suppress(ValueError):  # a name is in no network
            if network is not None and ipaddress.ip_address(host) in network:
                return True
    return False


def plain_address(host: str) -> str:
    """An address in its one short form: ``::1.2.3.4`` is ``::102:304``; a name as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def addresses(host: str, port: int, entries: Sequence[str]) -> list[str]:
    """Look a host up, and keep the addresses that may be reached: public ones, and private ones listed.

    Raises:
        ToolError: it has none.
    """
    found = _looked_up(host, port)
    kept = [
        each for each in found if _public(ipaddress.ip_address(each)) or _listed(each, host, port, entries)
    ]
    if not kept:
        raise ToolError(
            f"{host} has the private address {', '.join(found)}, reached only when allowed itself"
        )
    return kept


def _looked_up(host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass  # a name
    try:
        records = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise ToolError(f"the host {host} is not found: {problem}") from None
    return list(dict.fromkeys(str(record[4][0]).partition("%")[0] for record in records))


def _covers(entry: str, wanted: Target) -> bool:
    network = _network(entry)
    if network is not None:
        try:
            return ipaddress.ip_address(wanted.host) in network and wanted.port == _PORTS[wanted.scheme]
        except ValueError:
            return False
    known = _host_and_port(entry)
    if not known:
        return False
    name, port = known
    if port != "*" and wanted.port != (int(port) if port else _PORTS[wanted.scheme]):
        return False
    return name in ("*", wanted.host) or (name.startswith("*.") and wanted.host.endswith(name[1:]))


def _listed(address: str, host: str, port: int, entries: Sequence[str]) -> bool:
    """Whether a private address is allowed by itself: as an address, in a network, or as localhost."""
    found = ipaddress.ip_address(address)
    for entry in entries:
        network = _network(entry)
        if network is not None and found in network:
            return True
        known = _host_and_port(entry)
        if known and known[1] in ("", "*", str(port)):
            if known[0] == address:
                return True
            if known[0] == host == "localhost" and found.is_loopback:
                return True
    return False


def _public(address: Address) -> bool:
    """Whether an address is one of the open internet, also where an IPv4 address is wrapped in it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        wrapped = [each for each in inner if each is not None]
        if wrapped:
            return all(_public(each) for each in wrapped)
    return address.is_global and not address.is_multicast


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network an entry like ``10.0.0.0/8`` means."""
    try:
        return ipaddress.ip_network(entry) if "/" in entry else None
    except ValueError:
        return None


def _host_and_port(entry: str) -> tuple[str, str] | None:
    """Name or address, and port ("" for the ordinary ones, "*" for any)."""
    found = _ENTRY.fullmatch(entry)
    if found is None:
        return None
    name, port = found[1].strip("[]").lower().rstrip("."), found[2] or ""
    if found[1].startswith("["):
        try:
            return str(ipaddress.ip_address(name)), port
        except ValueError:
            return None
    return (name, port) if _NAME.fullmatch(name) else None
