"""Why a request is not answered as it asks: 4xx. Pure data."""

from ringback.errors.base import RingbackError


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


class MisdirectedRequest(RingbackError):
    """The request's ``Host`` is not a name of this gateway (RFC 9110, 15.5.20)."""

    status = 421
    slug = "misdirected-request"


class KeyReused(RingbackError):
    """The idempotency key, or the run's id, was used for another request."""

    status = 422
    slug = "key-reused"


class TooManyCalls(RingbackError):
    """This caller calls more often than RINGBACK_RATE allows."""

    status = 429
    slug = "too-many-calls"
    retry_after = 1


class TooManyFailures(TooManyCalls):
    """Requests from this address have had wrong tokens too often."""

    slug = "too-many-failures"


class ClientGone(RingbackError):
    """The client closed its connection, so this answer is not sent (499 is nginx's number for it)."""

    status = 499
    slug = "client-gone"
