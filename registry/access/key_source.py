"""Where a call's key comes from: the seam between the client and whoever keeps the keys. Keeps none itself."""

from __future__ import annotations

from typing import Protocol

from adapters import EgressPolicy
from registry.access.principals import Principal
from registry.catalog.entries import Secret
from registry.routing.resolve import Candidate


class KeySource(Protocol):
    """Opens the key of a candidate, and says which addresses its provider may be called at."""

    async def open_key(self, candidate: Candidate, principal: Principal) -> Secret:
        """For a call by `principal`. Raises ConfigurationError when the key can't be opened or belongs elsewhere."""
        ...

    def policy_for(self, candidate: Candidate, principal: Principal) -> EgressPolicy: ...


class EntryKeys:
    """For registries whose entries carry their own keys: a script's own machine may be called too."""

    async def open_key(self, candidate: Candidate, principal: Principal) -> Secret:
        return Secret(api_key=candidate.entry.api_key)

    def policy_for(self, candidate: Candidate, principal: Principal) -> EgressPolicy:
        return EgressPolicy.local()
