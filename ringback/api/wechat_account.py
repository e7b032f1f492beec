"""What a request must have to be WeChat's: a signature, a time that is not long ago, and nothing used twice. Pure.

The signature of a plain message does not cover the message, so who has seen one address could send any message with it.
Therefore an address is valid for five minutes, and for one body: WeChat's attempts of one message have the same body.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from ringback.api.wechat_crypto import SafeMode, sign
from ringback.errors import Forbidden
from ringback.settings import Settings

#: Seconds that WeChat's clock may differ from this one's, with the time that a message takes.
FRESH = 300.0

#: Signatures that are remembered: 80 a second for ten minutes, in 10 MB. Beyond it the oldest are forgotten.
SIGNATURES_KEPT = 50_000


class Signed(NamedTuple):
    """What WeChat adds to the query of an address."""

    signature: str
    timestamp: str
    nonce: str
    msg_signature: str = ""  #: in the safe mode


class Account:
    """An official account, as its requests are checked.

    :param clock: seconds since the epoch.
    :raises BadSetting: the settings of its safe mode cannot be used.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._token, self._clock = settings.wechat_token, clock
        key, app_id = settings.wechat_aes_key, settings.wechat_app_id
        self.safe_mode = SafeMode(self._token, key, app_id) if key else None  #: if it encrypts its messages
        self._bodies: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # by signature: until when, and the digest

    def __len__(self) -> int:
        return len(self._bodies)

    def check(self, signed: Signed, body: bytes) -> None:
        """Check that WeChat sends this.

        :param body: of the request, or what else it says. In the safe mode it has a signature of its own, and may be
            encrypted anew for each attempt.
        :raises Forbidden: it is not WeChat's, or too old, or has the signature of another body.
        """
        expected = sign(self._token, signed.timestamp, signed.nonce)
        if not hmac.compare_digest(expected.encode(), signed.signature.encode()):
            raise Forbidden("the signature is not WeChat's: RINGBACK_WECHAT_TOKEN is the token of the account's page")
        made = float(signed.timestamp) if re.fullmatch("[0-9]{1,12}", signed.timestamp) else 0.0
        now = self._clock()
        if abs(now - made) > FRESH:
            raise Forbidden(f"the timestamp is more than {FRESH:g} s away from this machine's clock")
        if self.safe_mode is None:
            self._remember(expected, made + FRESH, body, now)

    def _remember(self, signature: str, until: float, body: bytes, now: float) -> None:
        """Remember what a signature was used for.

        :raises Forbidden: it was used for something else.
        """
        self._forget(now)
        digest = hashlib.sha256(body).digest()
        # By the signature and not by the nonce: timestamp and nonce have the same signature in each other's place.
        _, known = self._bodies.setdefault(signature, (until, digest))
        if known != digest:
            raise Forbidden("the signature was used for another message")

    def _forget(self, now: float) -> None:
        while self._bodies:
            until, _ = next(iter(self._bodies.values()))
            if until > now and len(self._bodies) < SIGNATURES_KEPT:
                break
            self._bodies.popitem(last=False)
