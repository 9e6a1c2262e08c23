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
    from registry.client import DynamicLLMClient

_HOME = {
    "DictRegistry": "registry.catalog.dict_registry",
    "DjangoLLMRegistry": "registry.catalog.django_registry",
    "DynamicLLMClient": "registry.client",
    "LLMEntry": "registry.catalog.entries",
    "LLMRegistry": "registry.catalog.protocol",
    "LLMTier": "registry.catalog.entries",
    "QualityTier": "registry.catalog.entries",
}

__all__ = [
    "DictRegistry",
    "DjangoLLMRegistry",
    "DynamicLLMClient",
    "LLMEntry",
    "LLMRegistry",
    "LLMTier",
    "QualityTier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
