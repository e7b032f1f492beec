"""A fuzzer of raw HTTP: bytes, not requests, for all routes. ``make fuzz`` runs it for ten minutes.

It breaks well-formed requests in small ways: what a parser trusts (lengths, line ends, chunks, header names) is where
two readings of the same bytes begin. MINUTES and SEED choose for how long, and which bytes.
"""

from __future__ import annotations

import os
import random
import re
import socket
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ringback.api import ROUTES
from stack import Web

TOKEN = "0123456789abcdef"

PATHS = [
    *(route.path.replace("{name}", "echo").replace("{id}", "x") for route in ROUTES),
    *("/docs", "/docs/swagger-ui.css", "/wechat", "/v1/runs/x?wait=0", "/i_want_you_now", "/echo?msg=a", "/nothing"),
]

#: These are for everybody, token or not; OPTIONS is a browser's question, which has no token.
OPEN = re.compile(r"/(livez|readyz|docs|wechat|chat)\b|OPTIONS", re.IGNORECASE)

HEADERS = [
    b"Content-Length: 0",
    b"Content-Length: 14",
    b"Content-Length: 14, 14",
    b"Content-Length: +14",
    b"Content-Length: -1",
    b"Content-Length: 1_4",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Content-Type: application/json",
    b"Content-Type: multipart/form-data; boundary=a",
    b"Content-Encoding: gzip",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
    b"Expect: 100-continue",
    b"Expect: nothing",
    b"Host: elsewhere.example",
    b"Host: a b",
    b"Host:",
    b"Origin: null",
    b"Authorization: Bearer wrong-token-0123",
    b"Authorization: Basic Og==",
    b"Authorization: \xff\xfe",
    b"Prefer: wait=0",
    b"Prefer: respond-async",
    b"Cancel-After: 1e999",
    b"Idempotency-Key: \x00",
    b"Last-Event-ID: -1",
    b"X-Request-ID: a\x7fb",
    b"Traceparent: 00-0-0-00",
    b"X-Forwarded-For: ::1",
    b"Cookie: a=b; a",
    b"Range: bytes=0-",
    b" folded: yes",
    b"no colon",
    b": no name",
    b"a\tb: c",
]
CALL = b'{"args":["a"]}'
BODIES = [b"", CALL, b"{", b"e\r\n" + CALL + b"\r\n0\r\n\r\n", b"0\r\n\r\n", b"-1\r\na\r\n0\r\n\r\n"]
METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"get", b"\x00"]
VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"", b"HTTP/1.1 "]
BYTES = [
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b":",
    b"\xff",
    b"%00",
    b"%2e%2e/",
    b"..//",
    b"?",
    b"#",
    b"\\",
    b"\t",
    b";",
]


def requests(chance: random.Random) -> bytes:
    """Make the bytes of one to three requests in a row, most of them broken."""
    made = b"".join(_request(chance) for _ in range(chance.choice([1, 1, 1, 2, 3])))
    for _ in range(chance.choice([0, 0, 1, 1, 2, 8])):
        made = _broken(chance, made)
    return made


def _request(chance: random.Random) -> bytes:
    target = chance.choice(PATHS).encode()
    if chance.random() < 0.1:
        target = chance.choice([b"*", b"http://a.example" + target, b"//" + target, b"a" * 5000, b""])
    headers = [b"Host: localhost", *chance.sample(HEADERS, chance.choice([0, 1, 2, 3, 6]))]
    body = chance.choice(BODIES)
    if body and chance.random() < 0.5:
        headers.append(b"Content-Length: %d" % len(body))
    first = b" ".join([chance.choice(METHODS[:4]) if chance.random() < 0.8 else chance.choice(METHODS), target])
    return b"\r\n".join([first + b" " + chance.choice(VERSIONS), *headers, b"", body])


def _broken(chance: random.Random, made: bytes) -> bytes:
    """Put in, take away, double or change some bytes."""
    place, length = chance.randrange(len(made) + 1), chance.choice([1, 1, 2, 10, 100])
    part = made[place : place + length]
    instead = chance.choice([b"", part + part, chance.choice(BYTES), chance.randbytes(length), part.swapcase()])
    return made[:place] + instead + made[place + (0 if chance.random() < 0.3 else length) :]


@dataclass
class Fuzzer:
    """Sends broken requests to a process, and keeps what it should not have answered.

    :param guarded: whether the process has tokens, of which the fuzzer knows none.
    """

    url: str
    seed: int
    guarded: bool
    sent: int = 0
    wrong: list[tuple[bytes, bytes]] = field(default_factory=list)  #: what was sent, and what was answered

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def send(self, count: int) -> None:
        """Send so many times one to three requests, each time on a new connection."""
        for _ in range(count):
            made = requests(self._chance)
            answered = self._answer(made)
            self.sent += 1
            if any(self._is_wrong(made, status) for status in statuses(answered)):
                self.wrong.append((made, answered))

    def _answer(self, made: bytes) -> bytes:
        """What comes back until the process closes the connection, or has nothing to say."""
        answered = b""
        place = urlsplit(self.url)
        with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
            try:
                connection.sendall(made)
                connection.shutdown(socket.SHUT_WR)
                while some := connection.recv(2**16):
                    answered += some
            except ConnectionError:
                pass  # closed, with bytes of ours unread
        return answered

    def _is_wrong(self, made: bytes, status: int) -> bool:
        if status >= 500 and status not in (501, 503, 504, 505):
            return True
        return self.guarded and status < 400 and status != 100 and not OPEN.search(made.decode("latin-1"))


def statuses(answered: bytes) -> list[int]:
    """The status of each answer."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answered)]


def main(seconds: float, seed: int) -> int:
    """Fuzz two processes for this time, with and without tokens; print what was wrong, and how memory went."""
    end, failed = time.monotonic() + seconds, False
    for guarded in (False, True):
        variables = {"RINGBACK_TOKENS": f"me={TOKEN}:*"} if guarded else {}
        until_then = end - (0 if guarded else seconds / 2)
        with Web(script="app.py", RINGBACK_DEADLINE="1", **variables) as web:
            fuzzer = Fuzzer(web.url, seed, guarded)
            fuzzer.send(2000)
            before = web.rss()
            while time.monotonic() < until_then:
                fuzzer.send(1000)
            report(fuzzer, before, web)
            failed = failed or bool(fuzzer.wrong) or "Traceback" in web.output
    return int(failed)


def report(fuzzer: Fuzzer, before: int, web: Web) -> None:
    """Print what came of it."""
    what = "with" if fuzzer.guarded else "without"
    print(f"{what} tokens: {fuzzer.sent} sent, {len(fuzzer.wrong)} answered wrongly,", end=" ")
    print(f"{before / 2**20:.1f} MiB after 2000, {web.rss() / 2**20:.1f} MiB at the end")
    for made, answered in fuzzer.wrong[:5]:
        print(made, answered[:500], sep="\n  ")
    print(*re.findall(r"Traceback[\s\S]{0,2000}", web.output)[:3], sep="\n")


if __name__ == "__main__":
    chosen = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={chosen}", flush=True)
    sys.exit(main(60 * float(os.environ.get("MINUTES", 10)), chosen))
