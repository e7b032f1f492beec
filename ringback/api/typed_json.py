"""Finds kombu's typed JSON in a call's arguments, which its decoder in the worker makes something else of. Pure.

``{"__type__": "bytes", "__value__": "a"}`` becomes bytes there, and a message of an unknown type is dropped unanswered.
Before 5.3 it was ``{"bytes": "a", "__base64__": true}`` (``kombu/utils/json.py``, ``object_hook``).
"""

from __future__ import annotations

import re
from typing import Any

from ringback.errors import BadArguments

#: The keys of an object that is decoded if it has these two and no other.
ENVELOPE = {"__type__", "__value__"}

#: The keys any of which has older versions decode an object.
OLDER = {"__bytes__", "__base64__"}

#: What is in the text of each of these objects: a key as it is, or a character of ASCII in disguise, as in ``\\u005f``.
TRACE = re.compile(rb"__type__|__bytes__|__base64__|\\u00[2-7]")


def refuse_typed_json(text: bytes, value: Any) -> None:
    """Refuse what has typed JSON in it.

    :param text: the JSON that the value was read from.
    :raises BadArguments: it has.
    """
    if TRACE.search(text) is None:
        return
    todo = [value]
    while todo:
        found = todo.pop()
        if isinstance(found, dict):
            if found.keys() == ENVELOPE or not found.keys().isdisjoint(OLDER):
                raise BadArguments(
                    "kombu would decode an object with __type__ and __value__, or with __bytes__ or __base64__;"
                    " RINGBACK_TYPED_JSON allows that"
                )
            found = list(found.values())
        todo += [each for each in found if each.__class__ is dict or each.__class__ is list]
