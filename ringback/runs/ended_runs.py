"""How many runs have ended, by task and state, for the metrics. On the loop's greenlet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ringback.errors import TaskFailed
from ringback.runs.run import Run
from ringback.runs.states import State

#: The most tasks without code here that have a label of their own: each label is a time series in Prometheus.
LABELS_KEPT = 1000

#: The label of tasks that may not exist: their names are their callers' invention.
OTHER = "other"


class EndedRuns:
    """Counts the runs that have ended.

    :param has_code: whether the app has the code of a task of this name.
    """

    def __init__(self, has_code: Callable[[str], bool]) -> None:
        self._has_code = has_code
        self._answered: set[str] = set()
        self.counts: Counter[tuple[str, str]] = Counter()  #: by the label of the task and the state

    def exists(self, task: str) -> bool:
        """Whether there is such a task: its code is here, or a worker has run it."""
        return task in self._answered or self._has_code(task)

    def add(self, run: Run, error: BaseException | None = None) -> None:
        """Count a run that has ended.

        :param error: what its call has ended with, if not with a result.
        """
        if self._is_answered(run, error) and len(self._answered) < LABELS_KEPT:
            self._answered.add(run.task)
        is_known = bool(run.members) or self.exists(run.task)
        self.counts[run.task if is_known else OTHER, run.state.shown] += 1

    def _is_answered(self, run: Run, error: BaseException | None) -> bool:
        """Whether a worker has run the task. One that does not know it says ``NotRegistered``."""
        if run.members:
            return False
        if isinstance(error, TaskFailed):
            return error.exception["class"] != "NotRegistered"
        return run.state is State.SUCCESS
