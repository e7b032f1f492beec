"""How a green worker gets its tasks from a Redis broker: a burst in one round trip, and none that it cannot receive.

Kombu waits with BRPOP, which gives one message at a time, and gives it to whoever asked, dead or not. Here the worker
asks for as many as it has room for, in a script that notes them as held (``HeldMessages``) before it hands them out.
If there are none, Redis tells once when one of the lists changes (redis.io, "Client-side caching reference"), and the
worker asks again: on the connection that is known to live. A request whose answer was lost with its connection is
made again under the same number, and gets the same answer.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, cast
from uuid import uuid4

from kombu.transport.redis import MultiChannelPoller, Transport
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis import ConnectionError as ConnectionLost
from redis import ResponseError
from redis.exceptions import NoScriptError

from ringback.worker.held_messages import HeldMessages

logger = logging.getLogger(__name__)

#: Messages of one request, whose tasks get to run before the next.
MOST = 16

#: Seconds until an idle worker asks again, since that it was told of a change may have been lost.
LOOK = 1.0

#: Seconds until a request counts as lost.
PATIENCE = 3.0

#: Seconds for which Redis knows the last answer to a worker: as kombu's default for what a dead worker holds.
KNOWN = 3600

#: Takes messages from lists, of those with the same priority in turn, and holds them. Redis lets a script write beyond
#: its ``maxmemory`` if it has begun to write before, as RPOP does. An idle worker is told of changes of what EXISTS has
#: read. Keys: the worker's, the two of what is held, and the lists, those of the highest priority first.
TAKE = """
local number, again, most, queues = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local found = {}
if again == '1' then
  local last = cjson.decode(redis.call('GET', KEYS[1]) or '[]')
  if last[1] == number then
    for place = 2, #last, 2 do
      local held = redis.call('HGET', KEYS[2], last[place + 1])
      if held then table.insert(found, last[place]); table.insert(found, held) end
    end
    return found
  end
end
local taken = {number}
for first = 4, #KEYS, queues do
  local empty = 0
  while empty < queues and #found < 2 * most do
    empty = 0
    for place = first, first + queues - 1 do
      local message = #found < 2 * most and redis.call('RPOP', KEYS[place])
      if message then
        local readable, read = pcall(cjson.decode, message)
        local properties = readable and type(read) == 'table' and read.properties
        local info = type(properties) == 'table' and properties.delivery_info
        if type(info) == 'table' and properties.delivery_tag then
          local tag = tostring(properties.delivery_tag)
          message = '[' .. message .. ',' .. cjson.encode(tostring(info.exchange or '')) .. ','
            .. cjson.encode(tostring(info.routing_key or '')) .. ']'
          redis.call('HSET', KEYS[2], tag, message)
          redis.call('ZADD', KEYS[3], ARGV[5], tag)
          table.insert(taken, place - 4); table.insert(taken, tag)
        else
          message = '[' .. message .. ']'
        end
        table.insert(found, place - 4); table.insert(found, message)
      else
        empty = empty + 1
      end
    end
  end
end
if #taken > 1 then redis.call('SET', KEYS[1], cjson.encode(taken), 'EX', ARGV[6]) end
if #found == 0 then redis.call('EXISTS', unpack(KEYS, 4)) end
return found
"""

# redis-py until 5 tells of each change that Redis tells of.
logging.getLogger("push_response").setLevel(logging.WARNING)


class Requests:
    """The requests of a worker's process for messages, over all of its connections.

    One is made at a time, since a worker has one channel that consumes.
    """

    def __init__(self) -> None:
        self.key = f"ringback.taken.{uuid4()}"
        self.number = 1  #: of the one to be made
        self.made = False  #: whether it has been made, and not answered
        self.queues: list[str] = []  #: in the order of its lists
        self.refused = False  #: whether Redis refuses what they need: then it is kombu's BRPOP
        self.undelivered: deque[tuple[str, str]] = deque()  #: messages of the last one, each with its queue


def take_by_requests(transport: Transport, requests: Requests) -> None:
    """Have a transport of kombu's whose connection is not yet open consume by requests."""
    own = {"QoS": HeldMessages, "requests": requests}
    transport.Channel = type("GreenChannel", (TakingChannel, transport.Channel), own)
    transport.cycle = LookingPoller()


class TakingChannel:
    """A channel of kombu's that consumes by requests."""

    requests: Requests
    _script = ""  # its name in the Redis of the connection that it was loaded over
    _tracked: Any = None  # the socket over which Redis tells of changes
    _waits = False  # for that it does
    _in_poll: Any
    _brpop_sent_at: float | None

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        return {**parameters, "protocol": 3} if asynchronous else parameters  # Redis tells of changes in RESP3 only

    def _brpop_start(self, timeout: object = None) -> None:
        """Make a request, on the connection that the poller has for this channel."""
        channel, requests = cast(Any, self), self.requests
        self._deliver()
        connection = channel.client.connection
        if self._tracked is not connection._sock and not requests.refused:
            self._prepare(connection)
        if requests.refused:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        if not requests.made:
            requests.queues = channel._queue_cycle.consume(len(channel.active_queues))
        room = channel.qos.can_consume_max_estimate()
        if not requests.queues or room == 0:
            return
        lists = [channel._q_for_pri(queue, step) for step in channel.priority_steps for queue in requests.queues]
        keys = [requests.key, channel.unacked_key, channel.unacked_index_key, *lists]
        prefixed = [f"{channel.global_keyprefix}{key}" for key in keys]
        most, again = min(room or MOST, MOST), int(requests.made)
        arguments = [requests.number, again, most, len(requests.queues), time.time(), KNOWN]
        connection.send_command("EVALSHA", self._script, len(keys), *prefixed, *arguments, check_health=False)
        self._in_poll, self._brpop_sent_at, self._waits, requests.made = connection, time.monotonic(), False, True

    def _brpop_read(self, **options: object) -> Any:
        """Read the answer and deliver what it has, or see that a list has changed.

        :raises redis.ConnectionError: the connection is lost.
        """
        if self.requests.refused:
            return super()._brpop_read(**options)  # type: ignore[misc]
        if self._waits:
            self._in_poll = None
            return True
        connection = self._in_poll
        try:
            found = connection.read_response()
        except NoScriptError:  # as after SCRIPT FLUSH
            self._tracked = self._in_poll = None
            return True
        except ResponseError as error:  # as where a replica has taken the master's place
            connection.disconnect()
            raise ConnectionLost(f"Redis gives no tasks: {error}") from error
        except BaseException:
            connection.disconnect()
            raise
        self.requests.number += 1
        self.requests.made = False
        self._waits = not found and not connection.can_read()  # it may have told already, and redis-py have read that
        if not self._waits:
            self._in_poll = None
            queues = self.requests.queues
            for place, text in zip(found[::2], found[1::2], strict=True):
                self.requests.undelivered.append((queues[place % len(queues)], bytes_to_str(text)))
            self._deliver()
        return True

    def _deliver(self) -> None:
        channel: Any = self
        while self.requests.undelivered:
            queue, text = self.requests.undelivered.popleft()
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
        except ResponseError as error:
            logger.warning("tasks come one by one, and one that comes while the connection dies is lost: %s", error)
            self.requests.refused = True
        self._tracked = connection._sock

    def look(self) -> None:
        """Ask again, if Redis has told of no change for long.

        :raises redis.ConnectionError: a request has had no answer for too long.
        """
        channel: Any = self
        if self.requests.refused or not self._in_poll or self._brpop_sent_at is None or not channel.qos.can_consume():
            return
        since = time.monotonic() - self._brpop_sent_at
        if self._waits and since > LOOK:
            self._in_poll = None
        elif not self._waits and since > PATIENCE:
            self._in_poll.disconnect()
            raise ConnectionLost("Redis has not answered a request for tasks")


class LookingPoller(MultiChannelPoller):  # type: ignore[misc]
    """Kombu's poller; its channels look after their requests."""

    def get(self, callback: object, timeout: float | None = None) -> None:
        """Handle the next event."""
        for channel in self._channels:
            channel.look()
        super().get(callback, timeout)

    def maybe_restore_messages(self) -> None:
        """Give back what dead workers have held; later, if Redis refuses to, as while its memory is full."""
        try:
            super().maybe_restore_messages()
        except ResponseError as error:
            logger.warning("what dead workers have held is not given back for now: %s", error)
