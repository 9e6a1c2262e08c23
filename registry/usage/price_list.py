"""The price list that comes with the `genai-prices` package, in the hub's terms. Asks nobody; reads the bundled data.

The package's own updater is never started: what a price was yesterday depends on the installed version alone. It is
imported when a list is asked for, since it takes a second and only a command needs it.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

PACKAGE = "genai-prices"
THOUSAND = Decimal(1000)

# Their name -> ours, and what ours counts by. All are USD; what is in neither table is named as not carried.
KINDS: Mapping[str, str] = {
    "input_mtok": "input_per_1m",
    "output_mtok": "output_per_1m",
    "cache_read_mtok": "cache_read_per_1m",
    "cache_write_mtok": "cache_write_per_1m",
    "cache_write_1h_mtok": "cache_write_1h_per_1m",
    "output_reasoning_mtok": "reasoning_per_1m",
    "input_audio_mtok": "audio_input_per_1m",
    "output_audio_mtok": "audio_output_per_1m",
    "input_image_mtok": "image_input_per_1m",
    "output_image_mtok": "image_output_per_1m",
}
PER_THOUSAND: Mapping[str, str] = {"requests_kcount": "per_request"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPrice:
    """One price of one model. `since` None: in force as far back as the list knows."""

    rates: Mapping[str, Decimal]  # ModelPrice's fields
    tiers: tuple[tuple[int, Mapping[str, Decimal]], ...] = ()  # (input tokens, what a call with more costs instead)
    since: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What the list says of a model: the price in force, those to come, and what the hub's prices can't say."""

    listed_as: str  # provider/model in the list
    current: ListedPrice
    coming: tuple[ListedPrice, ...] = ()
    not_carried: tuple[str, ...] = field(default=())


def list_version() -> str:
    return importlib.metadata.version(PACKAGE)


def find_listing(base_url: str, model_id: str, *, at: dt.datetime) -> Listing | None:
    """What the list says of a model at the vendor that `base_url` belongs to; None when it knows neither or no price.

    Only a vendor's own address has the vendor's prices: a proxy or a private endpoint costs what its owner says.
    """
    providers = _providers()
    for provider in providers:
        if _is_at(provider.api_pattern, f"{base_url.rstrip('/')}/"):
            model = provider.find_model(model_id, all_providers=providers)
            if model is not None:
                return _listing(f"{provider.id}/{model.id}", model, at)
    return None


def _is_at(pattern: str, url: str) -> bool:
    """Whether the pattern, which names the start of an address, ends where a part of the address does."""
    found = re.match(pattern, url)
    return found is not None and (found.group().endswith((".", "/")) or url[found.end() : found.end() + 1] in "/:")


@cache
def _providers() -> list[Any]:
    from genai_prices.data import providers

    return list(providers)


def _listing(name: str, model: Any, at: dt.datetime) -> Listing | None:
    from genai_prices.types import ConditionalPrice, StartDateConstraint, TimeOfDateConstraint

    conditional = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    missing: set[str] = set()
    dated = [one for one in conditional if not isinstance(one.constraint, TimeOfDateConstraint)]
    timed = [one for one in conditional if isinstance(one.constraint, TimeOfDateConstraint)]
    prices = [_price(one.prices, one.constraint, missing) for one in dated]
    if timed:
        # A price of ours holds all day: the dearest, so that no cost is understated.
        missing.add("prices by time of day (the dearest is taken)")
        prices = [max([*prices, *(_price(one.prices, None, missing) for one in timed)], key=_dearness)]
    assert all(one.constraint is None or isinstance(one.constraint, StartDateConstraint) for one in dated)
    in_force = [price for price in prices if price.since is None or price.since <= at]
    current = in_force[-1] if in_force else prices[0]  # of several the last counts, as in the package
    if not current.rates:
        return None
    coming = tuple(sorted((one for one in prices if one.since is not None and one.since > at), key=_since))
    if variants := {key for variant in model.price_variants or () for key in variant.when}:
        missing.add(f"other prices by {', '.join(sorted(variants))}")
    return Listing(listed_as=name, current=current, coming=coming, not_carried=tuple(sorted(missing)))


def _price(listed: Any, constraint: Any, missing: set[str]) -> ListedPrice:
    rates: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for kind, amount, above in _amounts(listed):
        name = KINDS.get(kind) or PER_THOUSAND.get(kind)
        if name is None:
            missing.add(kind)
            continue
        value = amount / THOUSAND if kind in PER_THOUSAND else amount
        (rates if above is None else tiers.setdefault(above, {}))[name] = value
    since = None
    if constraint is not None:
        since = dt.datetime.combine(constraint.start_date, dt.time(), dt.UTC)
    return ListedPrice(rates=rates, tiers=_whole_tiers(tiers), since=since)


def _amounts(listed: Any) -> Iterator[tuple[str, Decimal, int | None]]:
    """Kind, amount and, for a tier's amount, the input tokens above which it holds."""
    for kind, value in vars(listed).items():
        if value is None or kind.startswith("_"):
            continue
        if isinstance(value, Decimal | int):
            yield kind, Decimal(value), None
            continue
        yield kind, value.base, None
        for tier in value.tiers:
            yield kind, tier.price, tier.start


def _whole_tiers(tiers: Mapping[int, Mapping[str, Decimal]]) -> tuple[tuple[int, Mapping[str, Decimal]], ...]:
    """Each tier with what the tiers below it changed and it does not: the list gives each kind tiers of its own."""
    whole: list[tuple[int, Mapping[str, Decimal]]] = []
    for above in sorted(tiers):
        whole.append((above, {**(whole[-1][1] if whole else {}), **tiers[above]}))
    return tuple(whole)


def _dearness(price: ListedPrice) -> tuple[Decimal, Decimal]:
    return price.rates.get("input_per_1m", Decimal(0)), price.rates.get("output_per_1m", Decimal(0))


def _since(price: ListedPrice) -> dt.datetime:
    assert price.since is not None
    return price.since
