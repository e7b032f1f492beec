"""Write ``docs/settings.md`` from the table of settings in ``ringback/settings/``."""

from __future__ import annotations

import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from ringback.settings import OTHER_VARIABLES, Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """# Settings

Environment variables, all optional. A value that cannot be used stops the start, with a message that names the
variable. This page is written by `make docs` from `ringback/settings/`.

"""


def page() -> str:
    """The text of the page."""
    ours = [row(each) for each in fields(Settings) if "variable" in each.metadata]
    others = [f"| `{name}` | {default} | {meaning} |" for name, (default, meaning) in OTHER_VARIABLES.items()]
    return (
        f"{HEAD}## The gateway\n\n{table(ours)}\n"
        f"## Broker, results, and the template's processes\n\n{table(others)}\n"
        "A Celery app of your own has its broker, result backend and queues in its own configuration; without\n"
        "`--app`, and in the template, these variables name them.\n"
    )


def row(each: Field[Any]) -> str:
    """The table row of one setting."""
    return f"| `{each.metadata['variable']}` | {shown(each)} | {each.metadata['reason']} |"


def shown(each: Field[Any]) -> str:
    """A setting's default, as a user would write it."""
    value = each.default if each.default is not MISSING else ""
    if not isinstance(value, bool) and value in ((), None, "", 0):
        return ""
    if isinstance(value, bool | float):
        return f"{value:g}"
    return f"`{value}`" if isinstance(value, str) else str(value)


def table(rows: list[str]) -> str:
    """A Markdown table of variables."""
    return "\n".join(["| variable | default | |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit("docs/settings.md is stale: make docs" if PAGE.read_text() != page() else 0)
    PAGE.write_text(page())
