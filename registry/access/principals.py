"""Who is calling, as a value: the user, their groups and the token they came with. No database, no request."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from registry.catalog.entries import LLMEntry

NO_DIGEST = "0" * 64  # of nothing that anybody could present; as long as any, so that comparing takes as long


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEntry:
    """An access token as workers hold it. Times are Unix seconds."""

    id: Hashable
    name: str
    prefix: str
    digest: str
    owner_id: Hashable
    old_digest: str = NO_DIGEST  # of the secret before the last rotation, which opens until `old_digest_until`
    old_digest_until: float = 0.0
    scopes: frozenset[str] = frozenset()
    allowed_models: frozenset[str] = frozenset()  # names; empty is all
    networks: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    expires_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user at the moment of a call. `user_id` None is a script without accounts: it may use everything it holds."""

    user_id: Hashable | None = None
    username: str = ""
    is_admin: bool = False
    scopes: frozenset[str] | None = None  # what the role allows; None is all
    group_ids: frozenset[Hashable] = frozenset()
    default_model_id: Hashable | None = None
    key_policy: str = "own_first"  # own_first, own_only, shared_only
    token: TokenEntry | None = None

    def may_use(self, entry: LLMEntry) -> bool:
        """Whether this caller sees the model and no group rule or token keeps them from it."""
        if self.user_id is None:
            return entry.owner_id is None
        if entry.owner_id is not None:
            allowed = entry.owner_id == self.user_id
        else:
            groups = entry.endpoint.allowed_group_ids if entry.endpoint else None
            allowed = self._in_one_of(entry.allowed_group_ids) and self._in_one_of(groups)
        return allowed and self.token_allows(entry)

    def _in_one_of(self, groups: frozenset[Hashable] | None) -> bool:
        return groups is None or self.is_admin or not groups.isdisjoint(self.group_ids)

    def token_allows(self, entry: LLMEntry) -> bool:
        names = self.token.allowed_models if self.token else frozenset()
        return not names or entry.name in names or entry.model in names or str(entry.id) in names
