"""How a green worker gets its tasks from a Redis broker: a burst in one round trip, and none that it cannot receive.

Kombu waits with BRPOP, which gives one message at a time, and gives it to a dead connection, too. Here the worker
asks for as many as it has room for, in a script that notes them as held (``HeldMessages``) before it hands them out.
If there are none, Redis tells once when one of the lists changes (redis.io, "Client-side caching reference"), and the
worker asks again: on the connection that is known to live.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import Any, cast

from kombu.transport.redis import MultiChannelPoller, Transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis import ConnectionError as ConnectionLost
from redis import ResponseError
from redis.exceptions import NoScriptError

from ringback.worker.held_messages import HeldMessages
from ringback.worker.redis_requests import KNOWN, TAKE, Book, Requests

logger = logging.getLogger(__name__)

#: Messages of one request, whose tasks get to run before the next.
MOST = 16

#: Seconds until an idle worker asks again: what Redis told it of a change may have been lost.
LOOK = 1.0

#: Seconds until a request counts as lost.
PATIENCE = 3.0

# redis-py until 5 tells of each change that Redis tells of.
logging.getLogger("push_response").setLevel(logging.WARNING)


def take_by_requests(transport: Transport, book: Book) -> None:
    """Have a transport of kombu's whose connection is not yet open consume by requests."""
    held = type("GreenHeldMessages", (HeldMessages,), {"notes": book.notes})
    transport.Channel = type("GreenChannel", (TakingChannel, transport.Channel), {"QoS": held, "book": book})
    transport.cycle = LookingPoller()


class TakingChannel:
    """A channel of kombu's that consumes by requests."""

    book: Book
    _requests = Requests()  # those for the channel's queues
    _script = ""  # its name in the Redis of the connection that it was loaded over
    _prepared: Any = None  # the socket over which Redis tells of changes
    _refused = False  # whether Redis does not tell of changes: then kombu's BRPOP takes the messages
    _waits = False  # whether the last answer had no messages, and Redis has told of no change since
    _in_poll: Any
    _brpop_sent_at: float | None

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        return {**parameters, "protocol": 3} if asynchronous else parameters  # Redis tells of changes in RESP3 only

    def _brpop_start(self, timeout: object = None) -> None:
        """Make a request, on the connection that the poller has for this channel."""
        channel: Any = self
        connection = channel.client.connection
        if self._prepared is not connection._sock:
            self._prepare(connection)
        if self._refused:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        self._requests = self.book.requests(channel.active_queues)
        self._deliver()
        room = channel.qos.can_consume_max_estimate()
        if channel.active_queues and room != 0:
            self._request(connection, min(room or MOST, MOST))

    def _request(self, connection: Any, most: int) -> None:
        channel, requests = cast(Any, self), self._requests
        if not requests.made:
            requests.queues = channel._queue_cycle.consume(len(channel.active_queues))
        lists = [channel._q_for_pri(queue, step) for step in channel.priority_steps for queue in requests.queues]
        keys = [requests.key, channel.unacked_key, channel.unacked_index_key, *lists]
        prefixed = [f"{channel.global_keyprefix}{key}" for key in keys]
        arguments = [requests.number, int(requests.made), most, len(requests.queues), time.time(), KNOWN]
        connection.send_command("EVALSHA", self._script, len(keys), *prefixed, *arguments, check_health=False)
        self._in_poll, self._brpop_sent_at, self._waits, requests.made = connection, time.monotonic(), False, True

    def _brpop_read(self, **options: object) -> Any:
        """Read the answer and deliver what it has, or see that a list has changed.

        :raises redis.ConnectionError: the connection is lost.
        """
        if self._refused:
            return super()._brpop_read(**options)  # type: ignore[misc]
        connection, self._in_poll = self._in_poll, None
        if self._waits:
            return True
        try:
            found = connection.read_response()
        except NoScriptError:  # as after SCRIPT FLUSH
            self._prepared = None
            return True
        except ResponseError as error:  # as where a replica has taken the master's place
            connection.disconnect()
            raise ConnectionLost(f"Redis gives no tasks: {error}") from error
        except BaseException:
            connection.disconnect()
            raise
        requests, queues = self._requests, self._requests.queues
        requests.number, requests.made = requests.number + 1, False
        if not found and not connection.can_read():  # else it has told already, and redis-py may have read that
            self._in_poll, self._waits = connection, True
        for place, text in zip(found[::2], found[1::2], strict=True):
            requests.undelivered.append((queues[place % len(queues)], bytes_to_str(text)))
        self._deliver()
        return True

    def _deliver(self) -> None:
        channel, undelivered = cast(Any, self), self._requests.undelivered
        while undelivered:
            queue, text = undelivered.popleft()
            try:
                message, *held = loads(text)
                tag = message["properties"]["delivery_tag"]
            except (ValueError, TypeError, KeyError) as error:
                logger.error("dropped a message in queue %r that is none of kombu's: %r", queue, error)
                continue
            if held:
                channel.qos.noted.add(tag)
            channel._queue_cycle.rotate(queue)
            channel.connection._deliver(message, queue)

    def _prepare(self, connection: Any) -> None:
        try:
            connection.send_command("CLIENT", "TRACKING", "ON", "NOLOOP", check_health=False)
            connection.read_response()
            connection.send_command("SCRIPT", "LOAD", TAKE, check_health=False)
            self._script = bytes_to_str(connection.read_response())
            self._refused = False
        except ResponseError as error:
            logger.warning("tasks come one by one, and one that comes while the connection dies is lost: %s", error)
            self._refused = True
        self._prepared = connection._sock

    def look(self) -> None:
        """Ask again, if Redis has told of no change for long.

        :raises redis.ConnectionError: a request has had no answer for too long.
        """
        channel: Any = self
        if self._refused or not self._in_poll or self._brpop_sent_at is None or not channel.qos.can_consume():
            return
        since = time.monotonic() - self._brpop_sent_at
        if self._waits and since > LOOK:
            self._in_poll = None
        elif not self._waits and since > PATIENCE:
            self._in_poll.disconnect()
            raise ConnectionLost("Redis has not answered a request for tasks")


class LookingPoller(MultiChannelPoller):  # type: ignore[misc]
    """Kombu's poller; its channels look after their requests, and an acknowledgement that makes room ends its wait."""

    def __init__(self) -> None:
        super().__init__()
        self._bell, self._ear = socket.socketpair()
        self.poller.register(self._ear, self.eventflags)
        self._waits_for_room = False

    def ring(self) -> None:
        """Ask for messages again, if there was no room for any. Any greenlet."""
        if self._waits_for_room:
            self._waits_for_room = False
            self._bell.send(b"!")

    def get(self, callback: object, timeout: float | None = None) -> None:
        """Handle the next event."""
        for channel in self._channels:
            channel.look()
        self._waits_for_room = not all(channel.qos.can_consume() for channel in self._channels)
        super().get(callback, timeout)

    def handle_event(self, fileno: int, event: int) -> Any:
        """Handle an event; returns whether it was one."""
        if fileno == self._ear.fileno():
            return bool(self._ear.recv(1))
        return super().handle_event(fileno, event)

    def close(self) -> None:
        """Close what it waits with."""
        super().close()
        self._waits_for_room = False
        self._bell.close()
        self._ear.close()

    def maybe_restore_messages(self) -> None:
        """Give back what dead workers have held; later, if Redis refuses to, as while its memory is full."""
        try:
            super().maybe_restore_messages()
        except ResponseError as error:
            logger.warning("what dead workers have held is not given back for now: %s", error)
