"""What the handlers of the HTTP interface share."""

from __future__ import annotations

from collections.abc import Sequence

from ringback.api.route import Route
from ringback.api.task_catalogue import TaskCatalogue
from ringback.api.wechat_account import Account
from ringback.calls import Switchboard
from ringback.errors import BadSetting, Forbidden, TooManyCalls
from ringback.runs import Run, RunRegistry
from ringback.web import Access, RateLimit, access_of, matches


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
        self.tasks = TaskCatalogue(switchboard.app, self.settings)
        self.descriptions: dict[tuple[str, ...], str] = {}  #: ``/openapi.json`` by a caller's patterns of tasks
        self.routes: Sequence[Route] = ()
        self.runs = RunRegistry(switchboard)
        self.wechat = Account(self.settings) if self.settings.wechat_token else None
        if self.settings.redis_url:
            self._share_runs()

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
            from ringback.runs.redis_store import RedisStore
            from ringback.runs.shared import RedisPeers
        except ImportError as error:
            raise BadSetting("REDIS_URL needs redis-py: pip install 'ringback[redis]'") from error
        store = RedisStore(self.settings.redis_url, self.settings.keep, self.settings.keep_bytes)
        self.switchboard.add(store)
        self.runs.peers = RedisPeers(self.runs, self.switchboard, store)
