"""The Celery app for Flower, which publishes on one thread and waits on another one: so with Celery's default."""

from tasks import app

__all__ = ["app"]

# A shared backend gives each thread a reply queue of its own, and no other thread gets what arrives there.
app.conf.result_backend_thread_safe = False
