"""Limits that are exact over all nodes: the same minutes and calls at once, counted in Valkey (or Redis).

While Valkey can't be reached this node counts with its own workers (registry.routing.limits), which is said in the log:
a call is never refused because a counter is away. Seconds are Valkey's, so that nodes need not agree on the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from redis import asyncio as valkey
from redis.exceptions import RedisError

from adapters.types import Usage
from registry.routing.limits import Entry, LimitError, Limits, Standing, call_alone_exceeds
from registry.routing.rules import LimitRule
from registry.usage.ledger import BudgetShare

log = logging.getLogger("llmhub.lane")

PREFIX = "llmhub:limits:"
ANSWER_WITHIN_S = 0.25
AWAY_S = 1.0  # after a failure nobody waits for Valkey that long
SEAT_LIFE_S = 60  # the places of a worker that died are free after it
UNSENT_MOST = 10_000

# KEYS: a hash of seconds per window, then a sorted set of calls per rule with calls at once.
# ARGV: the call's id, the life of its places, the number of windows; limit and cost of each; then each set's limit.
# Answers {0, total, reset, ...} per window, {window, wait, total, reset} or {-set} of the one that is full.
ENTER = """
local now = tonumber(redis.call('TIME')[1])
local windows = tonumber(ARGV[3])
local answer, cost_of = {0}, {}
for n = 1, windows do
  local limit, cost = tonumber(ARGV[2 + 2 * n]), tonumber(ARGV[3 + 2 * n])
  local fields, total, newest, seconds = redis.call('HGETALL', KEYS[n]), 0, 0, {}
  for i = 1, #fields, 2 do
    local second, count = tonumber(fields[i]), tonumber(fields[i + 1])
    if second <= now - 60 then
      redis.call('HDEL', KEYS[n], fields[i])
    else
      total = total + count
      if second > newest then newest = second end
      seconds[#seconds + 1] = {second, count}
    end
  end
  if total + cost > limit then
    table.sort(seconds, function(a, b) return a[1] < b[1] end)
    local left, wait = total, 60
    for _, one in ipairs(seconds) do
      left = left - one[2]
      if left + cost <= limit then wait = one[1] + 60 - now; break end
    end
    return {n, wait, total, newest > 0 and newest + 60 - now or 0}
  end
  cost_of[n] = cost
  answer[#answer + 1] = total + cost
  answer[#answer + 1] = 60
end
for n = windows + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[n], '-inf', now)
  if redis.call('ZCARD', KEYS[n]) >= tonumber(ARGV[3 + windows + n]) then return {windows - n} end
end
for n = 1, windows do
  redis.call('HINCRBY', KEYS[n], now, cost_of[n])
  redis.call('EXPIRE', KEYS[n], 120)
end
for n = windows + 1, #KEYS do
  redis.call('ZADD', KEYS[n], now + tonumber(ARGV[2]), ARGV[1])
  redis.call('EXPIRE', KEYS[n], 2 * tonumber(ARGV[2]))
end
answer[#answer + 1] = now
return answer
"""

# KEYS: the windows of tokens; ARGV: the second that the call was counted in, and how many tokens more it took.
CORRECT = """
for n = 1, #KEYS do
  local counted = tonumber(redis.call('HGET', KEYS[n], ARGV[1]) or '-1')
  if counted >= 0 then redis.call('HINCRBY', KEYS[n], ARGV[1], math.max(tonumber(ARGV[2]), -counted)) end
end
"""


class SharedEntry:
    """A call that was let in by all nodes' counters: leaves its places, and puts its tokens right, once."""

    __slots__ = ("id", "limits", "moment", "rules", "standing", "tokens")

    shares: tuple[BudgetShare, ...] = ()

    def __init__(self, limits: SharedLimits, rules: Sequence[LimitRule], tokens: int) -> None:
        self.limits = limits
        self.rules = rules
        self.tokens = tokens
        self.id = uuid4().hex
        self.moment = 0
        self.standing = Standing()

    def settle(self, usage: Usage | None, cost: Decimal | None) -> None:
        rules, self.rules = self.rules, ()
        if rules:
            used = 0 if usage is None else (usage.input_tokens or 0) + (usage.output_tokens or 0)
            self.limits.leave(self, rules, used - self.tokens)


class SharedLimits:
    """One a worker, on its event loop. `local` counts while Valkey is away."""

    def __init__(self, url: str, local: Limits) -> None:
        self.local = local
        self._valkey: Any = valkey.from_url(
            url, socket_timeout=ANSWER_WITHIN_S, socket_connect_timeout=ANSWER_WITHIN_S, decode_responses=True
        )
        self._enter = self._valkey.register_script(ENTER)
        self._correct = self._valkey.register_script(CORRECT)
        self._away_until = 0.0
        self._unsent: list[tuple[SharedEntry, Sequence[LimitRule], int]] = []
        self._seated: dict[str, list[str]] = {}  # call -> its sets, renewed while it lasts
        self._has_work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def enter(self, rules: Sequence[LimitRule], tokens: int) -> Entry | SharedEntry:
        """Count a call in all limits or in none. Raises LimitError."""
        if time.monotonic() < self._away_until:
            return self.local.enter(rules, tokens)
        windows = [window for rule in rules for window in _windows(rule, tokens)]
        for rule, kind, _, limit, cost in windows:
            if cost > limit:
                raise call_alone_exceeds(rule, kind, limit, cost)
        seats = [
            (rule, f"{PREFIX}calls/{rule.place}", rule.concurrency) for rule in rules if rule.concurrency is not None
        ]
        entry = SharedEntry(self, rules, tokens)
        arguments: list[Any] = [entry.id, SEAT_LIFE_S, len(windows)]
        for _, _, _, limit, cost in windows:
            arguments += [limit, cost]
        arguments += [limit for _, _, limit in seats]
        if seats:
            self._seated[entry.id] = [name for _, name, _ in seats]
            self._begin_work()
        try:
            answer = await self._enter(
                keys=[*(name for _, _, name, _, _ in windows), *(name for _, name, _ in seats)], args=arguments
            )
        except (RedisError, OSError, TimeoutError) as error:
            entry.settle(None, None)
            self._note_away(error)
            return self.local.enter(rules, tokens)
        except asyncio.CancelledError:
            entry.settle(None, None)  # its client left; the counters may have it already
            raise
        if answer[0] == 0:
            entry.moment = answer[-1]
            entry.standing = _standing(windows, answer[1:-1])
            return entry
        self._seated.pop(entry.id, None)
        if answer[0] > 0:
            raise _refused(windows[answer[0] - 1], *answer[1:])
        rule, _, limit = seats[-answer[0] - 1]
        raise LimitError(f"{rule.words} of {limit} calls at once is reached.", retry_after_s=1)

    def leave(self, entry: SharedEntry, rules: Sequence[LimitRule], more_tokens: int) -> None:
        """A call ended; told to Valkey in a moment, by a task that does nothing else."""
        if len(self._unsent) < UNSENT_MOST:  # places end by themselves, and a minute is short
            self._unsent.append((entry, rules, more_tokens))
        self._begin_work()
        self._has_work.set()

    def _begin_work(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._send_unsent()), asyncio.create_task(self._renew_seats())]

    async def _send_unsent(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            unsent, self._unsent = self._unsent, []
            try:
                for entry, rules, more_tokens in unsent:
                    await self._send(entry, rules, more_tokens)
            except (RedisError, OSError, TimeoutError) as error:
                self._note_away(error)

    async def _send(self, entry: SharedEntry, rules: Sequence[LimitRule], more_tokens: int) -> None:
        counted = [f"{PREFIX}tokens/{rule.place}" for rule in rules if rule.tokens_per_minute is not None]
        for name in self._seated.pop(entry.id, ()):
            await self._valkey.zrem(name, entry.id)
        if counted and more_tokens:
            await self._correct(keys=counted, args=[entry.moment, more_tokens])

    async def _renew_seats(self) -> None:
        """Calls may last longer than a place's life."""
        while True:
            await asyncio.sleep(SEAT_LIFE_S / 3)
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                now = int((await self._valkey.time())[0])
                for key, names in list(self._seated.items()):
                    for name in names:
                        await self._valkey.zadd(name, {key: now + SEAT_LIFE_S}, xx=True)

    def _note_away(self, error: Exception) -> None:
        if time.monotonic() - self._away_until > 60:
            log.warning("Valkey can't be reached (%s): this node counts limits for itself.", type(error).__name__)
        self._away_until = time.monotonic() + AWAY_S

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._valkey.aclose()


Window = tuple[LimitRule, str, str, int, int]  # its rule, requests or tokens, its key, its limit, what the call takes


def _windows(rule: LimitRule, tokens: int) -> list[Window]:
    found: list[Window] = []
    if rule.requests_per_minute is not None:
        found.append((rule, "requests", f"{PREFIX}requests/{rule.place}", rule.requests_per_minute, 1))
    if rule.tokens_per_minute is not None:
        found.append((rule, "tokens", f"{PREFIX}tokens/{rule.place}", rule.tokens_per_minute, tokens))
    return found


def _refused(window: Window, wait_s: int, total: int, reset_s: int) -> LimitError:
    rule, kind, _, limit, _ = window
    stand = (limit, max(limit - total, 0), reset_s)
    standing = Standing(requests=stand) if kind == "requests" else Standing(tokens=stand)
    return LimitError(f"{rule.words} of {limit} {kind} a minute is reached.", retry_after_s=wait_s, standing=standing)


def _standing(windows: Sequence[Window], totals: Sequence[int]) -> Standing:
    """Of each kind the limit that leaves least."""
    tightest: dict[str, tuple[int, int, int]] = {}
    for (_, kind, _, limit, _), total, reset_s in zip(windows, totals[::2], totals[1::2], strict=True):
        left = max(limit - total, 0)
        if kind not in tightest or left < tightest[kind][1]:
            tightest[kind] = (limit, left, reset_s)
    return Standing(requests=tightest.get("requests"), tokens=tightest.get("tokens"))
