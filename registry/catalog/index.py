"""Indexes over entries, so that a look-up costs the same with a hundred models and a hundred thousand."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator
from heapq import merge
from typing import Any

from registry.catalog.entries import LLMEntry, LLMTier

_NAME, _QUALIFIED, _UPSTREAM, _ALIAS = range(4)  # which of an entry's names matched; smaller wins


def names_of(entry: LLMEntry) -> dict[str, int]:
    """Every text that names `entry`, with its rank."""
    names = {alias: _ALIAS for alias in entry.aliases}
    names[entry.model] = _UPSTREAM
    names[f"{entry.provider}/{entry.model}"] = _QUALIFIED
    names[entry.name] = _NAME
    return names


class _Ordered:
    """Entries of one group, cheapest first."""

    __slots__ = ("entries", "keys")

    def __init__(self) -> None:
        self.keys: list[tuple[Any, ...]] = []
        self.entries: dict[tuple[Any, ...], LLMEntry] = {}

    def add(self, entry: LLMEntry) -> None:
        key = entry.cost_order
        insort(self.keys, key)
        self.entries[key] = entry

    def remove(self, key: tuple[Any, ...]) -> None:
        position = bisect_left(self.keys, key)
        if position < len(self.keys) and self.keys[position] == key:
            del self.keys[position]
            self.entries.pop(key, None)

    def __iter__(self) -> Iterator[LLMEntry]:
        return (self.entries[key] for key in self.keys)


class EntryIndex:
    """Active entries by id, by any name, by tier and owner. Readers need no lock: each write replaces whole values."""

    def __init__(self, entries: Iterable[LLMEntry] = ()) -> None:
        self.by_id: dict[Hashable, LLMEntry] = {}
        self._names: dict[str, tuple[tuple[int, LLMEntry], ...]] = {}
        self._tiers: dict[tuple[LLMTier, Hashable | None], _Ordered] = {}
        self._owned: dict[Hashable | None, _Ordered] = {}
        self._order_keys: dict[Hashable, tuple[Any, ...]] = {}
        for entry in entries:
            self.put(entry)

    def put(self, entry: LLMEntry) -> None:
        """Add or replace; an inactive entry is kept by id only, so that "it is disabled" can be said."""
        self.remove(entry.id)
        self.by_id[entry.id] = entry
        for name, rank in names_of(entry).items():
            self._names[name] = tuple(sorted((*self._names.get(name, ()), (rank, entry)), key=_by_rank))
        if not entry.is_active:
            return
        self._order_keys[entry.id] = entry.cost_order
        self._tiers.setdefault((entry.tier, entry.owner_id), _Ordered()).add(entry)
        self._owned.setdefault(entry.owner_id, _Ordered()).add(entry)

    def remove(self, entry_id: Hashable) -> None:
        entry = self.by_id.pop(entry_id, None)
        if entry is None:
            return
        for name in names_of(entry):
            rest = tuple(pair for pair in self._names.get(name, ()) if pair[1].id != entry_id)
            if rest:
                self._names[name] = rest
            else:
                self._names.pop(name, None)
        key = self._order_keys.pop(entry_id, None)
        if key is not None:
            self._tiers[entry.tier, entry.owner_id].remove(key)
            self._owned[entry.owner_id].remove(key)

    def named(self, name: str, owner_id: Hashable | None) -> list[LLMEntry]:
        """Entries that `name` means to this user, one's own before everybody's, closer names first.

        Entries of one rank and owner are alternatives (one upstream id at two providers), cheapest first.
        """
        pairs = [pair for pair in self._names.get(name, ()) if pair[1].owner_id in (None, owner_id)]
        if not pairs:
            return []
        best = min((pair[1].owner_id is None, pair[0]) for pair in pairs)
        same = [entry for rank, entry in pairs if (entry.owner_id is None, rank) == best]
        return sorted(same, key=lambda entry: (not entry.is_active, entry.cost_order))

    def in_tier(self, tier: LLMTier, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        """Active entries of a tier that this user sees, cheapest first."""
        return self._merged(self._tiers.get((tier, None)), self._tiers.get((tier, owner_id)), owner_id)

    def active(self, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        """All active entries that this user sees, cheapest first."""
        return self._merged(self._owned.get(None), self._owned.get(owner_id), owner_id)

    @staticmethod
    def _merged(shared: _Ordered | None, own: _Ordered | None, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        if own is None or owner_id is None:
            return iter(shared or ())
        if shared is None:
            return iter(own)
        return merge(shared, own, key=lambda entry: entry.cost_order)

    def __len__(self) -> int:
        return len(self.by_id)


def _by_rank(pair: tuple[int, LLMEntry]) -> tuple[int, str]:
    return pair[0], str(pair[1].id)
