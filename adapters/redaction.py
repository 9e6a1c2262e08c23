"""Takes known secrets out of text, by value: for log lines, error reports and the audit trail. Keeps no plaintext.

Whoever opens, takes in or makes a secret calls `remember`; whatever is written for people to read goes through
`redact`. What is kept of a secret are a process-keyed hash of its first characters, its length and a keyed digest.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import OrderedDict
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

__all__ = ["REDACTED", "redact", "remember"]

REDACTED: Final = "[redacted]"
# Shorter values would take ordinary words out of every line; no vendor's key is that short.
MIN_CHARACTERS: Final = 12
MAX_REMEMBERED: Final = 20_000
_HEAD: Final = 8

_salt = secrets.token_bytes(32)
_digests: OrderedDict[bytes, int] = OrderedDict()  # digest of a secret's form, and its length; the oldest goes first
_lengths: dict[int, set[int]] = {}  # by the hash of the first characters
_seen: set[int] = set()  # hashes of values that are remembered: they come again with every call
_lock = threading.Lock()


def remember(*values: str | None) -> None:
    """Have `redact` take these values out from now on, also where they were quoted for a URL, JSON or base64."""
    for value in values:
        if value is None or len(value) < MIN_CHARACTERS or hash(value) in _seen:
            continue
        with _lock:
            for form in _forms(value):
                _keep(form)
            _seen.add(hash(value))


def redact(text: str) -> str:
    """The text with every remembered secret replaced."""
    if not _digests or len(text) < MIN_CHARACTERS:
        return text
    kept: list[str] = []
    at = start = 0
    while at <= len(text) - MIN_CHARACTERS:
        length = _secret_at(text, at)
        if length:
            kept += [text[start:at], REDACTED]
            at = start = at + length
        else:
            at += 1
    return "".join([*kept, text[start:]]) if kept else text


def _forms(value: str) -> set[str]:
    quoted = {quote(value), quote(value, safe=""), json.dumps(value)[1:-1], value.replace("/", "\\/")}
    return {value, *quoted, base64.b64encode(value.encode()).decode().rstrip("="), value.encode().hex()}


def _keep(form: str) -> None:
    digest = _digest(form)
    if digest in _digests:
        return
    _digests[digest] = len(form)
    _lengths.setdefault(hash(form[:_HEAD]), set()).add(len(form))
    while len(_digests) > MAX_REMEMBERED:
        # The heads of what is forgotten stay: they cost a look and hide nothing.
        _digests.popitem(last=False)
        _seen.clear()


def _secret_at(text: str, at: int) -> int:
    """The length of the longest remembered secret that begins there; 0 when none does."""
    lengths = _lengths.get(hash(text[at : at + _HEAD]))
    if lengths is None:
        return 0
    for length in sorted(lengths, reverse=True):
        if at + length <= len(text) and _digest(text[at : at + length]) in _digests:
            return length
    return 0


def _digest(form: str) -> bytes:
    return blake2b(form.encode("utf-8", "surrogatepass"), key=_salt, digest_size=16).digest()
