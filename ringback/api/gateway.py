"""What the handlers of the HTTP interface share."""

from __future__ import annotations

from collections.abc import Sequence

from ringback.api.route import Route
from ringback.api.task_catalogue import TaskCatalogue
from ringback.api.wechat_account import Account
from ringback.calls import Switchboard
from ringback.errors import BadSetting, Forbidden, TooManyCalls, TooManyOpen
from ringback.runs import Run, RunRegistry
from ringback.traffic import Shares, Tenant
from ringback.web import Access, RateLimit, access_of, matches

#: The part of the connections that event streams, WebSockets and polls that wait may take, and a quarter more.
STREAMS = 0.6

#: How many polls and cancellations a caller may send for each call that RINGBACK_RATE allows.
OTHER_REQUESTS = 10


class Gateway:
    """A Celery app behind HTTP: its tasks, its runs, and what each caller may do.

    :param access: finds out who asks; by default the tokens of the settings.
    :raises BadSetting: REDIS_URL is set and redis-py is not installed, or WeChat's safe mode and cryptography is not.
    """

    def __init__(self, switchboard: Switchboard, access: Access | None = None) -> None:
        self.switchboard = switchboard
        self.settings = switchboard.settings
        self.access = access_of(switchboard, access)
        self.rate = RateLimit(self.settings.rate, TooManyCalls)
        self.other_rate = RateLimit(OTHER_REQUESTS * self.settings.rate, TooManyCalls)
        self.streams = Shares(int(STREAMS * self.settings.connection_limit))
        self.tasks = TaskCatalogue(switchboard.app, self.settings)
        self.descriptions: dict[tuple[str, ...], str] = {}  #: ``/openapi.json`` by a caller's patterns of tasks
        self.routes: Sequence[Route] = ()
        self.runs = RunRegistry(switchboard)
        self.wechat = Account(self.settings) if self.settings.wechat_token else None
        if self.settings.redis_url:
            self._share_runs()

    def check_polls(self, tenant: Tenant) -> None:
        """Count a poll or a cancellation.

        :raises TooManyCalls: this tenant has sent too many of them.
        """
        self.other_rate.spend(tenant.name)

    def open_stream(self, tenant: Tenant) -> None:
        """Count an event stream, a WebSocket or a poll that waits; ``streams.give_back`` when it ends.

        :raises TooManyOpen: this tenant has its share of them.
        """
        if not self.streams.has_room(tenant):
            own, share = self.streams.of(tenant), self.streams.share(tenant)
            raise TooManyOpen(f"{tenant.name} has {own} open streams, sockets and polls, and its share is {share}")
        self.streams.take(tenant)

    def check_terminate(self, run: Run) -> None:
        """Check that a run may be stopped while it is running.

        :raises Forbidden: RINGBACK_TERMINATE does not name its task.
        """
        if not matches(run.task, self.settings.terminate):
            raise Forbidden(
                f"{run.task!r} may not be stopped while it runs: RINGBACK_TERMINATE names the tasks that may"
            )

    def _share_runs(self) -> None:
        try:
            from ringback.runs.redis_keys import connect
            from ringback.runs.redis_store import RedisStore
            from ringback.runs.shared import RedisPeers
        except ImportError as error:
            raise BadSetting("REDIS_URL needs redis-py: pip install 'ringback[redis]'") from error
        redis = connect(self.settings.redis_url, self.settings.redis_master)
        store = RedisStore(redis, self.settings.keep, self.settings.keep_bytes)
        self.switchboard.add(store)
        self.runs.peers = RedisPeers(self.runs, self.switchboard, store)
