"""The table ``users``, on the database that DATABASE_URL names.

Called by the tasks on the worker's greenlets, and by the executor's in the web process; never on the loop's, since all
of it waits. Under gevent's patch the drivers for MariaDB, MySQL and PostgreSQL let other greenlets run meanwhile, as
they are Python down to the socket. SQLite is not: its whole process stands still for each statement, and for up to 5 s
when another process has locked the file.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import URL, Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.inspection import inspect

DEFAULT_URL = "sqlite:///examples.sqlite3"  # in the folder where the process was started

#: The driver for a URL that names none, as Heroku's do not.
DRIVERS = {
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
    "postgres": "postgresql+pg8000",
    "postgresql": "postgresql+pg8000",
}

#: Options of URLs that these drivers do not know: libpq's, and that of ClearDB's URLs on Heroku.
FOREIGN_OPTIONS = ("sslmode", "channel_binding", "reconnect")

#: Of one process, however many greenlets: web and worker together fit into the 20 of the smallest plans.
CONNECTIONS = 8

#: Seconds for a free connection, and for one answer of the server, after which a connection is taken for lost. Then
#: another is tried, for as long; and both together are within RINGBACK_DEADLINE, so that the client is told.
POOL_TIMEOUT = 15
ANSWER_TIMEOUT = 12

users = Table(
    "users",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("flag", String(32), nullable=False, index=True),
    mysql_charset="utf8mb4",
)

SAMPLE = [
    {"name": "Ada", "flag": "staff"},
    {"name": "Grace", "flag": "staff"},
    {"name": "Alan", "flag": "guest"},
]

#: A row of the table.
User = dict[str, object]


class DatabaseError(Exception):
    """The database is away, has no connection to spare, or cannot do what it was asked to do."""


def users_with(flag: str) -> list[User]:
    """The users that have this flag."""
    with transaction() as connection:
        rows = connection.execute(select(users).where(users.c.flag == flag).order_by(users.c.id))
        return [dict(row) for row in rows.mappings()]


def find_user(user_id: int) -> User | None:
    """The user with this id, if there is one."""
    with transaction() as connection:
        row = connection.execute(select(users).where(users.c.id == user_id)).mappings().first()
        return None if row is None else dict(row)


def add_user(name: str, flag: str) -> User:
    """A new user."""
    with transaction() as connection:
        made = connection.execute(insert(users).values(name=name, flag=flag))
        return {"id": made.inserted_primary_key[0], "name": name, "flag": flag}  # type: ignore[index]


def create_users(engine: Engine) -> None:
    """Make the table, with a few users in it, unless it is there."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":  # where one process at a time comes further than this
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if not inspect(connection).has_table(users.name):
            users.create(connection)
            connection.execute(insert(users), SAMPLE)


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection, whose changes are committed at the end of the block.

    :raises DatabaseError: whatever goes wrong, as the database put it and without the statement.
    """
    try:
        with engine().begin() as connection:
            yield connection
    except (SQLAlchemyError, OSError) as error:  # OSError: what pg8000 meets while it connects
        raise DatabaseError(_reason(error)) from error


@cache
def engine() -> Engine:
    """The engine of this process; made at its first use, which in a prefork worker comes after the fork.

    A SQLite file is filled as well. On a server nobody wants a table that he has not asked for: see ``main``.
    """
    url = _read(os.environ.get("DATABASE_URL") or DEFAULT_URL)
    made = create_engine(
        url.difference_update_query(FOREIGN_OPTIONS),
        connect_args=_connect_args(url),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_pre_ping=True,  # what a restart of the server has cut is replaced before it is used
    )
    if made.dialect.name == "sqlite":
        create_users(made)
    return made


def main() -> None:
    """Make the table on the server that DATABASE_URL names: ``python -m examples.database``."""
    create_users(engine())


def _read(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as error:  # whose text may show the password
        raise DatabaseError("DATABASE_URL is no URL of a database") from error
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _connect_args(url: URL) -> dict[str, object]:
    """What the driver is told beside the URL: how long it may wait, and what it is to do about TLS."""
    if url.drivername.endswith("+pymysql"):
        return {"connect_timeout": 5, "read_timeout": ANSWER_TIMEOUT, "write_timeout": ANSWER_TIMEOUT}
    if url.drivername.endswith("+pg8000"):
        return {"timeout": ANSWER_TIMEOUT, "ssl_context": _tls(str(url.query.get("sslmode")))}
    return {}


def _tls(mode: str) -> ssl.SSLContext | bool | None:
    """What libpq's ``sslmode`` means to pg8000. ``None``: where the server has it, unverified; so Heroku's has it."""
    if mode.startswith("verify"):
        return ssl.create_default_context()
    return {"disable": False, "require": True}.get(mode)


def _reason(error: Exception) -> str:
    told = (getattr(error, "orig", None) or error).args[-1:]  # PyMySQL's first is a number
    return str(told[0]["M"] if told and isinstance(told[0], dict) else "".join(map(str, told)))  # pg8000's is a dict


if __name__ == "__main__":
    main()
