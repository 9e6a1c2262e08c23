"""A registry of entries in memory: for scripts, tests and an old `.env`. Needs no database."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from registry.catalog.entries import LLMEntry, LLMTier
from registry.catalog.environment import environment_entries
from registry.catalog.index import EntryIndex
from registry.catalog.registry_file import RegistryFile
from registry.catalog.registry_json import load_registry


class DictRegistry:
    """`LLMRegistry` over entries that are given once and may be added to."""

    def __init__(self, entries: Iterable[LLMEntry] = (), *, default: Hashable | None = None) -> None:
        self.index = EntryIndex(entries)
        self._default = default

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> DictRegistry:
        """Models of every vendor whose key the environment holds (OPENAI_API_KEY ...), and Ollama's if it is named."""
        return cls(environment_entries(environ))

    @classmethod
    def from_registry_json(
        cls, source: str | Path | Mapping[str, Any] | RegistryFile | None, environ: Mapping[str, str] | None = None
    ) -> DictRegistry:
        """The models of a registry.json (its path or content), with the environment's overrides and keys.

        Raises RegistryFileError, OSError, ConfigurationError.
        """
        file = load_registry(source)
        return cls(file.entries(environ), default=file.default_id())

    def add(self, entry: LLMEntry) -> None:
        self.index.put(entry)

    def get_by_id(self, llm_id: Hashable) -> LLMEntry | None:
        return self.index.by_id.get(llm_id)

    def get_by_name(self, name: str) -> LLMEntry | None:
        return next(iter(self.index.named(name, None)), None)

    def get_by_tier(self, tier: LLMTier | str) -> LLMEntry | None:
        """The cheapest active entry of the tier. Raises ValueError for a tier there is not."""
        return next(self.index.in_tier(LLMTier(tier), None), None)

    def get_default(self) -> LLMEntry | None:
        """The given default if it is active, else the first active entry by name."""
        entry = self.index.by_id.get(self._default) if self._default is not None else None
        if entry is not None and entry.is_active:
            return entry
        return min(self.list_active(), key=lambda entry: (entry.name, str(entry.id)), default=None)

    def list_active(self) -> list[LLMEntry]:
        return [entry for entry in self.index.by_id.values() if entry.is_active]
