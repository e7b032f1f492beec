"""Over TLS, the web process and the worker give a password only to the host that the certificate names."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlencode

import kombu
import pytest
from celery import Celery

from certificates import Authority
from client import get
from ringback.broker import Link
from ringback.broker import connect as connect_broker
from ringback.replies.redis import ChannelBackend
from ringback.runs.redis_keys import connect
from ringback.settings import Settings
from ringback.wire import CheckedConnection, check_certificates, redis_tls
from ringback.wire.tls import amqp_tls
from ringback.worker import apply
from ringback.worker.backends import RedisReplies
from servers import RabbitMQ, Redis, free_port, need
from stack import Web, Worker
from waiting import until

#: The certificates are for ``localhost`` and not for its address, which is another name of the same servers.
RIGHT, WRONG = "localhost", "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@contextmanager
def rabbitmq_over_tls(authority: Authority, demand: bool = False) -> Iterator[int]:
    """A private RabbitMQ with a certificate for ``localhost``; gives its TLS port.

    :param demand: whether it takes only clients with a certificate.
    """
    certificate, key = authority.issue(RIGHT)
    port = free_port()
    lines = (
        f"listeners.ssl.default = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {authority.file}",
        f"ssl_options.certfile = {certificate}",
        f"ssl_options.keyfile = {key}",
        f"ssl_options.verify = {'verify_peer' if demand else 'verify_none'}",
        f"ssl_options.fail_if_no_peer_cert = {str(demand).lower()}",
    )
    with need(partial(RabbitMQ, *lines)):
        yield port


@contextmanager
def redis_over_tls(authority: Authority, demand: bool = False) -> Iterator[int]:
    """A private Redis with a certificate for ``localhost``; gives its TLS port."""
    certificate, key = authority.issue(RIGHT)
    port = free_port()
    files = f"--tls-cert-file {certificate} --tls-key-file {key} --tls-ca-cert-file {authority.file}"
    options = f"--tls-port {port} --tls-auth-clients {'yes' if demand else 'no'} {files}"
    with need(partial(Redis, *options.split())):
        yield port


@pytest.fixture(scope="module")
def rabbitmq_port(authority: Authority) -> Iterator[int]:
    with rabbitmq_over_tls(authority) as port:
        yield port


@pytest.fixture(scope="module")
def redis_port(authority: Authority) -> Iterator[int]:
    with redis_over_tls(authority) as port:
        yield port


def addresses(rabbitmq: int, redis: int, host: str, query: str = "", **more: str) -> dict[str, str]:
    """The variables of processes that reach both servers by this host name."""
    result = f"rediss://{host}:{redis}/0{query}"
    broker = f"amqps://guest:guest@{host}:{rabbitmq}//{query}"
    return {"BROKER_URL": broker, "RESULT_BACKEND": result, "REDIS_URL": result, "TASK_QUEUE": "tls", **more}


@pytest.mark.parametrize("backend", ["redis", "rpc"])
def test_the_host_that_a_system_authority_vouches_for_is_used(
    authority: Authority, rabbitmq_port: int, redis_port: int, backend: str
) -> None:
    variables = addresses(rabbitmq_port, redis_port, RIGHT, SSL_CERT_FILE=str(authority.file))
    if backend == "rpc":
        variables["RESULT_BACKEND"] = "rpc://"
    with Worker(**variables), Web(**variables) as web:
        assert get(web.url, "/add?x=1&y=2").body == "3"
        assert get(web.url, "/sleep/1/20").body == "1.0"


def test_another_host_with_a_trusted_certificate_is_refused(
    authority: Authority, rabbitmq_port: int, redis_port: int
) -> None:
    variables = addresses(rabbitmq_port, redis_port, WRONG, SSL_CERT_FILE=str(authority.file))
    mismatch = "certificate is not valid for '127.0.0.1'"

    with Worker(ready=mismatch, **variables) as worker, Web(**variables) as web:
        for purpose in ("publishing", "replies", "reading queue depths", "the lease of shared runs"):
            web.wait_for(f"no connection for {purpose}.*{mismatch}")
        assert get(web.url, "/add?x=1&y=2").status in (503, 504)
        assert "ready." not in worker.output


def test_a_worker_gives_its_results_to_no_other_host(authority: Authority, rabbitmq_port: int, redis_port: int) -> None:
    right = addresses(rabbitmq_port, redis_port, RIGHT, SSL_CERT_FILE=str(authority.file))
    wrong = right["RESULT_BACKEND"].replace(RIGHT, WRONG)

    with Worker(**{**right, "RESULT_BACKEND": wrong}) as worker, Web(**right) as web:
        get(web.url, "/sleep/0/1")
        worker.wait_for("certificate is not valid for '127.0.0.1'")


def test_an_authority_and_a_clients_certificate_are_given_in_the_address(authority: Authority) -> None:
    certificate, key = authority.issue("client")
    own = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key), "ssl_ca_certs": str(authority.file)}
    with rabbitmq_over_tls(authority, demand=True) as rabbitmq, redis_over_tls(authority, demand=True) as redis:
        variables = addresses(rabbitmq, redis, RIGHT, f"?{urlencode(own)}")
        with Worker(**variables), Web(**variables) as web:
            assert get(web.url, "/add?x=1&y=2").body == "3"

        without = addresses(rabbitmq, redis, RIGHT, f"?{urlencode({'ssl_ca_certs': str(authority.file)})}")
        app = Celery(broker=without["BROKER_URL"], set_as_current=False)
        check_certificates(app)
        with pytest.raises(kombu.exceptions.OperationalError):
            connect_broker(app, Settings())


def test_the_projects_own_tls_settings_take_precedence(authority: Authority, rabbitmq_port: int) -> None:
    def link(host: str, **tls: Any) -> Link:
        url = f"amqps://guest:guest@{host}:{rabbitmq_port}//"
        app = Celery(broker=url, set_as_current=False, broker_use_ssl=tls)
        check_certificates(app)
        return connect_broker(app, Settings())

    private = {"ca_certs": str(authority.file)}
    link(RIGHT, **private).discard()
    link(WRONG, **private, server_hostname=RIGHT).discard()
    link(WRONG, cert_reqs=ssl.CERT_NONE).discard()
    link(RIGHT, context={"cafile": str(authority.file)}).discard()
    for tls in (private, {**private, "cert_reqs": ssl.CERT_REQUIRED}, {"context": {"cafile": str(authority.file)}}, {}):
        with pytest.raises(kombu.exceptions.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            link(WRONG, **tls)


def test_each_node_of_a_cluster_is_checked_against_its_own_name(authority: Authority, rabbitmq_port: int) -> None:
    nodes = [f"amqps://guest:guest@{host}:{port}//" for host, port in ((WRONG, free_port()), (RIGHT, rabbitmq_port))]
    for urls in (nodes, nodes[::-1]):
        app = Celery(broker=urls, set_as_current=False, broker_use_ssl={"ca_certs": str(authority.file)})
        check_certificates(app)
        link = connect_broker(app, Settings())
        assert link.channel.connection.sock.server_hostname == RIGHT
        link.discard()


class Impostor:
    """A server with a trusted certificate for another name, which notes what it is told after the handshake."""

    def __init__(self, authority: Authority) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*authority.issue("other.example"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.told, self.handshakes = b"", 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(2)
                with suppress(OSError), self._context.wrap_socket(client, server_side=True) as secure:
                    self.told += secure.recv(1000)
                self.handshakes += 1

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def impostor(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Impostor]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    server = Impostor(authority)
    yield server
    server.close()


def app_of(impostor: Impostor, broker: str, backend: str = "rpc://") -> Celery:
    host = f"user:secret@localhost:{impostor.port}"
    return Celery(broker=f"{broker}://{host}/", backend=f"{backend}://{host}/0", set_as_current=False)


def web_link(impostor: Impostor) -> None:
    app = app_of(impostor, "amqps")
    check_certificates(app)
    connect_broker(app, Settings())


def any_connection_of_a_worker(impostor: Impostor) -> None:
    app = app_of(impostor, "amqps")
    apply(app, "gevent")
    assert isinstance(app.connection_for_read(), CheckedConnection)
    app.connection_for_read().ensure_connection(max_retries=1, interval_start=0)


def a_broker_on_redis(impostor: Impostor) -> None:
    app = app_of(impostor, "rediss")
    apply(app, "gevent")
    app.connection_for_read(transport_options={"retry_on_timeout": False}).default_channel.client.ping()


def web_replies(impostor: Impostor) -> None:
    app = app_of(impostor, "amqps", "rediss")
    check_certificates(app)
    backend = ChannelBackend(app=app, url=app.conf.result_backend)
    backend.settings = Settings()
    backend.connect()


def worker_results(impostor: Impostor) -> None:
    app = app_of(impostor, "amqps", "rediss")
    apply(app, "gevent")
    RedisReplies(app=app, url=app.conf.result_backend).client.ping()


def shared_runs(impostor: Impostor) -> None:
    connect(f"rediss://user:secret@localhost:{impostor.port}/0").ping()


@pytest.mark.parametrize(
    "connects",
    [web_link, any_connection_of_a_worker, a_broker_on_redis, web_replies, worker_results, shared_runs],
)
def test_an_impostor_is_told_nothing(impostor: Impostor, connects: Callable[[Impostor], None]) -> None:
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        connects(impostor)

    until(lambda: impostor.handshakes)
    assert impostor.told == b""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, {"server_hostname": "h"}),
        ({"ssl_ca_certs": "f", "ssl_version": 2}, {"ca_certs": "f", "ssl_version": 2, "server_hostname": "h"}),
        ({"server_hostname": None}, {"server_hostname": "h"}),
        ({"server_hostname": "other"}, {"server_hostname": "other"}),
        ({"cert_reqs": ssl.CERT_NONE}, {"cert_reqs": ssl.CERT_NONE}),
        ({"ssl_check_hostname": False}, {}),
        ({"context": {}, "server_hostname": None}, {"context": {}, "server_hostname": "h"}),
    ],
)
def test_the_tls_options_of_py_amqp(given: Any, expected: dict[str, Any]) -> None:
    assert amqp_tls(given, "h") == expected


CHECKED = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        ("redis://h", None, {}),
        ("rediss://h", None, CHECKED),
        ("rediss://h", {"ssl_ca_certs": "f"}, {**CHECKED, "ssl_ca_certs": "f"}),
        ("rediss://h?ssl_cert_reqs=none", None, {"ssl_check_hostname": False}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", None, {"ssl_check_hostname": False}),
        (
            "rediss://h",
            {"ssl_cert_reqs": ssl.CERT_NONE},
            {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False},
        ),
    ],
)
def test_the_tls_options_of_redis_py(url: str, given: Any, expected: dict[str, Any]) -> None:
    assert redis_tls(url, given) == expected


def test_both_spellings_of_an_unchecked_redis_are_taken(redis_port: int) -> None:
    for value in ("none", "CERT_NONE"):
        connect(f"rediss://{WRONG}:{redis_port}/0?ssl_cert_reqs={value}").ping()
