"""Bodies that are no call: each is answered 4xx at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cpu import spent
from stack import Web

PATHS = ["/v1/tasks/echo", "/apply/echo/"]
MANY = range(80_000)

NO_CALLS = {
    "null": b"null",
    "a list": b"[]",
    "a blank": b" ",
    "no bytes": b"",
    "deep lists": b"[" * 100_000,
    "deep lists that end": b'{"args":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "an integer of 5000 digits": b'{"args":[' + b"9" * 5000 + b"]}",
    "an integer of 4000 digits": b'{"args":[' + b"9" * 4000 + b"]}",
    "1e400": b'{"args":[1e400]}',
    "NaN": b'{"args":[NaN]}',
    "-Infinity": b'{"args":[-Infinity]}',
    "a lone surrogate": b'{"args":["\\ud800"]}',
    "a lone surrogate as a key": b'{"kwargs":{"\\udc00":1}}',
    "invalid UTF-8": b'{"args":["\xff\xfe"]}',
    "a byte order mark": b'\xef\xbb\xbf{"args":["a"]}',
    "UTF-16": '{"args":["a"]}'.encode("utf-16"),
    "a huge key": b'{"' + b"x" * 1_000_000 + b'":1}',
    "a huge argument that is not known": b'{"args":["a"],"kwargs":{"' + b"x" * 1_000_000 + b'":1}}',
    "many keys": b"{" + b",".join(b'"k%d":1' % number for number in MANY) + b"}",
    "many arguments": b'{"kwargs":{' + b",".join(b'"k%d":1' % number for number in MANY) + b"}}",
}

#: Moments that have no date in some time zone.
NO_MOMENTS = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]


@pytest.fixture(scope="module")
def embedded() -> Iterator[Web]:
    with Web(RINGBACK_DEADLINE="2") as web:
        yield web
        assert "Traceback" not in web.output
        assert "Uncaught" not in web.output


@pytest.fixture(scope="module")
def connection(embedded: Web) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection(urlsplit(embedded.url).netloc, timeout=30)) as connection:
        yield connection


def post(connection: HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    """Post a body; return the status and the answer."""
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", NO_CALLS.values(), ids=NO_CALLS)
def test_a_body_that_is_no_call_is_refused_cheaply_and_briefly(
    embedded: Web, connection: HTTPConnection, path: str, body: bytes
) -> None:
    costs = []
    for _ in range(5):
        before = spent(embedded.pid)
        status, answer = post(connection, path, body)
        costs.append(spent(embedded.pid) - before)
        assert status in (400, 422)
        assert len(answer) < 10_000

    assert min(costs) < 5 * cost_of_reading_many_keys()  # two times are usual


def cost_of_reading_many_keys() -> float:
    """Milliseconds of this process's CPU time in which the dearest of the bodies is decoded: this machine's measure."""
    before = time.process_time()
    json.loads(NO_CALLS["many keys"])
    return (time.process_time() - before) * 1000


@pytest.mark.parametrize("path", PATHS)
def test_the_last_of_two_equal_keys_counts(connection: HTTPConnection, path: str) -> None:
    status, answer = post(connection, path, b'{"args":["a"],"args":["b"]}')

    assert (status, b'"result": "b"' in answer) == (200, True)


@pytest.mark.parametrize("moment", NO_MOMENTS)
@pytest.mark.parametrize("option", ["eta", "expires"])
def test_a_moment_without_a_date_in_every_time_zone_harms_no_worker(
    connection: HTTPConnection, option: str, moment: str
) -> None:
    for path, body in zip(PATHS, ['{"args":["a"],"options":{"%s":"%s"}}', '{"args":["a"],"%s":"%s"}'], strict=True):
        status, _ = post(connection, path, (body % (option, moment)).encode())
        assert status == 422 if option == "eta" and moment > "2" else status in (200, 202, 504)


TOKENS = st.sampled_from(
    [
        *(bytes([byte]) for byte in b"{}[]:,0-\xff"),
        b"1e400",
        b"null",
        b'"a"',
        b'"\\ud800"',
        b'"args"',
        b'"kwargs"',
        b'"options"',
        b'"msg"',
        b'"expires"',
        b'"priority"',
        b'{"args":["a"]',
        b',"countdown":',
    ]
)
BODIES = st.binary(max_size=200) | st.lists(TOKENS, max_size=15).map(b"".join)


def test_no_body_causes_an_error_of_ours(connection: HTTPConnection) -> None:
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(path=st.sampled_from(PATHS), body=BODIES)
    def refuses(path: str, body: bytes) -> None:
        status, answer = post(connection, path, body)
        assert status == 200 or 400 <= status < 500, answer

    refuses()
