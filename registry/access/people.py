"""The tokens and users this process has seen, in memory. A miss reads the database once for all who wait."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any

from django.contrib.auth.models import Group

from registry.access.principals import NO_DIGEST, Principal, TokenEntry
from registry.catalog.snapshot import EVERYTHING, shared_snapshot
from registry.models import AccessToken, User

UNKNOWN_S = 1.0  # how long a token that nobody knows is not asked for again
_UNKNOWN_LIMIT = 10_000
_TABLES = frozenset({"registry_accesstoken", "registry_user", "registry_usersettings"})


class People:
    """Readers take what they find without a lock; a revocation arrives by the change log within a second."""

    def __init__(self) -> None:
        self.tokens: dict[str, TokenEntry] = {}  # by prefix
        self.principals: dict[Hashable, Principal] = {}  # by user, active ones only
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_unknown(self, prefix: str) -> bool:
        """Whether the database said a moment ago that there is no such token."""
        asked_at = self._unknown.get(prefix)
        return asked_at is not None and time.monotonic() - asked_at < UNKNOWN_S

    def find_token(self, prefix: str) -> TokenEntry | None:
        """Read a token and owner not seen before. Raises DatabaseError; not for an event loop's thread."""
        with self._lock:
            if prefix in self.tokens or self.is_unknown(prefix):
                return self.tokens.get(prefix)
            row = AccessToken.objects.select_related("made_with").filter(prefix=prefix).first()
            if row is None:
                self._unknown[prefix] = time.monotonic()
                while len(self._unknown) > _UNKNOWN_LIMIT:
                    self._unknown.popitem(last=False)
                return None
            self._read_principals([row.owner_id])
            self.tokens[prefix] = entry = token_entry(row)
            return entry

    def find_principal(self, user_id: Hashable) -> Principal | None:
        """Answer an active user, read when not seen before. Raises DatabaseError; not for an event loop's thread."""
        if user_id not in self.principals:
            with self._lock:
                self._read_principals([user_id])
        return self.principals.get(user_id)

    def note_changes(self, tables: frozenset[str]) -> None:
        """Read again all that was seen: few rows, and a revocation must not be missed."""
        if tables != EVERYTHING and _TABLES.isdisjoint(tables):
            return
        with self._lock:
            self._unknown.clear()
            if self.tokens:
                seen: list[Any] = [entry.id for entry in self.tokens.values()]
                rows = AccessToken.objects.select_related("made_with").filter(pk__in=seen)
                self.tokens = {row.prefix: token_entry(row) for row in rows}
            if self.principals:
                self._read_principals(list(self.principals))

    def _read_principals(self, ids: Iterable[Any]) -> None:
        wanted = set(ids)
        groups: dict[Any, set[Hashable]] = {}
        memberships = Group.user_set.through.objects.filter(user_id__in=wanted)
        for user_id, group_id in memberships.values_list("user_id", "group_id"):
            groups.setdefault(user_id, set()).add(group_id)
        found = User.objects.filter(pk__in=wanted, is_active=True).select_related("settings")
        principals = {key: principal for key, principal in self.principals.items() if key not in wanted}
        principals.update({row.pk: principal_of(row, frozenset(groups.get(row.pk, ()))) for row in found})
        self.principals = principals


def token_entry(row: AccessToken) -> TokenEntry:
    return TokenEntry(
        id=row.pk,
        name=row.name,
        prefix=row.prefix,
        digest=row.digest,
        owner_id=row.owner_id,
        old_digest=row.old_digest or NO_DIGEST,
        old_digest_until=_unix(row.old_digest_until) or 0.0,
        scopes=frozenset(row.present_scopes),
        allowed_models=frozenset(row.allowed_models),
        networks=tuple(row.networks),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        concurrency=row.concurrency,
        expires_at=_unix(row.expires_at),
        revoked_at=_unix(row.ended_at),
    )


def principal_of(row: User, group_ids: frozenset[Hashable]) -> Principal:
    settings = getattr(row, "settings", None)
    return Principal(
        user_id=row.pk,
        username=row.username,
        is_admin=row.is_superuser,
        scopes=row.scopes,
        group_ids=group_ids,
        default_model_id=settings.default_model_id if settings else None,
        key_policy=settings.key_policy if settings else "own_first",
    )


def _unix(when: dt.datetime | None) -> float | None:
    return None if when is None else when.timestamp()


_people = People()
shared_snapshot().listeners.append(_people.note_changes)


def shared_people() -> People:
    """This process's people."""
    return _people
