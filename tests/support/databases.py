"""Private MariaDB and PostgreSQL servers for the tests, started as in ``servers``, with the examples' table."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from examples.database import create_users
from servers import PATH, Server, ServerError, answer, find

#: PostgreSQL does not run as root.
UNPRIVILEGED = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


class Database(Server):
    """A database server with the examples' table."""

    url: str  #: the URL in the form that Heroku and its add-ons set
    driver: str  #: the URL's scheme with the driver
    lock: str  #: a statement that locks the table for other connections

    def start(self) -> None:
        """Start the server unless it runs, and create the table unless it exists."""
        super().start()
        create_users(self.engine())

    def engine(self) -> Engine:
        """An engine for the test's own statements."""
        url = re.sub(r"^\w+:(.*)\?.*", rf"{self.driver}:\1", self.url)
        return create_engine(url, poolclass=NullPool)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the table for other connections during this block."""
        with self.engine().begin() as connection:
            connection.execute(text(self.lock))
            yield

    def _prepare(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, cwd=self.home, check=False)
        if done.returncode:
            raise ServerError(f"{command[0]}:\n{done.stdout}{done.stderr}")


class MariaDB(Database):
    """A private MariaDB."""

    driver = "mysql+pymysql"
    lock = "LOCK TABLES users WRITE"

    def __init__(self) -> None:
        packages = ("mariadb-server", "mariadb")
        self._program, self._install = find("mariadbd", *packages), find("mariadb-install-db", *packages)
        super().__init__()
        self.url = f"mysql://root@127.0.0.1:{self.port}/test?reconnect=true"

    def _launch(self) -> None:
        data = self.home / "data"
        user = ["--user=root"] if os.getuid() == 0 else []
        if not data.exists():
            options = ["--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *user]
            self._prepare([self._install, *options])
        options = ["--no-defaults", f"--datadir={data}", f"--socket={self.home}/socket", f"--port={self.port}", *user]
        options += ["--bind-address=127.0.0.1", f"--pid-file={self.home}/pid", "--innodb-buffer-pool-size=16M"]
        # The server's first packet begins, after a header of 4 octets, with the protocol's version, 10.
        self._spawn([self._program, *options], lambda: answer(self.port, b"", 5)[4:] == b"\x0a")


class PostgreSQL(Database):
    """A private PostgreSQL."""

    driver = "postgresql+pg8000"
    lock = "LOCK TABLE users"

    def __init__(self) -> None:
        packages = ("postgresql", "postgresql")
        self._program, self._initdb = find("postgres", *packages), find("initdb", *packages)
        super().__init__()
        self.url = f"postgres://ringback@127.0.0.1:{self.port}/postgres?sslmode=prefer"

    def stop(self) -> None:
        """End the server and its clients' connections; on SIGTERM it would wait for these."""
        self._end(signal.SIGINT)

    def _launch(self) -> None:
        data, become = self.home / "data", []
        if os.getuid() == 0:
            shutil.chown(self.home, "nobody", "nogroup")
            become = UNPRIVILEGED
        if not data.exists():
            self._prepare([*become, self._initdb, "-D", str(data), "-U", "ringback", "--auth=trust", "--no-sync"])
        options = ["-D", str(data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", str(self.home)]
        self._spawn([*become, self._program, *options], self._is_ready)

    def _is_ready(self) -> bool:
        ask = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, env={"PATH": PATH}, check=False).returncode == 0
