"""The Celery app for Flower, with Celery's default backend: Flower publishes on one thread and waits on another."""

from tasks import app

__all__ = ["app"]

# A shared backend gives each thread a reply queue of its own, and another thread does not get its replies.
app.conf.result_backend_thread_safe = False
