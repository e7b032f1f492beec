"""The requests of a worker for messages in Redis: the script that answers them, and what is known of them. Pure.

A request whose answer was lost with its connection is made again under the same number, and gets the same answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from uuid import uuid4

from ringback.worker.held_messages import Notes

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


class Requests:
    """The requests of a worker's process for the messages of some queues, over all of its connections.

    One is made at a time.
    """

    def __init__(self) -> None:
        self.key = f"ringback.taken.{uuid4()}"
        self.number = 1  #: of the one to be made
        self.made = False  #: whether it has been made, and not answered
        self.queues: list[str] = []  #: in the order of its lists
        self.undelivered: deque[tuple[str, str]] = deque()  #: messages of the last one, each with its queue


class Book:
    """What a worker's process knows over all of its connections: its requests, by their queues, and its notes."""

    def __init__(self) -> None:
        self._requests: dict[frozenset[str], Requests] = {}
        self.notes = Notes()

    def requests(self, queues: Iterable[str]) -> Requests:
        """Those for these queues."""
        return self._requests.setdefault(frozenset(queues), Requests())
