"""The tests' own proxy and servers keep their promises. All code runs in plain threads."""

from __future__ import annotations

import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import amqp
import pytest
import redis

from proxy import Proxy
from servers import RabbitMQ, Redis, free_port, need
from stack import SUPPORT
from waiting import until

MOMENT = 0.2  # seconds within which any bytes would have come
PATIENCE = 30  # seconds after which bytes count as lost

Connect = Callable[[], socket.socket]


class Echo(socketserver.BaseRequestHandler):
    """A server that sends each byte back."""

    def handle(self) -> None:
        with suppress(ConnectionResetError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 delays a burst of connections by a second


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.server_address[1]) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Connect]:
    """Open connections through the proxy; they are closed after the test."""
    with ExitStack() as clients:
        yield lambda: clients.enter_context(call(proxy))


def call(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)


def ask(client: socket.socket, question: bytes = b"hello") -> bytes:
    """Send bytes, and return the same number of bytes of the answer."""
    client.sendall(question)
    return receive(client, len(question))


def receive(client: socket.socket, size: int) -> bytes:
    with client.makefile("rb") as reader:
        return reader.read(size)


def are_silent(*clients: socket.socket) -> bool:
    return not select.select(clients, [], [], MOMENT)[0]


def is_gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_many_small_messages_go_there_and_back(connect: Connect) -> None:
    client = connect()
    for number in range(2000):
        assert ask(client, b"%06d" % number) == b"%06d" % number


def test_eight_megabytes_go_there_and_back(connect: Connect) -> None:
    client, load = connect(), os.urandom(8 * 2**20)
    with ThreadPoolExecutor(1) as sender:
        sent = sender.submit(client.sendall, load)
        assert receive(client, len(load)) == load
        sent.result()


def test_the_end_of_one_direction_leaves_the_other_open(proxy: Proxy, connect: Connect) -> None:
    client = connect()
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 10) == b"last words"
    assert client.recv(1) == b""
    until(lambda: proxy.connections == 0)


def test_a_cut_resets_connections_and_refuses_new_ones(proxy: Proxy, connect: Connect) -> None:
    client = connect()
    ask(client)

    proxy.cut()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect()
    assert proxy.connections == 0

    proxy.restore()
    assert ask(connect()) == b"hello"


def test_a_stall_holds_bytes_and_passes_them_when_restored(connect: Connect, proxy: Proxy) -> None:
    old = connect()
    ask(old)

    proxy.stall()
    new = connect()
    old.sendall(b"from before")
    new.sendall(b"from within")

    assert are_silent(old, new)
    proxy.restore()
    assert receive(old, 11) == b"from before"
    assert receive(new, 11) == b"from within"


def test_a_black_hole_silences_its_connections_for_ever(proxy: Proxy, connect: Connect) -> None:
    old = connect()
    ask(old)

    proxy.blackhole()
    new = connect()
    old.sendall(b"lost")
    new.sendall(b"lost")
    assert are_silent(old, new)

    proxy.restore()
    assert ask(connect()) == b"hello"
    assert are_silent(old, new)
    assert proxy.connections == 3


def test_dropped_connections_may_come_back_at_once(proxy: Proxy, connect: Connect) -> None:
    clients = [connect() for _ in range(50)]

    proxy.drop_connections()

    for client in clients:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert ask(connect()) == b"hello"


def test_a_client_is_reset_when_the_server_refuses() -> None:
    with pytest.raises(ConnectionResetError), Proxy("127.0.0.1", free_port()) as proxy, call(proxy) as client:
        client.recv(1)


def test_methods_may_be_called_from_many_threads(proxy: Proxy, connect: Connect) -> None:
    methods = [proxy.cut, proxy.stall, proxy.blackhole, proxy.drop_connections, proxy.restore]
    with ThreadPoolExecutor(len(methods)) as pool:
        for done in [pool.submit(method) for method in methods * 50]:
            done.result()
    proxy.restore()
    assert ask(connect()) == b"hello"


def test_a_private_redis_keeps_its_keys_over_a_restart_and_leaves_no_process() -> None:
    with need(Redis) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
        first = server.pids

        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("key") == b"value"
        second = server.pids
        server.kill()

        assert all(is_gone(pid) for pid in first + second)
    assert not server.home.exists()


def test_a_server_ends_with_a_test_process_that_is_killed(tmp_path: Path) -> None:
    need(Redis).close()
    code = "import os, servers; own = servers.Redis(); own.start(); print(own.port, flush=True)"
    command = [sys.executable, "-c", code + "; os.kill(os.getpid(), 9)"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}

    child = subprocess.run(command, env=env, cwd=SUPPORT, stdout=subprocess.PIPE)

    assert child.returncode == -9
    until(lambda: refuses(int(child.stdout)))


def test_a_private_rabbitmq_keeps_its_messages_over_a_restart_and_leaves_no_process() -> None:
    with need(RabbitMQ) as server:
        address = f"127.0.0.1:{server.port}"
        with amqp.Connection(address, confirm_publish=True) as connection:
            channel = connection.channel()
            channel.queue_declare("kept", durable=True, auto_delete=False)
            channel.basic_publish(amqp.Message("word", delivery_mode=2), routing_key="kept")
            assert server.connections() == 1
        first = server.pids

        server.restart()
        assert server.queues() == {"kept": {"messages": 1, "consumers": 0}}
        with amqp.Connection(address) as connection:
            assert connection.channel().basic_get("kept").body == "word"
        second = server.pids
        server.stop()

        assert all(is_gone(pid) for pid in first + second)
    assert not server.home.exists()
