"""An executor for ``run_on_executor`` in a gevent-patched process. Only the loop's greenlet may call ``submit``."""

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
    of each. And Tornado, called back on a greenlet, does not wake the loop, because it takes this greenlet for the
    loop's; on an idle server the answer then comes with the next request. gevent's own ``ThreadPoolExecutor`` has real
    threads, which cannot share a connection, and futures that Tornado does not accept.

    :param at_once: calls that run side by side.
    :param waiting: calls that may wait for one of these to end.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._slots = Semaphore(at_once)
        self._limit = at_once + waiting
        self._open = 0

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run this call on a greenlet.

        :raises Refused: too many calls wait already.
        """
        if self._open >= self._limit:
            raise Refused(f"{self._limit} calls wait for this executor")
        self._open += 1
        future: Future[T] = Future()
        gevent.spawn(self._work, self._loop_queue, future, partial(function, *args, **kwargs))
        return future

    @cached_property
    def _loop_queue(self) -> LoopQueue:  # made by the first submit, when the loop runs
        return LoopQueue(asyncio.get_running_loop())

    def _work(self, loop_queue: LoopQueue, future: Future[T], call: Callable[[], T]) -> None:
        try:
            with self._slots:
                result = call()
        except BaseException as error:  # GreenletExit is no Exception
            loop_queue.post(self._settle, partial(future.set_exception, error))
        else:
            loop_queue.post(self._settle, partial(future.set_result, result))

    def _settle(self, settle: Callable[[], None]) -> None:
        self._open -= 1
        settle()
