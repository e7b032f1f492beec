"""What a caller submits, as the HTTP interface has understood and checked it. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from uuid import NAMESPACE_OID, uuid5

from ringback.call_ids import new_call_id
from ringback.runs.canvas import Canvas, TaskCall
from ringback.traffic import NOBODY, Tenant


@dataclass
class Submission:
    """The work that a caller submits, and how its run is identified."""

    caller: str
    call: TaskCall  #: the task; for a canvas, the kind of canvas with its description as the argument
    key: str | None = None  #: submissions with the same key are one run
    chosen_id: str | None = None  #: the run's id, if the caller chooses it
    cancel_after: float | None = None  #: seconds after which the run is dropped
    patience: float | None = None  #: seconds that the caller waits for the result; ``None`` if it asks for it later
    canvas: Canvas | None = None
    tenant: Tenant = NOBODY  #: whose share of everything it takes
    run_id: str = field(init=False)
    call_id: str = field(init=False)  #: of the Celery task, if this is not a repetition

    def __post_init__(self) -> None:
        made = new_call_id()
        self.run_id, self.call_id = self._make_id(made), made

    @property
    def may_be_repeated(self) -> bool:
        """Whether another submission can mean the same run."""
        return self.chosen_id is not None or self.key is not None

    @property
    def fingerprint(self) -> str:
        """Equal for submissions of the same work, if they can mean the same run."""
        if not self.may_be_repeated:
            return ""
        payload = [self.call.task, self.call.args, self.call.kwargs, self.call.options, self.cancel_after]
        return hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()

    def _make_id(self, made: str) -> str:
        """The id of its run. A key gives the same id in every process, so it needs no table, and lives with the run.

        :param made: the id of its Celery task, which is the run's id, too, if the caller has named nothing.
        """
        if self.chosen_id is not None:
            return self.chosen_id
        if self.key is None:
            return made
        return str(uuid5(NAMESPACE_OID, json.dumps([self.caller, self.call.task, self.key])))
