"""A task message as a worker's Celery sees it, decoded once."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

from celery.utils.time import maybe_iso8601
from celery.worker.request import Request


class SinglePassRequest(Request):  # type: ignore[misc]
    """Celery's request, which would decode a body's JSON again when the task starts, and look up the time zone."""

    _tzlocal = timezone.utc

    def __init__(self, message: Any, body: Any = None, decoded: bool = False, **options: Any) -> None:
        if not decoded:
            body, decoded = message.payload, True
        super().__init__(message, body=body, decoded=decoded, maybe_iso8601=read_date, **options)


def read_date(value: Any) -> Any:
    """Read a date as Celery's ``maybe_iso8601`` does, but by Python, which reads all of ISO 8601 from 3.11 on."""
    if isinstance(value, str) and sys.version_info >= (3, 11):
        return datetime.fromisoformat(value)
    return maybe_iso8601(value)
