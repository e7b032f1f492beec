"""Why a call is not made now, and may be tried again: 503. Pure data."""

from ringback.errors.base import RingbackError


class Refused(RingbackError):
    """The call was not made, or its publish was not confirmed; the client may try again."""

    status = 503
    slug = "refused"
    retry_after = 1


class OutboxFull(Refused):
    """More messages wait for the broker than the outbox may hold."""

    slug = "outbox-full"


class TooManyBodies(Refused):
    """The bodies that are under way have more bytes than RINGBACK_BODIES_LIMIT allows."""

    slug = "too-many-bodies"


class TooManyHeld(Refused):
    """More calls wait for a result than RINGBACK_HELD_LIMIT allows."""

    slug = "too-many-held"


class TooManyDetached(Refused):
    """More calls go on without a client that waits than RINGBACK_DETACHED_LIMIT allows."""

    slug = "too-many-detached"
    retry_after = 10


class TooManyOpen(Refused):
    """This caller has its share of what this process may hold, or of the way to a queue, and others want theirs.

    Without tokens, each client's address has a share.
    """

    status = 429
    slug = "too-many-open"


class Overloaded(Refused):
    """This process has had no time to read the request for half of the deadline."""

    slug = "overloaded"
    retry_after = 5


class QueueTooLong(Refused):
    """More tasks wait in the queue than RINGBACK_MAX_QUEUE allows, or than can be done before the client gives up."""

    slug = "queue-too-long"
    retry_after = 5


class NoWorker(Refused):
    """Nobody has taken a task from the queue for RINGBACK_NO_WORKER seconds."""

    slug = "no-worker"
    retry_after = 10


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
