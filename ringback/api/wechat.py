"""``/wechat``: the messages of a WeChat official account, replied to by a task.

WeChat's server waits five seconds for a reply, hangs up and asks again, three times in all (Official Accounts,
"Receiving standard messages"). Whatever else than a reply it gets is shown to the user as an outage of the account.
So its attempts attach to one run, the first two are left to hang, and the last is answered in time, come what may.
"""

from __future__ import annotations

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
from ringback.errors import BadRequest, Forbidden, RingbackError
from ringback.runs.run import SUCCESS, Run
from ringback.runs.submission import Submission

logger = logging.getLogger(__name__)

#: Seconds within which the last attempt is answered; WeChat hangs up at 5.
PATIENCE = 4.5

#: Seconds after its first attempt from which one is the last: they come at 0, 5 and 10.
LAST_ATTEMPT = 8.5

#: What XML 1.0 has no way to say (2.2).
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Message = dict[str, str]


class WeChat(ApiHandler):
    """WeChat's server, which proves itself by its signature and not by a token of ours."""

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
        settings = self.gateway.settings
        try:
            run, _ = await self.make(self._order(message))
        except RingbackError as error:
            logger.warning("no task for a message of WeChat's: %s", error)
            return settings.wechat_fallback
        last = _first_attempt_of(message, run) < time.time() - LAST_ATTEMPT
        patience = PATIENCE if last else settings.deadline
        await self.wait(lambda: run.made, patience - self.age)
        if run.refusal is None:
            run.detach()  # the next attempt comes back for it
            await self.wait(lambda: run.closed, patience - self.age)
        elif not last:
            await self.wait(lambda: False, patience - self.age)  # the next attempt may find the broker back
        if run.state == SUCCESS:
            return _write(message, json.loads(run.result or "null")) or settings.wechat_fallback
        logger.warning("no reply to a message of WeChat's: run %s is %s", run.id, run.state)
        return settings.wechat_fallback

    def _order(self, message: Message) -> Submission:
        settings = self.gateway.settings
        # An event has no MsgId; WeChat says to know it again by sender and time.
        key = message.get("MsgId") or f"{message.get('FromUserName')} {message.get('CreateTime')}"
        argument = self.request.body.decode() if settings.wechat_raw else message
        return Submission("wechat", settings.wechat_task, [argument], {}, headers=self.trace(), key=key)

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
