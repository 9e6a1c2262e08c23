"""Wakes those who wait longer than others do: one timer for many calls, as most end before it. Knows no policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Alarms:
    """Calls that may take too long, in the order in which they began. For one event loop at a time."""

    __slots__ = ("_at", "_loop", "_timer", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[Any, tuple[float, Callable[[], None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def begin(self, key: Any, delay_s: float, ring: Callable[[], None]) -> None:
        """Call `ring` after `delay_s`, unless `end` comes before. A key stands for one wait at a time."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a loop that ended took its waits along
            self._loop, self._timer = loop, None
            self._waiting.clear()
        at = loop.time() + delay_s
        self._waiting[key] = (at, ring)
        if self._timer is None or at < self._at:
            self._set(at)

    def end(self, key: Any) -> None:
        """Forget a wait. The timer is left for whoever comes next."""
        self._waiting.pop(key, None)

    def _set(self, at: float) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        for key, (at, ring) in list(self._waiting.items()):
            if at <= now:
                del self._waiting[key]
                ring()
        if self._waiting:
            self._set(min(at for at, _ in self._waiting.values()))
