"""Handlers for rows of a database: through tasks, and for short work on an executor. On the loop's greenlet."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from tornado.concurrent import run_on_executor
from tornado.web import HTTPError

import ringback
from examples import database, tasks
from examples.greenlet_executor import GreenletExecutor
from ringback import RequestHandler, asynchronous
from ringback.api.json_body import read_json
from ringback.errors import UnsupportedMediaType

T = TypeVar("T")

#: Text that every database accepts; PostgreSQL accepts no NUL.
TEXT = r"^[^\x00]*$"


class NewUser(BaseModel):
    """The body of ``POST /executor/resource``; the lengths are those of the table's columns."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=TEXT)]
    flag: Annotated[str, Field(min_length=1, max_length=32, pattern=TEXT)]


class MysqlQuery(RequestHandler):
    """``GET /mysql_query/<flag>``: the users with this flag, with callbacks."""

    @asynchronous
    def get(self, flag: str) -> None:
        tasks.query_users.delay(flag).then(self.on_users)

    def on_users(self, call: ringback.Call) -> None:
        self.finish({"users": call.result})


class GenMysqlQuery(RequestHandler):
    """``GET /gen_mysql_query/<flag>``: the same as a coroutine."""

    async def get(self, flag: str) -> None:
        self.write({"users": await ringback.call(tasks.query_users, flag)})


class Resource(RequestHandler):
    """``GET /resource/<id>``: one user, through a task."""

    async def get(self, user_id: str) -> None:
        self.write(found(await ringback.call(tasks.db_operation, int(user_id)), user_id))


class OnExecutor(RequestHandler):
    """Runs short queries in the web process, on its own connections, without a worker."""

    executor = GreenletExecutor(at_once=database.CONNECTIONS, waiting=1000)

    @run_on_executor
    def find(self, user_id: int) -> database.User | None:
        return database.find_user(user_id)

    @run_on_executor
    def add(self, name: str, flag: str) -> database.User:
        return database.add_user(name, flag)


class ExecutorResource(OnExecutor):
    """``GET /executor/resource/<id>``: one user."""

    async def get(self, user_id: str) -> None:
        self.write(found(await available(self.find(int(user_id))), user_id))


class ExecutorResources(OnExecutor):
    """``POST /executor/resource``: a new user."""

    async def post(self) -> None:
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise UnsupportedMediaType("a JSON body is needed: curl -H 'Content-Type: application/json' -d '{}'")
        new = read_json(self.request.body, NewUser)
        user = await available(self.add(new.name, new.flag))
        self.set_status(201)
        self.set_header("Location", f"/executor/resource/{user['id']}")
        self.write(user)


def found(user: database.User | None, user_id: str) -> database.User:
    """Return the user, or answer 404.

    :raises HTTPError: 404, there is no such user.
    """
    if user is None:
        raise HTTPError(404, reason=f"There is no user {user_id}")
    return user


async def available(work: Awaitable[T]) -> T:
    """Await work with the database, and return its result.

    :raises Refused: 503, the database is not available.
    """
    try:
        return await work
    except database.DatabaseError as error:
        raise ringback.Refused(f"the database: {error}") from error
