"""How a call ends other than with its result. Pure data."""

from ringback.errors.base import RingbackError

#: The most characters of a task's exception that are kept and shown; of its traceback four times as many.
LONGEST_MESSAGE = 4000


class TaskFailed(RingbackError):
    """The task raised an exception, which is the ``__cause__``, or was revoked.

    :param traceback: the worker's.
    :param shows: what callers see of it: its ``class``, its ``message``, too, or also the ``traceback``.
    """

    slug = "task-failed"

    def __init__(
        self, cause: BaseException, call_id: str, traceback: str | None = None, shows: str = "message"
    ) -> None:
        name = type(cause).__name__
        self.exception = {"class": name}
        if shows == "class":
            super().__init__(name, call_id)
        else:
            self.exception["message"] = shorten(str(cause), LONGEST_MESSAGE)
            super().__init__(f"{name}: {self.exception['message']}", call_id)
        self.traceback = shorten(traceback, 4 * LONGEST_MESSAGE) if traceback and shows == "traceback" else None
        self.__cause__ = cause

    def problem(self) -> dict[str, object]:
        """Return the members of the answer's body, with what callers see of the task's exception."""
        shown = {"exception": self.exception, "traceback": self.traceback}
        return {**super().problem(), **{name: value for name, value in shown.items() if value is not None}}


def shorten(text: str, longest: int) -> str:
    """Cut a text that is too long in its middle: the beginning of a message, and the end of a traceback, tell most."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"


class TaskRevoked(TaskFailed):
    """The task was revoked before it ended."""

    status = 409
    slug = "task-revoked"


class NoResult(RingbackError):
    """The task stores no result (``ignore_result``), so a request cannot wait for it."""

    slug = "no-result"


class CallFailed(RingbackError):
    """The call could not be made, by a fault of the application such as an exception in its task router."""

    slug = "call-failed"


class UnreadableReply(RingbackError):
    """The worker's reply does not follow Celery's result protocol."""

    status = 502
    slug = "unreadable-reply"


class ResultTooLarge(RingbackError):
    """The result has more bytes than RINGBACK_RESULT_LIMIT allows."""

    status = 502
    slug = "result-too-large"


class LostRun(RingbackError):
    """The process that waited for the run's result has ended, and no other process can get the result."""

    status = 502
    slug = "lost-run"


class DeadlineExceeded(RingbackError):
    """No result came within the call's deadline."""

    status = 504
    slug = "deadline-exceeded"


class TaskExpired(DeadlineExceeded):
    """No worker started the task before its message expired."""
