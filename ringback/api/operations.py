"""``/livez``, ``/readyz``, ``/metrics`` and ``/v1/queues``: for the operator and the autoscaler."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import ClassVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ringback.api.gateway import Gateway
from ringback.api.handler import ApiHandler
from ringback.errors import BrokerUnavailable
from ringback.web import REFUSALS, HeldRequest

#: Prometheus' text format, which every version of it reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Alive(ApiHandler):
    """``GET /livez``: whether the loop runs."""

    open_to_all = True

    def get(self) -> None:
        """Answer 200, since the loop runs this."""
        self.answer('{"status": "alive"}')


class Ready(ApiHandler):
    """``GET /readyz``: whether a call could be published now, and its result come back."""

    open_to_all = True

    def get(self) -> None:
        """Answer 200.

        :raises Refused: the broker or the replies are away, or this process is ending.
        """
        self.gateway.switchboard.check()
        self.answer('{"status": "ready"}')


class Queues(ApiHandler):
    """``GET /v1/queues``: how many tasks wait in each queue, for how many workers, and how long a new one would."""

    scopes: ClassVar[dict[str, str]] = {"GET": "metrics"}

    def get(self) -> None:
        """List them.

        :raises BrokerUnavailable: the broker cannot be asked for now.
        """
        depths = self.gateway.switchboard.depths()
        self.answer(json.dumps({"queues": [{"name": name, **asdict(depth)} for name, depth in depths.items()]}))


class Metrics(ApiHandler):
    """``GET /metrics``: the metrics, in the format of Prometheus."""

    scopes: ClassVar[dict[str, str]] = {"GET": "metrics"}

    def get(self) -> None:
        """Answer with all metrics of this process."""
        registry = CollectorRegistry()
        registry.register(GatewayCollector(self.gateway))
        self.set_header("Content-Type", CONTENT_TYPE)
        self.write(generate_latest(registry))


class GatewayCollector:
    """The metrics of a gateway, read when Prometheus asks."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """Read all metrics of the gateway now."""
        gateway, load = self._gateway, self._gateway.switchboard.load
        yield GaugeMetricFamily("ringback_held_requests", "Requests that wait for their answer.", HeldRequest.held())
        yield GaugeMetricFamily("ringback_waited_calls", "Calls that wait for a result.", load.waiting)
        yield GaugeMetricFamily("ringback_detached_calls", "Those that no client waits for.", load.detached)
        yield GaugeMetricFamily("ringback_delayed_calls", "Those that no worker may start yet.", load.delayed)
        yield GaugeMetricFamily("ringback_outbox_messages", "Messages not yet sent.", load.unsent)
        yield GaugeMetricFamily("ringback_unconfirmed_messages", "Messages not yet confirmed.", load.unconfirmed)
        yield GaugeMetricFamily("ringback_runs", "Runs that are known, ended or not.", len(gateway.runs))
        yield from self._queues()
        ended = CounterMetricFamily("ringback_runs_ended", "Runs that have ended.", labels=["task", "state"])
        for (task, state), count in gateway.runs.ended.counts.items():
            ended.add_metric([task, state], count)
        yield ended
        refused = CounterMetricFamily("ringback_refused", "Refusals with 429 or 503.", labels=["reason", "caller"])
        for labels, count in REFUSALS.items():
            refused.add_metric(labels, count)
        yield refused

    def _queues(self) -> Iterator[Metric]:
        """The depths, while the broker can be asked: an old number would mislead an autoscaler."""
        messages = GaugeMetricFamily("ringback_queue_messages", "Tasks that wait for a worker.", labels=["queue"])
        consumers = GaugeMetricFamily("ringback_queue_consumers", "Workers that take from a queue.", labels=["queue"])
        wait = GaugeMetricFamily(
            "ringback_queue_wait_seconds", "Time until all calls would be answered.", labels=["queue"]
        )
        kept_back = GaugeMetricFamily("ringback_queue_kept_back", "Calls not yet sent to a queue.", labels=["queue"])
        with suppress(BrokerUnavailable):
            for name, depth in self._gateway.switchboard.depths().items():
                wait.add_metric([name], depth.expected_wait)
                kept_back.add_metric([name], depth.kept_back)
                messages.add_metric([name], depth.messages)
                if depth.consumers is not None:
                    consumers.add_metric([name], depth.consumers)
        yield messages
        yield consumers
        yield wait
        yield kept_back
