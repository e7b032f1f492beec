"""The examples' tasks. They run on the greenlets of the worker's pool."""

from __future__ import annotations

import re
import time

from examples import database
from tasks import app

#: Rude words and their endings.
RUDE = re.compile(r"\b(?:bloody|crap|damn|idiot|moron|wank)(?:s|ed|er|ers|ing|y)?\b", re.IGNORECASE)


@app.task(name="task.query_users")
def query_users(flag: str) -> list[database.User]:
    """The users that have this flag."""
    return database.users_with(flag)


@app.task(name="task.db_operation")
def db_operation(user_id: int) -> database.User | None:
    """The user with this id, if there is one."""
    return database.find_user(user_id)


@app.task(name="moderate")
def moderate(text: str) -> str:
    """Moderate a message: strip the blanks around it, and replace the letters of rude words by stars."""
    trimmed = text.strip()
    if not trimmed:
        raise ValueError("there is nothing to read in this message")
    return RUDE.sub(lambda word: "*" * len(word[0]), trimmed)


@app.task(name="job")
def job(job_id: int) -> dict[str, int]:
    """Run a job of one second."""
    time.sleep(1)
    return {"job_id": job_id}


@app.task(name="reply")
def reply(message: dict[str, str]) -> str:
    """The reply to a chat message."""
    return f"You said: {message['Content']}"
