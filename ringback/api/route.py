"""One row of the route table, from which the handlers, ``/openapi.json`` and the list in the docs come. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Route:
    """A path, the handler that answers it, and what each of its methods does.

    :param path: as OpenAPI has it: ``/v1/runs/{id}``.
    :param methods: a short description for each method.
    :param described: whether it is in ``/openapi.json``.
    """

    path: str
    handler: type[Any]
    methods: dict[str, str]
    described: bool = True

    @property
    def pattern(self) -> str:
        """The path as a regular expression for Tornado; a slash at its end may be left out."""
        parts = re.split(r"\{\w+\}", self.path)
        pattern = "([^/]+)".join(map(re.escape, parts))
        return f"{pattern}?" if pattern.endswith("/") and self.path != "/" else pattern

    @property
    def first_segment(self) -> str:
        """The path up to its second slash."""
        return "/" + self.path.split("/")[1]
