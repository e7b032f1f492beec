"""What a caller wants done, as the HTTP interface has understood it. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid4, uuid5

if TYPE_CHECKING:
    from ringback.runs.canvas import Step


@dataclass
class Submission:
    """What a caller wants done."""

    caller: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)  #: for Celery's ``apply_async``
    headers: dict[str, str] = field(default_factory=dict)  #: of the message
    key: str | None = None  #: repeated orders with one key are one run
    id: str | None = None  #: the run's, if the caller chooses it
    cancel_after: float | None = None  #: seconds after which the run is dropped
    canvas: Step | None = None  #: what it is made of, if of more than one task

    @property
    def run_id(self) -> str:
        """The id of its run. One with a key has the same in every process, so the key needs no table of its own."""
        if self.id is not None:
            return self.id
        if self.key is None:
            return str(uuid4())
        return str(uuid5(NAMESPACE_OID, json.dumps([self.caller, self.task, self.key])))

    @property
    def may_be_repeated(self) -> bool:
        """Whether another order can mean the same run."""
        return self.id is not None or self.key is not None

    @property
    def fingerprint(self) -> str:
        """Equal for orders of the same thing, if they can mean the same run."""
        if not self.may_be_repeated:
            return ""
        payload = [self.task, self.args, self.kwargs, self.options, self.cancel_after]
        return hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def delay(self) -> float:
        """Seconds before which no worker may start it."""
        eta = self.options.get("eta")
        if eta is not None:
            return max(0.0, float((eta - datetime.now(timezone.utc)).total_seconds()))
        return float(self.options.get("countdown") or 0)
