"""Which messages a green worker holds of a Redis broker, and notes there so that they go to others if it dies.

Most are noted when they are taken (``redis_channel``). Kombu makes a round trip when one is acknowledged, and also to
note it. Here a thread, which is a greenlet in a green worker, writes in bursts what is held and what is no longer, and
a message that was acknowledged meanwhile not at all.
"""

from __future__ import annotations

import logging
import time
from threading import Event, Lock, Thread
from typing import Any

from kombu.transport import virtual
from kombu.transport.redis import QoS
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

#: Seconds between two looks whether the channel is closed.
LOOK = 1.0

#: Seconds until an attempt is made again that was in vain.
PAUSE = 0.5


class HeldMessages(QoS):  # type: ignore[misc]
    """Kombu's book of the messages that a channel holds, in the same two keys of Redis."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._taken: dict[str, tuple[float, Any]] = {}  # by delivery tag: when, and the message
        self._done: list[str] = []
        self.noted: set[str] = set()  #: delivery tags of messages that Redis has noted as held, and not yet appended
        self._work, self._writing = Event(), Lock()
        Thread(target=self._write_all, daemon=True).start()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a message."""
        virtual.QoS.append(self, message, delivery_tag)
        if delivery_tag in self.noted:
            self.noted.discard(delivery_tag)
            return
        self._taken[delivery_tag] = time.time(), message
        self._work.set()

    def ack(self, delivery_tag: str) -> None:
        """Hold it no longer."""
        virtual.QoS.ack(self, delivery_tag)
        if self._taken.pop(delivery_tag, None) is None:
            self._done.append(delivery_tag)
            self._work.set()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Hold it no longer, and give it back if so wanted, from what Redis has of it."""
        self.write()
        super().reject(delivery_tag, requeue)

    def restore_unacked(self, client: Any = None) -> None:
        """Give all of them back, from what Redis has of them."""
        self.write()
        super().restore_unacked(client)

    def write(self) -> None:
        """Write what is held now, and what no longer.

        :raises redis.RedisError: Redis cannot be reached; nothing is forgotten.
        """
        with self._writing:
            taken, self._taken = self._taken, {}
            done, self._done = self._done, []
            try:
                if taken or done:
                    self._execute(taken, done)
            except BaseException:
                self._taken, self._done = {**taken, **self._taken}, done + self._done
                raise

    def _execute(self, taken: dict[str, tuple[float, Any]], done: list[str]) -> None:
        # In no transaction: Redis refuses all of one while its memory is full, and then none could be freed.
        with self.channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            if done:
                pipe.hdel(self.unacked_key, *done)
                pipe.zrem(self.unacked_index_key, *done)
            if taken:
                pipe.zadd(self.unacked_index_key, {tag: at for tag, (at, _) in taken.items()})
                pipe.hset(self.unacked_key, mapping={tag: _stored(message) for tag, (_, message) in taken.items()})
            pipe.execute()

    def _write_all(self) -> None:
        while not self.channel.closed or self._taken or self._done:
            self._work.wait(LOOK)
            self._work.clear()
            try:
                self.write()
            except Exception as error:
                logger.warning("not noted in Redis which tasks are held: %s: %s", type(error).__name__, error)
                time.sleep(PAUSE)
                self._work.set()


def _stored(message: Any) -> str:
    """A message, and where it goes if it is given back, as kombu stores it."""
    delivery = message.delivery_info
    return str(dumps([message._raw, delivery["exchange"], delivery["routing_key"]]))
