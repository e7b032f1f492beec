"""How a run ends, by what came of its call. Pure; the loop's alone."""

from __future__ import annotations

import asyncio
from typing import Any

from ringback.errors import DeadlineExceeded, NoResult, RingbackError, TaskFailed, TaskRevoked, UnreadableReply
from ringback.runs.run import EXPIRED, FAILURE, QUEUED, REVOKED, Run


def end(run: Run, future: asyncio.Future[Any], tracebacks: bool) -> None:
    """End a run as its call has ended.

    :param future: of the call; what it was refused for is not for here.
    :param tracebacks: whether whoever asks for the run is told the worker's traceback.
    """
    error = future.exception()
    if error is None:
        _succeed(run, future.result())
    elif isinstance(error, NoResult):
        run.close()
    elif isinstance(error, DeadlineExceeded):
        run.fail(EXPIRED, error)
    elif isinstance(error, TaskRevoked):
        _revoke(run, error)
    elif isinstance(error, TaskFailed):
        run.reach(QUEUED)  # the confirm may still be under way
        run.fail(FAILURE, error, error.traceback if tracebacks else None)
    else:
        assert isinstance(error, RingbackError)
        run.fail(FAILURE, error)


def _succeed(run: Run, result: Any) -> None:
    try:
        run.succeed(result)
    except ValueError as error:
        run.fail(FAILURE, UnreadableReply(f"the result is not JSON: {error}", run.id))


def _revoke(run: Run, error: TaskRevoked) -> None:
    # The reason is the message of Celery's TaskRevokedError: revoked, terminated or expired (celery/worker/request.py).
    if error.exception["message"] == "expired":
        run.fail(EXPIRED, DeadlineExceeded("no worker started the task before it expired", run.id))
    else:
        run.fail(REVOKED, error)
