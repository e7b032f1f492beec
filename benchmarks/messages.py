"""A real task message and a real reply, as Celery makes them, for clients without Celery."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import datetime, timezone
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
    return check_result(message.body)


def redis_message(call_id: str, queue: str) -> str:
    """A call of ``test`` as kombu puts it into a list of Redis: the body in base64, within the properties.

    :param call_id: its id, and the end of its result's key.
    :param queue: the list, which is the queue's name.
    """
    headers = {**_template.headers, "id": call_id, "root_id": call_id}
    info = {"exchange": "", "routing_key": queue}
    properties = {"correlation_id": call_id, "reply_to": call_id, "delivery_mode": 2, "priority": 0}
    properties |= {"delivery_info": info, "body_encoding": "base64", "delivery_tag": str(uuid.uuid4())}
    types = {"content-encoding": "utf-8", "content-type": "application/json"}
    body = base64.b64encode(_body.encode()).decode()
    return json.dumps({"body": body, **types, "headers": headers, "properties": properties})


def redis_result(call_id: str) -> str:
    """The result of that call, as a worker stores and publishes it."""
    state = {"status": "SUCCESS", "result": RESULT, "traceback": None, "children": []}
    return json.dumps({**state, "date_done": datetime.now(timezone.utc).isoformat(), "task_id": call_id})


def check_result(body: str | bytes) -> str:
    """The id of the call whose result this is.

    :raises ValueError: the result is not right.
    """
    meta: dict[str, Any] = json.loads(body)
    if meta["status"] != "SUCCESS" or meta["result"] != RESULT:
        raise ValueError(f"wrong reply: {meta}")
    return str(meta["task_id"])
