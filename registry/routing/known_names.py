"""Remembers what a plain name resolved to while neither registry nor caller changes. Decides nothing itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from registry.access.principals import Principal
from registry.routing.order import SpeedOf
from registry.routing.resolve import Ask, Catalogue, Gate, Resolution, resolve

MAX_NAMES = 4096


class KnownNames:
    """One a client. What may differ from call to call (breakers, budgets, limits) is asked for each of them."""

    def __init__(self, gates: Sequence[Gate], speed: SpeedOf) -> None:
        self.gates = tuple(gates)
        self.speed = speed
        self._version: Hashable = None
        # The principal is held beside the answer: an id stands for its object only while that object lives.
        self._found: dict[tuple[str, frozenset[str], int], tuple[Principal, Resolution]] = {}

    def resolve(self, catalogue: Catalogue, ask: Ask, principal: Principal) -> Resolution:
        """As `resolve` with all gates."""
        version: Hashable = getattr(catalogue, "version", None)
        if version is None or not _names_one_model(ask):
            return resolve(catalogue, ask, principal, gates=self.gates, speed=self.speed)
        if version != self._version:
            self._found.clear()
            self._version = version
        assert ask.model is not None
        place = (ask.model, ask.needs, id(principal))
        known = self._found.get(place)
        if known is None:
            found = resolve(catalogue, ask, principal, speed=self.speed)
            if not _is_steady(catalogue, found):
                return resolve(catalogue, ask, principal, gates=self.gates, speed=self.speed)
            if len(self._found) >= MAX_NAMES:
                self._found.clear()
            known = self._found[place] = (principal, found)
        candidate = known[1].candidates[0]
        for gate in self.gates:
            if gate(candidate, principal) is not None:
                return resolve(catalogue, ask, principal, gates=self.gates, speed=self.speed)
        return known[1]


def steady(catalogue: Catalogue, ask: Ask, principal: Principal) -> Resolution | None:
    """The one model and key that a name stands for, until registry or caller change; asks no gate. None: it depends."""
    if getattr(catalogue, "version", None) is None or not _names_one_model(ask):
        return None
    found = resolve(catalogue, ask, principal)
    return found if _is_steady(catalogue, found) else None


def _names_one_model(ask: Ask) -> bool:
    if not ask.model or ask.models or ask.llm_id is not None or ask.provider or ask.tier or ask.preset or ask.module:
        return False
    return ask.model != "auto" and not ask.model.startswith(("tier:", "preset:")) and ask.requirements.is_empty


def _is_steady(catalogue: Catalogue, resolution: Resolution) -> bool:
    """Whether neither chance, time nor environment had a say: one model of the registry with one stored key."""
    if len(resolution.candidates) != 1 or resolution.dropped:
        return False
    candidate = resolution.candidates[0]
    key = candidate.credential
    if key is None or key.expires_at is not None or candidate.options:
        return False
    return catalogue.by_id(candidate.entry.id) is candidate.entry
