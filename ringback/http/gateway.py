"""What the handlers of the HTTP interface share."""

from __future__ import annotations

from ringback.access import Access, Caller
from ringback.catalogue import Catalogue
from ringback.run_store import RunStore
from ringback.runs import Runs
from ringback.shared_runs import SharedRuns
from ringback.switchboard import Switchboard


class Gateway:
    """A Celery app behind HTTP: its tasks, its runs, and who may call them."""

    def __init__(self, switchboard: Switchboard) -> None:
        self.switchboard = switchboard
        self.settings = switchboard.settings
        self.access = Access(self.settings)
        self.tasks = Catalogue(switchboard.app, self.settings)
        self.descriptions: dict[Caller, str] = {}  #: ``/openapi.json`` for each caller
        if self.settings.redis_url:
            store = RunStore(self.settings.redis_url, self.settings.keep)
            switchboard.companions.append(store)
            self.runs: Runs = SharedRuns(switchboard, store)
        else:
            self.runs = Runs(switchboard)
