"""Many requests over few connections, for tests that send ten thousand of them. On an asyncio loop."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """A request; a ``document`` is its JSON body."""

    path: str
    method: str = "GET"
    document: object = None
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Its bytes."""
        headers = {"Host": "localhost", **self.headers}
        body = b"" if self.document is None else json.dumps(self.document).encode()
        if self.document is not None:
            headers["Content-Type"] = "application/json"
        if self.method != "GET":
            headers["Content-Length"] = str(len(body))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


async def statuses_of(url: str, requests: Iterable[Request], connections: int = 20) -> set[int]:
    """Send all these requests, on each connection one after the other; return the statuses of the answers."""
    left, seen = iter(requests), set()

    async def converse() -> None:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        for request in left:
            writer.write(request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            seen.add(int(head.split(b" ", 2)[1]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(converse() for _ in range(connections)))
    return seen
