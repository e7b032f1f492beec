"""JSON as clients get it. Pure."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


def to_json(value: Any) -> str:
    """JSON as RFC 8259 has it; the times, decimals and UUIDs that Celery's own JSON carries become strings.

    :raises ValueError: the value has no JSON, such as NaN.
    """
    try:
        return json.dumps(value, allow_nan=False, default=_as_string)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _as_string(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
