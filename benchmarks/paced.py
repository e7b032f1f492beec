"""An open-loop HTTP client: requests at a steady rate, on keep-alive connections. An asyncio loop of its own."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from benchmarks.messages import BODY, RESULT
from benchmarks.stage import NotRight

REQUEST = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def paced(url: str, rate: float, seconds: float) -> list[float]:
    """Relay ``rate`` bodies a second, independent of the answers.

    :returns: seconds from when each request was due to its answer.
    :raises NotRight: an answer was wrong.
    """
    return asyncio.run(ConnectionPool(url).run(rate, seconds))


class ConnectionPool:
    """Sends each request on a free connection, and opens another one when none is free."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._free: list[Connection] = []

    async def run(self, rate: float, seconds: float) -> list[float]:
        """Send all requests; return their times."""
        began = time.monotonic()
        asking = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            asking.append(asyncio.create_task(self._ask(due)))
        took = await asyncio.gather(*asking)
        for _, writer in self._free:
            writer.close()
        return took

    async def _ask(self, due: float) -> float:
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(len(RESULT))
        took = time.monotonic() - due
        if not head.startswith(b"HTTP/1.1 200 ") or body != RESULT.encode():
            raise NotRight(f"POST /: {head[:300]!r} {body!r}")
        self._free.append((reader, writer))
        return took
