"""Which messages a green worker holds of a Redis broker, and notes there so that they go to others if it dies.

Most are noted when they are taken (``redis_channel``). Kombu makes a round trip when one is acknowledged, and also to
note it. Here a thread, which is a greenlet in a green worker, writes in bursts what is held and what is no longer, and
a message that was acknowledged meanwhile not at all. What cannot be written over a connection is written over the next.
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

#: Seconds until an attempt is made again that was in vain.
PAUSE = 0.5


class Notes:
    """What a worker's process has still to note, over all of its connections."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[float, Any]] = {}  # by delivery tag: when, and the message
        self._done: list[str] = []
        self._work, self._writing = Event(), Lock()
        self._channel: Any = None  # the last one that was used
        Thread(target=self._write_all, daemon=True).start()

    def hold(self, channel: Any, message: Any, tag: str) -> None:
        """Note that a message of a channel is held."""
        self._taken[tag] = time.time(), message
        self._use(channel)

    def release(self, channel: Any, tag: str) -> None:
        """Note that it is held no longer."""
        if self._taken.pop(tag, None) is None:
            self._done.append(tag)
            self._use(channel)

    def write(self, channel: Any) -> None:
        """Write what is to be noted.

        :raises redis.RedisError: Redis cannot be reached; nothing is forgotten.
        """
        with self._writing:
            taken, self._taken = self._taken, {}
            done, self._done = self._done, []
            try:
                if taken or done:
                    _execute(channel, taken, done)
            except BaseException:
                self._taken, self._done = {**taken, **self._taken}, done + self._done
                raise

    def _use(self, channel: Any) -> None:
        if not channel.closed:  # as that is over which a task came that has outlived it
            self._channel = channel
        self._work.set()

    def _write_all(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            channel = self._channel
            if channel is None or channel.closed:
                continue  # the next one's first message goes on with it
            try:
                self.write(channel)
            except Exception as error:
                logger.warning("not noted in Redis which tasks are held: %s: %s", type(error).__name__, error)
                time.sleep(PAUSE)
                self._work.set()


class HeldMessages(QoS):  # type: ignore[misc]
    """Kombu's book of the messages that a channel holds, in the same two keys of Redis."""

    notes: Notes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.noted: set[str] = set()  #: delivery tags of messages that Redis has noted as held, and not yet appended

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a message."""
        virtual.QoS.append(self, message, delivery_tag)
        if delivery_tag in self.noted:
            self.noted.discard(delivery_tag)
        else:
            self.notes.hold(self.channel, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Hold it no longer."""
        virtual.QoS.ack(self, delivery_tag)
        self.notes.release(self.channel, delivery_tag)
        self._tell_of_room()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Hold it no longer, and give it back if so wanted, from what Redis has of it."""
        self.notes.write(self.channel)
        super().reject(delivery_tag, requeue)
        self._tell_of_room()

    def restore_unacked(self, client: Any = None) -> None:
        """Give all of them back, from what Redis has of them."""
        self.notes.write(self.channel)
        super().restore_unacked(client)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give all of them back as the channel ends, and forget those that have been acknowledged."""
        try:
            self.notes.write(self.channel)
        except Exception as error:
            logger.warning("noted in Redis over the next connection which tasks are held: %s", error)
        super().restore_unacked_once(stderr)

    def _tell_of_room(self) -> None:
        if not self.channel.closed:
            self.channel.connection.cycle.ring()


def _execute(channel: Any, taken: dict[str, tuple[float, Any]], done: list[str]) -> None:
    # In no transaction: Redis refuses all of one while its memory is full, and then none could be freed.
    with channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
        if done:
            pipe.hdel(channel.unacked_key, *done)
            pipe.zrem(channel.unacked_index_key, *done)
        if taken:
            pipe.zadd(channel.unacked_index_key, {tag: at for tag, (at, _) in taken.items()})
            pipe.hset(channel.unacked_key, mapping={tag: _stored(message) for tag, (_, message) in taken.items()})
        pipe.execute()


def _stored(message: Any) -> str:
    """A message, and where it goes if it is given back, as kombu stores it."""
    delivery = message.delivery_info
    return str(dumps([message._raw, delivery["exchange"], delivery["routing_key"]]))
