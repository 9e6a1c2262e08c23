"""The hub's own models as a source, and what its admins know of them as a resolver. Reads the snapshot alone."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from django.conf import settings
from django.db import connections

from registry.catalog.django_registry import DjangoLLMRegistry
from registry.catalog.entries import LLMEntry
from registry.discovery.overrides import OverridesResolver
from registry.discovery.plugins import load_resolvers, load_sources
from registry.discovery.resolvers import CapabilityResolver, ModelCapabilities
from registry.discovery.sources import ModelSource, ModelSpec


class HubSource:
    """The active models that a user sees (None: the global ones)."""

    def __init__(self, user_id: Hashable | None = None) -> None:
        self.registry = DjangoLLMRegistry(user_id=user_id)

    async def discover(self) -> list[ModelSpec]:
        """Raises DatabaseError when the registry was never read."""
        await refreshed(self.registry)
        return [
            ModelSpec(
                provider=entry.provider,
                name=entry.model,
                family=entry.family or None,
                aliases=tuple(dict.fromkeys((entry.name, *entry.aliases))),
            )
            for entry in self.registry.snapshot.index.active(self.registry.user_id)
        ]


class HubCapabilityResolver:
    """The rows' answers. They come last: an admin's word is over every table's and provider's."""

    def __init__(self, user_id: Hashable | None = None) -> None:
        self.registry = DjangoLLMRegistry(user_id=user_id)

    async def get_capabilities(self, spec: ModelSpec) -> ModelCapabilities:
        """Raises DatabaseError when the registry was never read."""
        snapshot = self.registry.snapshot
        if snapshot.sequence < 0:
            await refreshed(self.registry)
        found = snapshot.index.named(f"{spec.provider}/{spec.name}", self.registry.user_id)
        entry = next((one for one in found if (one.provider, one.model) == (spec.provider, spec.name)), None)
        return ModelCapabilities() if entry is None else capabilities_of(entry)


def configured_sources() -> list[ModelSource]:
    """Those of LLMHUB_MODEL_SOURCES. Raises PluginError."""
    return load_sources(settings.LLMHUB_MODEL_SOURCES)


def configured_resolvers() -> list[CapabilityResolver]:
    """Those of LLMHUB_CAPABILITY_RESOLVERS, and the overrides file after them. Raises PluginError."""
    return [*load_resolvers(settings.LLMHUB_CAPABILITY_RESOLVERS), OverridesResolver(settings.LLMHUB_MODEL_OVERRIDES)]


async def refreshed(registry: DjangoLLMRegistry) -> None:
    """Bring the snapshot up to date, on a thread that may use the ORM and keeps no connection."""

    def work() -> None:
        try:
            registry.fresh()
        finally:
            connections.close_all()

    await asyncio.to_thread(work)


def capabilities_of(entry: LLMEntry) -> ModelCapabilities:
    def answer(name: str) -> bool | None:
        return {"yes": True, "no": False}.get(entry.capability(name))

    price = entry.price_at()
    rates = price.rates if price else {}
    return ModelCapabilities(
        max_context=entry.context_length,
        max_output_tokens=entry.max_output_tokens,
        supports_tools=answer("tools"),
        supports_vision=answer("vision"),
        supports_json_mode=answer("json_mode"),
        supports_streaming=answer("streaming"),
        supports_reasoning=answer("reasoning"),
        known_params=entry.known_params,
        input_cost_per_1m=rates.get("input_per_1m"),
        output_cost_per_1m=rates.get("output_per_1m"),
        speed_hint_tps=entry.speed_tps,
        quality_tier=entry.quality_tier,
        tags=entry.tags,
    )
