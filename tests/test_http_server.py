"""Requests that reach no handler: bodies that are too large, clients that are too slow, and malformed HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from select import select
from urllib.parse import urlsplit

import pytest
import tornado
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tornado.websocket import websocket_connect

from client import Client, call, nothing_left_behind, run
from stack import Web
from waiting import until

LIMIT = 2**20  # the default of RINGBACK_BODY_LIMIT
PIECE = b"x" * 2**16
CHUNK = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
HUNDRED_MB = 100 * 2**20
FEW_MB = 8 * 2**20

#: Paths of a plain Tornado handler, our own, the HTTP interface, a streaming handler, and no handler.
PATHS = ["/", "/plain/1", "/upload", "/v1/tasks/add", "/livez", "/nothing-here"]


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with Web() as process:
        yield process


@pytest.fixture(scope="module")
def impatient() -> Iterator[Web]:
    """A process that waits one second for headers and one for the body."""
    with Web(RINGBACK_IDLE_TIMEOUT="1", RINGBACK_BODY_TIMEOUT="1") as process:
        yield process


@contextmanager
def connected(web: Web) -> Iterator[socket.socket]:
    with socket.create_connection((urlsplit(web.url).hostname, urlsplit(web.url).port), timeout=20) as connection:
        yield connection


def head(*headers: str, method: str = "POST", path: str = "/") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def with_length(body: bytes) -> bytes:
    return head(f"Content-Length: {len(body)}") + body


def in_chunks(body: bytes) -> bytes:
    pieces = [body[start : start + len(PIECE)] for start in range(0, len(body), len(PIECE))]
    return head("Transfer-Encoding: chunked") + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in [*pieces, b""])


def answer(connection: socket.socket, method: str = "POST") -> tuple[HTTPResponse, bytes]:
    """Read one complete answer."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    return response, response.read()


def is_refused(connection: socket.socket) -> bool:
    """Whether the 413 arrives complete, and the server closes its side after it."""
    response, body = answer(connection)
    assert (response.status, response.headers["Content-Type"]) == (413, "application/problem+json")
    assert response.headers["Connection"] == "close"
    assert json.loads(body)["type"] == "/problems/body-too-large"
    return connection.recv(1) == b""


def send_all_and_end(connection: socket.socket, data: bytes) -> None:
    """Send, and close the client's side; the server may have cut the connection meanwhile."""
    with suppress(ConnectionError):
        connection.sendall(data)
    with suppress(OSError):  # not connected any more
        connection.shutdown(socket.SHUT_WR)


def the_rest(connection: socket.socket) -> bytes:
    """Read until the connection is closed or reset."""
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(2**16):
            received += data
    return received


def neighbour_is_well(web: Web, neighbour: HTTPConnection) -> bool:
    """Whether an older connection is served, and the log has no error."""
    neighbour.request("GET", "/i_want_you_now")
    served = neighbour.getresponse().read() == b"i want you, right now!"
    return served and "Traceback" not in web.output and "Uncaught" not in web.output


@contextmanager
def neighbour_of(web: Web) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection(urlsplit(web.url).netloc, timeout=20)) as neighbour:
        neighbour.connect()
        yield neighbour


def descriptors(web: Web) -> int:
    return len(os.listdir(f"/proc/{web.pid}/fd"))


# -- too large


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("more", [[], ["Expect: 100-continue"]])
def test_an_announced_body_over_the_limit_is_refused_before_a_byte_of_it_is_sent(
    server: Web, path: str, more: list[str]
) -> None:
    with connected(server) as connection:
        connection.sendall(head(f"Content-Length: {LIMIT + 1}", *more, path=path))

        assert is_refused(connection)


@pytest.mark.parametrize("path", PATHS)
def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(server: Web, path: str) -> None:
    with connected(server) as connection:
        connection.sendall(head("Transfer-Encoding: chunked", path=path) + CHUNK * (LIMIT // len(PIECE)))
        assert select([connection], [], [], 0.1)[0] == []  # not yet

        connection.sendall(b"1\r\nx")

        assert is_refused(connection)


@pytest.mark.parametrize("piece", [PIECE, CHUNK], ids=["content-length", "chunked"])
def test_a_client_that_goes_on_sending_can_read_the_413(server: Web, piece: bytes) -> None:
    framing = "Transfer-Encoding: chunked" if piece is CHUNK else f"Content-Length: {HUNDRED_MB}"
    before = server.rss()
    largest = 0

    with connected(server) as connection:
        connection.sendall(head(framing))
        for number in range(HUNDRED_MB // len(PIECE)):
            connection.sendall(piece)
            if number % 100 == 0:
                largest = max(largest, server.rss())

        assert is_refused(connection)
    print(f"RSS {before / 2**20:.1f} MiB, at most {largest / 2**20:.1f} MiB meanwhile")
    assert largest < before + FEW_MB


def test_the_413_names_the_limit_and_its_variable() -> None:
    with Web("app.py", RINGBACK_BODY_LIMIT="10") as web, connected(web) as connection:
        connection.sendall(with_length(b"x" * 11))

        detail = json.loads(answer(connection)[1])["detail"]

        assert "10 bytes" in detail
        assert "RINGBACK_BODY_LIMIT" in detail


@pytest.mark.parametrize("framed", [with_length, in_chunks])
def test_the_relay_takes_a_body_of_exactly_the_limit_and_no_byte_more(
    server: Web, framed: Callable[[bytes], bytes]
) -> None:
    body = b"abcdefghi" + b"x" * (LIMIT - 9)

    with connected(server) as connection:
        connection.sendall(framed(body))
        response, reply = answer(connection)
        assert (response.status, reply) == (200, b"cde")

        connection.sendall(framed(body + b"x"))  # on the same connection
        assert is_refused(connection)


def test_a_length_of_40_digits_is_refused(server: Web) -> None:
    with connected(server) as connection:
        connection.sendall(head(f"Content-Length: {'9' * 40}"))

        assert is_refused(connection)


def test_the_answer_to_head_has_no_body(server: Web) -> None:
    with connected(server) as connection:
        connection.sendall(head(f"Content-Length: {LIMIT + 1}", method="HEAD"))

        response, _ = answer(connection, "HEAD")

        assert response.status == 413
        assert the_rest(connection) == b""


def test_a_streaming_handler_learns_that_its_request_is_over(server: Web) -> None:
    with connected(server) as connection:
        connection.sendall(head("Transfer-Encoding: chunked", path="/upload") + CHUNK * (LIMIT // len(PIECE) + 1))

        assert is_refused(connection)
        run(nothing_left_behind(Client(server.url)))  # while the client is still there


def test_no_413_is_mixed_into_an_answer_that_has_begun(server: Web) -> None:
    with connected(server) as connection:
        connection.sendall(head("Transfer-Encoding: chunked", path="/upload?early"))
        early = connection.recv(2**16)
        with suppress(ConnectionError):
            connection.sendall(CHUNK * (LIMIT // len(PIECE) + 1))

        received = early + the_rest(connection)
        assert b" 200 " in received
        assert b" 413 " not in received


def test_a_refused_client_does_not_delay_the_shutdown() -> None:
    with Web("app.py") as web, connected(web) as connection:
        connection.sendall(head(f"Content-Length: {LIMIT + 1}"))
        assert is_refused(connection)

        assert web.terminate() == 0


# -- as before


def test_a_connection_serves_one_post_after_the_other(server: Web) -> None:
    with neighbour_of(server) as connection:
        own = connection.sock
        for _ in range(3):
            connection.request("POST", "/", b"abcdefghi")
            assert connection.getresponse().read() == b"cde"
        assert connection.sock is own


def test_a_client_that_expects_100_continue_gets_it(server: Web) -> None:
    with connected(server) as connection:
        connection.sendall(head("Content-Length: 9", "Expect: 100-continue"))
        assert b" 100 " in connection.recv(2**16)

        connection.sendall(b"abcdefghi")

        assert answer(connection)[1] == b"cde"


def test_a_streaming_handler_gets_a_body_up_to_the_limit(server: Web) -> None:
    with connected(server) as connection:
        connection.sendall(head(f"Content-Length: {LIMIT}", path="/upload") + b"x" * LIMIT)

        assert answer(connection)[1] == b"%d" % LIMIT


def an_idle_request_is_cut(web: Web) -> None:
    """Begin a request, and wait until the server has closed the idle connection."""
    with connected(web) as connection:
        connection.sendall(head()[:-2])
        assert connection.recv(1) == b""


def test_a_websocket_passes(impatient: Web) -> None:
    async def conversation() -> None:
        connection = await websocket_connect(impatient.url.replace("http", "ws") + "/websocket")
        await asyncio.to_thread(an_idle_request_is_cut, impatient)
        await connection.write_message("hello")
        assert await connection.read_message() == "hello"
        connection.close()
        assert await connection.read_message() is None  # closed by both

    run(conversation())


def test_a_held_request_may_take_longer_than_its_headers_and_body(impatient: Web) -> None:
    assert call(impatient.url, "sleep", 2.5).json["result"] == 2.5


# -- too slow


def test_headers_that_trickle_in_are_cut(impatient: Web) -> None:
    with connected(impatient) as connection, suppress(ConnectionError):
        connection.sendall(head()[:-2])
        until(lambda: select([connection], [], [], 0.1)[0] or connection.sendall(b"x"))

        assert connection.recv(1) == b""


def test_an_idle_connection_is_closed_after_its_answer(impatient: Web) -> None:
    with connected(impatient) as connection:
        connection.sendall(head(method="GET", path="/i_want_you_now"))
        assert answer(connection, "GET")[0].status == 200

        assert connection.recv(1) == b""


def test_slow_clients_that_were_cut_leave_nothing_behind(impatient: Web) -> None:
    half_a_body = "Content-Length: 100000"
    beginnings = [
        head()[:-2],
        head(half_a_body) + b"x" * 50_000,
        head(half_a_body, path="/upload") + b"x" * 50_000,
        head("Transfer-Encoding: chunked") + CHUNK,
        head(f"Content-Length: {LIMIT + 1}"),  # a refused client that stays
    ]

    def two_hundred() -> int:
        with ExitStack() as stack:
            slow = [stack.enter_context(connected(impatient)) for _ in range(200)]
            for number, connection in enumerate(slow):
                connection.sendall(beginnings[number % len(beginnings)])
            received = {the_rest(connection)[:12] for connection in slow}
            assert received == {b"", b"HTTP/1.1 413"}
            run(nothing_left_behind(Client(impatient.url)))  # before the clients close
        return impatient.rss()

    two_hundred()
    open_before = descriptors(impatient)
    first, second = two_hundred(), two_hundred()

    print(f"RSS {first / 2**20:.1f} MiB, {second / 2**20:.1f} MiB after 200 more; {descriptors(impatient)} descriptors")
    assert second < first + FEW_MB
    assert descriptors(impatient) <= open_before
    assert "Traceback" not in impatient.output


# -- no HTTP

MALFORMED = {
    "random": bytes(range(256)) * 4 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": head("Host: other"),
    "NUL in a value": head("X: a\0b"),
    "NUL in a name": head("X\0: b"),
    "NUL in the path": head(path="/\0"),
    "no colon": head("nothing"),
    "negative length": head("Content-Length: -1") + b"x",
    "length of words": head("Content-Length: many") + b"x",
    "length of strange digits": head("Content-Length: ٣") + b"xxx",
    "length of 5000 digits": head(f"Content-Length: {'9' * 5000}"),
    "two lengths": head("Content-Length: 1", "Content-Length: 2") + b"xx",
    "two lengths, over the limit": head(f"Content-Length: {LIMIT + 1}", f"Content-Length: {LIMIT + 2}"),
    "length and chunks": head("Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "length over the limit and chunks": head(f"Content-Length: {LIMIT + 1}", "Transfer-Encoding: chunked") + CHUNK,
    "unknown encoding": head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunk of words": head("Transfer-Encoding: chunked") + b"many\r\n",
    "negative chunk": head("Transfer-Encoding: chunked") + b"-1\r\nx",
    "chunk without an end": head("Transfer-Encoding: chunked") + b"1\r\nxyz",
    "chunk size without an end": head("Transfer-Encoding: chunked") + b"0" * 1000,
    "no chunk after the 413": head("Transfer-Encoding: chunked") + CHUNK * 17 + b"many\r\n",
    "headers over 64 KiB": head("X: " + "x" * 70_000),
    "headers without an end": head()[:-2] + b"X: x\r\n" * 20_000,
    "form that is none": head("Content-Type: multipart/form-data; boundary=x", "Content-Length: 9") + b"abcdefghi",
    "strange text in the path": head(path="/%ff%fe?x=%ff", method="GET"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http_is_refused_without_a_traceback(server: Web, name: str) -> None:
    if name == "chunk without an end" and tornado.version_info < (6, 6):
        pytest.skip("Tornado 6.5 asserts what a chunk ends with (http1connection.py), and logs the AssertionError")
    with neighbour_of(server) as neighbour, connected(server) as connection:
        send_all_and_end(connection, MALFORMED[name])
        received = the_rest(connection)

        assert received == b"" or received.startswith(b"HTTP/1.1 4")
        assert neighbour_is_well(server, neighbour)


METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "get", "", "\0"])
TARGETS = st.sampled_from(["/", "/i_want_you_now", "*", "http://[", "//", "/v1/tasks/%00", "/upload"]) | st.text()
FIELDS = st.sampled_from(
    ["Content-Length: 3", "Content-Length: 9999999", "Transfer-Encoding: chunked", "Expect: 100-continue", " folded"]
)
REQUESTS = st.builds(
    lambda method, target, fields, body: head(*fields, method=method, path=target) + body,
    METHODS,
    TARGETS,
    st.lists(FIELDS | st.text(), max_size=4),
    st.binary(max_size=50) | st.sampled_from([b"3\r\nabc\r\n0\r\n\r\n", b"abc"]),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(sent=st.binary(max_size=300) | REQUESTS | st.lists(REQUESTS, max_size=3).map(b"".join))
@example(sent=b"")
def test_no_input_causes_an_error_of_ours(server: Web, sent: bytes) -> None:
    with connected(server) as connection:
        send_all_and_end(connection, sent)
        received = the_rest(connection)
    with neighbour_of(server) as neighbour:
        assert neighbour_is_well(server, neighbour)
    assert received == b"" or received.startswith((b"HTTP/1.1 1", b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4"))
    assert b"\r\nHTTP/1.1 5" not in received
