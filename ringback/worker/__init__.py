"""What a worker may take from this package: nothing lost when the broker is away, and less CPU time for each task.

``configure(app)`` in a project's Celery module is all. Stock workers can answer as well; the README says which promises
need this. Imports no Tornado and no gevent, and of this package only ``wire``, ``errors``, ``settings`` and
``upgrade_guard``.
"""

from ringback.worker.configuration import apply, configure

__all__ = ["apply", "configure"]
