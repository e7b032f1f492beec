"""The safe mode of WeChat's official accounts: encrypted messages, and replies to them. Pure.

A message is 16 random bytes, its length in four bytes, its text and the account's AppID, in AES-256-CBC. The key is the
account's EncodingAESKey, and its first 16 bytes are the initialisation vector (Official Accounts, "Message encryption
and decryption").
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b64decode, b64encode

from ringback.errors import BadSetting, Forbidden

#: Messages are padded to a multiple of so many bytes (PKCS#7), which is not the block of AES.
BLOCK = 32

#: Bytes before the text: the random ones, and the length.
RANDOM, LENGTH = 16, 4


class SafeMode:
    """Encrypts and decrypts for one account.

    :param token: the account's token, for the signatures.
    :param key: its EncodingAESKey, of 43 characters.
    :param app_id: its AppID.
    :raises BadSetting: the package ``cryptography`` is not installed.
    """

    def __init__(self, token: str, key: str, app_id: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        except ImportError as error:
            raise BadSetting("RINGBACK_WECHAT_AES_KEY needs cryptography: pip install 'ringback[wechat]'") from error
        secret = b64decode(key + "=")
        self._cipher = Cipher(algorithms.AES(secret), modes.CBC(secret[:16]))
        self._token, self._app_id = token, app_id.encode()

    def decrypt(self, encrypted: str, timestamp: str, nonce: str, signature: str) -> bytes:
        """The text of an encrypted message.

        :param signature: ``msg_signature`` of the query.
        :raises Forbidden: it is not WeChat's, or is for another account.
        """
        expected = sign(self._token, timestamp, nonce, encrypted)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Forbidden("msg_signature is not WeChat's: RINGBACK_WECHAT_TOKEN is the token of the account's page")
        try:
            decryptor = self._cipher.decryptor()
            padded = decryptor.update(b64decode(encrypted, validate=True)) + decryptor.finalize()
        except ValueError as error:  # no base64, or no whole blocks
            raise Forbidden("the message is not encrypted as WeChat does it") from error
        return self._unpack(padded)

    def encrypt(self, text: str) -> str:
        """Encrypt a reply."""
        data = text.encode()
        content = os.urandom(RANDOM) + len(data).to_bytes(LENGTH, "big") + data + self._app_id
        padding = BLOCK - len(content) % BLOCK
        encryptor = self._cipher.encryptor()
        return b64encode(encryptor.update(content + bytes([padding]) * padding) + encryptor.finalize()).decode()

    def sign(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """The ``MsgSignature`` of a reply."""
        return sign(self._token, timestamp, nonce, encrypted)

    def _unpack(self, padded: bytes) -> bytes:
        padding = padded[-1] if padded else 0
        content = padded[: len(padded) - padding]
        start = RANDOM + LENGTH
        end = start + int.from_bytes(content[RANDOM:start], "big")
        is_padded = 0 < padding <= BLOCK and padded.endswith(bytes([padding]) * padding)
        if not is_padded or end > len(content) or content[end:] != self._app_id:
            raise Forbidden(
                "the message is for another account: RINGBACK_WECHAT_AES_KEY and RINGBACK_WECHAT_APP_ID are the"
                " EncodingAESKey and AppID of the account's page"
            )
        return content[start:end]


def sign(*parts: str) -> str:
    """WeChat's signature: the SHA-1 of the sorted parts, in hex."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()
