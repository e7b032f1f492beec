"""A broker that is neither RabbitMQ nor Redis: it works as kombu has it, and the log says what is not promised."""

from __future__ import annotations

from pathlib import Path

from client import get
from servers import Redis
from stack import Web, Worker


def test_a_call_over_a_database_is_answered_and_the_log_says_once_what_is_not_promised(
    redis: Redis, tmp_path: Path
) -> None:
    variables = {
        "BROKER_URL": f"sqla+sqlite:///{tmp_path}/broker.db",
        "RESULT_BACKEND": redis.url,
        "TASK_QUEUE": "other",
    }
    with Worker(pool="threads", **variables), Web(**variables) as web:
        for number in range(3):
            assert get(web.url, f"/add?x={number}&y=1").body == str(number + 1)
        assert web.output.count("a call counts as published when kombu says so") == 1
        assert "Traceback" not in web.output
