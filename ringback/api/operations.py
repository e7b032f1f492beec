"""``/livez``, ``/readyz`` and ``/metrics``: for whoever runs the process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ringback.api.gateway import Gateway
from ringback.api.handler import ApiHandler
from ringback.errors import BrokerUnavailable
from ringback.web.handlers import HeldRequest

#: Prometheus' text format, which every version of it reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Alive(ApiHandler):
    """``GET /livez``: the loop runs."""

    open_to_all = True

    def get(self) -> None:
        """Say so."""
        self.answer('{"status": "alive"}')


class Ready(ApiHandler):
    """``GET /readyz``: a call that is made now is published, and its result comes back."""

    open_to_all = True

    def get(self) -> None:
        """Say so.

        :raises Refused: why not.
        """
        self.gateway.switchboard.admit()
        self.answer('{"status": "ready"}')


class Queues(ApiHandler):
    """``GET /v1/queues``: how many tasks wait, and how many workers there are."""

    def get(self) -> None:
        """List them.

        :raises BrokerUnavailable: the broker cannot be asked for now.
        """
        depths = self.gateway.switchboard.queues.depths()
        self.answer(json.dumps({"queues": [{"name": name, **asdict(depth)} for name, depth in depths.items()]}))


class Metrics(ApiHandler):
    """``GET /metrics``: for Prometheus."""

    def get(self) -> None:
        """Tell them all."""
        registry = CollectorRegistry()
        registry.register(GatewayCollector(self.gateway))
        self.set_header("Content-Type", CONTENT_TYPE)
        self.write(generate_latest(registry))


class GatewayCollector:
    """What Prometheus is told of a gateway, read when it asks."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        gateway, switchboard = self._gateway, self._gateway.switchboard
        yield GaugeMetricFamily("ringback_held_requests", "Requests that wait for their answer.", HeldRequest.held())
        yield GaugeMetricFamily("ringback_waited_calls", "Calls whose result is waited for.", len(switchboard.ledger))
        yield GaugeMetricFamily("ringback_outbox_messages", "Messages not yet sent.", len(switchboard.outbox))
        yield GaugeMetricFamily(
            "ringback_unconfirmed_messages", "Messages not yet confirmed.", switchboard.outbox.in_flight
        )
        yield GaugeMetricFamily("ringback_runs", "Runs that are known, ended or not.", len(gateway.runs))
        yield from self._queues()
        ended = CounterMetricFamily("ringback_runs_ended", "Runs that have ended.", labels=["task", "state"])
        for (task, state), count in gateway.runs.counts.items():
            ended.add_metric([task, state], count)
        yield ended

    def _queues(self) -> Iterator[Metric]:
        """How full they are, while the broker can be asked: an old number would mislead who scales by it."""
        messages = GaugeMetricFamily("ringback_queue_messages", "Tasks that wait for a worker.", labels=["queue"])
        consumers = GaugeMetricFamily("ringback_queue_consumers", "Workers that take from a queue.", labels=["queue"])
        with suppress(BrokerUnavailable):
            for name, depth in self._gateway.switchboard.queues.depths().items():
                messages.add_metric([name], depth.messages)
                if depth.consumers is not None:
                    consumers.add_metric([name], depth.consumers)
        yield messages
        yield consumers
