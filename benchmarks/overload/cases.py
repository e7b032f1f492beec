"""What is offered to whom, as data."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.contenders import RINGBACK, Contender, design

#: Seconds that a client waits for its answer.
PATIENCE = 5.0

WHO = [
    Contender("ringback", "Ringback", f"app.py {RINGBACK}", "sleep", ours=True),
    Contender("unlimited", "Ringback, all admitted", f"{design('unlimited')} {RINGBACK}", "sleep"),
    Contender(
        "fastapi",
        "FastAPI, sync get()",
        "-m uvicorn benchmarks.designs.fastapi_get:app --port {port} --log-level warning --no-access-log",
        "sleep",
        environment="fastapi",
    ),
]


@dataclass(frozen=True)
class Case:
    """Requests that come whether or not others are answered, each on a connection of its own.

    :param slots: tasks that the worker does at once.
    :param tasks: seconds that the tasks take; each request asks for one of these, in turn.
    :param times: the offered load, by what the slots can do.
    :param api: whether ``/v1/tasks`` is asked, and not a handler.
    :param processes: web processes that share the load.
    :param stopped: from when to when the worker stands still, in seconds from the start.
    :param gone: when half of the slots go, which are those of a second worker.
    :param queues: queues that the load goes to in turn, all of which the worker serves.
    :param beside: what another client offers, from an address of its own, by what the slots can do.
    :param asynchronous: whether the first client does not wait for its results.
    :param redis: whether Redis is the broker, and has the results.
    :param hogs: busy programs with which the web process shares a processor.
    """

    name: str
    slots: int
    tasks: tuple[float, ...]
    times: float = 2.0
    api: bool = False
    processes: int = 1
    stopped: tuple[float, float] | None = None
    gone: float | None = None
    queues: int = 1
    beside: float = 0.0
    asynchronous: bool = False
    redis: bool = False
    hogs: int = 0
    against: tuple[str, ...] = ("ringback",)

    @property
    def capacity(self) -> float:
        """Tasks a second that the slots can do, if nothing but the tasks takes time."""
        return self.slots * len(self.tasks) / sum(self.tasks)

    @property
    def queue_names(self) -> list[str]:
        """The queues; the first one is the app's own."""
        return ["celery", *(f"queue-{number}" for number in range(1, self.queues))]


EVERYBODY = ("ringback", "unlimited", "fastapi")

CASES = [
    Case("100 ms, 5 slots", 5, (0.1,), against=EVERYBODY),
    Case("5 ms, 1 slot", 1, (0.005,)),
    Case("2 s, 100 slots", 100, (2.0,)),
    Case("5 ms, 100 ms and 2 s, 40 slots", 40, (0.005,) * 6 + (0.1,) * 3 + (2.0,)),
    Case("100 ms, /v1/tasks, two web processes", 5, (0.1,), api=True, processes=2),
    Case("100 ms, the worker stands still from 10 to 30 s", 5, (0.1,), stopped=(10.0, 30.0)),
    Case("100 ms, half of the slots go after 15 s", 6, (0.1,), gone=15.0),
    Case("100 ms, five times the capacity", 5, (0.1,), times=5.0),
    Case("100 ms, 20 times, the web process has a seventh of a processor", 5, (0.1,), times=20.0, hogs=6),
    Case("100 ms, three queues", 6, (0.1,), api=True, queues=3),
    Case("100 ms, Redis for both", 5, (0.1,), redis=True),
    Case("100 ms, another offers a tenth", 5, (0.1,), times=5.0, beside=0.1),
    Case("100 ms, not waited for, another offers a tenth", 5, (0.1,), times=5.0, beside=0.1, asynchronous=True),
]
