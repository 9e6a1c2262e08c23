"""Slows down guessing of passwords: counts failed sign-ins by address and name in Django's cache.

The cache is per worker unless VALKEY_URL is set, so several workers allow as many times the failures.
"""

from __future__ import annotations

import hashlib

from django.core.cache import cache

WINDOW_S = 900
MAX_FAILURES = 5  # of one name from one address
MAX_FAILURES_OF_ADDRESS = 50  # of all names from one address


def is_blocked(address: str, name: str) -> bool:
    """Whether this address has failed too often, for this name or at all."""
    return (cache.get(_key(address, name)) or 0) >= MAX_FAILURES or (
        cache.get(_key(address)) or 0
    ) >= MAX_FAILURES_OF_ADDRESS


def note_failure(address: str, name: str) -> None:
    for key in (_key(address, name), _key(address)):
        if not cache.add(key, 1, WINDOW_S):
            try:
                cache.incr(key)
            except ValueError:  # ran out between the two calls
                cache.set(key, 1, WINDOW_S)


def forget(address: str, name: str) -> None:
    """A correct password clears the count of that name; the address keeps its own."""
    cache.delete(_key(address, name))


def _key(address: str, name: str = "") -> str:
    # Hashed: a name may hold characters that no cache key may, and no list of names stays in the cache.
    text = f"{address}\n{name.strip().casefold()}"
    return "sign-in:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
