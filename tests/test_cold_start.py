"""Fifty greenlets call at once, in a process that has called nothing yet."""

from __future__ import annotations

import json

from client import get
from servers import RabbitMQ
from stack import Web, Worker


def reply_queues(rabbitmq: RabbitMQ) -> dict[str, dict[str, int]]:
    return {name: row for name, row in rabbitmq.queues().items() if name.startswith("ringback.reply.")}


def test_fifty_greenlets_share_one_reply_queue(rabbitmq: RabbitMQ, worker: Worker) -> None:
    others = reply_queues(rabbitmq)

    with Web(BROKER_URL=rabbitmq.url) as web:
        answer = get(web.url, "/greenlets")
        inside = json.loads(get(web.url, "/inside").body)
        ours = {name: row for name, row in reply_queues(rabbitmq).items() if name not in others}

    assert json.loads(answer.body) == {str(number): 2 * number for number in range(50)}
    assert (inside["backends"], inside["drainers"]) == (1, 1)
    assert [row["consumers"] for row in ours.values()] == [1]


def test_a_process_that_ends_well_deletes_its_reply_queue(rabbitmq: RabbitMQ, worker: Worker) -> None:
    others = reply_queues(rabbitmq)

    with Web(BROKER_URL=rabbitmq.url) as web:
        get(web.url, "/add?x=1&y=2")
        code = web.terminate()

    assert code == 0
    assert reply_queues(rabbitmq).keys() <= others.keys()
