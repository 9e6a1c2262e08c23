"""Indexes over entries, so that a look-up costs the same with a hundred models and a hundred thousand."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from heapq import merge
from typing import Any, TypeAlias

from registry.catalog.entries import LLMEntry, LLMTier

_Key: TypeAlias = tuple[Any, ...]
_Pair: TypeAlias = tuple[_Key, LLMEntry]

_NAME, _QUALIFIED, _UPSTREAM, _ALIAS = range(4)  # which of an entry's names matched; smaller wins


def names_of(entry: LLMEntry) -> dict[str, int]:
    """Every text that names `entry`, with its rank."""
    names = {alias: _ALIAS for alias in entry.aliases}
    names[entry.model] = _UPSTREAM
    names[f"{entry.provider}/{entry.model}"] = _QUALIFIED
    names[entry.name] = _NAME
    return names


class _Ordered:
    """Entries of one group in the order of a key. A write puts a new list in place: readers keep the one they have."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[_Pair] = []

    def change(self, gone: list[_Key], new: list[_Pair]) -> None:
        if not self.pairs:
            self.pairs = sorted(new, key=_key)
            return
        pairs = self.pairs.copy()
        for key in gone:
            position = bisect_left(pairs, key, key=_key)
            if position < len(pairs) and pairs[position][0] == key:
                del pairs[position]
        for pair in new:
            insort(pairs, pair, key=_key)
        self.pairs = pairs

    def __iter__(self) -> Iterator[LLMEntry]:
        return (entry for _, entry in self.pairs)


class EntryIndex:
    """Entries by id, by any name, by tier and owner. Readers need no lock: a replaced entry is never missing."""

    def __init__(self, entries: Iterable[LLMEntry] = ()) -> None:
        self.by_id: dict[Hashable, LLMEntry] = {}
        self._names: dict[str, tuple[tuple[int, LLMEntry], ...]] = {}
        self._groups: dict[tuple[Any, ...], _Ordered] = {}
        self._places: dict[Hashable, list[tuple[tuple[Any, ...], _Key]]] = {}  # where each active entry stands
        self.replace(entries)

    def put(self, entry: LLMEntry) -> None:
        """Add or replace; an inactive entry is kept by id and name only, so that "it is disabled" can be said."""
        self.replace([entry])

    def remove(self, entry_id: Hashable) -> None:
        self.replace([], gone=[entry_id])

    def replace(self, entries: Iterable[LLMEntry], *, gone: Iterable[Hashable] = ()) -> None:
        """Add or replace `entries` and drop those of `gone` that are not among them."""
        new = {entry.id: entry for entry in entries}
        leaving: dict[tuple[Any, ...], list[_Key]] = defaultdict(list)
        coming: dict[tuple[Any, ...], list[_Pair]] = defaultdict(list)
        for entry_id in {*gone, *new}:
            entry = new.get(entry_id)
            self._rename(self.by_id.get(entry_id), entry)
            for group, key in self._places.pop(entry_id, ()):
                leaving[group].append(key)
            if entry is None:
                self.by_id.pop(entry_id, None)
                continue
            self.by_id[entry_id] = entry
            if entry.is_active:
                self._places[entry_id] = places = _places_of(entry)
                for group, key in places:
                    coming[group].append((key, entry))
        for group in {**coming, **leaving}:  # first where they come to: in two places for a moment, never in none
            self._groups.setdefault(group, _Ordered()).change(leaving[group], coming[group])

    def _rename(self, old: LLMEntry | None, new: LLMEntry | None) -> None:
        old_names, new_names = names_of(old) if old else {}, names_of(new) if new else {}
        for name in {**old_names, **new_names}:
            pairs = [pair for pair in self._names.get(name, ()) if old is None or pair[1].id != old.id]
            if new is not None and name in new_names:
                pairs.append((new_names[name], new))
            if pairs:
                self._names[name] = tuple(sorted(pairs, key=_by_rank))
            else:
                self._names.pop(name, None)

    def named(self, name: str, owner_id: Hashable | None) -> list[LLMEntry]:
        """Entries that `name` means to this user, one's own before everybody's, closer names first.

        Entries of one rank and owner are alternatives (one upstream id at two providers), cheapest first.
        """
        pairs = [pair for pair in self._names.get(name, ()) if pair[1].owner_id in (None, owner_id)]
        if len(pairs) < 2:
            return [entry for _, entry in pairs]
        best = min((pair[1].owner_id is None, pair[0]) for pair in pairs)
        same = [entry for rank, entry in pairs if (entry.owner_id is None, rank) == best]
        return sorted(same, key=lambda entry: (not entry.is_active, entry.cost_order))

    def in_tier(self, tier: LLMTier, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        """Active entries of a tier that this user sees: the one put first, then cheapest first."""
        return self._merged("tier", tier, owner_id=owner_id)

    def active(self, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        """All active entries that this user sees, cheapest first."""
        return self._merged("all", owner_id=owner_id)

    def alphabetical(self) -> Iterator[LLMEntry]:
        """Active entries that are everybody's, by name."""
        return iter(self._groups.get(("name", None), ()))

    def _merged(self, *group: Any, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        shared = self._groups.get((*group, None))
        own = self._groups.get((*group, owner_id)) if owner_id is not None else None
        if own is None or not own.pairs:
            return iter(shared or ())
        if shared is None or not shared.pairs:
            return iter(own)
        return (entry for _, entry in merge(shared.pairs, own.pairs, key=_key))

    def __len__(self) -> int:
        return len(self.by_id)


def _places_of(entry: LLMEntry) -> list[tuple[tuple[Any, ...], _Key]]:
    cost, name = entry.cost_order, (entry.name, str(entry.id))
    return [
        (("tier", entry.tier, entry.owner_id), entry.tier_order),
        (("all", entry.owner_id), cost),
        (("name", entry.owner_id), name),
    ]


def _key(pair: _Pair) -> _Key:
    return pair[0]


def _by_rank(pair: tuple[int, LLMEntry]) -> tuple[int, str]:
    return pair[0], str(pair[1].id)
