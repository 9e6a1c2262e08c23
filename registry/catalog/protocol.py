"""What `DynamicLLMClient` asks of a registry. Look-ups are in memory and synchronous: they sit on the hot path."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol, runtime_checkable

from registry.catalog.entries import LLMEntry, LLMTier


@runtime_checkable
class LLMRegistry(Protocol):
    """Anybody's own registry needs no more than this; `get_by_name` and `get_default` may answer None always."""

    def get_by_id(self, llm_id: Hashable) -> LLMEntry | None: ...

    def get_by_name(self, name: str) -> LLMEntry | None: ...

    def get_by_tier(self, tier: LLMTier) -> LLMEntry | None:
        """The cheapest active entry of the tier."""
        ...

    def get_default(self) -> LLMEntry | None: ...

    def list_active(self) -> list[LLMEntry]: ...
