"""How a run ends, by the outcome of its call. Pure; on the loop's greenlet."""

from __future__ import annotations

import asyncio
from typing import Any

from ringback.errors import DeadlineExceeded, NoResult, RingbackError, TaskFailed, TaskRevoked, UnreadableReply
from ringback.runs.run import Run
from ringback.runs.states import Event


def end(run: Run, future: asyncio.Future[Any], tracebacks: bool) -> None:
    """End a run as its call has ended.

    :param future: the call's; a refusal of the call is not handled here.
    :param tracebacks: whether clients see the worker's traceback.
    """
    error = future.exception()
    if error is None:
        _succeed(run, future.result())
    elif isinstance(error, NoResult):
        run.end_untracked()
    elif isinstance(error, DeadlineExceeded):
        run.fail(Event.EXPIRED, error)
    elif isinstance(error, TaskRevoked):
        run.fail(Event.REVOKED, error)
    elif isinstance(error, TaskFailed):
        run.fail(Event.FAILED, error, error.traceback if tracebacks else None)
    else:
        assert isinstance(error, RingbackError)
        run.fail(Event.FAILED, error)


def _succeed(run: Run, result: Any) -> None:
    try:
        run.succeed(result)
    except ValueError as error:
        run.fail(Event.FAILED, UnreadableReply(f"the result is not JSON: {error}", run.run_id))
