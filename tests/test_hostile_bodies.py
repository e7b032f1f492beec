"""No request holds the loop for long, whatever its shape: 10 ms for 100 kB, by the loop's own clock.

That clock is the CPU time of the loop's longest callback (``loop_meter``). The time of a wall would measure what else
the machine does.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest

from client import run, websocket
from hostile import SHAPES, Shape
from stack import Web

TASKS = "misbehaving_tasks"

#: Milliseconds that a request of up to 100 kB may hold the loop; a larger one ten times as long for 1 MB.
LIMIT = 10.0

SIZES = [100_000, 1_000_000]
TRIES = 10

#: A call that Celery makes itself, since it has options that a template does not know.
LATE = b'{"args":[%s],"options":{"countdown":1}}'


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    wechat = {"RINGBACK_WECHAT_TOKEN": "token", "RINGBACK_WECHAT_TASK": f"{TASKS}.reply"}
    with Web(RINGBACK_DEADLINE="0.2", RINGBACK_BODY_LIMIT="2000000", **wechat) as web:
        yield web
        assert "Traceback" not in web.output


@pytest.fixture(scope="module")
def connection(web: Web) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection(urlsplit(web.url).netloc, timeout=60)) as connection:
        yield connection


def slowness() -> float:
    """How much more time this machine needs than one for which the limit is meant; at least 1."""
    text = json.dumps({f"k{number}": [number] for number in range(50_000)})
    times = []
    for _ in range(5):
        before = time.process_time()
        json.loads(text)
        times.append(time.process_time() - before)
    return max(1.0, min(times) * 1000 / 25)


def ask(connection: HTTPConnection, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    """Send a request, and return its status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": "application/json", **named})
    response = connection.getresponse()
    response.read()
    return response.status


def longest(connection: HTTPConnection) -> float:
    """The milliseconds of the loop's longest callback since this was asked last."""
    while True:
        connection.request("GET", "/longest-callback")
        answer = connection.getresponse()
        found = answer.read()
        if answer.status != 503:  # nobody had time to read this for a second, since large results came back
            return float(found)


def too_long(
    connection: HTTPConnection, method: str, path: str, body: bytes, size: int, times: float = 1.0, **headers: str
) -> str | None:
    """Say so if a request holds the loop for too long, each time of some tries.

    :param times: as often as usual it may take the time.
    """
    limit, found = times * LIMIT * size / 100_000, []
    for _ in range(TRIES):
        longest(connection)
        assert 200 <= ask(connection, method, path, body, **headers) < 505
        found.append(longest(connection))
        if found[-1] < limit or found[-1] < limit * slowness():
            return None
    return f"{min(found):.1f} ms, more than {limit:.1f}"


#: Requests that take more time, as often as the others.
DEARER = {
    # Pydantic tries each alternative of a union for each value.
    f"/v1/tasks/{TASKS}.take_choices": 3.0,
    # Hints of what JSON has as text: made JSON again, and read by pydantic, which keeps a table of each list.
    f"/v1/tasks/{TASKS}.take_moments": 1.5,
    "/v1/runs/one": 1.5,  # encoded twice, for its fingerprint and for its message
}

#: Requests with a body that has a value in it.
BODIES = {
    f"{method} {path} {place}": (method, path, template)
    for method, path, templates in [
        (
            "POST",
            "/v1/tasks/echo",
            {
                "itself": b"%s",
                "args": b'{"args":%s}',
                "argument": b'{"args":[%s]}',
                "kwargs": b'{"kwargs":%s}',
                "options": b'{"options":%s}',
                "eta": b'{"options":{"eta":%s}}',
                "queue": b'{"options":{"queue":%s}}',
                "unknown": b'{"unknown":%s}',
            },
        ),
        *(
            ("POST", f"/v1/tasks/{TASKS}.{task}", {"argument": b'{"kwargs":{"value":%s}}'})
            for task in ("take_numbers", "take_names", "take_choices", "take_moments", "take_leaves", "take_a_tree")
        ),
        ("POST", f"/v1/tasks/{TASKS}.give", {"argument": b'{"args":[%s]}', "late": LATE}),
        ("POST", f"/v1/tasks/{TASKS}.typed", {"args": b'{"args":%s}', "argument": b'{"kwargs":{"when":%s}}'}),
        (
            "POST",
            "/v1/canvas",
            {
                "itself": b"%s",
                "chain": b'{"chain":%s}',
                "header": b'{"chord":{"header":%s,"body":{"task":"echo"}}}',
                "task": b'{"chain":[{"task":%s}]}',
                "argument": b'{"group":[{"task":"misbehaving_tasks.give","args":[%s]}]}',
            },
        ),
        ("PUT", "/v1/runs/one", {"task": b'{"task":%s}', "argument": b'{"task":"misbehaving_tasks.give","args":[%s]}'}),
        ("POST", "/apply/echo/", {"itself": b"%s", "eta": b'{"eta":%s}'}),
        ("POST", f"/apply-async/{TASKS}.give/", {"argument": b'{"args":[%s]}'}),
    ]
    for place, template in templates.items()
}


@pytest.mark.parametrize(("method", "path", "template"), BODIES.values(), ids=BODIES)
def test_no_body_holds_the_loop(connection: HTTPConnection, method: str, path: str, template: bytes) -> None:
    found = {
        (name, size): too_long(
            connection, method, path, template % shape(size), size, DEARER.get(path, 1.0), Prefer="respond-async"
        )
        for name, shape in SHAPES.items()
        for size in SIZES
    }

    assert {what: why for what, why in found.items() if why} == {}


def canvases() -> dict[str, bytes]:
    """Canvases of many tasks, or of many lists."""
    task = '{"task":"misbehaving_tasks.give"}'
    nested = '{"chain":[' * 15 + task + "]}" * 15
    return {
        "wide": f'{{"group":[{",".join([task] * 2000)}]}}'.encode(),
        "full": f'{{"group":[{",".join([task] * 999)},{{"task":"no such task"}}]}}'.encode(),
        "deep": f'{{"group":[{",".join([nested] * 1000)}]}}'.encode(),
        "too deep": f'{{"group":[{",".join([nested.replace(task, nested)] * 40)}]}}'.encode(),
        "chains of groups": f'{{"group":[{",".join([nested] * 400)}]}}'.encode(),
    }


@pytest.mark.parametrize("canvas", canvases().values(), ids=canvases())
def test_no_canvas_holds_the_loop(connection: HTTPConnection, canvas: bytes) -> None:
    assert too_long(connection, "POST", "/v1/canvas", canvas, max(len(canvas), 100_000)) is None


#: Values of headers and of the query, of about 60 kB: Tornado takes no more than 64 kB of headers.
TEXTS = {
    "digits": "9" * 60_000,
    "commas": "," * 60_000,
    "preferences": "wait=1," * 8_000,
    "semicolons": ";" * 60_000,
    "quotes": '"' * 60_000,
    "blanks": "a " * 30_000,
    "exponents": "1e" * 30_000,
    "percents": "%" * 60_000,
    "escapes": "%41" * 20_000,
    "pairs": "a=b&" * 15_000,
    "addresses": "1.2.3.4, " * 6_000,
}
HEADERS = [
    *("Prefer", "Cancel-After", "Idempotency-Key", "Authorization", "Origin", "Content-Type", "Cookie", "Forwarded"),
    *("X-Forwarded-For", "Traceparent", "Tracestate", "X-Request-ID", "Last-Event-ID", "Accept-Encoding", "Range"),
    *("If-None-Match",),
]
PATHS = ["/v1/tasks", "/v1/runs/x", "/v1/runs/x/events", "/openapi.json", "/metrics", "/tasks/result/x/", "/wechat"]


@pytest.mark.parametrize("header", HEADERS)
def test_no_header_holds_the_loop(connection: HTTPConnection, header: str) -> None:
    body = b'{"args":["a"]}'
    found = {
        (name, path): too_long(connection, method, path, body, 100_000, **{header: text})
        for name, text in TEXTS.items()
        for method, path in [("POST", "/v1/tasks/echo"), ("GET", "/v1/runs/x/events")]
    }

    assert {what: why for what, why in found.items() if why} == {}


@pytest.mark.parametrize("path", PATHS)
def test_no_query_holds_the_loop(connection: HTTPConnection, path: str) -> None:
    found = {
        (name, key): too_long(connection, "GET", f"{path}?{key}{text.replace(' ', '+')}", b"", 100_000)
        for name, text in TEXTS.items()
        for key in ("", "wait=", "signature=", "nonce=", "echostr=")
    }

    assert {what: why for what, why in found.items() if why} == {}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_no_path_holds_the_loop(connection: HTTPConnection, method: str) -> None:
    found = {
        (name, path): too_long(connection, method, path + quote(text)[:60_000], b'{"task":"echo"}', 100_000)
        for name, text in TEXTS.items()
        for path in ("/", "/v1/tasks/", "/v1/runs/", "/tasks/result/", "/tasks/revoke/")
    }

    assert {what: why for what, why in found.items() if why} == {}


XML = {
    "deep": lambda size: b"<xml>" + b"<a>" * (size // 7) + b"</a>" * (size // 7) + b"</xml>",
    "deep without an end": lambda size: b"<xml>" + b"<a>" * (size // 3),
    "wide": lambda size: b"<xml>" + b"<a/>" * (size // 4) + b"</xml>",
    "many names": lambda size: b"<xml>%s</xml>" % b"".join(b"<a%d/>" % number for number in range(size // 9)),
    "attributes": lambda size: b"<xml %s/>" % b" ".join(b'a%d=""' % number for number in range(size // 10)),
    "long text": lambda size: b"<xml><Content>" + b"a" * size + b"</Content></xml>",
    "a long name": lambda size: b"<" + b"a" * size + b"/>",
    "references": lambda size: b"<xml><Content>" + b"&amp;" * (size // 5) + b"</Content></xml>",
    "sections": lambda size: b"<xml><Content>" + b"<![CDATA[]]>" * (size // 12) + b"</Content></xml>",
    "comments": lambda size: b"<xml>" + b"<!---->" * (size // 7) + b"</xml>",
    "instructions": lambda size: b"<xml>" + b"<?a?>" * (size // 5) + b"</xml>",
    "namespaces": lambda size: b"<xml>" + b'<a xmlns="b"/>' * (size // 14) + b"</xml>",
    "a message": lambda size: (
        b"<xml><FromUserName>a</FromUserName><MsgId>%d</MsgId><Content>%s</Content></xml>"
        % (
            time.time_ns(),
            b"a" * size,
        )
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", XML.values(), ids=XML)
def test_no_message_of_wechat_holds_the_loop(connection: HTTPConnection, shape: Shape, size: int) -> None:
    assert too_long(connection, "POST", signed(), shape(size), size) is None


def signed() -> str:
    timestamp, nonce = str(int(time.time())), uuid4().hex
    signature = hashlib.sha1("".join(sorted(("token", timestamp, nonce))).encode()).hexdigest()
    return f"/wechat?signature={signature}&timestamp={timestamp}&nonce={nonce}"


@pytest.mark.parametrize("size", SIZES)
def test_no_message_of_a_websocket_holds_the_loop(web: Web, connection: HTTPConnection, size: int) -> None:
    templates = [b"%s", b'{"id":%s}', b'{"id":"a","task":"echo","args":[%s]}', b'{"id":"a","cancel":%s}']

    async def costs(text: bytes) -> list[float]:
        found = []
        async with websocket(web.url, "/v1/socket") as socket:
            for _ in range(TRIES):
                longest(connection)
                await socket.write_message(text.decode(errors="ignore"))
                assert await socket.read_message() is not None
                found.append(longest(connection))
                if found[-1] < LIMIT * size / 100_000:
                    break
        return found

    found = {
        (name, template): min(run(costs(template % shape(size))))
        for name, shape in SHAPES.items()
        for template in templates
    }

    limit = LIMIT * size / 100_000 * slowness()
    assert {what: cost for what, cost in found.items() if cost > limit} == {}
