"""Every error of this package, each with the HTTP status that it is answered with.

They are Tornado ``HTTPError``s, so a handler that lets one pass answers with the right status. Pure data: may be
raised on any greenlet.
"""

from tornado.web import HTTPError


class RingbackError(HTTPError):
    """A request could not be answered with a task's result.

    :param detail: what happened, for whoever reads the answer.
    :param call_id: id of the Celery task concerned, if one was made.
    """

    status = 500
    slug = "error"
    retry_after: int | None = None  #: seconds after which asking again makes sense

    def __init__(self, detail: str, call_id: str | None = None) -> None:
        super().__init__(self.status)
        self.detail = detail
        self.call_id = call_id

    def __str__(self) -> str:
        return f"{self.detail} (task {self.call_id})" if self.call_id else self.detail

    def problem(self) -> dict[str, object]:
        """The members of the answer's body, as ``application/problem+json`` (RFC 9457)."""
        body: dict[str, object] = {
            "type": f"/problems/{self.slug}",
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
        }
        if self.call_id is not None:
            body["id"] = self.call_id
        return body


class TaskFailed(RingbackError):
    """The task raised, or was revoked; its exception is the ``__cause__``.

    :param traceback: the worker's, which not everybody is to see.
    """

    slug = "task-failed"

    def __init__(self, cause: BaseException, call_id: str, traceback: str | None = None) -> None:
        self.traceback = traceback
        self.exception = {"class": type(cause).__name__, "message": str(cause)}
        super().__init__(f"{type(cause).__name__}: {cause}", call_id)
        self.__cause__ = cause

    def problem(self) -> dict[str, object]:
        """As for every error, with the class and the message of the task's exception."""
        return {**super().problem(), "exception": self.exception}


class TaskRevoked(TaskFailed):
    """The task was revoked before it ended."""

    status = 409
    slug = "task-revoked"


class NoResult(RingbackError):
    """The task keeps its result to itself (``ignore_result``), so nobody can wait for it."""

    slug = "no-result"


class BadArguments(RingbackError):
    """The arguments do not fit the task's signature, or cannot be put into a message."""

    status = 422
    slug = "bad-arguments"


class BadRequest(RingbackError):
    """The request is no JSON, or has the wrong shape."""

    status = 400
    slug = "bad-request"


class Unauthorized(RingbackError):
    """The request has no bearer token that is known here (RFC 6750)."""

    status = 401
    slug = "unauthorized"


class Forbidden(RingbackError):
    """The token may not call this task, or the page that asks may not ask."""

    status = 403
    slug = "forbidden"


class UnknownTask(RingbackError):
    """No such task may be called here."""

    status = 404
    slug = "unknown-task"


class UnknownRun(RingbackError):
    """This caller has made no run with this id."""

    status = 404
    slug = "unknown-run"


class ForgottenRun(RingbackError):
    """The run was here, and is kept no longer."""

    status = 410
    slug = "forgotten-run"


class BodyTooLarge(RingbackError):
    """The body is larger than this process takes."""

    status = 413
    slug = "body-too-large"


class UnsupportedMediaType(RingbackError):
    """The body is not declared to be JSON."""

    status = 415
    slug = "unsupported-media-type"


class KeyReused(RingbackError):
    """The idempotency key, or the run's id, was used for another request."""

    status = 422
    slug = "key-reused"


class TooManyCalls(RingbackError):
    """This caller calls more often than it may."""

    status = 429
    slug = "too-many-calls"
    retry_after = 1


class ClientGone(RingbackError):
    """The client closed its connection; nobody reads this answer (499 is nginx's number for it)."""

    status = 499
    slug = "client-gone"


class UnreadableReply(RingbackError):
    """The worker's reply is not one that Celery's result protocol knows."""

    status = 502
    slug = "unreadable-reply"


class LostRun(RingbackError):
    """The process that waited for the run's result has ended, and the result went to it alone."""

    status = 502
    slug = "lost-run"


class Refused(RingbackError):
    """The call was not made, or cannot be said to have been made; asking again helps."""

    status = 503
    slug = "refused"
    retry_after = 1


class OutboxFull(Refused):
    """More messages wait for the broker than the outbox may hold."""

    slug = "outbox-full"


class TooManyHeld(Refused):
    """More calls are waited for than this process may hold."""

    slug = "too-many-held"


class QueueTooLong(Refused):
    """More tasks wait for a worker than may."""

    slug = "queue-too-long"
    retry_after = 5


class BrokerUnavailable(Refused):
    """The broker has been out of reach, or refusing messages, for longer than the publish time-out."""

    slug = "broker-unavailable"
    retry_after = 2


class RepliesUnavailable(Refused):
    """Results have had no way back for longer than the publish time-out, so no call is made."""

    slug = "replies-unavailable"
    retry_after = 2


class StoreUnavailable(Refused):
    """The Redis where processes share their runs cannot be reached, and the request needs it."""

    slug = "store-unavailable"
    retry_after = 2


class PublishUnconfirmed(Refused):
    """The broker did not confirm the message within the publish time-out; the task may still run."""

    slug = "publish-unconfirmed"


class ShuttingDown(Refused):
    """This process is ending; another one will answer."""

    slug = "shutting-down"
    retry_after = 5


class DeadlineExceeded(RingbackError):
    """No result came within the call's deadline."""

    status = 504
    slug = "deadline-exceeded"


class BadSetting(Exception):
    """An environment variable or flag has a value that cannot be used."""
