"""Ringback's targets as data, and whether the results reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import CONTENDERS, RELAY

Results = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A figure with its limit: at most, or at least.

    :param value: reads the figure from the results; raises `KeyError` if it was not measured.
    """

    name: str
    value: Callable[[Results], float]
    limit: float
    at_most: bool = True

    def judge(self, results: Results) -> dict[str, Any]:
        """The figure, the limit and the verdict; no verdict without a figure."""
        about = {"name": self.name, "limit": self.limit, "at_most": self.at_most}
        try:
            value = self.value(results)
        except KeyError:
            return {**about, "value": None, "passed": None}
        return {**about, "value": value, "passed": value <= self.limit if self.at_most else value >= self.limit}


def to_floor(name: str) -> Callable[[Results], float]:
    """A contender's CPU time in the web process, divided by the floor."""
    return lambda results: float(results["contenders"][name]["to_floor"])


def to_rate(*names: str) -> Callable[[Results], float]:
    """The callback's requests a second, divided by those of the best of these contenders."""

    def ratio(results: Results) -> float:
        rates = {name: figures["rate"] for name, figures in results["contenders"].items()}
        return float(rates["callback"] / max(rates[name] for name in names if name in rates))

    return ratio


def to_bare(results: Results) -> float:
    """The relay's median at a tenth of the load, divided by a bare client's."""
    return float(results["light"]["p50"] / results["light"]["bare_p50"])


def on_redis(name: str, figure: str, by: str = "") -> Callable[[Results], float]:
    """A figure of a contender on Redis, divided by the same of another one."""

    def value(results: Results) -> float:
        contenders = results["redis"]["contenders"]
        return float(contenders[name][figure] / (contenders[by][figure] if by else 1))

    return value


def redis_workers(results: Results) -> float:
    """The CPU time of the project's worker for a task on Redis, divided by that of one with Celery's defaults."""
    spent = results["redis"]["workers"]
    return float(spent["ours"] / spent["default"])


OTHERS = [contender.name for contender in CONTENDERS if contender.group == RELAY and not contender.ours]

ON_REDIS = [
    Target("Redis for both: requests/s, by arq", on_redis("redis-callback", "rate", "redis-arq"), 1.3, at_most=False),
    Target("Redis for both: p99, by arq's", on_redis("redis-callback", "p99", "redis-arq"), 1),
    Target("Redis for both: web CPU of `POST /`, by the floor", on_redis("redis-callback", "to_floor"), 1.6),
    Target("Redis for both: worker CPU, by Celery's defaults", redis_workers, 0.6),
    Target("results in Redis: web CPU of `POST /`, by the floor", on_redis("results-callback", "to_floor"), 1.5),
]

TARGETS = [
    Target("web CPU of `POST /`, by the floor", to_floor("callback"), 1.5),
    Target("web CPU of `POST /v1/tasks/test`, by the floor", to_floor("by-name"), 2.0),
    Target("requests/s, by the best other design", to_rate(*OTHERS), 1.0, at_most=False),
    Target("requests/s, by Celery's `.then`", to_rate("then"), 2.2, at_most=False),
    Target("requests/s, by Celery's `.then` without confirms", to_rate("then-unconfirmed"), 2.2, at_most=False),
    Target("requests/s, 100 connections", lambda r: r["contenders"]["callback"]["rate"], 1900, at_most=False),
    Target("1000 connections: failures", lambda r: r["soak"]["wrong"] + r["soak"]["errors"] + r["soak"]["timeouts"], 0),
    Target("1000 connections: p99 / p50", lambda r: r["soak"]["p99"] / r["soak"]["p50"], 1.5),
    Target("10 000 held: KiB each", lambda r: r["growth"]["10000"]["rss_kib"], 12),
    Target("10 000 held: CPU, by that at 100", lambda r: r["growth"]["10000"]["cpu"] / r["growth"]["100"]["cpu"], 1.15),
    Target("a tenth of the load: p50, ms", lambda r: r["light"]["p50"], 5),
    Target("a tenth of the load: p50, by a bare AMQP client's", to_bare, 2),
    Target("worker CPU, by Celery's defaults", lambda r: r["workers"]["ours"] / r["workers"]["default"], 0.65),
    Target("two web processes, by one", lambda r: r["scaling"]["ratio"], 1.7, at_most=False),
    *ON_REDIS,
]


def judge(results: Results, chosen: Iterable[Target] = TARGETS) -> list[dict[str, Any]]:
    """Judge these targets."""
    return [target.judge(results) for target in chosen]
