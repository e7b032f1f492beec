"""``/chat``: a task moderates each message, which then goes to all clients: of all processes that share REDIS_URL.

A client sends ``{"text": …}``; all clients get ``{"from": …, "text": …}``, or the author alone gets
``{"error": …}`` with a problem document (RFC 9457). The code runs on the loop's greenlet.

The tasks run side by side; their results are sent in the order in which the messages arrived. A client's next message
is read after its last one has been sent, so no more messages are in progress than there are clients.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from tornado.httputil import HTTPServerRequest
from tornado.websocket import WebSocketClosedError, WebSocketHandler

import ringback
from examples import tasks
from examples.room import Room
from ringback import HeldRequest, read_json
from ringback.errors import RingbackError, ShuttingDown

PAGE = Path(__file__).with_suffix(".html").read_text()

#: Unread messages that a client may have; the next one closes its connection.
UNREAD = 100

#: RFC 6455, 7.4.1.
GOING_AWAY, POLICY_VIOLATION = 1001, 1008


class Message(BaseModel):
    """A message from a client."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(max_length=2000)]


def _room() -> Room:
    """The room of this process, or of all that share a Redis."""
    given = ringback.settings.read()
    if not given.redis_url:
        return Room()
    from examples.shared_room import SharedRoom
    from ringback.runs.redis_keys import connect

    return SharedRoom(connect(given.redis_url, given.redis_master))


class Chat(ringback.RequestHandler, WebSocketHandler):
    """A client's WebSocket; a plain GET is answered with the page."""

    room = _room()
    deadline = 5  #: seconds that a message may delay those behind it
    max_message_size = 16 * 1024  #: bytes: 2000 characters, if each is written as ``\\uXXXX``
    _speaking = False

    takes_tickets = True

    @classmethod
    def is_public(cls, request: HTTPServerRequest) -> bool:
        """The page is for everybody; it shows nothing before its WebSocket has a ticket."""
        return "Upgrade" not in request.headers

    async def get(self) -> None:
        """Become a WebSocket, or answer with the page."""
        if "Upgrade" in self.request.headers:
            await super().get()
        else:
            self.set_header("Content-Security-Policy", POLICY)
            self.set_header("Content-Type", "text/html; charset=UTF-8")
            self.finish(PAGE)

    def open(self) -> None:
        """The client has connected."""
        self._request = HeldRequest.of(self)  # kept, since Tornado forgets a connection that becomes a WebSocket
        self._unread: asyncio.Queue[str | None] = asyncio.Queue(UNREAD)
        self._writer = asyncio.create_task(self._write())
        self._name = self.room.enter(self)

    async def on_message(self, message: str | bytes) -> None:
        """Have the message moderated, and send it to all clients in its turn. Tornado then reads the next one."""
        self._speaking = True
        try:
            if self.settings.get("draining"):
                raise ShuttingDown("this process is shutting down")
            said = read_json(message.encode() if isinstance(message, str) else message, Message)
            moderated = ringback.call(tasks.moderate, said.text)
            async with self.room.turn:
                await self.room.tell({"from": self._name, "text": await moderated})
        except RingbackError as error:
            self.tell(json.dumps({"error": error.problem()}))
        finally:
            self._speaking = False

    def tell(self, text: str | None) -> None:
        """Queue a text for the client; ``None`` closes the connection after the texts before it."""
        try:
            self._unread.put_nowait(text)
        except asyncio.QueueFull:
            self.on_close()
            self.close(POLICY_VIOLATION, f"you have not read the last {UNREAD} messages")

    def on_close(self) -> None:
        """Forget a client that has gone or is dropped."""
        if self in self.room.members:
            self.room.members.remove(self)
            self._writer.cancel()

    @property
    def is_open(self) -> bool:
        """Whether the process waits for this client before it ends."""
        return self in self.room.members and (self._speaking or self.settings.get("draining", False))

    def on_drain(self) -> None:
        """The process is about to end: close the connection after the messages that have arrived."""
        if self in self.room.members:
            self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        async with self.room.turn:
            await self.room.heard()
            self.tell(None)

    async def _write(self) -> None:
        with suppress(WebSocketClosedError):
            while (text := await self._unread.get()) is not None:
                await self.write_message(text)
            self.close(GOING_AWAY, "this process is shutting down")


def _hash(element: str) -> str:
    """What the page's policy allows this element of the page by (CSP 3, 2.3.1)."""
    inline = re.search(f"<{element}>(.*?)</{element}>", PAGE, re.DOTALL)
    assert inline is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()}'"


#: The page loads nothing, connects only to its own origin, runs only its own script, and is shown in no frame.
POLICY = (
    f"default-src 'none'; connect-src 'self'; script-src {_hash('script')}; style-src {_hash('style')};"
    " frame-ancestors 'none'; base-uri 'none'"
)
