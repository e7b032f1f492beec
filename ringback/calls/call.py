"""The call of a task: made, awaited, and rung back.

A ``Call`` is the ``AsyncResult`` that Celery hands out once the package is installed. It may be made on any greenlet;
its callbacks run on the loop's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from celery import Task, states
from celery.canvas import Signature
from celery.result import AsyncResult, ResultSet
from vine import promise  # type: ignore[import-untyped]

from ringback.errors import BadArguments, BadSetting

if TYPE_CHECKING:
    from ringback.calls.switchboard import Switchboard

logger = logging.getLogger(__name__)


class Holder(Protocol):
    """Who holds the HTTP request that the running code is to answer."""

    @property
    def deadline(self) -> float | None:
        """Seconds for each of its calls; ``None`` for the setting's."""

    def made(self, call: Call) -> None:
        """It waits for this call."""

    def fail(self, error: BaseException) -> None:
        """Answer with this error."""


#: Set by the handlers; asyncio carries it into every callback and coroutine that the handler's method begets.
current_holder: ContextVar[Holder | None] = ContextVar("current_holder", default=None)


class Call(AsyncResult):  # type: ignore[misc]
    """A task that was called: ``await`` it, or say what to do ``then``.

    The result rings back on the loop, once. A call that is waited for has a deadline: the ``expires`` that it was
    made with, or else its handler's, or else the setting's.

    There is one object for each id: canvas makes several results of one task, and before Celery 5.7 a reply found only
    the first of them, or none once that was collected.
    """

    switchboard: Switchboard
    known: WeakValueDictionary[str, Call]  #: by id
    id: str  # mypy sees no types of Celery's
    backend: Any
    future: asyncio.Future[Any] | None = None  #: there as soon as somebody waits
    on_update: Callable[[dict[str, Any]], object] | None = None  #: the loop calls it with the replies before the last
    _on_ready: promise | None = None

    def __new__(cls, id: str, *args: Any, **kwargs: Any) -> Call:
        known = cls.known.get(id)
        return super().__new__(cls) if known is None else known

    def __init__(
        self, id: str, backend: Any = None, task_name: str | None = None, app: object = None, parent: Any = None
    ) -> None:
        if "_cache" in self.__dict__:  # known
            return
        # As Celery's, which is not called because of the promise that it makes: see on_ready.
        self.id, self.parent = id, parent
        self.backend = backend or self.app.backend
        self._cache: dict[str, Any] | None = None
        self._ignored = False
        # Weakly, so that the reply finds a call that is waited for later, and does not keep one that nobody wants.
        # Celery's own table of them would be a second one of the same.
        self.known[id] = self
        self.backend.result_consumer.consume_from(id)

    def __del__(self) -> None:
        if not self.has_ended:  # else nothing of it is pending
            super().__del__()

    @property
    def on_ready(self) -> promise:
        """Celery's promise, for its canvas and whoever else wants one: few do, and it makes garbage of the call."""
        if self._on_ready is None:
            self._on_ready = promise()
            if self._cache is not None:
                self._on_ready(self)
        return self._on_ready

    @property
    def has_ended(self) -> bool:
        """Whether its last reply is here. Celery's ``ready`` may go and ask for it."""
        return self._cache is not None

    def _maybe_set_cache(self, meta: Any) -> Any:
        """Celery gives each reply to this. As its own, and whoever waits is rung back."""
        if not meta or meta["status"] not in states.READY_STATES:
            return meta
        cached = self._set_cache(self.backend.meta_from_decoded(meta))
        self.backend.remove_pending_result(self)
        if self._on_ready is not None:
            self._on_ready(self)
        if self.future is not None:
            self.switchboard.on_reply(self)
        return cached

    def then(
        self,
        callback: Callable[[Call], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> Call:
        """Have the loop call ``callback(self)`` when the task has succeeded; ``self.result`` is its result.

        Whatever else happens goes to ``on_error``, or else answers the request that is held: a failed task 500, no
        result within the deadline 504, a message that did not reach the broker 503. Celery's own ``then`` calls
        ``callback`` on a failure as well, and leaves the rest to hang. What a callback raises answers the request too.

        :param weak: there for Celery's sake; the ledger keeps the call for as long as it is waited for.
        :raises NoResult: the task ignores its result.
        """
        self.switchboard.hold(self).add_done_callback(_Then(self, callback, on_error))
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        return self.switchboard.hold(self).__await__()


class _Then:
    """What is to be done when a call rings back. A third of the size of a closure, and there is one for each call."""

    __slots__ = "_call", "_callback", "_on_error"

    def __init__(
        self, call: Call, callback: Callable[[Call], object], on_error: Callable[[BaseException], object] | None
    ) -> None:
        self._call, self._callback, self._on_error = call, callback, on_error

    def __call__(self, future: asyncio.Future[Any]) -> None:
        error = future.exception() if not future.cancelled() else None
        try:
            if error is None:
                self._callback(self._call)
            elif self._on_error is not None:
                self._on_error(error)
            else:
                raise error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as failure:  # GreenletExit is no Exception
            _answer(failure)


def _answer(failure: BaseException) -> None:
    holder = current_holder.get()
    if holder is not None:
        holder.fail(failure)
    else:
        logger.error("nobody holds a request that this could answer", exc_info=failure)


def call(task: Task | Signature, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
    """Call a task now, and await its result when it suits: ``await call(tasks.add, 1, 2)``.

    Several calls made before the first ``await`` run side by side. A signature may bring options, such as a deadline
    of its own: ``await call(tasks.sleep.s(3).set(expires=5))``. A group gives the list of its members' results.

    :param task: a task or signature of a Celery app that the package is installed for.
    :raises BadArguments: they do not fit the task's signature, or are no JSON.
    :raises Refused: the call was not made. Awaiting raises TaskFailed, DeadlineExceeded and the other RingbackErrors.
    """
    try:
        result = task.apply_async(args, kwargs)
    except TypeError as error:
        raise BadArguments(str(error)) from error
    if isinstance(result, ResultSet):
        return asyncio.gather(*(member.switchboard.hold(member) for member in result.results))
    if not isinstance(result, Call):
        raise BadSetting(f"{task!r} belongs to an app without ringback: call ringback.install(app) first")
    return result.switchboard.hold(result)
