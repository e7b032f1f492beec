"""An executor for ``run_on_executor`` in a gevent-patched process. ``submit`` is for the loop's greenlet alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import cached_property, partial
from typing import Any, TypeVar

import gevent
from gevent.lock import Semaphore

from ringback import Refused
from ringback.loop_queue import LoopQueue

T = TypeVar("T")


class GreenletExecutor(Executor):
    """Runs each call on a greenlet, and settles its future on the loop.

    Under gevent's patch the threads of ``ThreadPoolExecutor`` are greenlets, too. But the loop would wait for the start
    of each; and Tornado, called back on a greenlet, takes it for the loop's and does not wake the loop, so that on an
    idle server the answer comes with the next request. gevent's own ``ThreadPoolExecutor`` has real threads, which
    cannot share a connection, and futures that Tornado does not take.

    :param at_once: calls that run side by side.
    :param waiting: calls that may wait for one of these to end.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._slots = Semaphore(at_once)
        self._limit = at_once + waiting
        self._open = 0

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a greenlet make this call.

        :raises Refused: too many wait already.
        """
        if self._open >= self._limit:
            raise Refused(f"{self._limit} calls wait for this executor")
        self._open += 1
        future: Future[T] = Future()
        gevent.spawn(self._work, self._hop, future, partial(function, *args, **kwargs))
        return future

    @cached_property
    def _hop(self) -> LoopQueue:  # made by the first submit, when the loop runs
        return LoopQueue(asyncio.get_running_loop())

    def _work(self, hop: LoopQueue, future: Future[T], call: Callable[[], T]) -> None:
        try:
            with self._slots:
                result = call()
        except BaseException as error:  # GreenletExit is no Exception
            hop.post(self._settle, partial(future.set_exception, error))
        else:
            hop.post(self._settle, partial(future.set_result, result))

    def _settle(self, settle: Callable[[], None]) -> None:
        self._open -= 1
        settle()
