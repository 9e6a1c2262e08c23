"""The ring of encryption keys: AES-256-GCM with a key id in every envelope. Knows no table and no row.

`LLMHUB_ENCRYPTION_KEYS` holds the ring: base64 keys of 32 bytes, separated by commas or line breaks, each with an
optional `id:` before it. The first encrypts, all decrypt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VARIABLE = "LLMHUB_ENCRYPTION_KEYS"
ENVELOPE = "llmhub1"  # llmhub1:<key id>:<base64url of nonce and ciphertext>
KEY_BYTES = 32
NONCE_BYTES = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class DecryptError(Exception):
    """A ciphertext that no key of the ring opens: an unknown key id, or moved, altered or cut bytes."""


class KeyRing:
    """Keys by id, in order; immutable."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.primary_id = next(iter(keys))

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read a ring. Raises ImproperlyConfigured that names the variable and the position, never the value."""
        keys: dict[str, bytes] = {}
        entries = [entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip()]
        if not entries:
            raise ImproperlyConfigured(f"{VARIABLE} is empty: it takes at least one base64 key of 32 bytes.")
        for position, entry in enumerate(entries, 1):
            key_id, separator, encoded = entry.rpartition(":")
            key = _decode_key(encoded, position)
            if not separator:
                key_id = hashlib.sha256(key).hexdigest()[:8]
            if not _KEY_ID.fullmatch(key_id):
                raise ImproperlyConfigured(
                    f"{VARIABLE}: key {position} has an id that is not 1 to 32 letters, digits, _ or -."
                )
            if key_id in keys:
                raise ImproperlyConfigured(f"{VARIABLE}: key {position} has the same id as an earlier one.")
            keys[key_id] = key
        return cls(keys)

    def encrypt(self, plaintext: str, *, additional_data: bytes) -> str:
        """Answer an envelope that opens only with the same additional data."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self.primary_id].encrypt(nonce, plaintext.encode(), additional_data)
        return f"{ENVELOPE}:{self.primary_id}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, envelope: str, *, additional_data: bytes) -> str:
        """Open an envelope. Raises DecryptError."""
        version, _, rest = envelope.partition(":")
        key_id, _, encoded = rest.partition(":")
        cipher = self._ciphers.get(key_id)
        if version != ENVELOPE or cipher is None:
            raise DecryptError("the ciphertext names no key of the ring")
        try:
            raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], additional_data).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise DecryptError("the ciphertext does not open here") from error

    def is_current(self, envelope: str) -> bool:
        """Whether the first key of the ring made this envelope."""
        return envelope.startswith(f"{ENVELOPE}:{self.primary_id}:")


def _decode_key(encoded: str, position: int) -> bytes:
    try:
        key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImproperlyConfigured(f"{VARIABLE}: key {position} is not base64.") from error
    if len(key) != KEY_BYTES:
        raise ImproperlyConfigured(f"{VARIABLE}: key {position} has {len(key)} bytes, it takes {KEY_BYTES}.")
    if len(set(key)) < 8:
        raise ImproperlyConfigured(f"{VARIABLE}: key {position} is not random.")
    return key


def new_key() -> str:
    """A fresh random key as text for the ring."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


@lru_cache(maxsize=4)
def _ring(text: str) -> KeyRing:
    return KeyRing.parse(text)


def keyring() -> KeyRing:
    """The configured ring. Raises ImproperlyConfigured when it is missing or malformed."""
    text: str = settings.LLMHUB_ENCRYPTION_KEYS
    if not text:
        raise ImproperlyConfigured(f"{VARIABLE} is not set: `make run` makes a key file, or set the variable.")
    return _ring(text)
