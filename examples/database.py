"""The table ``users``, on the database that DATABASE_URL names.

The tasks call this on the worker's greenlets, and the executor on its greenlets in the web process. The loop's greenlet
must not call it, since every function waits. Under gevent's patch the drivers for MariaDB, MySQL and PostgreSQL let
other greenlets run meanwhile, because they are Python down to the socket. SQLite blocks its whole process during each
statement, and for up to 5 s when another process has locked the file.
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

#: The driver for a URL that names none, such as Heroku's.
DRIVERS = {
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
    "postgres": "postgresql+pg8000",
    "postgresql": "postgresql+pg8000",
}

#: URL options that these drivers do not know: libpq's, and ``reconnect`` of ClearDB on Heroku.
FOREIGN_OPTIONS = ("sslmode", "channel_binding", "reconnect")

#: Connections of one process, for all its greenlets: web and worker together fit into the 20 of the smallest plans.
CONNECTIONS = 8

#: Seconds until a connection must be free, and until the server must answer. A connection without an answer counts as
#: lost, and another one is tried for as long; both together are within RINGBACK_DEADLINE, so the client gets the error.
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
    """The database is unreachable, has no free connection, or cannot run the statement."""


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
    """Create the table with a few users, unless it exists."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":  # lets one process at a time past this line
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if not inspect(connection).has_table(users.name):
            users.create(connection)
            connection.execute(insert(users), SAMPLE)


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection, whose changes are committed at the end of the block.

    :raises DatabaseError: any error of the database, with its message but without the statement.
    """
    try:
        with engine().begin() as connection:
            yield connection
    except (SQLAlchemyError, OSError) as error:  # OSError: pg8000 raises it while it connects
        raise DatabaseError(_reason(error)) from error


@cache
def engine() -> Engine:
    """The engine of this process; made at its first use, which in a prefork worker comes after the fork.

    A SQLite file gets its table here. On a server the table is created only on request: see ``main``.
    """
    url = _read(os.environ.get("DATABASE_URL") or DEFAULT_URL)
    made = create_engine(
        url.difference_update_query(FOREIGN_OPTIONS),
        connect_args=_connect_args(url),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_pre_ping=True,  # a connection lost by the server's restart is replaced before it is used
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
    """The driver's arguments in addition to the URL: its time-outs and its TLS."""
    if url.drivername.endswith("+pymysql"):
        return {"connect_timeout": 5, "read_timeout": ANSWER_TIMEOUT, "write_timeout": ANSWER_TIMEOUT}
    if url.drivername.endswith("+pg8000"):
        return {"timeout": ANSWER_TIMEOUT, "ssl_context": _tls(str(url.query.get("sslmode")))}
    return {}


def _tls(mode: str) -> ssl.SSLContext | bool | None:
    """libpq's ``sslmode`` as pg8000's argument. ``None`` uses TLS if the server offers it, unverified, as on Heroku."""
    if mode.startswith("verify"):
        return ssl.create_default_context()
    return {"disable": False, "require": True}.get(mode)


def _reason(error: Exception) -> str:
    told = (getattr(error, "orig", None) or error).args[-1:]  # PyMySQL's first is a number
    return str(told[0]["M"] if told and isinstance(told[0], dict) else "".join(map(str, told)))  # pg8000's is a dict


if __name__ == "__main__":
    main()
