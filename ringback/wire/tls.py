"""Connections over TLS that check for which host the server's certificate is.

Py-amqp and older releases of redis-py check only who has signed it: any site with a certificate of a public CA would be
given the password. What the project says itself takes precedence: ``broker_use_ssl``, ``redis_backend_use_ssl``
or the address. Runs wherever a connection is made.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl

from kombu import Connection
from kombu.transport import pyamqp

#: What redis-py is told unless the project says otherwise. It then trusts the system's CAs.
REDIS_CHECKS = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}

#: Options that a URL or Celery's settings for Redis have with ``ssl_`` in front, and py-amqp without.
PREFIXED = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")


class CheckedTransport(pyamqp.SSLTransport):  # type: ignore[misc]
    """Kombu's AMQP over TLS, which checks the certificate's name: of each node of a cluster against its own host."""

    def establish_connection(self) -> Any:
        """Connect, and leave the connection's parameters as they were.

        Kombu would store the first node's name for all of them, and replace ``localhost`` by an address.
        """
        client = self.client
        given, host = client.ssl, client.hostname
        client.ssl = amqp_tls(given, host or "localhost")
        try:
            return super().establish_connection()
        finally:
            client.ssl, client.hostname = given, host


class CheckedConnection(Connection):  # type: ignore[misc]
    """Kombu's connection, with our transport in the place of its own AMQP over TLS."""

    def get_transport_cls(self) -> Any:
        """Return the class of the transport."""
        found = super().get_transport_cls()
        secure = found is pyamqp.SSLTransport or (found is pyamqp.Transport and self.ssl)
        return CheckedTransport if secure else found


def amqp_tls(given: Any, host: str) -> dict[str, Any]:
    """Return py-amqp's TLS options for one host.

    :param given: the project's ``broker_use_ssl``, or the options in the address.
    """
    options = dict(given) if isinstance(given, dict) else {}
    for name in PREFIXED:
        if name in options:
            options[name.removeprefix("ssl_")] = options.pop(name)
    checks = options.pop("check_hostname", True) and options.get("cert_reqs") != ssl.CERT_NONE
    if options.get("context"):
        checks = options["context"].get("check_hostname", checks)
        options["context"] = {**options["context"], "check_hostname": checks}
    if options.get("server_hostname") is None:
        options["server_hostname"] = host
    if not checks and not options.get("context"):
        del options["server_hostname"]  # py-amqp would check it
    return options


def redis_tls(url: str, given: Any) -> dict[str, Any]:
    """Return redis-py's TLS options for this address; none if it is not over TLS.

    :param given: the project's ``redis_backend_use_ssl`` or ``broker_use_ssl``.
    """
    options = dict(given) if isinstance(given, dict) else {}
    if not options and not url.startswith("rediss:"):
        return {}
    query = dict(parse_qsl(url.partition("?")[2]))
    wanted = query.get("ssl_cert_reqs", options.get("ssl_cert_reqs"))
    if wanted in (ssl.CERT_NONE, "none", "CERT_NONE"):
        return {"ssl_check_hostname": False, **options}
    return {**REDIS_CHECKS, **options}


def check_certificates(app: Any) -> None:
    """Have all later connections of a Celery app check the name in the server's certificate."""
    conf = app.conf
    app.amqp.Connection = CheckedConnection
    if tls := redis_tls(str(conf.result_backend), conf.redis_backend_use_ssl):
        conf.redis_backend_use_ssl = tls
    broker = conf.broker_url or ""
    first = broker if isinstance(broker, str) else broker[0]
    if first.startswith("rediss:"):  # kombu checks nothing at all
        conf.broker_use_ssl = redis_tls(first, conf.broker_use_ssl)
