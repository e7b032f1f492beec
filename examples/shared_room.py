"""The room of the chat over all processes that share a Redis. It runs on the loop's greenlet, but for two methods."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import suppress
from threading import Event
from typing import Any

import gevent
from redis import Redis, RedisError

from examples.greenlet_executor import GreenletExecutor
from examples.room import Member, Room
from ringback import LoopQueue
from ringback.errors import StoreUnavailable
from ringback.wire import ReconnectBackoff, keep_connected

#: The stream of Redis in which all that is said is kept for a while, and how many messages of it.
STREAM, KEPT = "ringback:chat", 1000

#: Milliseconds after which a process that reads the stream shows that its connection lives.
BLOCK = 1000

#: Seconds that a message waits for Redis.
PATIENCE = 2.0


class SharedRoom(Room):
    """The clients of all processes.

    What is said goes through a stream: it has one order for all, and a process that has lost its connection reads on
    where it was.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis, self._process = redis, secrets.token_hex(2)
        self._executor, self._backoff = GreenletExecutor(at_once=1, waiting=0), ReconnectBackoff()
        self._place, self._knows_place = "", Event()  # of the last message that was read
        self._told, self._sent = (0, 0), (0, 0)  # the places of the last one told here, and sent to the clients
        self._reader: Any = None

    def enter(self, member: Member) -> str:
        """Have a client hear what is said from now on; returns its name, which no client of another process has."""
        if self._reader is None:
            loop_queue, self._progress = LoopQueue(asyncio.get_running_loop()), asyncio.Event()
            self._reader = gevent.spawn(keep_connected, lambda: self._read(loop_queue), self._backoff, "the chat")
        return f"{super().enter(member)} of {self._process}"

    async def tell(self, document: dict[str, object]) -> None:
        """Send a document to the clients of all processes.

        :raises StoreUnavailable: Redis is away.
        """
        try:
            place = await asyncio.get_running_loop().run_in_executor(self._executor, self._add, json.dumps(document))
        except (RedisError, OSError) as error:
            raise StoreUnavailable("the chat cannot reach Redis, through which all processes hear it") from error
        self._told = _order(place)

    async def heard(self) -> None:
        """Wait until all that was told has been sent to the clients of this process, or Redis cannot be reached."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._until_heard(), PATIENCE)

    async def _until_heard(self) -> None:
        while self._sent < self._told:
            self._progress.clear()
            await self._progress.wait()

    def _add(self, text: str) -> str:
        """On a greenlet of the executor: add a message; returns its place."""
        if not self._knows_place.wait(PATIENCE):  # else this process might not read it
            raise ConnectionError("the stream has not been read yet")
        place: Any = self._redis.xadd(STREAM, {"text": text}, maxlen=KEPT)
        return str(place)

    def _read(self, loop_queue: LoopQueue) -> None:
        """On a greenlet of its own: read the stream until the connection is lost."""
        if not self._place:
            newest: Any = self._redis.xrevrange(STREAM, count=1)
            self._place = newest[0][0] if newest else "0-0"
        self._knows_place.set()
        while True:
            found: Any = self._redis.xread({STREAM: self._place}, block=BLOCK)
            self._backoff.connected()
            for _, messages in found:
                for self._place, fields in messages:
                    loop_queue.post(self._arrive, self._place, fields["text"])

    def _arrive(self, place: str, text: str) -> None:
        self._send(text)
        self._sent = _order(place)
        self._progress.set()


def _order(place: str) -> tuple[int, int]:
    """A place in a stream, as it is compared: milliseconds, and a number within them (Redis, "Entry ID")."""
    moment, number = place.split("-")
    return int(moment), int(number)
