"""Tries the candidates of one call in order until one answers: retries and fallbacks, before the first byte only.

A candidate at another provider is a fallback and free. Another try at a provider that just failed is a retry: it takes
from that provider's retry budget, at most two a call, after a pause that honours `Retry-After`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from adapters import Adapter
from adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    EgressDeniedError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    UnsupportedFeatureError,
    UpstreamTimeoutError,
)
from registry.access.principals import Principal
from registry.routing.guard import Guard, Refused
from registry.routing.health import Health, is_down, provider_place
from registry.routing.refusal import refusal
from registry.routing.resolve import Ask, Candidate, Dropped, Resolution
from registry.usage.call import CallRecord
from registry.usage.ledger import Hold

MAX_RETRIES = 2
FIRST_PAUSE_S = 0.25  # doubles; the pause is drawn from nothing up to it
LONGEST_PAUSE_S = 5.0  # a provider that asks for more is not waited for: the client is told

T = TypeVar("T")
Work = Callable[[Adapter, Candidate], Awaitable[T]]


def fits_elsewhere(error: LLMError) -> bool:
    """Whether the next candidate may do better; a request that is wrong in itself is wrong everywhere."""
    own_fault = AuthenticationError | PermissionDeniedError | QuotaExceededError | ModelNotFoundError
    unfit = ConfigurationError | EgressDeniedError | UnsupportedFeatureError
    return error.retryable or isinstance(error, own_fault | unfit)


class Tries:
    """How the candidates of calls are tried; one instance serves all calls of a client."""

    def __init__(
        self,
        health: Health,
        adapter_of: Callable[[Candidate, Principal], Awaitable[Adapter]],
        guard: Guard | None = None,
    ) -> None:
        self.health = health
        self.adapter_of = adapter_of
        self.guard = guard

    async def first(
        self,
        record: CallRecord,
        resolution: Resolution,
        principal: Principal,
        work: Work[T],
        *,
        rewrite: Callable[[Candidate], Candidate] | None = None,
        failed: LLMError | None = None,
    ) -> T:
        """What `work` answers for the first candidate that it succeeds with; tells the record of each try.

        With `failed` the first candidate was tried already, and health and record know how that ended. Raises the
        last LLMError, settled. A caller that is cancelled settles as aborted.
        """
        waiting = deque(resolution.candidates if rewrite is None else map(rewrite, resolution.candidates))
        refused: list[Dropped] = []
        retries = 0
        last: LLMError | None = None
        no_error: LLMError | None = None
        while waiting:
            candidate = waiting.popleft()
            if failed is None and (no := self._refusal(candidate, last)) is not None:
                refused.append(no)
                continue
            try:
                if failed is not None:
                    begun, failed = failed, None
                    raise begun
                return await self._once(record, candidate, principal, work, again=last is not None)
            except Refused as no_now:
                refused.append(no_now.dropped)
                no_error = no_error or no_now.error
            except LLMError as error:
                if not record.tries:
                    record.reject(error)
                    raise
                if not fits_elsewhere(error):
                    record.fail(error)
                    raise
                last = error
                waiting = deque(other for other in waiting if not self._is_as_bad(candidate, other, error))
                if not waiting and (pause_s := self._pause_s(candidate, error, retries)) is not None:
                    retries += 1
                    waiting.append(candidate)
                    record.drop(error)
                    await self._pause(record, pause_s)
                elif waiting:
                    record.drop(error)
        if last is None:
            raise self._reject(record, resolution, refused, no_error)
        record.fail(last)
        raise last

    async def _once(
        self, record: CallRecord, candidate: Candidate, principal: Principal, work: Work[T], *, again: bool
    ) -> T:
        held: tuple[Hold, ...] = ()
        if self.guard is not None:
            held = await self.guard.claim(candidate, principal, record.request, record.intent)
            record.hold(*held)
        started = time.monotonic()
        entered = False
        try:
            record.begin(candidate)
            adapter = await self.adapter_of(candidate, principal)
            self.health.entered(candidate, again=again)
            entered = True
            answer = await work(adapter, candidate)
        except LLMError as error:
            if entered:
                self.health.failed(candidate, error)
            record.let_go(*held)
            raise
        except BaseException as error:
            if entered:
                self.health.left(candidate)
            if isinstance(error, asyncio.CancelledError):
                record.abort()
            record.let_all_go()
            raise
        self.health.succeeded(candidate, (time.monotonic() - started) * 1000)
        return answer

    def _refusal(self, candidate: Candidate, last: LLMError | None) -> Dropped | None:
        """Since the resolution a breaker may have opened, or another call may have become the probe."""
        no = self.health.gate(candidate)
        if no is not None and last is not None and no.code == "rate_limited":
            return None  # this call waited for as long as it was asked to
        return no

    def _is_as_bad(self, failed: Candidate, other: Candidate, error: LLMError) -> bool:
        """Whether `other` would meet the same trouble: another key does not help against a provider that is down."""
        if not is_down(error) or provider_place(failed) != provider_place(other):
            return False
        return failed.entry.id == other.entry.id or not self.health.may_retry(other)

    def _pause_s(self, candidate: Candidate, error: LLMError, retries: int) -> float | None:
        """Seconds to wait before the same candidate is tried again; None when it should not be."""
        if retries >= MAX_RETRIES or not error.retryable or isinstance(error, UpstreamTimeoutError):
            return None  # after a timeout the client has waited long enough, and the answer may have been generated
        asked_s = error.retry_after_s or 0.0
        if asked_s > LONGEST_PAUSE_S or not self.health.may_retry(candidate):
            return None
        return asked_s + random.uniform(0, FIRST_PAUSE_S * 2**retries)  # noqa: S311  # no secret

    async def _pause(self, record: CallRecord, pause_s: float) -> None:
        try:
            await asyncio.sleep(pause_s)
        except asyncio.CancelledError:
            record.abort()
            raise

    def _reject(
        self, record: CallRecord, resolution: Resolution, refused: list[Dropped], no_error: LLMError | None
    ) -> LLMError:
        """What kept the first candidate from being tried is what the caller hears."""
        left = replace(resolution, candidates=(), dropped=(*refused, *resolution.dropped))
        error = refusal(left, Ask(), because=no_error)
        record.reject(error)
        return error
