"""``/wechat``: the messages of a WeChat official account, replied to by a task.

WeChat's server waits five seconds for a reply, hangs up and asks again, three times in all (Official Accounts,
"Receiving standard messages"). It shows any other answer to the user as an outage of the account. So its attempts
attach to one run, the first two wait until WeChat hangs up, and the last is answered in time in any case.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import time
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.ElementTree import fromstring

from ringback.api.handler import ApiHandler
from ringback.errors import BadRequest, ClientGone, Forbidden, RingbackError
from ringback.runs import Run, State, Submission, TaskCall

logger = logging.getLogger(__name__)

#: Seconds within which the last attempt is answered; WeChat hangs up at 5.
PATIENCE = 4.5

#: An attempt that comes later than so many seconds after the first is the last: they come at 0, 5 and 10.
LAST_ATTEMPT = 8.5

#: The characters that XML 1.0 cannot hold (2.2).
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Message = dict[str, str]


class WeChat(ApiHandler):
    """A request of WeChat's server, which proves itself by its signature and not by a token of ours."""

    open_to_all = True

    def get(self) -> None:
        """Prove to WeChat that this address knows the account's token ("Getting started", ``echostr``)."""
        self._check_signature()
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self.get_query_argument("echostr", ""))

    async def post(self) -> None:
        """Reply to a message.

        :raises Forbidden: it is not WeChat's.
        """
        self._check_signature()
        try:
            reply = await self._reply(_parse(self.request.body))
        except (BadRequest, UnicodeDecodeError) as error:
            logger.warning("a message of WeChat's cannot be read: %s", error)
            reply = self.gateway.settings.wechat_fallback
        self.set_header("Content-Type", "text/xml; charset=utf-8" if reply.startswith("<") else "text/plain")
        self.finish(reply)

    async def _reply(self, message: Message) -> str:
        fallback = self.gateway.settings.wechat_fallback
        try:
            run, _ = await self.submit(self._submission(message))
        except RingbackError as error:
            logger.warning("no task for a message of WeChat's: %s", error)
            return fallback
        last = _first_attempt_of(message, run) < time.time() - LAST_ATTEMPT
        await self._wait_for_end(run, last)
        if run.state is State.SUCCESS:
            return _write(message, json.loads(run.result or "null")) or fallback
        logger.warning("no reply to a message of WeChat's: run %s is %s", run.run_id, run.state.shown)
        return fallback

    async def _wait_for_end(self, run: Run, last: bool) -> None:
        """Wait for the end of a run, for as long as this attempt may take.

        :param last: whether this is the last attempt, which must be answered in time.
        """
        patience = PATIENCE if last else self.gateway.settings.deadline
        try:
            await self.wait(lambda: run.is_queued, patience - self.age)
            run.detach()  # the next attempt comes back for it
            await self.wait(lambda: run.has_ended, patience - self.age)
        except ClientGone:
            raise
        except RingbackError as refusal:
            logger.warning("no task for a message of WeChat's: %s", refusal)
            if not last:  # let WeChat hang up: its next attempt may find the broker back
                await asyncio.sleep(max(0.0, patience - self.age))

    def _submission(self, message: Message) -> Submission:
        settings = self.gateway.settings
        # An event has no MsgId; WeChat says to identify it by sender and time.
        key = message.get("MsgId") or f"{message.get('FromUserName')} {message.get('CreateTime')}"
        argument = self.request.body.decode() if settings.wechat_raw else message
        return Submission("wechat", TaskCall(settings.wechat_task, [argument], {}, headers=self.trace()), key=key)

    def _check_signature(self) -> None:
        """Raise unless WeChat sends this: SHA-1 of the sorted token, timestamp and nonce, in hex."""
        given, timestamp, nonce = (self.get_query_argument(name, "") for name in ("signature", "timestamp", "nonce"))
        parts = sorted((self.gateway.settings.wechat_token, timestamp, nonce))
        expected = hashlib.sha1("".join(parts).encode()).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise Forbidden("the signature is not WeChat's: RINGBACK_WECHAT_TOKEN is the token of the account's page")


def _parse(body: bytes) -> Message:
    """The elements of a message.

    :raises BadRequest: it is none that can be read.
    """
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, ValueError) as error:
        raise BadRequest(f"no XML: {error!r}") from error
    message = {element.tag: element.text or "" for element in root}
    if "FromUserName" not in message:
        raise BadRequest("no message in plain text: the account's page sets the security mode")
    return message


def _first_attempt_of(message: Message, run: Run) -> float:
    """When WeChat asked first, by its clock or ours, whichever is earlier; in seconds, as ``time.time``."""
    made = datetime.fromisoformat(run.timestamps["accepted"].replace("Z", "+00:00")).timestamp()
    created = message.get("CreateTime", "")
    return min(made, float(created)) if created.isdecimal() else made


def _write(message: Message, result: Any) -> str:
    """The reply to a message: a whole document as it is, text as a text message, other kinds by their elements."""
    if result is None or result == "":
        return ""
    if isinstance(result, str) and result.startswith("<xml>"):
        return result
    content = result if isinstance(result, dict) else {"MsgType": "text", "Content": result}
    root = Element("xml")
    _fill(root, {"ToUserName": message["FromUserName"], "FromUserName": message.get("ToUserName", "")})
    _fill(root, {"CreateTime": int(time.time()), **content})
    return tostring(root, "unicode")


def _fill(parent: Element, content: Any) -> None:
    if isinstance(content, dict):
        for name, value in content.items():
            _fill(SubElement(parent, str(name)), value)
    elif isinstance(content, list):
        for value in content:
            _fill(SubElement(parent, "item"), value)
    else:
        parent.text = NOT_XML.sub("", str(content))
