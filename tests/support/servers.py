"""Private RabbitMQ and Redis servers for the tests.

Each is a real server with ports and a data folder of its own, reads no configuration of the
machine, and ends with the test process, also if that is killed. Blocking code, for plain threads.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from waiting import until

TIMEOUT = 60  # seconds; a node boots in about 4 and stops in 1, but not on a busy CI machine

# Debian's /usr/sbin/rabbitmq-server changes the user when root runs it; the script that it wraps
# does not, so that one comes first.
PATH = f"/usr/lib/rabbitmq/bin:{os.environ['PATH']}:/usr/sbin:/opt/homebrew/sbin:/opt/homebrew/bin"
PATH = ":".join([PATH, *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])  # Debian installs it here

# AMQP 0-9-1, 4.2.2 and 1.4.2.1: the server answers the header with Connection.Start, a method
# frame on channel 0; after the 7 octets of frame come class 10 and method 10.
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
AMQP_START = b"\x00\x0a\x00\x0a"
EPMD_NAMES = b"\x00\x01n"  # NAMES_REQ of the Erlang distribution protocol


class MissingServer(Exception):
    """A server's program is not installed; the message says how to install it."""


class ServerError(Exception):
    """A server did not start, or a control command failed; the message shows the output."""


def free_port() -> int:
    """Return a free loopback port, below those of outgoing connections (32768 on Linux and up).

    So no client takes a stopped server's port, and a client that retries this port cannot connect to itself.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Child(subprocess.Popen[bytes]):
    """A process in a separate process group, which ends with the test process."""

    def __init__(self, command: Sequence[str], env: dict[str, str], log: Path, cwd: Path | None = None) -> None:
        with log.open("ab") as out:
            super().__init__(command, env=env, cwd=cwd, stdout=out, stderr=out, start_new_session=True)
        # The pipe closes when the test process ends, by SIGKILL too, which atexit would miss.
        watch = ["sh", "-c", 'exec >&- 2>&-; read _; kill -s KILL -- "-$0"', str(self.pid)]
        self._guard = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)

    def end(self, how: signal.Signals) -> None:
        """Send a signal, wait for the end, and kill the rest of the group."""
        self.send_signal(how)
        try:
            self.wait(TIMEOUT)
        finally:
            # macOS answers EPERM, not ESRCH, for a group of which only zombies are left.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait()
            with self._guard:
                self._guard.kill()


class Server:
    """The life cycle of each server; a context that starts one, ends it and removes its data."""

    def __init__(self) -> None:
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="ringback-"))
        self._env = {"PATH": PATH, "HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        self._children: list[Child] = []  # the server itself is the last one
        atexit.register(self.close)

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The processes that `stop` and `kill` end; the server itself is the last one."""
        return [child.pid for child in self._children]

    @property
    def running(self) -> bool:
        return bool(self._children) and self._children[-1].poll() is None

    @property
    def log(self) -> str:
        """The server's output, over all its starts."""
        return (self.home / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers clients."""
        if not self.running:
            self.kill()  # cleans up after a server that ended by itself
            self._launch()

    def stop(self) -> None:
        """Stop the server in the regular way; port and data stay for the next start."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once by SIGKILL; port and data stay for the next start."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it again, on the same port and with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)
        atexit.unregister(self.close)

    def _launch(self) -> None:
        raise NotImplementedError

    def _end(self, how: signal.Signals) -> None:
        while self._children:
            self._children.pop().end(how)

    def _spawn(self, command: list[str], ready: Callable[[], bool]) -> None:
        self._children.append(Child(command, self._env, self.home / "log"))
        with suppress(AssertionError):  # ServerError below shows more
            until(lambda: ready() or not self.running, limit=TIMEOUT)
        if not (self.running and ready()):
            self.kill()
            raise ServerError(f"{command[0]} did not start:\n{self.log[-3000:]}")


class Redis(Server):
    """A private Redis, which writes every change to disk before it answers.

    :param options: more of its command line.
    """

    def __init__(self, *options: str) -> None:
        self._program = find("redis-server", "redis-server", "redis")
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options

    def _launch(self) -> None:
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync always"
        command = [self._program, *options.split(), "--save", "", "--dir", str(self.home), *self._options]
        self._spawn(command, lambda: answer(self.port, b"PING\r\n", 5) in (b"+PONG", b"-NOAU"))


class SentinelRedis:
    """A Redis with a replica, and three sentinels that make the replica the master when the master is gone.

    Both want a password.
    """

    MASTER = "mymaster"
    PASSWORD = ("--requirepass", "pw", "--masterauth", "pw")

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> SentinelRedis:
        with ExitStack() as stack:
            self.master = stack.enter_context(Redis(*self.PASSWORD))
            replica_of = ("--replicaof", "127.0.0.1", str(self.master.port))
            self.replica = stack.enter_context(Redis(*self.PASSWORD, *replica_of))
            self.sentinels = [stack.enter_context(Sentinel(self.MASTER, self.master.port)) for _ in range(3)]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return ";".join(f"sentinel://:pw@127.0.0.1:{sentinel.port}/0" for sentinel in self.sentinels)


class Sentinel(Server):
    """One of those that watch a master. It answers clients once it knows the replica and two others."""

    def __init__(self, master: str, port: int) -> None:
        self._program = find("redis-server", "redis-server", "redis")
        super().__init__()
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor {master} 127.0.0.1 {port} 2",
            f"sentinel auth-pass {master} pw",
            f"sentinel down-after-milliseconds {master} 1000",
            f"sentinel failover-timeout {master} 4000",
        )
        (self.home / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _launch(self) -> None:
        command = [self._program, str(self.home / "sentinel.conf"), "--sentinel"]
        self._spawn(command, lambda: answer(self.port, b"PING\r\n", 5) == b"+PONG")


class RabbitMQ(Server):
    """A private RabbitMQ node without plugins, and the epmd that keeps its Erlang name.

    :param config: lines of its ``rabbitmq.conf``.
    """

    def __init__(self, *config: str) -> None:
        self._program = find("rabbitmq-server", "rabbitmq-server", "rabbitmq")
        self._ctl = find("rabbitmqctl", "rabbitmq-server", "rabbitmq")
        super().__init__()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.epmd_port = free_port()
        self._env |= self._settings()
        if config:
            file = self.home / "rabbitmq.conf"
            file.write_text("\n".join(config) + "\n")
            self._env["RABBITMQ_CONFIG_FILE"] = str(file)
            # How often it looks whether a message is held for too long, in ms; rabbitmq.conf has no name for it.
            self._env["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-rabbit channel_tick_interval 1000"

    def ctl(self, *args: str) -> str:
        """Run rabbitmqctl (about a second); return what it prints, or raise `ServerError`."""
        call = [self._ctl, *args]
        done = subprocess.run(call, env=self._env, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode:
            raise ServerError(f"rabbitmqctl {args}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def queues(self) -> dict[str, dict[str, int]]:
        """Return the counts of `messages` and `consumers` by the queue's name."""
        rows = self._list("list_queues", "name", "messages", "consumers")
        return {row.pop("name"): row for row in rows}

    def quorum_queues(self) -> dict[str, dict[str, Any]]:
        """Return each quorum queue's `leader`, and the nodes that are `online` for it."""
        rows = self._list("list_queues", "name", "type", "leader", "online")
        return {row["name"]: row for row in rows if row["type"] == "quorum"}

    def connections(self) -> int:
        """Return how many client connections the node holds."""
        return len(self._list("list_connections", "pid"))

    def _list(self, *args: str) -> Any:
        return json.loads(self.ctl("-q", *args, "--formatter=json"))

    def _launch(self) -> None:
        self._launch_epmd()
        self._launch_node()

    def _launch_epmd(self) -> None:
        epmd = [find("epmd", "rabbitmq-server", "rabbitmq"), "-port", str(self.epmd_port), "-address", "127.0.0.1"]
        self._spawn(epmd, lambda: answer(self.epmd_port, EPMD_NAMES, 4) != b"")

    def _launch_node(self) -> None:
        self._spawn([self._program], lambda: answer(self.port, AMQP_HEADER, 11)[7:] == AMQP_START)

    def _settings(self) -> dict[str, str]:
        files = "CONF_ENV_FILE CONFIG_FILE CONFIG_FILES ADVANCED_CONFIG_FILE ENABLED_PLUGINS_FILE"
        return {f"RABBITMQ_{name}": f"{self.home}/none" for name in files.split()} | {
            "RABBITMQ_NODENAME": f"ringback-{os.getpid()}-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{self.home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self.home}/logs",
            "RABBITMQ_LOGS": "-",  # to the one log file, which errors quote
            "RUNNING_UNDER_SYSTEMD": "true",  # the script replaces itself with the node
            "ERL_EPMD_PORT": str(self.epmd_port),
            # One scheduler saves CPU time; without a running epmd, Erlang would start one and leave it behind.
            "ERL_FLAGS": "+S 1:1 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }


def find(program: str, debian: str, brew: str) -> str:
    """Return the path of a server's program, or raise `MissingServer` with the packages to install."""
    if path := shutil.which(program, path=PATH):
        return path
    raise MissingServer(f"{program}: apt-get install {debian}, brew install {brew}")


def answer(port: int, question: bytes, size: int) -> bytes:
    """Return the first octets that a server answers, or none while it does not."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
        client.sendall(question)
        return client.makefile("rb").read(size)
    return b""


S = TypeVar("S", bound=Server)
T = TypeVar("T")  # a server, or a cluster of them


def need(server: Callable[[], T]) -> T:
    """Return an unstarted server; if it is not installed, skip the test, or fail it on CI."""
    try:
        return server()
    except MissingServer as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
