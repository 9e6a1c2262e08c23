"""Adapters that programs announced at run time, as the lane calls them: in memory of every worker until they expire."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from django.utils import timezone

from adapters.kinds import KINDS
from registry.catalog.entries import LLMEntry, LLMTier, ProviderEntry
from registry.catalog.environment import OLDER_NAMES
from registry.models import RuntimeRegistration

MAX_ENTRIES: Final = 500  # models kept for one registration, whatever names are asked for


@dataclass(slots=True, kw_only=True)
class RuntimeProvider:
    """One announcement. It takes any model's name unless it listed some; `endpoint` None is a provider nobody has."""

    slug: str
    owner_id: Hashable | None
    expires_at: float  # Unix seconds
    endpoint: ProviderEntry | None
    models: tuple[str, ...] = ()
    _entries: dict[str, LLMEntry] = field(default_factory=dict, repr=False)

    def is_live_for(self, user_id: Hashable | None) -> bool:
        return self.expires_at > time.time() and self.owner_id in (None, user_id)

    def entry(self, model: str) -> LLMEntry | None:
        """The model as one that can be called. The same object each time, so that its adapter is kept."""
        if self.endpoint is None or (self.models and model not in self.models):
            return None
        found = self._entries.get(model)
        if found is None:
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            found = self._entries[model] = self._made(model, self.endpoint)
        return found

    def _made(self, model: str, endpoint: ProviderEntry) -> LLMEntry:
        kind = KINDS.get(endpoint.kind)
        cost = 0.0 if costs_nothing(endpoint.kind) else None
        return LLMEntry(
            id=f"runtime:{self.slug}/{model}",
            name=f"{self.slug}/{model}",
            provider=self.slug,
            model=model,
            tier=LLMTier.LOCAL if kind is not None and kind.local else LLMTier.STANDARD,
            endpoint=endpoint,
            owner_id=self.owner_id,
            is_active=endpoint.enabled,
            cost_per_1k_input=cost,
            cost_per_1k_output=cost,
        )


def read_runtime(providers: Mapping[Hashable, ProviderEntry]) -> dict[str, RuntimeProvider]:
    """What is announced now, by its id."""
    rows = RuntimeRegistration.objects.filter(expires_at__gt=timezone.now())
    return {
        row.slug: RuntimeProvider(
            slug=row.slug,
            owner_id=row.owner_id,
            expires_at=row.expires_at.timestamp(),
            endpoint=endpoint_of(row, providers.values()),
            models=tuple(row.model_names),
        )
        for row in rows
    }


def endpoint_of(row: RuntimeRegistration, providers: Iterable[ProviderEntry]) -> ProviderEntry | None:
    """Where it is called: its own address with no stored key; without one the provider that it names, keys and all."""
    mine = [entry for entry in providers if entry.slug == row.provider and entry.owner_id in (None, row.owner_id)]
    known = max(mine, key=lambda entry: entry.owner_id is not None, default=None)
    if known is not None and not row.base_url:
        return known
    kind = KINDS.get(known.kind if known is not None else kind_named(row.provider))
    if kind is None:
        return None
    made = ProviderEntry(
        id=f"runtime:{row.slug}",
        slug=row.slug,
        name=row.label,
        kind=kind.kind,
        base_url=row.base_url or kind.base_url,
        auth_type="none",
        owner_id=row.owner_id,
    )
    return replace(made, settings=known.settings) if known is not None else made


def costs_nothing(kind: str) -> bool:
    """Whether models of this adapter kind run on one's own machines. What is only compatible may be anybody's."""
    row = KINDS.get(kind)
    return row is not None and row.local and kind != "openai_compatible"


def kind_named(name: str) -> str:
    """The adapter kind that a provider's name stands for: `lmstudio_local` and `openai_public` are older names."""
    text = name.lower().replace("-", "_")
    older = {old.lower(): slug.replace("-", "_") for slug, old in OLDER_NAMES.items()}
    if text in KINDS or text in older:
        return older.get(text, text)
    return text.removesuffix("_local").removesuffix("_public").removesuffix("_dev")
