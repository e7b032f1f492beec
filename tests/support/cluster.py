"""A private RabbitMQ cluster of three nodes on this machine. Blocking code, for plain threads."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from servers import RabbitMQ
from waiting import until

#: Seconds until a node that was started is a member of all queues again, on a busy machine.
SYNC_TIMEOUT = 60

#: RabbitMQ's advice for three nodes: a node that sees neither of the others stops, so that its clients move to them.
CONFIG = """\
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
"""


class Epmd(RabbitMQ):
    """The Erlang name server, in a process of its own, so that it survives the end of any node."""

    def _launch(self) -> None:
        self._launch_epmd()


class Node(RabbitMQ):
    """One node of the cluster.

    :param names: the name server of the nodes.
    """

    def __init__(self, names: Epmd) -> None:
        super().__init__()
        self.name = self._env["RABBITMQ_NODENAME"]
        self._env["ERL_EPMD_PORT"] = str(names.epmd_port)

    def configure(self, cookie: str, nodes: list[Node]) -> None:
        """Before its first start, configure the list of all nodes and their shared cookie."""
        lines = [
            f"cluster_formation.classic_config.nodes.{number} = {node.name}" for number, node in enumerate(nodes, 1)
        ]
        config = self._write("rabbitmq.conf", "\n".join([CONFIG, *lines, ""]))
        self._env["RABBITMQ_CONFIG_FILE"] = str(config)
        self._write(".erlang.cookie", cookie).chmod(0o400)

    def _launch(self) -> None:
        self._launch_node()

    def _write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        return path


class Cluster:
    """Three nodes that find each other when they start; a context that starts and ends them."""

    def __init__(self) -> None:
        self._names = Epmd()
        self.nodes = [Node(self._names) for _ in range(3)]
        cookie = secrets.token_hex(16)
        for node in self.nodes:
            node.configure(cookie, self.nodes)

    def __enter__(self) -> Cluster:
        self._names.start()
        with ThreadPoolExecutor() as threads:
            list(threads.map(Node.start, self.nodes))
        self.nodes[0].ctl("await_online_nodes", "3")
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.nodes, self._names):
            server.close()

    def url(self, first: int = 0) -> str:
        """The URLs of all nodes, as a ``BROKER_URL`` that starts with this node."""
        return ";".join(node.url for node in self.nodes[first:] + self.nodes[:first])

    def leader_of(self, queue: str) -> Node:
        """The node that leads a queue."""
        running = next(node for node in self.nodes if node.running)
        leader = running.quorum_queues()[queue]["leader"]
        return next(node for node in self.nodes if node.name == leader)

    def start(self, node: Node) -> None:
        """Start a node that was killed, and wait until it is a member of every queue again."""
        node.start()
        node.ctl("await_startup")  # the node answers clients a moment before its start-up ends
        until(node.quorum_queues, self._are_complete, limit=SYNC_TIMEOUT)

    def _are_complete(self, queues: dict[str, dict[str, Any]]) -> bool:
        return all(len(queue["online"]) == len(self.nodes) for queue in queues.values())
