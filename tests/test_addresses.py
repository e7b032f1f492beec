"""Whose request it is, by address, and which hosts are answered."""

from __future__ import annotations

import logging
from ipaddress import ip_network

import pytest

from ringback.errors import MisdirectedRequest
from ringback.web.addresses import HostCheck, Proxies, is_loopback, network_of

NETWORKS = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8888", "127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:8888", "api.example:1"],
)
def test_a_name_of_this_machine_is_answered(host: str) -> None:
    HostCheck(["api.example"]).check(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8888",
        "api.example.evil",
        "0.0.0.0",
        "10.0.0.1",
        "[::2]",
        "[::1",
        "",
        "localhost@evil.example",
        "user:localhost@evil.example",
        "127.0.0.1#evil",
        "localhost/evil",
        "2130706433",
        "127.1",
        "localhost.",
        "\x00",
        "a" * 10_000,
    ],
)
def test_another_name_is_not(host: str) -> None:
    with pytest.raises(MisdirectedRequest, match="RINGBACK_HOSTS"):
        HostCheck(["api.example"]).check(host)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # no known proxy says so
        ("10.1.1.1", "198.51.100.7", "198.51.100.7"),
        ("10.1.1.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # the client has invented the first
        ("10.1.1.1", "1.1.1.1, 198.51.100.7, 10.2.2.2", "198.51.100.7"),
        ("10.1.1.1", "10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ("10.1.1.1", "198.51.100.7, nonsense", "10.1.1.1"),
        ("10.1.1.1", "nonsense, 198.51.100.7", "198.51.100.7"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("not an address", "198.51.100.7", "not an address"),
    ],
)
def test_the_client_is_whom_the_last_known_proxy_was_asked_by(peer: str, forwarded: str | None, client: str) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    assert Proxies(NETWORKS, guarded=True).client(peer, headers)[0] == client


@pytest.mark.parametrize(("given", "protocol"), [("https", "https"), ("http", "http"), ("ftp", None), (None, None)])
def test_a_known_proxy_tells_the_protocol(given: str | None, protocol: str | None) -> None:
    headers = {"X-Forwarded-For": "198.51.100.7", **({"X-Forwarded-Proto": given} if given else {})}

    assert Proxies(NETWORKS, guarded=True).client("10.1.1.1", headers)[1] == protocol
    assert Proxies([], guarded=True).client("10.1.1.1", headers)[1] is None


@pytest.mark.parametrize(("guarded", "lines"), [(False, 1), (True, 0)])
def test_a_proxy_in_front_of_an_open_gateway_is_warned_of_once(
    guarded: bool, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    proxies = Proxies([], guarded)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            proxies.client("127.0.0.1", {"X-Forwarded-For": "198.51.100.7"})

    assert len(caplog.messages) == lines


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::2", "2001:db8::/64"), ("x", "x")],
)
def test_one_client_is_one_address_or_one_network_of_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("", False), ("example", False)],
)
def test_only_this_machine_reaches_a_loopback_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
