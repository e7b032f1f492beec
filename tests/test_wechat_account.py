"""Which requests are WeChat's, and its safe mode, by vectors that are made by hand."""

from __future__ import annotations

import base64
import hashlib
import sys

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import ringback.api.wechat_account as wechat_account
from ringback.api.wechat_account import FRESH, Account, Signed
from ringback.api.wechat_crypto import SafeMode
from ringback.errors import BadSetting, Forbidden
from ringback.settings import Settings, read

TOKEN, APP_ID = "of-the-account", "wx0123456789abcdef"
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
NOW = 1_700_000_000.0


def sha1(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def signed(timestamp: str = "1700000000", nonce: str = "1") -> Signed:
    return Signed(sha1(TOKEN, timestamp, nonce), timestamp, nonce)


def cipher() -> Cipher[modes.CBC]:
    secret = base64.b64decode(KEY + "=")
    return Cipher(algorithms.AES(secret), modes.CBC(secret[:16]))


def encrypted(
    text: bytes, app_id: str = APP_ID, length: int | None = None, padding: int | None = None, fill: int | None = None
) -> str:
    """A message as WeChat encrypts it, or with one thing wrong."""
    content = b"r" * 16 + (len(text) if length is None else length).to_bytes(4, "big") + text + app_id.encode()
    pad = padding or 32 - len(content) % 32
    encryptor = cipher().encryptor()
    data = content + bytes([pad if fill is None else fill]) * pad
    return base64.b64encode(encryptor.update(data) + encryptor.finalize()).decode()


@pytest.fixture
def safe_mode() -> SafeMode:
    return SafeMode(TOKEN, KEY, APP_ID)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def account(clock: Clock) -> Account:
    return Account(Settings(wechat_token=TOKEN), clock)


@pytest.mark.parametrize("away", [-FRESH, 0, FRESH])
def test_an_address_is_valid_for_five_minutes(account: Account, clock: Clock, away: float) -> None:
    clock.now += away
    account.check(signed(), b"a")


@pytest.mark.parametrize("away", [-FRESH - 1, FRESH + 1, 10**9])
def test_an_older_or_later_address_is_refused(account: Account, clock: Clock, away: float) -> None:
    clock.now += away
    with pytest.raises(Forbidden, match="300 s"):
        account.check(signed(), b"a")


@pytest.mark.parametrize(
    "timestamp", ["", "now", "-1", "1e9", "9" * 5000, "\N{ARABIC-INDIC DIGIT ONE}", "1700000000.5"]
)
def test_a_timestamp_that_is_no_number_is_refused(account: Account, timestamp: str) -> None:
    with pytest.raises(Forbidden, match="timestamp"):
        account.check(signed(timestamp), b"a")


@pytest.mark.parametrize("signature", ["", "0" * 40, "é"])
def test_another_signature_is_refused(account: Account, signature: str) -> None:
    with pytest.raises(Forbidden, match="not WeChat's"):
        account.check(signed()._replace(signature=signature), b"a")


def test_an_address_is_for_one_body_any_number_of_times(account: Account) -> None:
    for _ in range(3):
        account.check(signed(), b"a")

    with pytest.raises(Forbidden, match="used for another"):
        account.check(signed(), b"b")
    account.check(signed(nonce="2"), b"b")


def test_timestamp_and_nonce_in_each_others_place_are_the_same_address(account: Account) -> None:
    account.check(signed("1700000000", "1700000001"), b"a")

    with pytest.raises(Forbidden, match="used for another"):
        account.check(signed("1700000001", "1700000000"), b"b")


def test_signatures_are_forgotten_when_they_are_no_longer_valid(account: Account, clock: Clock) -> None:
    account.check(signed(), b"a")
    clock.now += 2 * FRESH + 1
    account.check(signed(str(int(clock.now))), b"b")

    assert len(account) == 1


def test_the_oldest_signatures_are_forgotten_when_there_are_too_many(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wechat_account, "SIGNATURES_KEPT", 10)
    for number in range(100):
        account.check(signed(nonce=str(number)), b"a")

    assert len(account) == 10


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, 5000])
def test_a_message_is_decrypted(safe_mode: SafeMode, length: int) -> None:
    sent = encrypted(b"m" * length)

    assert safe_mode.decrypt(sent, "1", "2", sha1(TOKEN, "1", "2", sent)) == b"m" * length


@pytest.mark.parametrize("text", ["", "a", "好" * 1000])
def test_a_reply_is_encrypted(safe_mode: SafeMode, text: str) -> None:
    sent = safe_mode.encrypt(text)

    decryptor = cipher().decryptor()
    data = decryptor.update(base64.b64decode(sent)) + decryptor.finalize()
    assert len(data) % 32 == 0
    content = data[: -data[-1]]
    assert int.from_bytes(content[16:20], "big") == len(text.encode())
    assert content[20:] == text.encode() + APP_ID.encode()
    assert safe_mode.sign("1", "2", sent) == sha1(TOKEN, "1", "2", sent)
    assert safe_mode.encrypt(text) != sent


@pytest.mark.parametrize(
    "sent",
    [
        encrypted(b"a", app_id="wx-another"),
        encrypted(b"a", app_id=""),
        encrypted(b"a", length=10**6),
        encrypted(b"a", length=0),
        encrypted(b"a", fill=0),
        encrypted(b"a", fill=33),
        encrypted(b"a" * 8, padding=2, fill=3),
        "",
        "no base64!",
        "é",
        base64.b64encode(b"a" * 31).decode(),
        base64.b64encode(b"a" * 32).decode(),
    ],
)
def test_what_is_not_encrypted_for_this_account_is_refused(safe_mode: SafeMode, sent: str) -> None:
    with pytest.raises(Forbidden):
        safe_mode.decrypt(sent, "1", "2", sha1(TOKEN, "1", "2", sent))


def test_an_encrypted_message_needs_its_own_signature(safe_mode: SafeMode) -> None:
    sent = encrypted(b"a")
    for wrong in ("", sha1(TOKEN, "1", "2"), sha1(TOKEN, "1", "3", sent), "é"):
        with pytest.raises(Forbidden, match="msg_signature"):
            safe_mode.decrypt(sent, "1", "2", wrong)


PRESET = {"RINGBACK_WECHAT_TOKEN": TOKEN, "RINGBACK_WECHAT_TASK": "reply"}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({**PRESET, "RINGBACK_WECHAT_AES_KEY": KEY}, "RINGBACK_WECHAT_APP_ID"),
        ({"RINGBACK_WECHAT_AES_KEY": KEY, "RINGBACK_WECHAT_APP_ID": APP_ID}, "RINGBACK_WECHAT_TOKEN"),
        ({**PRESET, "RINGBACK_WECHAT_AES_KEY": KEY[1:], "RINGBACK_WECHAT_APP_ID": APP_ID}, "43"),
        ({**PRESET, "RINGBACK_WECHAT_AES_KEY": KEY + "=", "RINGBACK_WECHAT_APP_ID": APP_ID}, "43"),
        ({**PRESET, "RINGBACK_WECHAT_AES_KEY": "é" * 43, "RINGBACK_WECHAT_APP_ID": APP_ID}, "43"),
    ],
)
def test_a_safe_mode_that_cannot_work_is_an_error_at_the_start(variables: dict[str, str], named: str) -> None:
    with pytest.raises(BadSetting, match=named) as raised:
        read(variables)
    assert KEY[1:] not in str(raised.value)


def test_the_safe_mode_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(BadSetting, match=r"ringback\[wechat\]"):
        SafeMode(TOKEN, KEY, APP_ID)
