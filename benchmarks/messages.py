"""A real task message and a real reply, as Celery makes them, for clients without Celery."""

from __future__ import annotations

import json
import uuid
from typing import Any

import amqp

import tasks

BODY = "abcdefghi"
RESULT = "cde"
COMMON = {"content_type": "application/json", "content_encoding": "utf-8", "priority": 0}

_template = tasks.app.amqp.as_task_v2(
    "", "test", (BODY,), {}, argsrepr=repr((BODY,)), kwargsrepr="{}", origin="gen1@benchmark", root_id=""
)
_body = json.dumps(_template.body)


def task_message(reply_to: str) -> amqp.Message:
    """A call of ``test`` in protocol 2, persistent, with an id of its own.

    :param reply_to: the queue that the reply goes to.
    """
    call_id = str(uuid.uuid4())
    headers = {**_template.headers, "id": call_id, "root_id": call_id}
    properties = {"correlation_id": call_id, "reply_to": reply_to, "delivery_mode": 2}
    return amqp.Message(_body, application_headers=headers, **properties, **COMMON)


def reply(call_id: str) -> amqp.Message:
    """The reply to that call, as a worker sends it: persistent."""
    meta = {"task_id": call_id, "status": "SUCCESS", "result": RESULT, "traceback": None, "children": []}
    return amqp.Message(json.dumps(meta), correlation_id=call_id, delivery_mode=2, **COMMON)


def check(message: amqp.Message) -> str:
    """The id of the call that a reply answers.

    :raises ValueError: the reply is not right.
    """
    meta: dict[str, Any] = json.loads(message.body)
    if meta["status"] != "SUCCESS" or meta["result"] != RESULT:
        raise ValueError(f"wrong reply: {meta}")
    return str(meta["task_id"])
