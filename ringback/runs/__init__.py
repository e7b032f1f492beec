"""A call that outlives its request: state, idempotency, retention, several processes. Knows nothing of HTTP.

``RedisPeers`` and ``RedisStore`` are in ``shared`` and ``redis_store``, which import redis-py and so are imported only
where processes share their runs.
"""

from ringback.runs.canvas import Canvas, Chain, Chord, Group, Member, Step, TaskCall, members_of
from ringback.runs.event_log import RunEvent
from ringback.runs.json_text import to_json, to_json_object
from ringback.runs.registry import RunRegistry
from ringback.runs.run import Run
from ringback.runs.states import State
from ringback.runs.submission import Submission

__all__ = [
    "Canvas",
    "Chain",
    "Chord",
    "Group",
    "Member",
    "Run",
    "RunEvent",
    "RunRegistry",
    "State",
    "Step",
    "Submission",
    "TaskCall",
    "members_of",
    "to_json",
    "to_json_object",
]
