"""Compares the models' prices with the price list and makes them follow. What a person gave is never touched."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone

from registry.models import PRICE_FIELDS, LLMModel, ModelPrice
from registry.usage.price_list import PACKAGE, ListedPrice, Listing, find_listing, list_version

# Who wrote a price that may be superseded: the hub's own templates and this list. Every other source is a person, or
# the provider itself, which knows its prices better.
AUTOMATIC = frozenset({"template", PACKAGE})
PLACES = Decimal("0.000001")  # what the columns hold

Kind = Literal["new", "changed", "coming", "kept", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """One difference between the list and the hub; only new, changed and coming ones write something."""

    model: LLMModel
    kind: Kind
    effective_from: dt.datetime | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    listing: Listing | None = None
    replaces: ModelPrice | None = None  # a price to come that the list has changed its mind about

    @property
    def writes(self) -> bool:
        return self.kind in ("new", "changed", "coming")


def plan_prices(models: Iterable[LLMModel], *, at: dt.datetime | None = None) -> list[PriceChange]:
    """What `apply_prices` would do, and the models it would leave alone with why. Writes nothing."""
    moment = at or timezone.now()
    return [change for model in models for change in _plan(model, moment)]


def apply_prices(changes: Iterable[PriceChange]) -> int:
    """Write the changes, all or none; answers how many prices were written. Raises ValidationError."""
    written = 0
    with transaction.atomic():
        for change in changes:
            if not change.writes:
                continue
            if change.replaces is not None:
                change.replaces.delete()  # not in force yet: no call was priced with it
            price = ModelPrice(
                model=change.model,
                effective_from=change.effective_from or timezone.now(),
                source=f"{PACKAGE} {list_version()}",
                **change.after,
            )
            price.full_clean()
            price.save(force_insert=True)
            written += 1
    return written


def _plan(model: LLMModel, at: dt.datetime) -> Iterator[PriceChange]:
    listing = find_listing(model.provider.base_url, model.model_id, at=at)
    rows = sorted(model.prices.all(), key=lambda row: row.effective_from, reverse=True)
    current = next((row for row in rows if row.effective_from <= at), None)
    if listing is None:
        if current is None:
            yield PriceChange(model=model, kind="unknown")
        return
    if current is not None and not is_automatic(current):
        if values_of(current) != _listed(listing.current):
            yield PriceChange(
                model=model,
                kind="kept",
                before=values_of(current),
                after=_listed(listing.current),
                listing=listing,
            )
        return
    before, after = values_of(current), _listed(listing.current)
    if before != after:
        kind: Kind = "changed" if current else "new"
        yield PriceChange(model=model, kind=kind, effective_from=at, before=before, after=after, listing=listing)
    yield from _coming(model, listing, {row.effective_from: row for row in rows})


def _coming(model: LLMModel, listing: Listing, rows: Mapping[dt.datetime, ModelPrice]) -> Iterator[PriceChange]:
    """Prices that the list announces. One that a person gave for the same moment stays."""
    for price in listing.coming:
        assert price.since is not None
        row = rows.get(price.since)
        if row is not None and (not is_automatic(row) or values_of(row) == _listed(price)):
            continue
        yield PriceChange(
            model=model,
            kind="coming",
            effective_from=price.since,
            before=values_of(row),
            after=_listed(price),
            listing=listing,
            replaces=row,
        )


def is_automatic(price: ModelPrice) -> bool:
    return price.source.partition(" ")[0] in AUTOMATIC


def values_of(price: ModelPrice | None) -> dict[str, Any]:
    """What a row says: its known rates, and its tiers where it has some."""
    if price is None:
        return {}
    rates = {name: value for name in PRICE_FIELDS if (value := getattr(price, name)) is not None}
    return {**rates, **({"tiers": price.tiers} if price.tiers else {})}


def _listed(price: ListedPrice) -> dict[str, Any]:
    """The same of the list's price, as the columns will hold it."""
    rates: dict[str, Any] = {name: amount.quantize(PLACES) for name, amount in price.rates.items()}
    tiers = [
        {"above_input_tokens": above, **{name: f"{amount.normalize():f}" for name, amount in sorted(changed.items())}}
        for above, changed in price.tiers
    ]
    return {**rates, **({"tiers": tiers} if tiers else {})}
