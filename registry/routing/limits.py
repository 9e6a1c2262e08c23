"""Requests and tokens a minute, and calls at once: for a user, group, token, model, provider or key. Knows no money.

Exact for all workers of a node, which share their counters in a file (registry.routing.cells); each node counts for
itself, unless they share a Valkey (registry.routing.shared_limits). A minute is the last 60 whole seconds. Tokens are
counted on an estimate when a call begins, and put right when it ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from adapters.errors import LLMError
from adapters.types import Usage
from registry.routing.cells import COUNTERS, HEAD, Row, Table
from registry.routing.rules import LimitRule
from registry.usage.ledger import BudgetShare

log = logging.getLogger("llmhub.lane")

NEWEST, TOTAL = 2, 3  # in a row: the second last written, and the sum of its counters


class LimitError(LLMError):
    """A limit is reached; `retry_after_s` says when one such call fits, None when none ever will."""

    code = "rate_limit_exceeded"
    status = 429

    def __init__(self, message: str, *, retry_after_s: float | None, standing: Standing | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.should_retry = retry_after_s is not None
        self.headers = standing.headers() if standing else []


def call_alone_exceeds(rule: LimitRule, kind: str, limit: int, cost: int) -> LimitError:
    words = f"{rule.words} is {limit} {kind} a minute, and this call alone may take {cost}."
    return LimitError(words, retry_after_s=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the tightest limits stand, for `x-ratelimit-*`. None: no such limit. Resets are seconds until all is free."""

    requests: tuple[int, int, int] | None = None  # limit, remaining, reset_s
    tokens: tuple[int, int, int] | None = None

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """As `headers`, in bytes."""
        named = []
        if self.requests is not None:
            limit, remaining, reset_s = self.requests
            named += [
                (b"x-ratelimit-limit-requests", b"%d" % limit),
                (b"x-ratelimit-remaining-requests", b"%d" % remaining),
                (b"x-ratelimit-reset-requests", b"%ds" % reset_s),
            ]
        if self.tokens is not None:
            limit, remaining, reset_s = self.tokens
            named += [
                (b"x-ratelimit-limit-tokens", b"%d" % limit),
                (b"x-ratelimit-remaining-tokens", b"%d" % remaining),
                (b"x-ratelimit-reset-tokens", b"%ds" % reset_s),
            ]
        return named

    def headers(self) -> list[tuple[str, str]]:
        named = []
        for kind, values in (("requests", self.requests), ("tokens", self.tokens)):
            if values is not None:
                limit, remaining, reset_s = values
                named += [
                    (f"x-ratelimit-limit-{kind}", str(limit)),
                    (f"x-ratelimit-remaining-{kind}", str(remaining)),
                    (f"x-ratelimit-reset-{kind}", f"{reset_s}s"),
                ]
        return named


class Entry:
    """A call that was let in: leaves its places, and puts its tokens right, once."""

    __slots__ = ("limits", "moment", "rules", "standing", "tokens")

    shares: tuple[BudgetShare, ...] = ()

    def __init__(self, limits: Limits, rules: Sequence[LimitRule], tokens: int, moment: int) -> None:
        self.limits = limits
        self.rules: Sequence[LimitRule] = rules
        self.tokens = tokens
        self.moment = moment
        self.standing = Standing()

    def settle(self, usage: Usage | None, cost: Decimal | None) -> None:
        self.leave(0 if usage is None else (usage.input_tokens or 0) + (usage.output_tokens or 0))

    def leave(self, used_tokens: int) -> None:
        """As `settle`, for who has the sum."""
        rules, self.rules = self.rules, ()
        if rules:
            self.limits.leave(rules, used_tokens - self.tokens, self.moment)


class Limits:
    """One a worker. With a `directory` its workers count together; without, this process counts alone."""

    def __init__(self, directory: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._windows = Table(directory / "windows.cells" if directory else None)
        self._calls = Table(directory / "calls.cells" if directory else None)
        self._seats = _Seats(directory / "seats" if directory else None)
        with self._windows.held():  # for both tables: a call is counted and leaves in one step
            for row in self._calls.all_rows():
                _vacate(row, self._seats.mine)  # of the process that sat here before

    def enter(self, rules: Sequence[LimitRule], tokens: int) -> Entry:
        """Count a call in all limits or in none. Raises LimitError."""
        now = int(self.clock())
        entry = Entry(self, rules, tokens, now)
        with self._windows.held():
            minutes = self._minutes(rules, tokens, now)
            for rule, kind, row, limit, cost in minutes:
                if row[TOTAL] + cost > limit:
                    self._refuse(rule, kind, row, limit, cost, now)
            self._sit(rules)
            for _, _, row, _, cost in minutes:
                row[HEAD + now % COUNTERS] += cost
                row[TOTAL] += cost
            entry.standing = _standing(minutes, now)
        return entry

    def leave(self, rules: Sequence[LimitRule], more_tokens: int, moment: int) -> None:
        """A call ended: `more_tokens` than it was counted with, in the second `moment`."""
        now = int(self.clock())
        more = more_tokens if now - moment < COUNTERS else 0
        with self._windows.held():
            for rule in rules:
                if more and rule.tokens_per_minute is not None:
                    row = self._windows.row(f"tokens/{rule.place}")
                    _advance(row, now)
                    place = HEAD + moment % COUNTERS
                    change = max(more, -row[place])
                    row[place] += change
                    row[TOTAL] += change
                if rule.concurrency is not None:
                    row, place = self._calls.row(rule.place), HEAD + self._seats.mine
                    if row[place] > 0:
                        row[place] -= 1

    def _minutes(self, rules: Sequence[LimitRule], tokens: int, now: int) -> list[tuple[LimitRule, str, Row, int, int]]:
        found = []
        for rule in rules:
            for kind, limit, cost in (
                ("requests", rule.requests_per_minute, 1),
                ("tokens", rule.tokens_per_minute, tokens),
            ):
                if limit is not None:
                    row = self._windows.row(f"{kind}/{rule.place}")
                    _advance(row, now)
                    found.append((rule, kind, row, limit, cost))
        return found

    def _refuse(self, rule: LimitRule, kind: str, row: Row, limit: int, cost: int, now: int) -> None:
        if cost > limit:
            raise call_alone_exceeds(rule, kind, limit, cost)
        standing = _standing([(rule, kind, row, limit, cost)], now)
        words = f"{rule.words} of {limit} {kind} a minute is reached."
        raise LimitError(words, retry_after_s=_wait_s(row, limit - cost, now), standing=standing)

    def _sit(self, rules: Sequence[LimitRule]) -> None:
        """Take a place in every limit on calls at once."""
        rows = [(rule, self._calls.row(rule.place)) for rule in rules if rule.concurrency is not None]
        for rule, row in rows:
            if sum(row[HEAD:]) >= rule.concurrency:  # type: ignore[operator]  # checked above
                for seat in range(COUNTERS):
                    if row[HEAD + seat] and self._seats.is_empty(seat):
                        _vacate(row, seat)
            if sum(row[HEAD:]) >= rule.concurrency:  # type: ignore[operator]  # checked above
                raise LimitError(f"{rule.words} of {rule.concurrency} calls at once is reached.", retry_after_s=1)
        for _, row in rows:
            row[HEAD + self._seats.mine] += 1


def node_limits(directory: Path) -> Limits:
    """With this node's other workers; where there is no room for that, alone, which is said."""
    try:
        return Limits(directory)
    except OSError as error:
        log.error("Limits are counted by each worker for itself: %s can't be used (%s).", directory, error.strerror)
        return Limits()


class _Seats:
    """Which of a node's processes this one is: a byte of a file, locked as long as it lives."""

    def __init__(self, path: Path | None) -> None:
        self.mine = 0
        self._fd = -1
        if path is None:
            return
        self._fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        for seat in range(COUNTERS):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, seat)
            except OSError:
                continue
            self.mine = seat
            return
        self.mine = COUNTERS - 1  # more processes than seats: the last one is shared

    def is_empty(self, seat: int) -> bool:
        """Whether the process that counted there is gone."""
        if self._fd < 0 or seat == self.mine:
            return False
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, seat)
        except OSError:
            return False
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, seat)
        return True


def _vacate(row: Row, seat: int) -> None:
    row[HEAD + seat] = 0


def _advance(row: Row, now: int) -> None:
    """Let the seconds go that are a minute old. A clock that goes back changes nothing until it has caught up."""
    gap = now - row[NEWEST]
    if gap <= 0:
        return
    for second in range(now - min(gap, COUNTERS) + 1, now + 1):
        place = HEAD + second % COUNTERS
        row[TOTAL] -= row[place]
        row[place] = 0
    row[NEWEST] = now


def _wait_s(row: Row, room_for: int, now: int) -> int:
    """Seconds until at most `room_for` is counted."""
    total = row[TOTAL]
    for age in range(COUNTERS - 1, -1, -1):
        total -= row[HEAD + (now - age) % COUNTERS]
        if total <= room_for:
            return COUNTERS - age
    return COUNTERS


def _empty_in_s(row: Row, now: int) -> int:
    """Seconds until nothing is counted: what was counted last goes last."""
    for age in range(COUNTERS):
        if row[HEAD + (now - age) % COUNTERS] > 0:
            return COUNTERS - age
    return 0


def _standing(minutes: Sequence[tuple[LimitRule, str, Row, int, int]], now: int) -> Standing:
    """Of each kind the limit that leaves least."""
    tightest: dict[str, tuple[int, int, int]] = {}
    for _, kind, row, limit, _ in minutes:
        left = max(limit - row[TOTAL], 0)
        if kind not in tightest or left < tightest[kind][1]:
            tightest[kind] = (limit, left, _empty_in_s(row, now) if row[TOTAL] else 0)
    return Standing(requests=tightest.get("requests"), tokens=tightest.get("tokens"))
