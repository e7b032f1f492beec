"""The ids of calls: random UUIDs, of which those of one process begin alike.

So one pattern names the channels of all results that a process waits for, on which any worker publishes them: with
Redis a call needs no subscription of its own. Any greenlet; pure but for the random numbers.
"""

from __future__ import annotations

import os

#: Hexadecimal digits that the ids of one process have in common: the first group of a UUID. 90 random bits are left.
DIGITS = 8

_common = os.urandom(DIGITS // 2).hex()

#: The digit of the variant, of which two bits are random.
VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def new_call_id() -> str:
    """Make an id: a UUID of version 4 (RFC 9562, 5.4), but for its beginning. ``uuid`` takes three times as long."""
    digits = os.urandom(12).hex()
    return f"{_common}-{digits[:4]}-4{digits[4:7]}-{VARIANTS[digits[7]]}{digits[8:11]}-{digits[11:23]}"


def beginning() -> str:
    """What the ids of this process begin with."""
    return _common


def _begin_anew() -> None:
    global _common
    _common = os.urandom(DIGITS // 2).hex()


os.register_at_fork(after_in_child=_begin_anew)
