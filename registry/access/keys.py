"""Opens stored keys for calls, and says where each provider may be called. The plaintext stays five minutes at most."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from django.db import DatabaseError, close_old_connections

from adapters import EgressPolicy
from adapters.errors import ConfigurationError, UpstreamUnavailableError
from registry.access.principals import Principal
from registry.catalog.entries import Secret
from registry.catalog.snapshot import Snapshot
from registry.catalog.targets import check_bound, key_from_environment
from registry.routing.resolve import Candidate
from registry.vault.keyring import DecryptError

NO_KEY = Secret()


class StoredKeys:
    """The `KeySource` of the hub."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._environment: dict[object, Secret] = {}

    async def open_key(self, candidate: Candidate, principal: Principal) -> Secret:
        """Raises ConfigurationError when the key can't be opened here or belongs to another address."""
        if candidate.credential is None:
            return self._without_stored(candidate)
        check_bound(candidate.credential, candidate.provider)
        found = self.snapshot.revealed(candidate.credential.id, principal.user_id)
        if found is not None:
            return found
        try:
            return await asyncio.to_thread(_reveal, self.snapshot, candidate.credential.id, principal.user_id)
        except DecryptError as error:
            raise ConfigurationError(
                "The stored key can't be opened. Enter it again.", provider=candidate.provider.slug
            ) from error
        except DatabaseError as error:
            raise UpstreamUnavailableError(
                "The key store can't be reached just now.", provider=candidate.provider.slug
            ) from error

    def policy_for(self, candidate: Candidate, principal: Principal) -> EgressPolicy:
        return self.snapshot.rules.policy_for(candidate.provider.owner_id, principal.group_ids)

    def _without_stored(self, candidate: Candidate) -> Secret:
        if candidate.scope != "environment":
            return NO_KEY
        if candidate.entry.api_key:
            return self._environment.setdefault(candidate.entry.id, Secret(api_key=candidate.entry.api_key))
        if candidate.provider.id not in self._environment:
            self._environment[candidate.provider.id] = key_from_environment(candidate.provider) or NO_KEY
        return self._environment[candidate.provider.id]


def _reveal(snapshot: Snapshot, credential_id: Hashable, caller: Hashable | None) -> Secret:
    close_old_connections()
    try:
        return snapshot.reveal(credential_id, caller)
    finally:
        close_old_connections()
