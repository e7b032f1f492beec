"""Requests that are held at once: the cost of each, and its delay after the worker resumes.

The worker is stopped while they arrive, so that all of them are held. An asyncio client sends them on plain sockets.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import statistics
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

from benchmarks import cpu
from benchmarks.contenders import CONTENDERS
from benchmarks.stage import NotMeasured, NotRight, Web, warm, worker
from servers import RabbitMQ

PATH = "/async-sleep"
SLEEP = 3.0  # seconds that its task takes
ANSWER = b"3"
DEADLINE = "180"  # seconds
AT_ONCE = 200  # connections opened at a time, fewer than the listening socket's backlog
FILES = 20_000  # open files of this process and of each that it starts: 10 000 connections and some more


def allow_files() -> None:
    """Raise the limit of open files for this process and the processes that it starts.

    :raises NotMeasured: the limit cannot be raised.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), max(hard, FILES)))
    except (ValueError, OSError) as error:
        raise NotMeasured(f"only {hard} files may be open; ulimit -n {FILES}, or nofile in limits.conf") from error


def measure(broker: RabbitMQ, sizes: dict[int, int]) -> dict[str, dict[str, float]]:
    """Hold each number of requests at once, in its number of waves.

    :param sizes: the number of waves by the number of requests.

    :raises NotRight: an answer was wrong.
    :raises NotMeasured: the limit of open files is too low.
    """
    allow_files()
    with worker(broker, WORKER_CONCURRENCY=str(max(10_000, *sizes))) as process:
        return {str(size): _measure_size(broker, process.pid, size, waves) for size, waves in sizes.items()}


def _measure_size(broker: RabbitMQ, worker_pid: int, size: int, waves: int) -> dict[str, float]:
    with warm(CONTENDERS[0], broker, RINGBACK_DEADLINE=DEADLINE) as web:
        asyncio.run(Wave(web, worker_pid, min(size, 10)).run())  # a first wave, which is not counted
        idle, look = _idle(web), _look(web)
        wave = Wave(web, worker_pid, size)
        rss, began, clock = cpu.resident(web.pid), cpu.spent(web.pid), time.monotonic()
        for _ in range(waves):
            asyncio.run(wave.run())
        spent = cpu.spent(web.pid) - began - idle * (time.monotonic() - clock) - look * wave.looks
        figures = {"cpu": spent / (size * waves), "rss_kib": (wave.rss - rss) / size / 1024}
        p99 = statistics.quantiles(wave.late, n=100)[98]
        print(f"{size} held, {waves} times: CPU {figures['cpu']:.3f} ms each, p99 {p99:.3f} s late", flush=True)
        return {**figures, "p99_over": p99, "p50_over": statistics.median(wave.late), "requests": size * waves}


def _idle(web: Web) -> float:
    """CPU milliseconds a second of a process without requests."""
    began, clock = cpu.spent(web.pid), time.monotonic()
    time.sleep(1.5)
    return (cpu.spent(web.pid) - began) / (time.monotonic() - clock)


def _look(web: Web, times: int = 20) -> float:
    """CPU milliseconds of one read of the gauge."""
    began = cpu.spent(web.pid)
    for _ in range(times):
        held(web)
    return (cpu.spent(web.pid) - began) / times


def held(web: Web) -> int:
    """The number of held requests, by the process's own gauge."""
    with urlopen(f"{web.url}/metrics") as answer:
        found = re.search(rb"^ringback_held_requests (\S+)", answer.read(), re.MULTILINE)
    return int(float(found[1])) if found else 0


class Wave:
    """Requests that are sent while the worker is stopped and answered after it resumes; ``run`` may be repeated.

    :param web: the web process.
    :param worker: the worker's pid.
    :param size: the number of requests.
    """

    def __init__(self, web: Web, worker: int, size: int) -> None:
        self._web, self._worker, self._size = web, worker, size
        self._port = urlsplit(web.url).port
        self._released = 0.0
        self.rss = 0  #: bytes when all were held; the largest of all waves
        self.looks = 0  #: at the gauge
        self.late: list[float] = []  #: seconds over `SLEEP` from the release to each answer

    async def run(self) -> None:
        """Run one wave.

        :raises NotRight: an answer was wrong, or missing.
        """
        self._gate = asyncio.Semaphore(AT_ONCE)
        os.kill(self._worker, signal.SIGSTOP)
        try:
            asking = [asyncio.create_task(self._ask()) for _ in range(self._size)]
            await self._wait_until_held()
            self.rss = max(self.rss, cpu.resident(self._web.pid))
        finally:
            self._released = time.monotonic()
            os.kill(self._worker, signal.SIGCONT)
        self.late += await asyncio.gather(*asking)

    async def _wait_until_held(self) -> None:
        end = time.monotonic() + 60
        while await asyncio.to_thread(held, self._web) < self._size:
            self.looks += 1
            if time.monotonic() > end:
                raise NotRight(f"not all of {self._size} requests are held after a minute")
            await asyncio.sleep(0.05 + self._size / 20_000)  # each read costs the process some CPU
        self.looks += 1

    async def _ask(self) -> float:
        async with self._gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        received = time.monotonic()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or body != ANSWER:
            raise NotRight(f"{PATH}: {answer[:500]!r}")
        return received - self._released - SLEEP
