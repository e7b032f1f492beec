"""The web process and the worker as a user runs them: separate processes with a separate environment."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from proxy import Proxy
from servers import Child, RabbitMQ, Redis
from waiting import LIMIT, until
from watchman import ALARM

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"

#: Variables of the machine that would change what is tested.
FOREIGN = re.compile(
    r"^(BROKER_URL|CLOUDAMQP_URL|CELERY_BROKER_URL|CELERY_RESULT_BACKEND|REDIS_MASTER|RESULT_BACKEND|REDIS_URL|DATABASE_URL|PORT|TASK_QUEUE|TASK_QUEUE_TYPE|WORKER_CONCURRENCY"
    r"|WORKER_QUEUES|TASK_TIME_LIMIT|WEB_CONCURRENCY|RECORD|RINGBACK_.*|COVERAGE.*|MAKE.*|MFLAGS)$"
)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without the variables above; the project and ``tests/support`` are importable."""
    clean = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    path = os.pathsep.join([str(Path(sys.executable).parent), clean["PATH"]])
    return {**clean, "PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}", "PYTHONUNBUFFERED": "1", **variables}


class Process:
    """A command that runs until the ``with`` block ends; its output goes to a file.

    :param ready: a pattern in its output that shows that it is ready.
    :param patience: seconds until it has to be ready.
    """

    def __init__(
        self, command: Sequence[str], ready: str, cwd: Path = ROOT, patience: float = LIMIT, **variables: str
    ) -> None:
        self._command, self._ready, self._variables = command, ready, variables
        self._cwd, self._patience = cwd, patience
        self._log = Path(tempfile.mkdtemp(prefix="ringback-")) / "log"

    def __enter__(self) -> Process:
        self._process = Child(self._command, environment(**self._variables), self._log, self._cwd)
        self.wait_for(self._ready, self._patience)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(f"--- {' '.join(self._command)}\n{self.output[-6000:]}")
        self._process.end(signal.SIGKILL)
        shutil.rmtree(self._log.parent)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, limit: float = LIMIT) -> re.Match[str]:
        """Wait until the output shows the pattern; fail if the process ends without it."""

        def look() -> str:
            ended = self._process.poll() is not None
            output = self.output
            assert re.search(pattern, output) or not ended, f"{self._command} has ended:\n{output}"
            return output

        found = re.search(pattern, until(look, lambda output: re.search(pattern, output), limit))
        assert found
        return found

    def terminate(self) -> int:
        """Send SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self._process.send_signal(signal.SIGHUP)

    def end(self, how: signal.Signals) -> None:
        """Send a signal, and wait until it has ended."""
        self._process.send_signal(how)
        self.wait()

    def wait(self) -> int:
        """Wait until it has ended by itself; returns the exit code."""
        return self._process.wait(LIMIT)

    def rss(self) -> int:
        """Resident memory, in bytes."""
        return 1024 * int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(self.pid)]))


class Web(Process):
    """``python app.py`` on a free port, or the tests' app with its additional handlers, or another command."""

    def __init__(
        self,
        script: str = "tests/support/misbehaving_app.py",
        flags: Sequence[str] = (),
        command: Sequence[str] = (),
        cwd: Path = ROOT,
        **variables: str,
    ) -> None:
        usual = [sys.executable, script, "--port=0", "--logging=info", *flags]
        super().__init__(command or usual, ready=r"Ringback listens on (\S+)", cwd=cwd, **variables)

    def __enter__(self) -> Web:
        super().__enter__()
        self.url = self.wait_for(self._ready)[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _, waited, where = self.output.partition(ALARM)
        super().__exit__(kind, error, trace)
        assert not waited, where[:6000]


class Worker(Process):
    """A worker with the project's tasks and the tests' tasks, started with the Procfile's flags.

    :param pool: a pool instead of the Procfile's, run without gevent's patch.
    :param ready: a pattern in its output that shows what the test waits for first.
    """

    def __init__(self, name: str = "", pool: str = "", ready: str = r"ready\.", **variables: str) -> None:
        line = (
            procfile()["worker"].replace("-A tasks", "-A misbehaving_tasks")
            + f" --hostname {name or os.urandom(4).hex()}@%h"
        )
        line = line.replace("--loglevel WARNING", "--loglevel INFO")  # the log line that shows that it is ready
        if pool:
            variables.setdefault("WORKER_CONCURRENCY", "4")  # not the 500 of the Procfile, which would be processes
            line = line.replace("gevent.monkey --module ", "").replace("--pool gevent", f"--pool {pool}")
        super().__init__(["sh", "-c", line], ready=ready, **variables)


@contextmanager
def processes(
    broker: RabbitMQ, redis: Redis, count: int, web_broker: str = "", **variables: str
) -> Iterator[list[Web]]:
    """Start this many web processes that share a Redis, and one worker, on a separate task queue.

    :param web_broker: the broker's URL for the web processes, if it is another one.
    """
    servers = {"BROKER_URL": broker.url, "REDIS_URL": redis.url, "RESULT_BACKEND": redis.url}
    shared = {**servers, "TASK_QUEUE": f"shared-{uuid4()}", **variables}
    webs = [Web(**{**shared, "BROKER_URL": web_broker or broker.url}) for _ in range(count)]
    with Worker(**shared):
        for web in webs:
            web.__enter__()
        try:
            yield webs
        finally:
            for web in webs:
                web.__exit__(None, None, None)


def converse(preamble: str, conversation: str, runner: str = "asyncio.run") -> subprocess.CompletedProcess[str]:
    """Run a coroutine in a separate Python process; return the process after it has succeeded.

    :param preamble: statements before the coroutine.
    :param conversation: its body.
    :param runner: what it is run with.
    """
    lines = "\n".join(f"    {line}" for line in conversation.strip().splitlines())
    script = f"{preamble}\nasync def conversation():\n{lines}\n\n{runner}(conversation())\n"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def through_a_proxy(server: RabbitMQ | Redis) -> Iterator[tuple[str, Proxy]]:
    """The server's URL through a proxy, and the proxy."""
    with Proxy("127.0.0.1", server.port) as proxy:
        yield server.url.replace(f":{server.port}", f":{proxy.port}"), proxy


def procfile() -> dict[str, str]:
    """The commands of the Procfile, by their name."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(re.split(r":\s*", line, maxsplit=1) for line in lines if line.strip())
