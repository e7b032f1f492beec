"""The call of a task: made, awaited, and rung back.

A ``Call`` is the ``AsyncResult`` that Celery hands out once the package is installed. It may be made on any greenlet;
its callbacks run on the loop's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

from celery import Task, states
from celery.canvas import Signature
from celery.result import AsyncResult, ResultSet
from vine import promise  # type: ignore[import-untyped]

from ringback.errors import BadArguments, BadSetting, RingbackError
from ringback.traffic import NOBODY, Lane, Place, Shares, Tenant

logger = logging.getLogger(__name__)


class Holder(Protocol):
    """The HTTP request that the running code is to answer."""

    @property
    def deadline(self) -> float | None:
        """Seconds for each of its calls; ``None`` for the setting's."""

    @property
    def unread(self) -> float:
        """Seconds for which it has waited to be read, which count as part of the deadline."""

    @property
    def tenant(self) -> Tenant:
        """Whose it is."""

    def waits_for(self, call: Call) -> None:
        """Note that the request waits for this call."""

    def fail(self, error: BaseException) -> None:
        """Answer the request with this error."""


class Exchange(Protocol):
    """What a call needs of its switchboard."""

    def wait(self, call: Call) -> asyncio.Future[Any]:
        """Wait for a call; the future ends with its result or a ``RingbackError``."""

    def on_reply(self, call: Call) -> None:
        """A call that waits has its last reply."""

    def settle(self, call_id: str, error: RingbackError | None = None) -> None:
        """End the wait for a call."""


#: Set by the handlers; asyncio carries it into every callback and coroutine that a handler's method starts.
current_holder: ContextVar[Holder | None] = ContextVar("current_holder", default=None)


def current_tenant() -> Tenant:
    """Whose the request is that the running code is to answer."""
    holder = current_holder.get()
    return NOBODY if holder is None else holder.tenant


@dataclass(slots=True)
class Watch:
    """What to tell of a submitted call before its result. The loop makes these calls."""

    call_id: str
    on_update: Callable[[dict[str, Any]], object]  #: with each reply before the last
    on_confirmed: Callable[[], object]  #: when the broker has confirmed its message
    patience: float | None = None  #: seconds that a client waits for the result; ``None`` if none waits
    tenant: Tenant = NOBODY  #: whose it is
    due: float = 0.0  #: on ``time.monotonic``: when a worker may start it at the earliest


class Call(AsyncResult):  # type: ignore[misc]
    """A task that was called: ``await`` it, or say what to do ``then``.

    The result rings back on the loop, once. A call that is waited for has a deadline: the ``expires`` that it was
    made with, or else its handler's, or else the setting's.

    There is one object for each id: canvas makes several results of one task, and before Celery 5.7 a reply found only
    the first of them, or none once that was collected.
    """

    switchboard: Exchange
    known: WeakValueDictionary[str, Call]  #: by id
    id: str  # mypy sees no types of Celery's
    backend: Any
    future: asyncio.Future[Any] | None = None  #: exists as soon as a request or run waits
    due: float | None = None  #: the loop's time at which its message expires, where that is known
    watch: Watch | None = None  #: set on calls that were submitted
    tenant: Tenant = NOBODY  #: whose it is
    shares: Shares | None = None  #: those in which it is counted while it waits
    lane: Lane[Any] | None = None  #: of the queue that its message goes to
    place: Place | None = None  #: on that way
    reports_expiry = False  #: whether a worker reports that its message has expired
    _on_ready: promise | None = None

    def __new__(cls, id: str, *args: Any, **kwargs: Any) -> Call:  # Celery's name for it
        known = cls.known.get(id)
        return super().__new__(cls) if known is None else known

    def __init__(
        self,
        id: str,
        backend: Any = None,
        task_name: str | None = None,
        app: object = None,
        parent: Any = None,
    ) -> None:
        if "_cache" in self.__dict__:  # known
            return
        # Celery's own is not called, because of the promise that it makes: see on_ready.
        self.id, self.parent = id, parent
        self.backend = backend or self.app.backend
        self._cache: dict[str, Any] | None = None
        self._ignored = False
        # Weakly, so that the reply finds a call that is waited for later, and does not keep one that was dropped.
        # Celery's own table would be a second one of the same.
        self.known[id] = self
        self.backend.result_consumer.consume_from(id)

    def __del__(self) -> None:
        if not self.has_ended:  # else nothing of it is pending
            super().__del__()

    @property
    def on_ready(self) -> promise:
        """Celery's promise, for its canvas. It is made when asked for, since it makes the call part of a cycle."""
        if self._on_ready is None:
            self._on_ready = promise()
            if self._cache is not None:
                self._on_ready(self)
        return self._on_ready

    @property
    def has_ended(self) -> bool:
        """Whether its last reply is here. Celery's ``ready`` may make a round trip to find out."""
        return self._cache is not None

    @property
    def is_waiting(self) -> bool:
        """Whether a request or run waits for it."""
        return self.future is not None and not self.future.done()

    @property
    def is_detached(self) -> bool:
        """Whether it goes on without a client that waits for it."""
        return self.watch is not None and self.watch.patience is None

    def abandon(self, error: RingbackError) -> None:
        """Stop to wait for it; what waits gets the error."""
        self.switchboard.settle(self.id, error)

    def _maybe_set_cache(self, meta: Any) -> Any:
        """Take a reply, as Celery's method of this name does, and ring back what waits for it."""
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

        Any other outcome goes to ``on_error``, or else answers the request that is held: a failed task 500, no result
        within the deadline 504, a message that did not reach the broker 503. Celery's own ``then`` calls ``callback``
        on a failure as well, and leaves the other requests hanging. What a callback raises answers the request too.

        :param weak: has no effect; Celery's ``then`` has it. The call is kept while it is waited for.
        :raises NoResult: the task ignores its result.
        """
        self.switchboard.wait(self).add_done_callback(_Then(self, callback, on_error))
        return self

    def __await__(self) -> Generator[Any, None, Any]:
        return self.switchboard.wait(self).__await__()


class _Then:
    """What to do when a call rings back. It takes a third of the memory of a closure, and each call has one."""

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
        logger.error("a callback failed, and there is no held request to answer", exc_info=failure)


def call(task: Task | Signature, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
    """Call a task now, and await its result later: ``await call(tasks.add, 1, 2)``.

    Several calls made before the first ``await`` run side by side. A signature may bring options, such as a deadline
    of its own: ``await call(tasks.sleep.s(3).set(expires=5))``. A group gives the list of its members' results.

    :param task: a task or signature of a Celery app that the package is installed for.
    :raises BadArguments: they do not fit the task's signature, or are not JSON.
    :raises Refused: the call was not made. Awaiting raises TaskFailed, DeadlineExceeded and the other RingbackErrors.
    """
    try:
        result = task.apply_async(args, kwargs)
    except TypeError as error:
        raise BadArguments(str(error)) from error
    if isinstance(result, ResultSet):
        return asyncio.gather(*(member.switchboard.wait(member) for member in result.results))
    if not isinstance(result, Call):
        raise BadSetting(f"{task!r} belongs to an app without ringback: call ringback.install(app) first")
    return result.switchboard.wait(result)
