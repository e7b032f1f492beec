"""How the results of a worker's process get into Redis: on one connection, a burst in one round trip.

Celery makes two round trips for each result, on a connection of a pool. Here a thread, which is a greenlet in a green
worker, writes what there is, and the tasks wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Thread

from redis import Connection, ResponseError

from ringback.wire import ReconnectBackoff, keep_connected
from ringback.wire.redis import passes
from ringback.worker.reply_link import ReplyRefused

#: Bytes of results that are written at once, unless a single one is larger.
BURST = 262_144

#: Stores and publishes a result, unless the task has succeeded before, as Celery's ``_store_result`` does it with a
#: question and a transaction.
STORE = """
local before = redis.call('GET', KEYS[1])
if before then
  local readable, meta = pcall(cjson.decode, before)
  if readable and type(meta) == 'table' and meta.status == 'SUCCESS' then return 0 end
end
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
else redis.call('SET', KEYS[1], ARGV[1]) end
return redis.call('PUBLISH', KEYS[1], ARGV[1])
"""

#: Seconds without a result after which Redis is asked for a sign of life.
IDLE = 5.0


class Result:
    """A result on its way.

    :param key: under which it is stored, and the channel on which it is published.
    :param expires: seconds for which it is kept; ``None`` for ever.
    """

    __slots__ = "_settled", "expires", "key", "refusal", "value"

    def __init__(self, key: str | bytes, value: str | bytes, expires: int | None) -> None:
        self.key, self.value, self.expires = key, value, expires
        self.refusal = ""
        self._settled = Event()

    def settle(self, refusal: str = "") -> None:
        """End the wait: it is stored, or refused for ever."""
        self.refusal = refusal
        self._settled.set()

    def wait(self) -> None:
        """Wait until it is stored.

        :raises ReplyRefused: it will never be.
        """
        self._settled.wait()
        if self.refusal:
            raise ReplyRefused(f"a result of {len(self.value)} bytes is refused: {self.refusal}")


class ResultWriter:
    """Stores the results of a process, each until Redis has it.

    :param connect: opens a connection.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect, self._backoff = connect, ReconnectBackoff()
        self._waiting: deque[Result] = deque()
        self._work = Event()
        Thread(target=keep_connected, args=(self._serve, self._backoff, "results"), daemon=True).start()

    def store(self, result: Result) -> None:
        """Store a result, and wait until that is done.

        :raises ReplyRefused: Redis will never take it.
        """
        self._waiting.append(result)
        self._work.set()
        result.wait()

    def _serve(self) -> None:
        connection = self._connect()
        try:
            connection.send_command("SCRIPT", "LOAD", STORE, check_health=False)
            script = connection.read_response()
            while True:
                idle = not self._waiting and not self._work.wait(IDLE)
                self._work.clear()
                if idle:
                    connection.send_command("PING", check_health=False)
                    connection.read_response()
                elif burst := self._take():
                    self._write(connection, script, burst)
                self._backoff.connected()
        finally:
            connection.disconnect()

    def _take(self) -> list[Result]:
        burst, size = [], 0
        while self._waiting and size < BURST:
            burst.append(self._waiting.popleft())
            size += len(burst[-1].value)
        return burst

    def _write(self, connection: Connection, script: str, burst: list[Result]) -> None:
        """Write results, and settle each; what is not settled waits for the next connection."""
        left = deque(burst)
        try:
            connection.send_packed_command(
                connection.pack_commands(
                    [("EVALSHA", script, 1, result.key, result.value, result.expires or 0) for result in burst]
                ),
                check_health=False,
            )
            while left:
                refusal = _refusal(connection)
                left.popleft().settle(refusal)
        finally:
            self._waiting.extendleft(reversed(left))


def _refusal(connection: Connection) -> str:
    """Read an answer; returns why Redis will never do what it was asked for, or nothing.

    :raises redis.ResponseError: it does not do so for now.
    """
    try:
        connection.read_response()
    except ResponseError as error:
        if passes(error):
            raise
        return str(error) or type(error).__name__
    return ""
