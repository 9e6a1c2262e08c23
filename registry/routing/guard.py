"""What stands between a call and its provider: limits, budgets, and the policy on models without a price.

The one place that says no to a call that could be made; `DynamicLLMClient` asks it for every call and every try.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from adapters.errors import LLMError
from adapters.types import ChatRequest
from registry.access.principals import Principal
from registry.routing.budgets import Budgets, Reservation
from registry.routing.ceiling import AnyRequest, ceiling_nano_usd, costs_nothing, sent_tokens
from registry.routing.limits import Entry, LimitError, Limits
from registry.routing.resolve import Candidate, Dropped
from registry.routing.rules import LimitRule, Rules
from registry.usage.ledger import CallIntent, Hold

if TYPE_CHECKING:  # loaded only where there is a Valkey
    from registry.routing.shared_limits import SharedEntry, SharedLimits

UnpricedPolicy = Literal["allow", "unbudgeted", "refuse"]
_FREE_OPERATIONS = frozenset({"count_tokens"})


class Refused(Exception):
    """A candidate may not be tried now; the next one may. `error` is the caller's, when none is left."""

    def __init__(self, dropped: Dropped, error: LLMError) -> None:
        super().__init__(dropped.reason)
        self.dropped = dropped
        self.error = error


class UnpricedError(LLMError):
    code = "model_unpriced"
    status = 403


class Guard:
    """One a worker. `unpriced` says who may call a model whose price nobody knows: it would void every budget."""

    def __init__(
        self,
        rules: Rules,
        budgets: Budgets,
        limits: Limits | SharedLimits,
        *,
        unpriced: UnpricedPolicy = "unbudgeted",
    ) -> None:
        self.rules = rules
        self.budgets = budgets
        self.limits = limits
        self.unpriced = unpriced

    def gate(self, candidate: Candidate, principal: Principal) -> Dropped | None:
        """Why the candidate is dropped from a resolution, by what is known without asking anybody."""
        rules = self.rules.budgets_of(principal, candidate)
        if (not rules and self.unpriced != "refuse") or costs_nothing(candidate):
            return None
        if not candidate.entry.prices and self._refuses_unpriced(budgeted=bool(rules)):
            return _dropped(candidate, "unpriced", _unpriced_words(budgeted=bool(rules)))
        spent = next((rule for rule in rules if self.budgets.is_spent(rule)), None)
        return None if spent is None else _dropped(candidate, "over_budget", f"{spent.words} is spent.")

    async def look(self, candidates: tuple[Candidate, ...], principal: Principal) -> None:
        """Have `gate` know how the budgets of a resolution stand; asks the database."""
        rules = {rule.id: rule for one in candidates for rule in self.rules.budgets_of(principal, one)}
        await self.budgets.look(list(rules.values()))

    async def enter(self, principal: Principal, request: AnyRequest | None) -> Entry | SharedEntry | None:
        """Count a call in its caller's limits; None where there are none. Raises LimitError."""
        rules = self.rules.limits_of(principal)
        return await self._enter(rules, request) if rules else None

    async def _enter(self, rules: Sequence[LimitRule], request: AnyRequest | None) -> Entry | SharedEntry:
        tokens = _tokens(rules, request)
        if isinstance(self.limits, Limits):
            return self.limits.enter(rules, tokens)
        return await self.limits.enter(rules, tokens)

    async def claim(
        self, candidate: Candidate, principal: Principal, request: AnyRequest | None, intent: CallIntent
    ) -> tuple[Hold, ...]:
        """Hold what one try may need. Raises Refused; LLMError where the hub can't tell and nobody may be called."""
        rules = self.rules.limits_of_candidate(candidate)
        if not rules:
            reserved = await self._reserve(candidate, principal, request, intent)
            return () if reserved is None else (reserved,)
        try:
            entry = await self._enter(rules, request)
        except LimitError as error:
            raise Refused(_dropped(candidate, "rate_limited", error.message), error) from None
        try:
            reserved = await self._reserve(candidate, principal, request, intent)
        except BaseException:
            entry.settle(None, None)
            raise
        return (entry,) if reserved is None else (entry, reserved)

    async def _reserve(
        self, candidate: Candidate, principal: Principal, request: AnyRequest | None, intent: CallIntent
    ) -> Reservation | None:
        rules = self.rules.budgets_of(principal, candidate)
        if not rules and self.unpriced != "refuse":
            return None
        if request is None or intent.operation in _FREE_OPERATIONS or costs_nothing(candidate):
            return None
        need = ceiling_nano_usd(candidate, request)
        if need is None:
            if not self._refuses_unpriced(budgeted=bool(rules)):
                return None
            words = _unpriced_words(budgeted=bool(rules))
            raise Refused(_dropped(candidate, "unpriced", words), UnpricedError(f"{candidate.entry.name}: {words}"))
        if not need or not rules:
            return None
        try:
            return await self.budgets.reserve(rules, need)
        except LLMError as error:
            if error.status != 429:
                raise
            raise Refused(_dropped(candidate, "over_budget", error.message), error) from None

    def _refuses_unpriced(self, *, budgeted: bool) -> bool:
        return self.unpriced == "refuse" or (self.unpriced == "unbudgeted" and budgeted)


def _tokens(rules: Sequence[LimitRule], request: AnyRequest | None) -> int:
    """What a call is counted with until it ends: what is sent, and as much as the client allows for the answer."""
    if request is None or all(rule.tokens_per_minute is None for rule in rules):
        return 0
    asked = request.max_output_tokens or 0 if isinstance(request, ChatRequest) else 0
    return sent_tokens(request) + asked


def _unpriced_words(*, budgeted: bool) -> str:
    whose = "a budget can't pay for it" if budgeted else "the hub's policy is not to call such models"
    return f"Its price is not known, and {whose}."


def _dropped(candidate: Candidate, code: str, reason: str) -> Dropped:
    return Dropped(name=candidate.entry.name, code=code, reason=reason, model_id=candidate.entry.id)
