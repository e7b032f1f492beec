"""The processes that share their runs with this one, as the registry asks them; and what to do where there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.runs.retention import Tombstones
from ringback.runs.run import Run


class Peers(Protocol):
    """What the registry asks of the other processes."""

    take_over: bool  #: whether another process waits for a run when this process ends

    async def look_up(self, key: str) -> Run | None:
        """Find a run that another process has started.

        :raises ForgottenRun: it is no longer kept.
        :raises StoreUnavailable: the others cannot be asked.
        """

    async def claim(self, run: Run, shared: bool) -> bool:
        """Claim a new run for this process; false if another process has it, whose run this one then follows.

        :param shared: whether another process may start the same run.
        :raises StoreUnavailable: the others cannot be asked.
        """

    async def replicated(self, run: Run) -> None:
        """Wait until the other processes know of this run what this one knows."""

    def unfollow(self, run: Run) -> None:
        """Stop to follow a run of another process."""

    def when_unwanted(self, run: Run, drop: Callable[[], object]) -> None:
        """Call ``drop`` if no client of any process waits for the run, or was told to come back for it."""

    def forget(self, run: Run) -> None:
        """Have the others forget a run that was not made after all."""

    async def erase(self, run: Run) -> None:
        """Have the others take away what they know of a run, but for that it existed.

        :raises StoreUnavailable: they cannot be told.
        """

    def has_dropped(self, key: str) -> bool:
        """Whether this process knows that the run existed and is no longer kept."""

    def on_dropped(self, key: str) -> None:
        """This process has dropped a run."""


class NoPeers:
    """There are no other processes."""

    take_over = False

    def __init__(self) -> None:
        self._tombstones = Tombstones()

    async def look_up(self, key: str) -> Run | None:
        """Find nothing: there is no other process."""
        return None

    async def claim(self, run: Run, shared: bool) -> bool:
        """Every run is this process's."""
        return True

    async def replicated(self, run: Run) -> None:
        """There is nothing to wait for."""

    def unfollow(self, run: Run) -> None:
        """There is nothing to stop."""

    def when_unwanted(self, run: Run, drop: Callable[[], object]) -> None:
        """Drop the run if no client here wants it."""
        if not run.clients and not run.detached:
            drop()

    def forget(self, run: Run) -> None:
        """There is nothing to forget."""

    async def erase(self, run: Run) -> None:
        """There is nobody to tell."""

    def has_dropped(self, key: str) -> bool:
        """Whether the run existed and is no longer kept."""
        return key in self._tombstones

    def on_dropped(self, key: str) -> None:
        """Keep a tombstone of the run."""
        self._tombstones.add(key)
