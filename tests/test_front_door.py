"""What a stranger meets at the door: names, tokens, limits of connections, bodies and time, and headers of answers."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from client import call, get
from ringback.api import ROUTES
from stack import ROOT, Web, environment
from waiting import until

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
NOW = b"GET /i_want_you_now HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATHS = [route.path.replace("{name}", "add").replace("{id}", "x") for route in ROUTES]


@pytest.fixture(scope="module")
def open_one() -> Iterator[Web]:
    """A process as ``make run`` starts it: on loopback, without tokens."""
    with Web(RINGBACK_HOSTS="api.example") as web:
        yield web


@pytest.fixture(scope="module")
def guarded() -> Iterator[Web]:
    with Web(RINGBACK_TOKENS=f"me={TOKEN}:*", RINGBACK_CORS="https://friend.example") as web:
        yield web


@contextmanager
def connected(web: Web, buffer: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.settimeout(30)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.connect((urlsplit(web.url).hostname, urlsplit(web.url).port))
        yield connection


def echo(length: int) -> bytes:
    """The head of a call of ``echo`` whose body has this length."""
    lines = ["POST /v1/tasks/echo HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def read_answer(connection: socket.socket) -> HTTPResponse:
    response = HTTPResponse(connection)
    response.begin()
    return response


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed the connection; waits for that, or for the socket's time-out."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


# -- names (DNS rebinding)


@pytest.mark.parametrize("path", [*PATHS, "/docs", "/i_want_you_now", "/plain/1", "/nothing-here"])
def test_a_name_that_is_not_this_machines_is_misdirected(open_one: Web, path: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": "evil.example", "Origin": "http://evil.example"}):
        answer = get(open_one.url, path, headers=headers)

        assert (answer.status, answer.json["type"]) == (421, "/problems/misdirected-request")


def test_a_websocket_of_another_name_is_misdirected(open_one: Web) -> None:
    headers = {"Host": "evil.example", "Origin": "http://evil.example", "Connection": "Upgrade", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyEhIQ=="}
    for path in ("/v1/socket", "/websocket"):
        assert get(open_one.url, path, headers=headers).status == 421


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8888", "api.example", "API.example:80"]
)
def test_this_machines_names_are_answered(open_one: Web, host: str) -> None:
    assert get(open_one.url, "/i_want_you_now", headers={"Host": host}).status == 200


def test_where_tokens_guard_any_name_will_do(guarded: Web) -> None:
    assert get(guarded.url, "/v1/tasks", headers={**BEARER, "Host": "anything.example"}).status == 200


# -- addresses that other machines reach


SERVE = """
from gevent import monkey; monkey.patch_all()
import ringback, tornado.web, tasks
switchboard = ringback.install(tasks.app)
ringback.embedded.start_worker(tasks.app)
ringback.serve(tornado.web.Application(ringback.routes(switchboard)), switchboard, 0, {address!r})
"""


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::"])
@pytest.mark.parametrize(
    ("variables", "said"), [({}, "RINGBACK_TOKENS"), ({"RINGBACK_TOKENS": "web=short:*"}, "fewer than 16 characters")]
)
def test_serve_itself_needs_tokens_on_a_public_address(address: str, variables: dict[str, str], said: str) -> None:
    command = [sys.executable, "-c", SERVE.format(address=address)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]


def test_a_tokens_file_guards_a_public_address(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "tokens").write_text(f"me={TOKEN}:*")
    with Web(flags=["--address=0.0.0.0"], RINGBACK_TOKENS_FILE=str(tmp_path / "tokens")) as web:
        url = web.url.replace("0.0.0.0", "127.0.0.1")
        assert (get(url, "/v1/tasks").status, get(url, "/v1/tasks", headers=BEARER).status) == (401, 200)


# -- tokens before bodies


@pytest.mark.parametrize("path", ["/v1/tasks/add", "/v1/canvas", "/apply/add/", "/", "/executor/resource"])
@pytest.mark.parametrize("headers", ["", "Authorization: Bearer wrong-0123456789\r\n", "Expect: 100-continue\r\n"])
def test_a_body_without_a_token_is_refused_unread(guarded: Web, path: str, headers: str) -> None:
    with connected(guarded) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n{headers}\r\n".encode())
        answer = read_answer(connection)

        assert answer.status in (401, 429)
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert json.loads(answer.read())["status"] == answer.status


def test_a_page_of_an_allowed_origin_can_read_that_its_token_is_wrong(guarded: Web) -> None:
    origin = {"Origin": "https://friend.example", "Content-Type": "application/json"}
    answer = get(guarded.url, "/v1/tasks/add", method="POST", body=b"{}", headers=origin)

    assert answer.status in (401, 429)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://friend.example"


def test_wrong_tokens_of_one_address_are_limited_and_right_ones_are_not(guarded: Web) -> None:
    statuses = [get(guarded.url, "/v1/tasks").status for _ in range(20)]

    assert statuses.count(429) >= 5
    assert get(guarded.url, "/v1/tasks", headers=BEARER).status == 200


def test_behind_a_known_proxy_it_is_the_clients_address_that_is_limited() -> None:
    with Web(RINGBACK_TOKENS=f"me={TOKEN}:*", RINGBACK_PROXIES="127.0.0.0/8") as web:
        statuses = [get(web.url, "/v1/tasks", headers={"X-Forwarded-For": "192.0.2.1"}).status for _ in range(20)]
        assert 429 in statuses
        assert get(web.url, "/v1/tasks", headers={"X-Forwarded-For": "192.0.2.2"}).status == 401
        assert "(192.0.2.1)" in web.output


def test_all_bodies_under_way_have_a_limit_together() -> None:
    with Web(RINGBACK_BODIES_LIMIT="3000000") as web, ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(connected(web))
            connection.sendall(echo(900_000) + b" " * 800_000)
        last = stack.enter_context(connected(web))
        last.sendall(echo(900_000) + b" " * 800_000)
        answer = read_answer(last)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert call(web.url, "add", 1, 2).json["result"] == 3
        stack.close()
        until(lambda: call(web.url, "echo", "x" * 900_000).status, lambda status: status == 200)


# -- time


def test_a_new_connection_has_less_time_for_its_headers_than_a_used_one() -> None:
    timeouts = {"RINGBACK_HEADER_TIMEOUT": "0.5", "RINGBACK_IDLE_TIMEOUT": "30"}
    with Web(**timeouts) as web, connected(web) as silent, connected(web) as used:
        used.sendall(NOW)
        read_answer(used).read()
        silent.sendall(b"GET / HTTP/1.1\r\n")
        assert is_closed(silent)
        used.sendall(NOW)
        assert read_answer(used).status == 200


def test_a_client_that_does_not_read_its_answer_is_given_up() -> None:
    size = 4_000_000
    with Web(RINGBACK_WRITE_TIMEOUT="1", RINGBACK_BODY_LIMIT="8000000") as web:
        body = json.dumps({"args": ["x" * size]}).encode()
        with connected(web, buffer=4096) as deaf:
            deaf.sendall(echo(len(body)) + body)
            web.wait_for("does not read its answer")
            assert is_closed(deaf)
        assert call(web.url, "add", 1, 2).json["result"] == 3


def test_a_client_that_reads_slowly_gets_its_whole_answer() -> None:
    size = 2_000_000
    with Web(RINGBACK_WRITE_TIMEOUT="1", RINGBACK_BODY_LIMIT="8000000") as web, connected(web, buffer=4096) as slow:
        body = json.dumps({"args": ["x" * size]}).encode()
        slow.sendall(echo(len(body)) + body)
        response = read_answer(slow)
        pieces = 0
        for _ in range(4):  # it takes a pause between two pieces, but never of a second
            pieces += len(response.read(size // 5))
            with pytest.raises(AssertionError):
                web.wait_for("does not read its answer", limit=0.4)
        pieces += len(response.read())
        assert pieces > size


# -- descriptors


def test_more_connections_than_allowed_wait_to_be_accepted() -> None:
    with Web(RINGBACK_CONNECTION_LIMIT="20") as web, ExitStack() as stack:
        held = [stack.enter_context(connected(web)) for _ in range(30)]
        web.wait_for("RINGBACK_CONNECTION_LIMIT")
        held[-1].sendall(NOW)
        held[0].sendall(NOW)
        assert read_answer(held[0]).status == 200
        for connection in held[:15]:
            connection.close()
        assert read_answer(held[-1]).status == 200
        assert web.output.count("RINGBACK_CONNECTION_LIMIT") == 1


def test_a_process_with_few_descriptors_keeps_some_and_logs_one_line() -> None:
    limits = f"ulimit -n 150; exec {sys.executable} tests/support/misbehaving_app.py --port=0"
    with Web(command=["sh", "-c", limits], RINGBACK_CONNECTION_LIMIT="1000") as web, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connected(web))
        web.wait_for("must wait")
        stack.close()
        until(lambda: get(web.url, "/livez").status, lambda status: status == 200)
        assert call(web.url, "add", 1, 2).json["result"] == 3
        assert len(re.findall("must wait", web.output)) == 1
        assert "Traceback" not in web.output


def test_the_limit_of_descriptors_is_raised() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = f"ulimit -Sn 100; exec {sys.executable} tests/support/misbehaving_app.py --port=0"
    assert hard > 400
    with Web(command=["sh", "-c", command]) as web, ExitStack() as stack:
        connections = [stack.enter_context(connected(web)) for _ in range(300)]
        connections[-1].sendall(NOW)
        assert read_answer(connections[-1]).status == 200


# -- headers of answers


@pytest.mark.parametrize(
    "path", [*PATHS, "/i_want_you_now", "/docs", "/chat", "/plain/0.1", "/nothing-here", "/raise/x"]
)
def test_no_answer_tells_the_version_or_lets_a_browser_guess(guarded: Web, path: str) -> None:
    for headers in ({}, BEARER):
        with closing(HTTPConnection(urlsplit(guarded.url).netloc, timeout=30)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()

        assert "Server" not in answer.headers
        if not path.startswith("/plain"):
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [*PATHS, "/docs", "/chat"])
def test_no_answer_of_the_interface_can_be_framed(guarded: Web, path: str) -> None:
    policy = get(guarded.url, path, headers=BEARER).headers["Content-Security-Policy"]

    assert "frame-ancestors 'none'" in policy
    assert "default-src" in policy


def test_a_reflected_text_is_no_page(open_one: Web) -> None:
    answer = get(open_one.url, "/echo?msg=%3Cscript%3Ealert(1)%3C/script%3E")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=UTF-8")
