"""JSON as clients get it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


def to_json(value: Any) -> str:
    """Encode as RFC 8259 has it. The times, decimals and UUIDs that Celery's own JSON carries become strings.

    :raises ValueError: the value has no JSON, such as NaN.
    """
    try:
        return json.dumps(value, allow_nan=False, default=_as_string)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def to_json_object(members: Mapping[str, Any], **encoded: str | None) -> str:
    """Encode an object, some of whose values are JSON already and are not decoded for this.

    :param members: the values to encode; at least one.
    :param encoded: the JSON texts, which come last; ``None`` leaves a member out.
    """
    text = to_json(members)[:-1]
    for name, value in encoded.items():
        if value is not None:
            text += f', "{name}": {value}'
    return text + "}"


def _as_string(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
