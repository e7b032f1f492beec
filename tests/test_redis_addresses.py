"""A Redis is reached by each of Celery's spellings of its address: for the broker, results, and shared runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from redis import Redis as Admin

from certificates import Authority
from client import Client, call, get, run, statuses
from ringback.errors import BadSetting
from ringback.worker.configuration import _check_transport
from servers import Redis, free_port, need
from stack import Web, Worker

#: Connections of Heroku's smallest plan, less one with which the test looks.
PLAN = 20


class Places:
    """A Redis that listens on a port, over TLS with a certificate of its own authority, and on a socket of the file
    system, and wants a password."""

    def __init__(self, redis: Redis, tls_port: int, authority: Authority, socket: Path) -> None:
        self.redis, self.tls_port, self.authority, self.socket = redis, tls_port, authority, socket

    def address(self, pattern: str) -> str:
        """Fill in what differs from run to run."""
        return pattern.format(port=self.redis.port, tls=self.tls_port, ca=self.authority.file, socket=self.socket)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("redis")
    authority, tls_port, socket = Authority(folder), free_port(), folder / "redis.sock"
    certificate, key = authority.issue("localhost")
    tls = f"--tls-port {tls_port} --tls-auth-clients no --tls-cert-file {certificate} --tls-key-file {key}"
    options = f"{tls} --tls-ca-cert-file {authority.file} --unixsocket {socket} --requirepass pw"
    with need(partial(Redis, *options.split())) as redis:
        yield Places(redis, tls_port, authority, socket)


@pytest.mark.parametrize(
    "pattern",
    [
        "redis://:pw@localhost:{port}",
        "redis://default:pw@127.0.0.1:{port}/3",
        "rediss://:pw@127.0.0.1:{tls}?ssl_cert_reqs=CERT_NONE",
        "rediss://:pw@127.0.0.1:{tls}/0?ssl_cert_reqs=none",
        "rediss://:pw@localhost:{tls}/1?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={ca}",
        "rediss://:pw@localhost:{tls}/1?ssl_ca_certs={ca}",
        "redis+socket://:pw@{socket}",
        "redis+socket://:pw@{socket}?virtual_host=2",
    ],
)
def test_an_address_is_for_the_broker_and_results_and_shared_runs(places: Places, pattern: str) -> None:
    url = places.address(pattern)
    variables = {"BROKER_URL": url, "RESULT_BACKEND": url, "REDIS_URL": url}
    with Worker(**variables) as worker, Web(**variables) as web:
        assert get(web.url, "/add?x=1&y=2").body == "3"
        queued = call(web.url, "add", 1, 2, Prefer="respond-async")
        assert get(web.url, f"{queued.json['links']['self']}?wait=20").json["result"] == 3
        assert get(web.url, "/v1/queues").json["queues"][0]["name"] == "celery"
        assert "pw" not in web.output
        assert "Traceback" not in web.output + worker.output


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "CLOUDAMQP_URL", "BROKER_URL"])
def test_each_variable_for_the_broker_is_for_the_results_of_a_redis_broker_too(redis: Redis, variable: str) -> None:
    variables = {variable: redis.url, "TASK_QUEUE": f"named-{variable}"}
    command = [sys.executable, "-m", "ringback", "--port=0"]
    with Worker(**variables), Web(**variables) as web, Web(command=command, **variables, RINGBACK_TASKS="add") as named:
        assert get(web.url, "/add?x=1&y=2").body == "3"
        assert call(named.url, "add", 1, 2).json["result"] == 3


@pytest.mark.parametrize("url", ["unix://:pw@/tmp/redis.sock", "http://:pw@localhost"])
def test_a_worker_says_which_address_is_no_broker(url: str) -> None:
    with pytest.raises(BadSetting, match="is no broker that kombu knows") as refusal:
        _check_transport(url)
    assert "pw" not in str(refusal.value)


def test_twenty_connections_are_enough_for_a_burst_of_keyed_requests() -> None:
    with need(partial(Redis, "--maxclients", str(PLAN))) as redis:
        variables = {"BROKER_URL": redis.url, "RESULT_BACKEND": redis.url, "REDIS_URL": redis.url}
        with Admin.from_url(redis.url) as admin, Worker(**variables), Web(**variables) as web:

            async def burst() -> None:
                client = Client(web.url)
                asked = [client.call("add", number, 1, Idempotency_Key=f"key-{number}") for number in range(300)]
                answers = await asyncio.gather(*asked)
                assert statuses(answers) == {200}, answers
                assert [answer.json["result"] for answer in answers] == list(range(1, 301))

            run(burst())
            assert len(admin.client_list()) - 1 <= 12  # four of them for runs that are shared
            assert admin.info("stats")["rejected_connections"] == 0
