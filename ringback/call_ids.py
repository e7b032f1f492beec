"""The ids of calls: random UUIDs, of which those of one process begin alike.

So one pattern names the channels of all results that a process waits for, on which any worker publishes them: with
Redis a call needs no subscription of its own. Any greenlet; pure but for the random numbers.
"""

from __future__ import annotations

import os
import secrets
from uuid import UUID

#: Hexadecimal digits that the ids of one process have in common: the first group of a UUID. 90 random bits are left.
DIGITS = 8

_common = secrets.token_bytes(DIGITS // 2)


def new_call_id() -> str:
    """Make an id: a UUID of version 4 (RFC 9562, 5.4), but for its beginning."""
    return str(UUID(bytes=_common + secrets.token_bytes(16 - len(_common)), version=4))


def beginning() -> str:
    """What the ids of this process begin with."""
    return _common.hex()


def _begin_anew() -> None:
    global _common
    _common = secrets.token_bytes(DIGITS // 2)


os.register_at_fork(after_in_child=_begin_anew)
