"""A worker on greenlets of the web process, for a broker that lives there too (``memory://``)."""

from __future__ import annotations

import gevent
from celery import Celery

from ringback.worker import apply

#: Tasks at once. A greenlet that waits costs a few kilobytes.
CONCURRENCY = 500


def start_worker(app: Celery) -> None:
    """Start a worker for the app's tasks in this process. It ends with the process, and installs no signal handlers."""
    # Celery's tracer asks for the current app, which is known to the greenlet that has made it only; on the worker's
    # greenlets it would find an app without this one's result backend.
    app.set_default()
    apply(app, "gevent")
    worker = app.WorkController(
        hostname="embedded@localhost",
        pool_cls="gevent",
        concurrency=CONCURRENCY,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    gevent.spawn(worker.start)
