"""A task message as a worker's Celery sees it, read once."""

import sys
from datetime import datetime, timezone

from celery.utils.time import maybe_iso8601
from celery.worker.request import Request


class SinglePassRequest(Request):
    """Celery's, which reads a body's JSON a second time when the task begins, and looks for the time zone each time."""

    _tzlocal = timezone.utc

    def __init__(self, message, body=None, decoded=False, **options):
        if not decoded:
            body, decoded = message.payload, True
        super().__init__(message, body=body, decoded=decoded, maybe_iso8601=read_date, **options)


def read_date(value):
    """Celery's ``maybe_iso8601``, by Python itself, which reads all of ISO 8601 from 3.11 on."""
    if isinstance(value, str) and sys.version_info >= (3, 11):
        return datetime.fromisoformat(value)
    return maybe_iso8601(value)
