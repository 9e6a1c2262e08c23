"""The hub's application: what is known of models and who may use them, and calls to them.

These names are for scripts and other programs; each is loaded when first used, and the ones without the database need
no Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.catalog.dict_registry import DictRegistry
    from registry.catalog.django_registry import DjangoLLMRegistry
    from registry.catalog.entries import LLMEntry, LLMTier, QualityTier
    from registry.catalog.protocol import LLMRegistry
    from registry.catalog.registry_json import iter_models, iter_providers, resolve_provider
    from registry.client import DynamicLLMClient
    from registry.discovery.model_registry import (
        ModelQuery,
        ModelRegistry,
        ModelWithCapabilities,
        get_registry,
        get_registry_sync,
    )
    from registry.discovery.overrides import OverridesResolver
    from registry.discovery.resolvers import (
        CapabilityResolver,
        ModelCapabilities,
        OllamaCapabilityResolver,
        ProviderListResolver,
        RemoteHubResolver,
        StaticCapabilityResolver,
    )
    from registry.discovery.sources import (
        AdapterSource,
        EnvProviderSource,
        ModelSource,
        ModelSpec,
        OllamaSource,
        RegistryJsonSource,
        RemoteHubSource,
    )

_HOME = {
    "AdapterSource": "registry.discovery.sources",
    "CapabilityResolver": "registry.discovery.resolvers",
    "DictRegistry": "registry.catalog.dict_registry",
    "DjangoLLMRegistry": "registry.catalog.django_registry",
    "DynamicLLMClient": "registry.client",
    "EnvProviderSource": "registry.discovery.sources",
    "LLMEntry": "registry.catalog.entries",
    "LLMRegistry": "registry.catalog.protocol",
    "LLMTier": "registry.catalog.entries",
    "ModelCapabilities": "registry.discovery.resolvers",
    "ModelQuery": "registry.discovery.model_registry",
    "ModelRegistry": "registry.discovery.model_registry",
    "ModelSource": "registry.discovery.sources",
    "ModelSpec": "registry.discovery.sources",
    "ModelWithCapabilities": "registry.discovery.model_registry",
    "OllamaCapabilityResolver": "registry.discovery.resolvers",
    "OllamaSource": "registry.discovery.sources",
    "OverridesResolver": "registry.discovery.overrides",
    "ProviderListResolver": "registry.discovery.resolvers",
    "QualityTier": "registry.catalog.entries",
    "RegistryJsonSource": "registry.discovery.sources",
    "RemoteHubResolver": "registry.discovery.resolvers",
    "RemoteHubSource": "registry.discovery.sources",
    "StaticCapabilityResolver": "registry.discovery.resolvers",
    "get_registry": "registry.discovery.model_registry",
    "get_registry_sync": "registry.discovery.model_registry",
    "iter_models": "registry.catalog.registry_json",
    "iter_providers": "registry.catalog.registry_json",
    "resolve_provider": "registry.catalog.registry_json",
}

__all__ = [
    "AdapterSource",
    "CapabilityResolver",
    "DictRegistry",
    "DjangoLLMRegistry",
    "DynamicLLMClient",
    "EnvProviderSource",
    "LLMEntry",
    "LLMRegistry",
    "LLMTier",
    "ModelCapabilities",
    "ModelQuery",
    "ModelRegistry",
    "ModelSource",
    "ModelSpec",
    "ModelWithCapabilities",
    "OllamaCapabilityResolver",
    "OllamaSource",
    "OverridesResolver",
    "ProviderListResolver",
    "QualityTier",
    "RegistryJsonSource",
    "RemoteHubResolver",
    "RemoteHubSource",
    "StaticCapabilityResolver",
    "get_registry",
    "get_registry_sync",
    "iter_models",
    "iter_providers",
    "resolve_provider",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
