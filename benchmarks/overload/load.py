"""Requests at random moments, independent of the answers. An asyncio loop of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from benchmarks.overload.cases import PATIENCE, Case

#: Seconds after which an answer is not waited for any more, to see the end of what comes too late.
LONGEST = 30.0


#: Seconds for which clients come that each wait for their answer, twice, beside the time of four tasks.
CLOSED_LOOP = 4.0

#: Of the first client, and of the one beside it: without tokens each address has a share.
ADDRESS, BESIDE = "127.0.0.1", "127.0.0.2"


Events = dict[float, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Answered:
    """One request and its answer. Times are in seconds from the start."""

    due: float  #: when it was to be sent
    status: int  #: 0 if there was no answer
    at: float
    beside: bool = False  #: whether it is the other client's
    wanted: int = 200  #: the right status

    @property
    def took(self) -> float:
        """Seconds from when it was due."""
        return self.at - self.due

    @property
    def in_time(self) -> bool:
        """Whether it has its result before its client gives up."""
        return self.status == self.wanted and self.took <= PATIENCE


def offer(urls: Sequence[str], case: Case, seconds: float, events: Events) -> list[Answered]:
    """Send requests for so many seconds; return all of them with their answers.

    :param urls: of the processes that take them in turn.
    :param events: what to do meanwhile, by the second.
    """
    return asyncio.run(_offer(urls, case, seconds, events))


def capacity(urls: Sequence[str], case: Case) -> float:
    """Tasks a second that are done for clients that each wait for their answer, a few more than slots."""
    return asyncio.run(_capacity(urls, case))


async def _capacity(urls: Sequence[str], case: Case) -> float:
    clients, numbers = Clients(urls, replace(case, asynchronous=False), 1.0), itertools.count()
    half = CLOSED_LOOP + 2 * max(case.tasks)  # seconds; only the second half counts
    middle, done = time.monotonic() + half, 0

    async def ask() -> None:
        nonlocal done
        while time.monotonic() < middle + half:
            answer = await clients.exchange(next(numbers))
            done += b" 200 " in answer[:16] and middle <= time.monotonic() < middle + half

    await asyncio.gather(*(ask() for _ in range(case.slots + max(2, case.slots // 5))))
    return done / half


async def _offer(urls: Sequence[str], case: Case, seconds: float, events: Events) -> list[Answered]:
    for moment, happen in events.items():
        asyncio.get_running_loop().call_later(moment, happen)
    clients = [Clients(urls, case, case.times)]
    if case.beside:
        clients.append(Clients(urls, replace(case, asynchronous=False), case.beside, BESIDE))
    return [answer for found in await asyncio.gather(*(each.run(seconds) for each in clients)) for answer in found]


class Clients:
    """Clients that come at random moments, from one address. Each opens a connection and sends one request.

    :param times: what they offer, by what the slots can do.
    """

    def __init__(self, urls: Sequence[str], case: Case, times: float, address: str = ADDRESS) -> None:
        self._ports, self._case, self._times = [urlsplit(url).port for url in urls], case, times
        self._chance, self._address = random.Random(address), address

    async def run(self, seconds: float) -> list[Answered]:
        """Send the requests, and wait for the answers."""
        self._began = time.monotonic()
        asking, due, number = [], 0.0, 0
        while due < seconds:
            await asyncio.sleep(max(0.0, due - self._now()))
            asking.append(asyncio.create_task(self._ask(due, number)))
            due += self._chance.expovariate(self._times * self._case.capacity)
            number += 1
        return await asyncio.gather(*asking)

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _ask(self, due: float, number: int) -> Answered:
        try:
            text = await asyncio.wait_for(self.exchange(number), LONGEST)
            status = int(text.split(b" ", 2)[1])
        except (OSError, TimeoutError, asyncio.TimeoutError, IndexError):
            status = 0
        return Answered(due, status, self._now(), self._address != ADDRESS, 202 if self._case.asynchronous else 200)

    async def exchange(self, number: int) -> bytes:
        """Send a request on a connection of its own; return what comes back."""
        port = self._ports[number % len(self._ports)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(self._address, 0))
        try:
            writer.write(self._request(number))
            return await reader.read()
        finally:
            writer.close()

    def _request(self, number: int) -> bytes:
        case = self._case
        task, queue = case.tasks[number % len(case.tasks)], case.queue_names[number % case.queues]
        common = "Host: localhost\r\nConnection: close\r\n"
        if not (case.api or case.asynchronous):
            return f"GET /sleep?seconds={task} HTTP/1.1\r\n{common}\r\n".encode()
        body = json.dumps({"args": [task], "options": {"queue": queue}})
        common += "Prefer: respond-async\r\n" if case.asynchronous else ""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"POST /v1/tasks/sleep HTTP/1.1\r\n{common}{kind}\r\n{body}".encode()
