"""How a run ends, by the outcome of its call. Pure; on the loop's greenlet."""

from __future__ import annotations

import asyncio
from typing import Any

from ringback.errors import DeadlineExceeded, NoResult, ResultTooLarge, RingbackError, TaskRevoked, UnreadableReply
from ringback.runs.json_text import to_json
from ringback.runs.run import Run
from ringback.runs.states import Event


def end(run: Run, future: asyncio.Future[Any], result_limit: int) -> None:
    """End a run as its call has ended.

    :param future: the call's; a refusal of the call is not handled here.
    :param result_limit: bytes of the longest result as JSON.
    """
    error = future.exception()
    if error is None:
        _succeed(run, future.result(), result_limit)
    elif isinstance(error, NoResult):
        run.end_untracked()
    elif isinstance(error, DeadlineExceeded):
        run.fail(Event.EXPIRED, error)
    elif isinstance(error, TaskRevoked):
        run.fail(Event.REVOKED, error)
    else:
        assert isinstance(error, RingbackError)
        run.fail(Event.FAILED, error)


def _succeed(run: Run, result: Any, limit: int) -> None:
    try:
        text = to_json(result)
    except ValueError as error:
        run.fail(Event.FAILED, UnreadableReply(f"the result is not JSON: {error}", run.run_id))
        return
    if len(text) > limit:
        why = f"the result has {len(text)} bytes, and RINGBACK_RESULT_LIMIT is {limit}"
        run.fail(Event.FAILED, ResultTooLarge(why, run.run_id))
    else:
        run.succeed(text)
