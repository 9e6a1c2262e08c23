"""Catalogue values as the lane holds them in memory: frozen, free of the database, the same for every registry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NoReturn

from adapters.redaction import remember


class LLMTier(StrEnum):
    """How much a model costs and gives; `local` never leaves one's own machines."""

    ECONOMY = "economy"
    STANDARD = "standard"
    PREMIUM = "premium"
    LOCAL = "local"


class QualityTier(StrEnum):
    BEST = "best"
    BALANCED = "balanced"
    CHEAP = "cheap"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEntry:
    """Where models are called. `owner_id` None is everybody's. Holds no stored key."""

    id: Hashable
    slug: str
    name: str = ""
    kind: str = "openai_compatible"
    base_url: str = ""
    auth_type: str = "bearer"
    settings: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # a DictRegistry's or the environment's own
    timeout_s: float | None = None
    fee_percent: Decimal = Decimal(0)
    enabled: bool = True
    dry_run: bool = False
    owner_id: Hashable | None = None
    from_environment: bool = False  # base_url or key come from LLMHUB_LLM_<PROVIDER>_*: stored keys never go there
    metadata: Mapping[str, Any] = field(default_factory=dict)
    allowed_group_ids: frozenset[Hashable] | None = None  # None: open to everybody who sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialEntry:
    """What is known of a key without opening it; a registry reveals it when a call needs it."""

    id: Hashable
    provider_id: Hashable
    owner_id: Hashable | None = None  # None: shared
    label: str = "default"
    origin: str = ""  # scheme://host:port the key may be sent to
    weight: int = 1
    usable: bool = True
    why_not: str = ""  # in plain words, when not usable
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A revealed key and secret headers. Lives as short as can be; never in a repr, a log or an answer."""

    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        remember(self.api_key, *self.headers.values())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    """USD per million tokens by kind (and per call, per image) from a moment on; a missing kind is unknown."""

    id: Hashable
    effective_from: dt.datetime
    rates: Mapping[str, Decimal] = field(
        default_factory=dict
    )  # input_per_1m, output_per_1m, ..., per_request, per_image
    # (input tokens, what a call with more of them costs instead), rising
    tiers: tuple[tuple[int, Mapping[str, Decimal]], ...] = ()

    def rates_for(self, input_tokens: int) -> Mapping[str, Decimal]:
        """The rates of a call with that many input tokens, cached ones included."""
        if not self.tiers:
            return self.rates
        found = [changed for above, changed in self.tiers if input_tokens > above]
        return {**self.rates, **found[-1]} if found else self.rates


ALWAYS = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMEntry:
    """One model that can be called, by whatever registry. Ids are opaque: integers, UUIDs, texts.

    A simple registry may fill only id, name, provider, model, tier and api_key; `provider` is then an adapter kind or
    a slug. `cost_per_1k_*` (USD) stands in for `prices` where a registry keeps no price versions.
    """

    id: Hashable
    name: str
    provider: str
    model: str
    tier: LLMTier = LLMTier.STANDARD
    api_key: str | None = field(default=None, repr=False)
    api_endpoint: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    cost_per_1k_input: Decimal | float | None = None
    cost_per_1k_output: Decimal | float | None = None
    is_active: bool = True
    endpoint: ProviderEntry | None = None
    owner_id: Hashable | None = None
    description: str = ""
    family: str = ""
    aliases: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    quality_tier: QualityTier = QualityTier.UNKNOWN
    capabilities: Mapping[str, str] = field(default_factory=dict)  # name -> yes, no; absent is unknown
    known_params: frozenset[str] = frozenset()
    context_length: int | None = None
    max_output_tokens: int | None = None
    default_params: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    speed_tps: float | None = None
    is_tier_first: bool = False  # an admin's choice: before the cheaper ones of its tier
    allowed_group_ids: frozenset[Hashable] | None = None  # None: open to everybody who sees it
    prices: tuple[PriceEntry, ...] = ()  # newest first
    retires_on: dt.date | None = None
    created: int = 0  # Unix seconds

    def __post_init__(self) -> None:
        if not self.prices and (self.cost_per_1k_input is not None or self.cost_per_1k_output is not None):
            rates = {
                kind: Decimal(str(cost)) * 1000
                for kind, cost in (("input_per_1m", self.cost_per_1k_input), ("output_per_1m", self.cost_per_1k_output))
                if cost is not None
            }
            price = PriceEntry(id=f"{self.id}:cost", effective_from=ALWAYS, rates=rates)
            object.__setattr__(self, "prices", (price,))

    def price_at(self, when: dt.datetime | None = None) -> PriceEntry | None:
        """The price in force at `when` (now by default); None when none is known."""
        moment = when or dt.datetime.now(dt.UTC)
        return next((price for price in self.prices if price.effective_from <= moment), None)

    def capability(self, name: str) -> str:
        """`yes`, `no` or `unknown`."""
        return self.capabilities.get(name, "unknown")

    @property
    def tier_order(self) -> tuple[Any, ...]:
        """Sort key within a tier: the one that an admin put first, then cheapest first."""
        return (not self.is_tier_first, *self.cost_order)

    @property
    def cost_order(self) -> tuple[Any, ...]:
        """Sort key "cheapest first": input price, output price, name; models without a price come last."""
        price = self.price_at()
        unknown = Decimal("Infinity")
        rates = price.rates if price else {}
        return (rates.get("input_per_1m", unknown), rates.get("output_per_1m", unknown), self.name, str(self.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedModel:
    """One rank of a preset or route. `entry_id` is None where the hub has no such model."""

    entry_id: Hashable | None
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weight: int = 1
    is_fallback: bool = False
    stands_in: bool = False  # today's successor, in the place of the model that `label` names


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedList:
    """A preset (`preset:slug`) or a route (a virtual model name), entries in order."""

    id: Hashable
    name: str
    owner_id: Hashable | None = None
    module: str = ""
    is_module_default: bool = False
    strategy: str = "priority"  # priority, weighted, cheapest, fastest
    sticky: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[RankedModel, ...] = ()
