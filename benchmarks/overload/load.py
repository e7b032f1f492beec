"""Requests at random moments, independent of the answers. An asyncio loop of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.overload.cases import PATIENCE, Case

#: Seconds after which an answer is not waited for any more, to see the end of what comes too late.
LONGEST = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One request and its answer. Times are in seconds from the start."""

    due: float  #: when it was to be sent
    status: int  #: 0 if there was no answer
    at: float

    @property
    def took(self) -> float:
        """Seconds from when it was due."""
        return self.at - self.due

    @property
    def in_time(self) -> bool:
        """Whether it has its result before its client gives up."""
        return self.status == 200 and self.took <= PATIENCE


def offer(urls: Sequence[str], case: Case, seconds: float, events: dict[float, Callable[[], object]]) -> list[Answered]:
    """Send requests for so many seconds; return all of them with their answers.

    :param urls: of the processes that take them in turn.
    :param events: what to do meanwhile, by the second.
    """
    return asyncio.run(Clients(urls, case).run(seconds, events))


class Clients:
    """Clients that come at random moments. Each opens a connection and sends one request."""

    def __init__(self, urls: Sequence[str], case: Case) -> None:
        self._ports, self._case = [urlsplit(url).port for url in urls], case
        self._chance = random.Random(1)

    async def run(self, seconds: float, events: dict[float, Callable[[], object]]) -> list[Answered]:
        """Send the requests, and wait for the answers."""
        loop, self._began = asyncio.get_running_loop(), time.monotonic()
        for moment, happen in events.items():
            loop.call_later(moment, happen)
        asking, due, number = [], 0.0, 0
        while due < seconds:
            await asyncio.sleep(max(0.0, due - self._now()))
            asking.append(asyncio.create_task(self._ask(due, number)))
            due += self._chance.expovariate(self._case.times * self._case.capacity)
            number += 1
        return await asyncio.gather(*asking)

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def _ask(self, due: float, number: int) -> Answered:
        try:
            text = await asyncio.wait_for(self._exchange(number), LONGEST)
            status = int(text.split(b" ", 2)[1])
        except (OSError, TimeoutError, asyncio.TimeoutError, IndexError):
            status = 0
        return Answered(due, status, self._now())

    async def _exchange(self, number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[number % len(self._ports)])
        try:
            writer.write(self._request(self._case.tasks[number % len(self._case.tasks)]))
            return await reader.read()
        finally:
            writer.close()

    def _request(self, task: float) -> bytes:
        common = "Host: localhost\r\nConnection: close\r\n"
        if not self._case.api:
            return f"GET /sleep?seconds={task} HTTP/1.1\r\n{common}\r\n".encode()
        body = f'{{"args":[{task}]}}'
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"POST /v1/tasks/sleep HTTP/1.1\r\n{common}{kind}\r\n{body}".encode()
