"""An HTTP client that sends thousands of requests at once from one thread."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from tornado.httpclient import HTTPError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

from waiting import until_async

T = TypeVar("T")

#: What a process may still hold after all requests are answered: see ``/inside``.
STAYS = {"templates", "chatting", "backends", "drainers", "runs", "sizes", "labels", "buckets", "failures", "tickets"}
STAYS |= {"descriptions"}


@dataclass
class Answer:
    """One answer; ``status`` is 599 if there was no answer. Times are in seconds, on ``time.monotonic``."""

    status: int
    body: str
    headers: Any
    sent: float
    received: float

    @property
    def took(self) -> float:
        return self.received - self.sent

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


class Client:
    """Requests to one server."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _http(self) -> SimpleAsyncHTTPClient:  # it has to be made on the loop
        return SimpleAsyncHTTPClient(force_instance=True, max_clients=20_000, max_body_size=2**25)

    async def fetch(self, path: str, timeout: float = 120.0, **options: Any) -> Answer:
        """Send one request."""
        sent = time.monotonic()
        request = HTTPRequest(self._url + path, request_timeout=timeout, connect_timeout=timeout, **options)
        try:
            response: HTTPResponse = await self._http.fetch(request, raise_error=False)
        except (HTTPError, OSError) as error:
            return Answer(599, repr(error), {}, sent, time.monotonic())
        return Answer(response.code, response.body.decode(), response.headers, sent, time.monotonic())

    async def send(
        self, path: str, document: object, method: str = "POST", timeout: float = 120.0, **headers: str
    ) -> Answer:
        """A request with a JSON body; an underscore in a header's name stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = json.dumps(document)
        named["Content-Type"] = "application/json"
        return await self.fetch(path, method=method, body=body, headers=named, timeout=timeout)

    async def call(self, task: str, *args: object, timeout: float = 120.0, **headers: str) -> Answer:
        """Call a task."""
        return await self.send(f"/v1/tasks/{task}", {"args": args}, timeout=timeout, **headers)

    async def crowd(self, paths: Iterable[str], **options: Any) -> list[Answer]:
        """Send all these requests at once."""
        return await asyncio.gather(*(self.fetch(path, **options) for path in paths))


@asynccontextmanager
async def websocket(url: str, path: str, **headers: str) -> AsyncIterator[WebSocketClientConnection]:
    """Open a WebSocket, and wait at the end until both sides have closed it."""
    socket = await websocket_connect(HTTPRequest(url.replace("http", "ws") + path, headers=headers))
    try:
        yield socket
    finally:
        socket.close()
        while socket.close_code is None and await asyncio.wait_for(socket.read_message(), 20) is not None:
            pass


async def look_inside(client: Client) -> dict[str, int]:
    """Return what the process holds, as ``/inside`` reports it."""
    answer = await client.fetch("/inside")
    assert answer.status == 200, answer.body
    inside: dict[str, int] = answer.json
    return inside


async def until_inside(client: Client, condition: Callable[[dict[str, int]], bool]) -> None:
    """Wait until the condition is true of what the process holds."""
    await until_async(lambda: look_inside(client), condition)


async def all_confirmed(client: Client, held: int) -> None:
    """Wait until at least ``held`` calls are waited for, and the broker has confirmed the messages of all of them."""
    on_their_way = "drafts", "kept_back", "outbox", "in_flight"
    await until_inside(
        client, lambda inside: inside["ledger"] >= held and not any(inside[table] for table in on_their_way)
    )


async def nothing_left_behind(client: Client) -> None:
    """Wait until the process holds nothing for any request, in any of its tables."""

    def is_empty(inside: dict[str, int]) -> bool:
        return not any(inside[what] for what in inside.keys() - STAYS)

    await until_inside(client, is_empty)


async def first_success(client: Client) -> None:
    """Wait until a call of a task succeeds."""
    await until_async(lambda: client.fetch("/add?x=1&y=2", timeout=10), lambda answer: answer.status == 200)


async def answered_in_order(*asked: Awaitable[Answer]) -> list[Answer]:
    """Send all requests at once, and assert that they are answered in the order of the arguments.

    This proves "not before" and "not after" without a clock: beside the tested request, the test sends others
    whose tasks are known to take less or more time.
    """
    answers = await asyncio.gather(*asked)
    times = [answer.received for answer in answers]
    assert times == sorted(times), answers
    return answers


async def rate_of_unrelated_requests(client: Client, meanwhile: Coroutine[Any, Any, object]) -> float:
    """Ask for ``/i_want_you_now`` again and again until ``meanwhile`` has ended.

    :returns: answers a second. A test compares this rate with that of an undisturbed period on the same machine, so the
        machine's speed does not matter.
    """
    began, answered = time.monotonic(), 0
    event = asyncio.create_task(meanwhile)
    while not event.done():
        assert (await client.fetch("/i_want_you_now")).status == 200
        answered += not event.done()
        await asyncio.wait([event], timeout=0.02)
    await event
    return answered / (time.monotonic() - began)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine on a new loop."""
    return asyncio.run(coroutine)


def get(url: str, path: str, **options: Any) -> Answer:
    """Send a single request, for synchronous tests."""
    return run(Client(url).fetch(path, **options))


def send(url: str, path: str, document: object, method: str = "POST", **headers: str) -> Answer:
    """Send a single request with a JSON body."""
    return run(Client(url).send(path, document, method, **headers))


def call(url: str, task: str, *args: object, **headers: str) -> Answer:
    """Send a single call of a task."""
    return run(Client(url).call(task, *args, **headers))


def statuses(answers: Iterable[Answer]) -> set[int]:
    """The set of the answers' statuses."""
    return {answer.status for answer in answers}


def events(stream: Answer) -> list[tuple[str, str, dict[str, object]]]:
    """The server-sent events of an answer: number, name and data of each."""
    found = []
    for block in stream.body.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found
