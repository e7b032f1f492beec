"""``/wechat``: the messages of a WeChat official account, replied to by a task.

WeChat's server waits five seconds for a reply, hangs up and asks again, three times in all (Official Accounts,
"Receiving standard messages"). It shows any other answer to the user as an outage of the account. So its attempts
attach to one run, the first two wait until WeChat hangs up, and the last is answered in time in any case.

Which requests are WeChat's is decided in ``wechat_account``; ``wechat_crypto`` is the safe mode.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from datetime import datetime
from typing import Any
from uuid import uuid4
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.ElementTree import fromstring

from ringback.api.gateway import Gateway
from ringback.api.handler import ApiHandler
from ringback.api.wechat_account import Account, Signed
from ringback.api.wechat_crypto import SafeMode
from ringback.errors import BadRequest, ClientGone, Forbidden, RingbackError
from ringback.runs import Run, State, Submission, TaskCall
from ringback.traffic import Tenant

logger = logging.getLogger(__name__)

#: Whose runs they are: a name that no caller of RINGBACK_TOKENS can have.
CALLER = "/wechat"

#: Seconds within which the last attempt is answered; WeChat hangs up at 5.
PATIENCE = 4.5

#: An attempt that comes later than so many seconds after the first is the last: they come at 0, 5 and 10.
LAST_ATTEMPT = 8.5

#: The most bytes of a message: many times what WeChat sends. To read XML costs several times as much as JSON.
LONGEST = 2**16

#: The characters that XML 1.0 cannot hold (2.2).
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Message = dict[str, str]


class WeChat(ApiHandler):
    """A request of WeChat's server, which proves itself by its signature and not by a token of ours."""

    open_to_all = True

    def initialize(self, gateway: Gateway) -> None:
        """Take the route's argument, and keep the query out of all logs: for some minutes it is a proof."""
        super().initialize(gateway)
        self.request.uri = self.request.path
        assert gateway.wechat is not None  # there is no route without it
        self._account: Account = gateway.wechat

    def get(self) -> None:
        """Prove to WeChat that this address knows the account's token ("Getting started", ``echostr``)."""
        echo = self.get_query_argument("echostr", "")
        self._account.check(self._signed(), b"GET " + echo.encode())
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(echo)

    async def post(self) -> None:
        """Reply to a message.

        :raises Forbidden: it is not WeChat's, or is plain where the account has a safe mode.
        """
        self._account.check(self._signed(), self.request.body)
        try:
            self._text = self._read()
            reply = await self._reply(_parse(self._text))
        except (BadRequest, UnicodeDecodeError) as error:
            logger.warning("a message of WeChat's cannot be read: %s", error)
            reply = self.gateway.settings.wechat_fallback
        is_message = reply.startswith("<")
        if is_message and self._account.safe_mode is not None:
            reply = _sealed(reply, self._account.safe_mode)
        self.set_header("Content-Type", "text/xml; charset=utf-8" if is_message else "text/plain")
        self.finish(reply)

    def _signed(self) -> Signed:
        names = ("signature", "timestamp", "nonce", "msg_signature")
        return Signed(*(self.get_query_argument(name, "") for name in names))

    def _read(self) -> bytes:
        """The message, decrypted if the account has a safe mode."""
        if self._account.safe_mode is None:
            return self.request.body
        encrypted = _elements(self.request.body).get("Encrypt")
        if encrypted is None:
            raise Forbidden("a plain message, while RINGBACK_WECHAT_AES_KEY is set: the account's page sets the mode")
        signed = self._signed()
        return self._account.safe_mode.decrypt(encrypted, signed.timestamp, signed.nonce, signed.msg_signature)

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
        argument = self._text.decode() if settings.wechat_raw else message
        call = TaskCall(settings.wechat_task, [argument], {}, headers=self.trace())
        return Submission(CALLER, call, key, tenant=Tenant(CALLER))


def _parse(text: bytes) -> Message:
    """The elements of a message.

    :raises BadRequest: it is none that can be read.
    """
    message = _elements(text)
    if "FromUserName" not in message:
        raise BadRequest("no message in plain text: the safe mode needs RINGBACK_WECHAT_AES_KEY")
    return message


def _elements(text: bytes) -> Message:
    if len(text) > LONGEST:
        raise BadRequest(f"a message of more than {LONGEST} bytes")
    try:
        root = fromstring(text, forbid_dtd=True)
    except (ParseError, ValueError) as error:
        raise BadRequest(f"no XML: {error!r}") from error
    return {element.tag: element.text or "" for element in root}


def _sealed(reply: str, safe_mode: SafeMode) -> str:
    """A reply, encrypted and signed."""
    encrypted, timestamp, nonce = safe_mode.encrypt(reply), str(int(time.time())), uuid4().hex
    signature = safe_mode.sign(timestamp, nonce, encrypted)
    root = Element("xml")
    _fill(root, {"Encrypt": encrypted, "MsgSignature": signature, "TimeStamp": timestamp, "Nonce": nonce})
    return tostring(root, "unicode")


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
