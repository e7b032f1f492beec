"""Whose request it is, by address, and whether its ``Host`` may be answered. Pure; runs on the loop's greenlet."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from ringback.errors import MisdirectedRequest

logger = logging.getLogger(__name__)

#: A host, and perhaps a port (RFC 3986, 3.2.2). An underscore is no letter of a host name, but of a proxy's upstream.
HOST = re.compile(r"(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]+)?")


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def network_of(address: str) -> str:
    """What one client may have of addresses: an IPv4 address, or a network of IPv6 (/64)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ip_network((address, 64), strict=False))


class HostCheck:
    """Answers only to names that no stranger can have.

    A web page may have a name whose address its owner changes to 127.0.0.1 (DNS rebinding). To the browser this process
    then is the page's own server. Only the name in ``Host`` tells.

    :param names: further names, beside this machine's own.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._is_known = lru_cache(maxsize=256)(self._look)

    def check(self, host: str) -> None:
        """Check a request's ``Host``.

        :raises MisdirectedRequest: it is not a name of this machine (RFC 9110, 15.5.20).
        """
        if not self._is_known(host):
            raise MisdirectedRequest(
                f"this gateway has no tokens, so it answers to names of this machine only, and not to {host[:100]!r}:"
                " RINGBACK_HOSTS names others"
            )

    def _look(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = (found["name"] or found["ipv6"]).lower()
        return is_loopback(name) or name in self._names or host.lower() in self._names


class Proxies:
    """The proxies in front of this process, which say whose request they pass on.

    :param networks: where they are.
    :param guarded: whether callers need tokens.
    """

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network], guarded: bool) -> None:
        self._networks, self._warned = networks, guarded
        self._is_proxy = lru_cache(maxsize=1024)(self._look)

    def client(self, peer: str, headers: Any) -> tuple[str, str | None]:
        """The address of the client, and the protocol that it speaks with the proxy, if a proxy says so.

        :param peer: the address at the other end of the connection.
        :param headers: of the request. In ``X-Forwarded-For`` each proxy has added whom it was asked by, at the end.
        """
        if "X-Forwarded-For" not in headers:
            return peer, None
        if not self._is_proxy(peer):
            self._warn()
            return peer, None
        client = peer
        for hop in reversed(headers["X-Forwarded-For"].split(",")):
            hop = hop.strip()
            if not _is_address(hop):
                break
            client = hop
            if not self._is_proxy(hop):
                break
        protocol = headers.get("X-Forwarded-Proto")
        return client, protocol if protocol in ("http", "https") else None

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "a request came through a proxy, and callers need no token: whoever reaches the proxy can call; set"
                " RINGBACK_TOKENS, or RINGBACK_PROXIES if that is wanted"
            )

    def _look(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
