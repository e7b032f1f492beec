"""Every error of this package, each with its HTTP status. Pure data; ``ringback.web`` makes the answers."""


class RingbackError(Exception):
    """A request could not be answered with a task's result.

    :param detail: what happened, as the client reads it.
    :param call_id: the id of the Celery task concerned, if there is one.
    """

    status = 500
    slug = "error"
    retry_after: int | None = None  #: seconds after which the client may ask again

    def __init__(self, detail: str, call_id: str | None = None) -> None:
        super().__init__(detail, call_id)
        self.detail, self.call_id = detail, call_id

    def __str__(self) -> str:
        return f"{self.detail} (task {self.call_id})" if self.call_id else self.detail

    def problem(self) -> dict[str, object]:
        """Return the members of the answer's body, ``application/problem+json`` (RFC 9457)."""
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
    """The task raised an exception, which is the ``__cause__``, or was revoked.

    :param traceback: the worker's; clients see it only where RINGBACK_TRACEBACKS is set.
    """

    slug = "task-failed"

    def __init__(self, cause: BaseException, call_id: str, traceback: str | None = None) -> None:
        self.traceback = traceback
        self.exception = {"class": type(cause).__name__, "message": str(cause)}
        super().__init__(f"{type(cause).__name__}: {cause}", call_id)
        self.__cause__ = cause

    def problem(self) -> dict[str, object]:
        """Return the members of the answer's body, with the class and the message of the task's exception."""
        return {**super().problem(), "exception": self.exception}


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


class BadArguments(RingbackError):
    """The arguments do not fit the task's signature, or cannot be put into a message."""

    status = 422
    slug = "bad-arguments"


class BadRequest(RingbackError):
    """The body is not JSON, or has the wrong shape."""

    status = 400
    slug = "bad-request"


class Unauthorized(RingbackError):
    """The request carries no bearer token that this process knows (RFC 6750)."""

    status = 401
    slug = "unauthorized"


class Forbidden(RingbackError):
    """The token may not call this task, or the page's origin may not call at all."""

    status = 403
    slug = "forbidden"


class UnknownTask(RingbackError):
    """No task of this name is exposed."""

    status = 404
    slug = "unknown-task"


class UnknownRun(RingbackError):
    """This caller has started no run with this id."""

    status = 404
    slug = "unknown-run"


class ForgottenRun(RingbackError):
    """The run existed and is no longer kept."""

    status = 410
    slug = "forgotten-run"


class BodyTooLarge(RingbackError):
    """The body is larger than RINGBACK_BODY_LIMIT."""

    status = 413
    slug = "body-too-large"


class UnsupportedMediaType(RingbackError):
    """The Content-Type is not ``application/json``."""

    status = 415
    slug = "unsupported-media-type"


class KeyReused(RingbackError):
    """The idempotency key, or the run's id, was used for another request."""

    status = 422
    slug = "key-reused"


class TooManyCalls(RingbackError):
    """This caller calls more often than RINGBACK_RATE allows."""

    status = 429
    slug = "too-many-calls"
    retry_after = 1


class ClientGone(RingbackError):
    """The client closed its connection, so this answer is not sent (499 is nginx's number for it)."""

    status = 499
    slug = "client-gone"


class UnreadableReply(RingbackError):
    """The worker's reply does not follow Celery's result protocol."""

    status = 502
    slug = "unreadable-reply"


class LostRun(RingbackError):
    """The process that waited for the run's result has ended, and no other process can get the result."""

    status = 502
    slug = "lost-run"


class Refused(RingbackError):
    """The call was not made, or its publish was not confirmed; the client may try again."""

    status = 503
    slug = "refused"
    retry_after = 1


class OutboxFull(Refused):
    """More messages wait for the broker than the outbox may hold."""

    slug = "outbox-full"


class TooManyHeld(Refused):
    """More calls wait for a result than RINGBACK_HELD_LIMIT allows."""

    slug = "too-many-held"


class QueueTooLong(Refused):
    """More tasks wait in the queue than RINGBACK_MAX_QUEUE allows."""

    slug = "queue-too-long"
    retry_after = 5


class BrokerUnavailable(Refused):
    """The broker has been unreachable, or has refused messages, for longer than RINGBACK_PUBLISH_TIMEOUT."""

    slug = "broker-unavailable"
    retry_after = 2


class RepliesUnavailable(Refused):
    """The connection for replies has been lost for longer than RINGBACK_PUBLISH_TIMEOUT, so no call is made."""

    slug = "replies-unavailable"
    retry_after = 2


class StoreUnavailable(Refused):
    """The Redis of REDIS_URL, where processes share their runs, cannot be reached, and the request needs it."""

    slug = "store-unavailable"
    retry_after = 2


class PublishUnconfirmed(Refused):
    """The broker did not confirm the message within the publish time-out; the task may still run."""

    slug = "publish-unconfirmed"


class ShuttingDown(Refused):
    """This process is ending; another process can answer."""

    slug = "shutting-down"
    retry_after = 5


class DeadlineExceeded(RingbackError):
    """No result came within the call's deadline."""

    status = 504
    slug = "deadline-exceeded"


class TaskExpired(DeadlineExceeded):
    """No worker started the task before its message expired."""


class BadSetting(Exception):
    """An environment variable, a flag or a setting of the Celery app has a value that cannot be used."""


class UnsupportedVersion(BadSetting):
    """A library lacks a name that this package needs; the message lists what is missing and the tested versions."""
