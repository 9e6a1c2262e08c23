"""Rows of a small registry, and what readers meet of a snapshot of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from registry.catalog.entries import LLMTier
from registry.catalog.snapshot import Snapshot
from registry.models import (
    Credential,
    LLMModel,
    ModelPrice,
    Provider,
)

KEY = "sk-planted-0123456789abcdefghij"


def make_provider(slug: str = "p", **fields: Any) -> Provider:
    values = {"slug": slug, "name": slug, "adapter": "openai", "base_url": "https://api.openai.com/v1"}
    return Provider.objects.create(**values | fields)


def make_model(provider: Provider, name: str, price: Any = None, **fields: Any) -> LLMModel:
    model = LLMModel.objects.create(**{"provider": provider, "model_id": name, "name": name} | fields)
    if price is not None:
        ModelPrice.objects.create(model=model, input_per_1m=price, effective_from=long_ago())
    return model


def long_ago() -> dt.datetime:
    return timezone.now() - dt.timedelta(days=30)


def plant(provider: Provider, key: str = KEY, **fields: Any) -> Credential:
    credential = Credential(provider=provider, **fields)
    credential.set_secret(key)
    return credential


def loaded() -> Snapshot:
    snapshot = Snapshot()
    snapshot.refresh()
    return snapshot


def tier(snapshot: Snapshot, owner: Any = None) -> list[str]:
    return [entry.name for entry in snapshot.in_tier(LLMTier.STANDARD, owner and owner.pk)]


def names(snapshot: Snapshot, owner: Any = None) -> set[str]:
    return {entry.name for entry in snapshot.active(owner and owner.pk)}


def state(snapshot: Snapshot) -> dict[str, Any]:
    """All that readers can meet, in an order of no accident."""
    index = snapshot.index
    owners = {None, *(entry.owner_id for entry in index.by_id.values())}
    texts = {name for entry in index.by_id.values() for name in (entry.name, entry.model, *entry.aliases)}
    return {
        "providers": snapshot.providers,
        "models": index.by_id,
        "names": {(text, o): [e.id for e in index.named(text, o)] for text in texts for o in owners},
        "tiers": {(t, o): [e.id for e in index.in_tier(t, o)] for t in LLMTier for o in owners},
        "active": {o: [e.id for e in index.active(o)] for o in owners},
        "known names": {name for name, pairs in index._names.items() if pairs},
        "credentials": {key: rows for key, rows in snapshot.credentials.items() if rows},
        "presets": {key: set(map(repr, lists)) for key, lists in snapshot.presets.items()},
        "routes": {key: set(map(repr, lists)) for key, lists in snapshot.routes.items()},
        "default": snapshot.default_model_id,
        "rules": sorted(map(repr, snapshot.rules.opened)),
    }
