"""The tasks that may be called over HTTP, and what is known of each. Runs on the loop's greenlet."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any

from celery import Celery, Task

from ringback.api.arguments import Arguments
from ringback.errors import Forbidden, UnknownTask
from ringback.settings import Settings
from ringback.web import Caller, matches


class KnownTask:
    """A task, known by its code or by its name alone.

    :param task: its code, if the Celery app has it.
    """

    def __init__(self, name: str, task: Task | None) -> None:
        self.name, self._task = name, task

    @cached_property
    def arguments(self) -> Arguments | None:
        """The arguments that it takes, if its code is here."""
        return Arguments(self._task.run) if self._task is not None else None

    @property
    def doc(self) -> str:
        """The docstring of the task; empty if its code is not here."""
        return inspect.getdoc(self._task.run) or "" if self._task is not None else ""

    @cached_property
    def description(self) -> dict[str, Any]:
        """Name, signature, docstring and schema, as callers read them."""
        known = self.arguments
        signature = f"{self.name}{known.signature}" if known else None
        return {"name": self.name, "signature": signature, "doc": self.doc, "schema": known.schema() if known else None}

    @property
    def ignores_result(self) -> bool:
        """Whether it stores no result."""
        return bool(self._task is not None and self._task.ignore_result)

    def check(self, args: list[Any], kwargs: dict[str, Any], before: int = 0) -> None:
        """Check the arguments of a call.

        :param before: so many arguments come before these, and are not known yet.
        :raises BadArguments: they do not fit.
        """
        if self.arguments is not None:
            self.arguments.check(args, kwargs, before)


class TaskCatalogue:
    """The exposed tasks: those of the app, or those that RINGBACK_TASKS names, and never ``celery.*``."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._known: dict[str, KnownTask] = {}

    def all(self, caller: Caller) -> list[KnownTask]:
        """List the tasks that this caller may call, sorted by name. Tasks known only by a pattern are not listed."""
        names = {*self._app.tasks, *(name for name in self._settings.tasks or () if not set("*?[") & set(name))}
        return [self._get(name) for name in sorted(names) if self._exposed(name) and caller.may_call(name)]

    def find(self, caller: Caller, name: str) -> KnownTask:
        """Find a task by its name.

        :raises UnknownTask: there is none, or it is not exposed.
        :raises Forbidden: the caller may not call it.
        """
        if not self._exposed(name):
            raise UnknownTask(f"there is no task {name!r} here; GET /v1/tasks lists them")
        if not caller.may_call(name):
            raise Forbidden(f"this token may not call {name!r}")
        return self._get(name)

    def _exposed(self, name: str) -> bool:
        if name.startswith("celery."):
            return False
        return name in self._app.tasks if self._settings.tasks is None else matches(name, self._settings.tasks)

    def _get(self, name: str) -> KnownTask:
        task = self._app.tasks.get(name)
        if task is None:
            return KnownTask(name, None)
        return self._known.setdefault(name, KnownTask(name, task))
