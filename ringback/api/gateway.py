"""What the handlers of the HTTP interface share."""

from __future__ import annotations

from ringback.api.access import Access, Caller
from ringback.api.task_catalogue import TaskCatalogue
from ringback.calls.switchboard import Switchboard
from ringback.runs.redis_store import RunStore
from ringback.runs.registry import Runs
from ringback.runs.shared import SharedRuns


class Gateway:
    """A Celery app behind HTTP: its tasks, its runs, and who may call them."""

    def __init__(self, switchboard: Switchboard) -> None:
        self.switchboard = switchboard
        self.settings = switchboard.settings
        self.access = Access(self.settings)
        self.tasks = TaskCatalogue(switchboard.app, self.settings)
        self.descriptions: dict[Caller, str] = {}  #: ``/openapi.json`` for each caller
        if self.settings.redis_url:
            store = RunStore(self.settings.redis_url, self.settings.keep)
            switchboard.components.append(store)
            self.runs: Runs = SharedRuns(switchboard, store)
        else:
            self.runs = Runs(switchboard)
