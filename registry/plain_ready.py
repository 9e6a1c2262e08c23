"""What calls by the short way are made of: for a caller and a model, all that does not change from call to call.

Kept until anything that it was made of changes. Says None of everything that needs the long way.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from adapters import Adapter
from adapters.adapter import of_whole
from adapters.errors import LLMError
from adapters.plain_chat import takes_plain
from adapters.transport import ReadyRequest
from adapters.types import ChatRequest, Message, TextPart
from registry.access.keys import StoredKeys
from registry.access.principals import Principal
from registry.catalog.entries import PriceEntry, Secret
from registry.routing.ceiling import OUTPUT_UNSAID, PlainCeiling, costs_nothing
from registry.routing.guard import Guard
from registry.routing.health import ProviderState
from registry.routing.known_names import steady
from registry.routing.limits import Limits
from registry.routing.resolve import Ask, Candidate, Resolution
from registry.routing.rules import BudgetRule, LimitRule
from registry.usage import lines
from registry.usage.ledger import CallIntent, TryIntent
from registry.usage.plain_lines import PlainLines

if TYPE_CHECKING:
    from registry.catalog.snapshot import Snapshot
    from registry.client import DynamicLLMClient

MAX_READY: Final = 4096
_DIALECT: Final = "openai.chat"
_PLAIN_RATES: Final = frozenset(
    {"input_per_1m", "output_per_1m", "cache_read_per_1m", "cache_write_per_1m", "reasoning_per_1m"}
)
_PLAIN: Final = ChatRequest(messages=(Message(role="user", parts=(TextPart(text="?"),)),), dialect=_DIALECT)


@dataclass(slots=True, kw_only=True)
class Ready:
    """A caller and a model, with all that a call needs of them. Of no use once anything that it names has changed."""

    principal: Principal  # held, because its id stands for it
    resolution: Resolution
    candidate: Candidate
    adapter: Adapter
    key: Secret
    request: ReadyRequest
    streamed: ReadyRequest
    lines: tuple[PlainLines, PlainLines]  # not streamed, streamed
    intent: CallIntent
    limits: list[LimitRule]
    counts_tokens: bool
    budgets: tuple[BudgetRule, ...]
    price: PriceEntry
    price_ends_at: float  # Unix seconds
    price_id: bytes
    is_free: bool
    output_tokens: int  # where a request does not say
    ceiling: PlainCeiling
    health: ProviderState


class ReadyCalls:
    """One a worker."""

    def __init__(self, client: DynamicLLMClient, snapshot: Snapshot, guard: Guard) -> None:
        self.client = client
        self.snapshot = snapshot
        self.guard = guard
        self.keys = StoredKeys(snapshot)
        self._ready: dict[tuple[str, int], tuple[Principal, Ready | None]] = {}
        self._sequence = -2
        self._loaded_at = 0.0
        self._rules: tuple[object, object] = (None, None)
        self._forgotten = 0

    async def get(self, principal: Principal, model: str) -> Ready | None:
        """What a call by `principal` to `model` needs; None where it has to go the long way."""
        self._drop_changed()
        place = (model, id(principal))
        kept = self._ready.get(place)
        if kept is not None:
            found = kept[1]
            if found is None or self._holds(found):
                return found
        if len(self._ready) >= MAX_READY:
            self._ready.clear()
        version = self.snapshot.version
        self._ready[place] = (principal, None)  # one makes it, and who comes meanwhile goes the long way
        made = False
        try:
            found = await self._made(principal, model)
            made = version == self.snapshot.version  # else of what was read before: the next call makes it anew
        except LLMError:
            pass  # the long way says why
        finally:
            if not made:
                self._ready.pop(place, None)
        if not made:
            return None
        self._ready[place] = (principal, found)
        return found

    def _drop_changed(self) -> None:
        snapshot, rules = self.snapshot, self.guard.rules
        if (
            snapshot.sequence != self._sequence
            or snapshot.loaded_at != self._loaded_at
            or rules.budgets is not self._rules[0]
            or rules.limits is not self._rules[1]
            or self.client.health.forgotten != self._forgotten
        ):
            self._ready.clear()
            self._sequence, self._loaded_at = snapshot.sequence, snapshot.loaded_at
            self._rules = (rules.budgets, rules.limits)
            self._forgotten = self.client.health.forgotten

    def _holds(self, ready: Ready) -> bool:
        credential = ready.candidate.credential
        assert credential is not None
        principal = ready.principal
        return (
            self.snapshot.revealed(credential.id, principal.user_id) is ready.key
            and self.keys.policy_for(ready.candidate, principal) is ready.request.policy
            and time.time() < ready.price_ends_at
        )

    async def _made(self, principal: Principal, model: str) -> Ready | None:
        """Raises LLMError where the key can't be had just now."""
        resolution = steady(self.snapshot, Ask(model=model), principal)
        price = None if resolution is None else _plain_price(resolution.candidates[0])
        if resolution is None or price is None or not isinstance(self.guard.limits, Limits):
            return None
        candidate = resolution.candidates[0]
        if self.guard.rules.limits_of_candidate(candidate):
            return None
        key = await self.keys.open_key(candidate, principal)
        adapter = await self.client.adapter_of(candidate, principal)
        if not takes_plain(adapter.codec, adapter.target):
            return None
        return self._put_together(principal, model, resolution, adapter, key, price)

    def _put_together(
        self, principal: Principal, model: str, resolution: Resolution, adapter: Adapter, key: Secret, price: PriceEntry
    ) -> Ready:
        candidate, rules, timeouts = resolution.candidates[0], self.guard.rules, adapter.target.timeouts
        entry, is_free = candidate.entry, costs_nothing(candidate)
        whole, streamed = (
            adapter.codec.build_request(_PLAIN, adapter.target, stream=stream) for stream in (False, True)
        )
        intent, attempt = _intent_of(principal, model), _attempt_of(candidate)
        limits = rules.limits_of(principal)
        return Ready(
            principal=principal,
            resolution=resolution,
            candidate=candidate,
            adapter=adapter,
            key=key,
            request=ReadyRequest(whole, of_whole(timeouts), adapter.policy),
            streamed=ReadyRequest(streamed, timeouts, adapter.policy),
            lines=(PlainLines(intent, attempt), PlainLines(replace(intent, streamed=True), attempt)),
            intent=intent,
            limits=limits,
            counts_tokens=any(rule.tokens_per_minute is not None for rule in limits),
            budgets=() if is_free else rules.budgets_of(principal, candidate),
            price=price,
            price_ends_at=_ends_at(entry.prices),
            price_id=lines.plain_json(price.id),
            is_free=is_free,
            output_tokens=entry.max_output_tokens or OUTPUT_UNSAID,
            ceiling=PlainCeiling(price.rates, candidate.provider.fee_percent),
            health=self.client.health.state_of(candidate),
        )


def _plain_price(candidate: Candidate) -> PriceEntry | None:
    """The price, of tokens of one tier, of a model whose row adds nothing to a request; None for any other."""
    entry = candidate.entry
    if candidate.options or entry.default_params or candidate.provider.dry_run:
        return None
    if entry.max_tokens is not None or entry.temperature is not None:
        return None
    price = entry.price_at()
    if price is None or price.tiers or not price.rates.keys() <= _PLAIN_RATES:
        return None
    return price if {"input_per_1m", "output_per_1m"} <= price.rates.keys() else None


def _intent_of(principal: Principal, model: str) -> CallIntent:
    token = principal.token
    return CallIntent(
        request_id="",
        started_at_ms=0,
        user_id=principal.user_id,
        username=principal.username,
        token_id=token.id if token else None,
        token_name=token.name if token else "",
        dialect=_DIALECT,
        requested=Ask(model=model).text,
    )


def _attempt_of(candidate: Candidate) -> TryIntent:
    assert candidate.credential is not None
    return TryIntent(
        number=1,
        started_at_ms=0,
        model_id=candidate.entry.id,
        model_name=candidate.entry.name,
        provider_id=candidate.provider.id,
        provider_slug=candidate.provider.slug,
        credential_id=candidate.credential.id,
        credential_scope=candidate.scope,  # type: ignore[arg-type]  # one of the four scopes, see Candidate
        reason=candidate.reason,
    )


def _ends_at(prices: tuple[PriceEntry, ...]) -> float:
    """When another price comes into force."""
    now = dt.datetime.now(dt.UTC)
    return min((one.effective_from.timestamp() for one in prices if one.effective_from > now), default=math.inf)
