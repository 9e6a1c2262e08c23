"""Entries, keys and callers for tests of the resolution: no database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

from registry.access.principals import Principal
from registry.catalog.entries import (
    CredentialEntry,
    LLMEntry,
    PriceEntry,
    ProviderEntry,
)
from registry.catalog.index import EntryIndex
from registry.catalog.snapshot import Snapshot
from registry.routing.resolve import Resolution

ALICE, BOB = "alice", "bob"
NOW = dt.datetime.now(dt.UTC)
PROVIDER = ProviderEntry(id="p", slug="p", kind="openai", base_url="https://api.openai.com/v1")
LOCAL = ProviderEntry(id="local", slug="local", kind="ollama", base_url="http://localhost:11434", auth_type="none")
SHARED = CredentialEntry(id="shared", provider_id="p", label="shared")
MINE = CredentialEntry(id="mine", provider_id="p", owner_id=ALICE, label="mine")


def number(value: int) -> UUID:
    return UUID(int=value)


def entry(name: str, price: Any = None, *, at: ProviderEntry = PROVIDER, **fields: Any) -> LLMEntry:
    prices = ()
    if price is not None:
        rates = {"input_per_1m": Decimal(str(price)), "output_per_1m": Decimal(str(price)) * 2}
        prices = (PriceEntry(id=name, effective_from=NOW - dt.timedelta(days=1), rates=rates),)
    values: dict[str, Any] = {"id": UUID(int=hash(name) & (2**128 - 1)), "model": name, "provider": at.slug}
    return LLMEntry(**values | {"name": name, "endpoint": at, "prices": prices} | fields)


def hub(*entries: LLMEntry, keys: tuple[CredentialEntry, ...] = (SHARED,), **fields: Any) -> Snapshot:
    """A snapshot as a worker holds it, filled by hand."""
    snapshot = Snapshot()
    snapshot.index = EntryIndex(entries)
    for key in keys:
        snapshot.credentials[key.provider_id] = (*snapshot.credentials.get(key.provider_id, ()), key)
    for name, value in fields.items():
        setattr(snapshot, name, value)
    return snapshot


def who(**fields: Any) -> Principal:
    return Principal(**{"user_id": ALICE, "username": "alice"} | fields)


def names(found: Resolution) -> list[str]:
    return [candidate.entry.name for candidate in found.candidates]


def codes(found: Resolution) -> list[tuple[str, str]]:
    return [(drop.name, drop.code) for drop in found.dropped]
