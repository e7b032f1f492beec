"""Work on runs that no request waits for. On the loop's greenlet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ringback.errors import Refused

logger = logging.getLogger(__name__)


class Background:
    """Starts coroutines, keeps them alive, and logs what goes wrong in them.

    :param what: what they work on, for the log.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps none of its tasks alive

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a coroutine."""
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Refused):
            logger.warning("not done for %s: %s", self._what, error)
        elif error is not None:
            logger.error("not done for %s", self._what, exc_info=error)
