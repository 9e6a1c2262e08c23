"""How often somebody may do something: sliding windows that a node's workers share, or Valkey where there is one.

Owns the counting and the limits on Django's side; which requests count is registry.access.rate_limits.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.core.cache import cache

from registry.routing.cells import COUNTERS, HEAD, Row, Table

log = logging.getLogger("llmhub.access")

NEWEST, TOTAL = 2, 3  # in a row: the tick last written, and the sum of its counters
_ROWS = 16_384


class Rates:
    """Counts by key over a window cut into 60 ticks. With a `directory` all workers of a node count together."""

    def __init__(self, directory: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._table = Table(directory / "rates.cells" if directory else None, rows=_ROWS)

    def take(self, key: str, limit: int, window_s: int) -> int:
        """Count one and answer 0; or count nothing and answer after how many seconds there is room for one."""
        with self._table.held():
            row, tick = self._row(key, window_s)
            if row[TOTAL] >= limit:
                return self._wait_s(row, tick, limit - 1, window_s)
            self._add(row, tick)
            return 0

    def wait_s(self, key: str, limit: int, window_s: int) -> int:
        """As `take`, and counts nothing."""
        with self._table.held():
            row, tick = self._row(key, window_s)
            return self._wait_s(row, tick, limit - 1, window_s) if row[TOTAL] >= limit else 0

    def note(self, key: str, window_s: int) -> None:
        """Count one, whatever stands there."""
        with self._table.held():
            self._add(*self._row(key, window_s))

    def forget(self, key: str, window_s: int) -> None:
        with self._table.held():
            row, _ = self._row(key, window_s)
            row[TOTAL] = 0
            for place in range(HEAD, HEAD + COUNTERS):
                row[place] = 0

    def clear(self) -> None:
        """Forget everybody: for tests."""
        with self._table.held():
            for row in self._table.all_rows():
                for place in range(len(row)):
                    row[place] = 0

    def _row(self, key: str, window_s: int) -> tuple[Row, int]:
        tick = int(self.clock() * COUNTERS / window_s)
        row = self._table.row(f"{window_s}/{key}")
        gap = tick - row[NEWEST]
        if gap > 0:
            for old in range(tick - min(gap, COUNTERS) + 1, tick + 1):
                place = HEAD + old % COUNTERS
                row[TOTAL] -= row[place]
                row[place] = 0
            row[NEWEST] = tick
        return row, tick

    def _add(self, row: Row, tick: int) -> None:
        row[HEAD + tick % COUNTERS] += 1
        row[TOTAL] += 1

    def _wait_s(self, row: Row, tick: int, room_for: int, window_s: int) -> int:
        total = row[TOTAL]
        for age in range(COUNTERS - 1, -1, -1):
            total -= row[HEAD + (tick - age) % COUNTERS]
            if total <= room_for:
                return max(1, math.ceil((COUNTERS - age) * window_s / COUNTERS))
        return window_s

    def close(self) -> None:
        self._table.close()


class ValkeyRates:
    """Fixed windows in the cache that all nodes share: a window's end lets twice the limit through, and no more."""

    def take(self, key: str, limit: int, window_s: int) -> int:
        return self._rest_s(window_s) if self._count(key, window_s) > limit else 0

    def wait_s(self, key: str, limit: int, window_s: int) -> int:
        return self._rest_s(window_s) if (cache.get(self._name(key, window_s)) or 0) >= limit else 0

    def note(self, key: str, window_s: int) -> None:
        self._count(key, window_s)

    def forget(self, key: str, window_s: int) -> None:
        cache.delete(self._name(key, window_s))

    def _count(self, key: str, window_s: int) -> int:
        name = self._name(key, window_s)
        cache.add(name, 0, window_s + 1)
        try:
            return int(cache.incr(name))
        except ValueError:  # ran out between the two calls
            cache.set(name, 1, window_s + 1)
            return 1

    def _name(self, key: str, window_s: int) -> str:
        window = int(time.time() / window_s)
        return f"rate:{window_s}:{window}:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    def _rest_s(self, window_s: int) -> int:
        return max(1, math.ceil(window_s - time.time() % window_s))


@lru_cache(maxsize=1)
def shared_rates() -> Rates | ValkeyRates:
    """This process's counters; where no file can be shared each worker counts for itself, which is said."""
    if settings.VALKEY_URL:
        return ValkeyRates()
    try:
        return Rates(settings.LLMHUB_LIMITS_DIR)
    except OSError as error:
        log.error("Rates are counted by each worker for itself: %s.", error.strerror)
        return Rates()


def network_of(address: str | None) -> str:
    """Whom an address stands for: itself, and the /64 around an IPv6 one, which is what one household has."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None:
        return str(mapped)
    if found.version == 6:
        return str(ipaddress.ip_network(f"{found}/64", strict=False))
    return str(found)


__all__ = ["Rates", "ValkeyRates", "network_of", "shared_rates"]
