"""What this process has seen of providers and keys: breakers, cool-downs, retry budgets. Calls nobody, stores nothing.

A provider's breaker counts what says that it is down (no connection, 5xx, answers that can't be read); a key's breaker
counts what says that the key is no good (401, an empty account). A 429 or 503 that names a time keeps the key away from
that model until then. Each process learns for itself; docs/decisions/breakers-and-retries.md says why.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from adapters.errors import (
    AuthenticationError,
    LLMError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamConnectionError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from registry.access.principals import Principal
from registry.routing.resolve import Candidate, Dropped

FAILURES_IN_A_ROW = 5
WINDOW_S = 30.0
WINDOW_CALLS = 20  # with so many in the window, half of them failed opens too
PROVIDER_OPEN_S = 5.0
KEY_FAILURES_IN_A_ROW = 3
KEY_OPEN_S = 30.0
PROBE_S = 60.0  # a probe that nobody ended by then is forgotten
LONGEST_COOL_DOWN_S = 60.0

RETRY_SHARE = 0.2  # retries a provider may get on top of its calls
RETRY_FLOOR = 3.0  # retries that are there without many calls
RETRY_CEILING = 20.0
RETRY_REGAINED_PER_S = RETRY_FLOOR / WINDOW_S

_DOWN = UpstreamConnectionError | UpstreamUnavailableError | UpstreamProtocolError
_KEY_NO_GOOD = AuthenticationError | QuotaExceededError
_SMOOTHING = 0.2
_MAX_PLACES = 10_000

Place = Hashable


@dataclass(slots=True)
class Breaker:
    """Closed; open until a moment; then half-open, where one probe at a time decides. Times are monotonic seconds."""

    limit: int = FAILURES_IN_A_ROW
    open_s: float = PROVIDER_OPEN_S
    of: object = None  # what it was learnt of: a changed row begins anew
    open_until: float | None = None
    probe_until: float = 0.0
    failures: int = 0  # in a row
    window_began: float = 0.0
    calls: int = 0
    failed_calls: int = 0

    def wait_s(self, now: float) -> float:
        """Seconds until it may let a call through; 0 when it may now."""
        if self.open_until is None:
            return 0.0
        return max(self.open_until - now, 0.0) or max(self.probe_until - now, 0.0)

    def enter(self, now: float) -> None:
        """A call goes out; in a half-open breaker it is the probe."""
        if self.open_until is not None:
            self.probe_until = now + PROBE_S

    def leave(self) -> None:
        """A call ended without a word about the provider: the next may probe."""
        self.probe_until = 0.0

    def succeed(self, now: float) -> None:
        self.failures = 0
        self.open_until = None
        self._count(now, failed=0)

    def fail(self, now: float) -> None:
        self.failures += 1
        self._count(now, failed=1)
        many = self.calls >= WINDOW_CALLS and self.failed_calls * 2 >= self.calls
        if self.open_until is not None and now < self.open_until:
            return  # a call that went out before it opened
        if self.open_until is not None or self.failures >= self.limit or many:
            self.open_until = now + self.open_s
            self.probe_until = 0.0
            self.calls = self.failed_calls = 0

    def _count(self, now: float, *, failed: int) -> None:
        if now - self.window_began > WINDOW_S:
            self.window_began, self.calls, self.failed_calls = now, 0, 0
        self.calls += 1
        self.failed_calls += failed


@dataclass(slots=True)
class RetryBudget:
    """A fifth of a provider's calls may be retries, and a few more: a provider in trouble is not buried under them."""

    left: float = RETRY_FLOOR
    seen_at: float = 0.0

    def earn(self) -> None:
        self.left = min(self.left + RETRY_SHARE, RETRY_CEILING)

    def take(self, now: float) -> bool:
        regained = RETRY_REGAINED_PER_S * (now - self.seen_at) if self.seen_at else 0.0
        self.left = max(self.left, min(self.left + regained, RETRY_FLOOR))
        self.seen_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class ProviderState:
    breaker: Breaker = field(default_factory=Breaker)
    retries: RetryBudget = field(default_factory=RetryBudget)


class Health:
    """Reads and writes happen on one event loop, or on a script's threads, where a lost count does no harm."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._providers: dict[Place, ProviderState] = {}
        self._keys: dict[Place, Breaker] = {}  # of keys in trouble alone
        self._cooling: dict[tuple[Place, Hashable], float] = {}
        self._answer_ms: dict[Hashable, float] = {}
        self.forgotten = 0  # counts when all was forgotten of providers

    # --- what resolution asks ----------------------------------------------------------------------------------------

    def gate(self, candidate: Candidate, principal: Principal | None = None) -> Dropped | None:
        """Why the candidate can't be called now. Changes nothing: a resolution that is only looked at is no probe."""
        state = self._providers.get(provider_place(candidate))
        if state is not None and state.breaker.open_until is not None:
            wait_s = state.breaker.wait_s(self.clock())
            if wait_s > 0:
                why = f"Its provider {candidate.provider.slug} failed too often: breaker open"
                return _dropped(candidate, "breaker_open", why, wait_s)
        if not self._keys and not self._cooling:
            return None
        return self._key_gate(candidate)

    def _key_gate(self, candidate: Candidate) -> Dropped | None:
        now, place = self.clock(), key_place(candidate)
        breaker = self._keys.get(place)
        if breaker is not None and breaker.of is not candidate.credential:
            del self._keys[place]
            breaker = None
        if breaker is not None and (wait_s := breaker.wait_s(now)) > 0:
            why = f"The provider refused {_key_name(candidate)} too often: breaker open"
            return _dropped(candidate, "breaker_open", why, wait_s)
        until = self._cooling.get((place, candidate.entry.id))
        if until is None:
            return None
        if until <= now:
            del self._cooling[(place, candidate.entry.id)]
            return None
        return _dropped(candidate, "rate_limited", f"The provider asked {_key_name(candidate)} to wait", until - now)

    def answer_ms(self, entry_id: Hashable) -> float | None:
        """How long a model takes to begin its answer, smoothed; None before its first call by this process."""
        return self._answer_ms.get(entry_id)

    # --- for a call whose provider and key are known to be well ------------------------------------------------------

    def state_of(self, candidate: Candidate) -> ProviderState:
        """What is known of a candidate's provider; holds until `forgotten` changes."""
        return self._state(candidate)

    def is_calm(self, state: ProviderState) -> bool:
        """Whether nothing stands in the way of any call at this provider, so that `gate` need not be asked."""
        return state.breaker.open_until is None and not self._keys and not self._cooling

    def answered(self, state: ProviderState, candidate: Candidate, answer_ms: float) -> None:
        """As `succeeded`."""
        state.breaker.succeed(self.clock())
        if self._keys:
            self._keys.pop(key_place(candidate), None)
        self._note_ms(candidate.entry.id, answer_ms)

    # --- what a call tells -------------------------------------------------------------------------------------------

    def entered(self, candidate: Candidate, *, again: bool) -> None:
        """A try goes out; `again` says that it is not its call's first at this provider."""
        state = self._state(candidate)
        if state.breaker.open_until is not None:
            state.breaker.enter(self.clock())
        if not again:
            state.retries.earn()
        if self._keys and (breaker := self._keys.get(key_place(candidate))) is not None:
            breaker.enter(self.clock())

    def succeeded(self, candidate: Candidate, answer_ms: float) -> None:
        self._state(candidate).breaker.succeed(self.clock())
        if self._keys:
            self._keys.pop(key_place(candidate), None)
        self._note_ms(candidate.entry.id, answer_ms)

    def failed(self, candidate: Candidate, error: LLMError) -> None:
        """Learn from an error; one that says nothing of provider or key only ends a probe."""
        now, breaker = self.clock(), self._state(candidate).breaker
        if isinstance(error, _DOWN):
            breaker.fail(now)
            self._note_ms(candidate.entry.id, 10_000.0)
        elif error.upstream_status is not None:
            breaker.succeed(now)  # whatever it said, it is there
        else:
            breaker.leave()
        if isinstance(error, _KEY_NO_GOOD):
            self._key(candidate).fail(now)
        asked_s = error.retry_after_s
        if asked_s and isinstance(error, RateLimitedError | UpstreamUnavailableError):
            _bound(self._cooling)
            self._cooling[(key_place(candidate), candidate.entry.id)] = now + min(asked_s, LONGEST_COOL_DOWN_S)

    def left(self, candidate: Candidate) -> None:
        """The caller went away before anything was learnt."""
        self._state(candidate).breaker.leave()
        if (breaker := self._keys.get(key_place(candidate))) is not None:
            breaker.leave()

    def may_retry(self, candidate: Candidate) -> bool:
        """Take one retry out of the provider's budget."""
        return self._state(candidate).retries.take(self.clock())

    def _state(self, candidate: Candidate) -> ProviderState:
        place = provider_place(candidate)
        state = self._providers.get(place)
        if state is None:
            if len(self._providers) >= _MAX_PLACES:
                self.forgotten += 1
            _bound(self._providers)
            state = self._providers[place] = ProviderState()
        return state

    def _key(self, candidate: Candidate) -> Breaker:
        place = key_place(candidate)
        breaker = self._keys.get(place)
        if breaker is None or breaker.of is not candidate.credential:
            _bound(self._keys)
            breaker = Breaker(limit=KEY_FAILURES_IN_A_ROW, open_s=KEY_OPEN_S, of=candidate.credential)
            self._keys[place] = breaker
        return breaker

    def _note_ms(self, entry_id: Hashable, answer_ms: float) -> None:
        before = self._answer_ms.get(entry_id)
        if before is None:
            _bound(self._answer_ms)
        self._answer_ms[entry_id] = answer_ms if before is None else before + _SMOOTHING * (answer_ms - before)


def provider_place(candidate: Candidate) -> Place:
    """One breaker an address: a provider whose URL was changed begins anew."""
    return (candidate.provider.id, candidate.provider.base_url)


def key_place(candidate: Candidate) -> Place:
    if candidate.credential is not None:
        return candidate.credential.id
    return (candidate.provider.id, candidate.provider.base_url, candidate.entry.id if candidate.entry.api_key else None)


def is_down(error: LLMError) -> bool:
    """Whether the error speaks of the provider rather than of the key or the request."""
    return isinstance(error, _DOWN)


def _dropped(candidate: Candidate, code: str, why: str, wait_s: float) -> Dropped:
    reason = f"{why}, {math.ceil(wait_s)} s left."
    return Dropped(
        name=candidate.entry.name, code=code, reason=reason, model_id=candidate.entry.id, retry_after_s=wait_s
    )


def _key_name(candidate: Candidate) -> str:
    if candidate.credential is None:
        return "its key"
    whose = "your key" if candidate.scope == "own" else "the shared key"
    return f"{whose} {candidate.credential.label!r}"


def _bound(places: dict) -> None:  # type: ignore[type-arg]  # any dictionary
    """Forget all rather than grow without end: what matters is learnt again within seconds."""
    if len(places) >= _MAX_PLACES:
        places.clear()
