"""The registry as one process holds it: read once, kept fresh from the change log, used without the database.

Everything a call needs is here except secrets, which are revealed when a call needs them and kept five minutes at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from uuid import UUID

from django.db import DatabaseError, close_old_connections, transaction

from registry.catalog import rows
from registry.catalog.endpoints import EndpointRules, read_rules
from registry.catalog.entries import CredentialEntry, LLMEntry, LLMTier, ProviderEntry, RankedList, RankedModel, Secret
from registry.catalog.index import EntryIndex
from registry.catalog.presets_data import successor_of
from registry.catalog.runtime import RuntimeProvider, read_runtime
from registry.models import Credential, RegistryChange
from registry.vault.keyring import DecryptError

log = logging.getLogger("llmhub.snapshot")

REVEALED_S = 300.0  # how long a decrypted key may stay in memory
FULL_RELOAD_S = 600.0  # for what no change row tells: group membership, a price that comes into force

_KEYS_A_QUERY = 5000  # SQLite takes no more than some ten thousands

EVERYTHING = frozenset({"*"})  # told to listeners after a full load
_MODEL_TABLES = {"registry_llmmodel", "registry_modelprice", "registry_modelaccess"}
_OTHERS_TABLES = {  # not held here
    *("registry_accesstoken", "registry_user", "registry_usersettings", "registry_budget", "registry_ratelimit")
}


class Snapshot:
    """The state. Readers take what they find without a lock; `refresh` alone writes, one thread at a time."""

    def __init__(self) -> None:
        self.sequence = -1  # last change applied; -1 before the first load
        self.fresh_at = float("-inf")  # time.monotonic() of the last successful read of the database
        self.loaded_at = float("-inf")
        self.providers: dict[Hashable, ProviderEntry] = {}
        self.index = EntryIndex()
        self.credentials: dict[Hashable, tuple[CredentialEntry, ...]] = {}  # by provider, heaviest first
        self.presets: dict[str, tuple[RankedList, ...]] = {}
        self.routes: dict[str, tuple[RankedList, ...]] = {}
        self.runtime: dict[str, RuntimeProvider] = {}
        self.default_model_id: Hashable | None = None
        self.rules = EndpointRules()
        self.listeners: list[Callable[[frozenset[str]], None]] = []  # told, in `refresh`, which tables changed
        self._untold: frozenset[str] = frozenset()  # tables that a listener has yet to take in
        self._revealed: dict[Hashable, tuple[float, Hashable | None, Secret]] = {}
        self._forgotten = 0  # counts when secrets were forgotten: what was read before is not kept after
        self._secrets_lock = threading.Lock()
        self._lock = threading.Lock()

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def age_s(self) -> float:
        """Seconds since the database was last read; infinite before the first load."""
        return time.monotonic() - self.fresh_at

    @property
    def version(self) -> tuple[int, float]:
        """Another one whenever anything that is read here may have changed."""
        return (self.sequence, self.loaded_at)

    def named(self, name: str, owner_id: Hashable | None) -> list[LLMEntry]:
        found = self.index.named(name, owner_id)
        return found or self._announced(name, owner_id)

    def _announced(self, name: str, owner_id: Hashable | None) -> list[LLMEntry]:
        """`id/model` of an adapter that was announced at run time."""
        slug, _, model = name.partition("/")
        announced = self.runtime.get(slug) if model else None
        entry = announced.entry(model) if announced is not None and announced.is_live_for(owner_id) else None
        return [] if entry is None else [entry]

    def in_tier(self, tier: LLMTier, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        return self.index.in_tier(tier, owner_id)

    def active(self, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        return self.index.active(owner_id)

    def alphabetical(self) -> Iterator[LLMEntry]:
        return self.index.alphabetical()

    def by_id(self, llm_id: Hashable) -> LLMEntry | None:
        """A model by its UUID, as such or as text."""
        if isinstance(llm_id, str):
            try:
                llm_id = UUID(llm_id)
            except ValueError:
                return None
        return self.index.by_id.get(llm_id)

    def default(self) -> LLMEntry | None:
        """The model that an admin made the default, if it is enabled."""
        entry = self.index.by_id.get(self.default_model_id) if self.default_model_id else None
        return entry if entry is not None and entry.is_active else None

    def preset(self, slug: str, owner_id: Hashable | None) -> RankedList | None:
        return _own_first(self.presets.get(slug, ()), owner_id)

    def preset_of_module(self, module: str) -> RankedList | None:
        found = (ranked for lists in self.presets.values() for ranked in lists)
        return next((r for r in found if r.module == module and r.is_module_default and r.owner_id is None), None)

    def route(self, name: str, owner_id: Hashable | None) -> RankedList | None:
        return _own_first(self.routes.get(name, ()), owner_id)

    def credentials_of(self, provider_id: Hashable) -> tuple[CredentialEntry, ...]:
        return self.credentials.get(provider_id, ())

    def revealed(self, credential_id: Hashable, caller: Hashable | None) -> Secret | None:
        """A secret opened less than five minutes ago that `caller` may use: a shared one, or their own."""
        found = self._revealed.get(credential_id)
        if found is None or found[0] <= time.monotonic() or found[1] not in (None, caller):
            return None
        return found[2]

    # --- reading the database (each may raise DatabaseError; never call them on an event loop's thread) --------------

    def reveal(self, credential_id: Hashable, caller: Hashable | None) -> Secret:
        """Open a credential's secret for a call by the user `caller`. Raises DecryptError (see Credential.reveal)."""
        found = self.revealed(credential_id, caller)
        if found is not None:
            return found
        forgotten = self._forgotten
        credential = Credential.objects.select_related("provider").filter(pk=credential_id).first()
        if credential is None:
            raise DecryptError("the credential is gone")
        secret: Secret = credential.reveal(caller)
        with self._secrets_lock:
            if self._forgotten == forgotten:
                self._revealed[credential_id] = (time.monotonic() + REVEALED_S, credential.owner_id, secret)
        return secret

    def _forget(self, credential_ids: Iterable[Hashable] | None = None) -> None:
        """Drop opened secrets, all by default, and those that are being opened just now."""
        with self._secrets_lock:
            self._forgotten += 1
            for key in list(self._revealed) if credential_ids is None else credential_ids:
                self._revealed.pop(key, None)

    def refresh(self) -> bool:
        """Load what is missing: all at first, then what the change log names. Answers whether anything changed."""
        with self._lock:
            now = time.monotonic()
            with self._secrets_lock:
                self._revealed = {key: kept for key, kept in self._revealed.items() if kept[0] > now}
            if self.sequence < 0 or now - self.loaded_at > FULL_RELOAD_S:
                tables = self._load_all()
            else:
                tables = self._apply_changes()
            # Kept until every listener took it in: one that met an outage hears of it again with the next refresh.
            self._untold = EVERYTHING if "*" in self._untold | tables else self._untold | tables
            if self._untold:
                for listener in self.listeners:
                    listener(self._untold)
            self._untold = frozenset()
            self.fresh_at = now
            return bool(tables)

    def _load_all(self) -> frozenset[str]:
        with transaction.atomic():
            sequence = RegistryChange.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
            providers = {entry.id: entry for entry in rows.read_providers()}
            index = EntryIndex(rows.read_models(providers))
            self.providers, self.index = providers, index
            self.credentials = _by_provider(rows.read_credentials())
            self._load_small()
        self._forget()  # the changes that named replaced keys are skipped by what comes next
        self.sequence = sequence
        self.loaded_at = time.monotonic()
        return EVERYTHING

    def _load_small(self) -> None:
        """What is few enough to be read whole at any change of it."""
        self.presets = _by_name([self._with_successors(preset) for preset in rows.read_presets()])
        self.routes = _by_name(rows.read_routes())
        self.default_model_id = rows.default_model_id()
        self.rules = read_rules()
        self.runtime = read_runtime(self.providers)

    def _with_successors(self, preset: RankedList) -> RankedList:
        """Older lists name models that are gone: where the hub has today's successor, it answers in that rank."""
        if all(rank.entry_id is not None for rank in preset.entries):
            return preset
        return replace(preset, entries=tuple(map(self._or_successor, preset.entries)))

    def _or_successor(self, rank: RankedModel) -> RankedModel:
        successor = successor_of(rank.label) if rank.entry_id is None else None
        found = self.index.named(successor, None) if successor is not None else []
        return replace(rank, entry_id=found[0].id, stands_in=True) if found else rank

    def _apply_changes(self) -> frozenset[str]:
        noted = RegistryChange.objects.filter(sequence__gt=self.sequence).order_by("sequence")
        changes = list(noted.values_list("sequence", "table", "row")[:5000])
        if not changes:
            return frozenset()
        if (
            changes[0][0] > self.sequence + 1
            and not RegistryChange.objects.filter(sequence__lte=self.sequence).exists()
        ):
            return self._load_all()  # the log was pruned beyond what this process has seen
        tables: dict[str, set[UUID]] = defaultdict(set)
        for _, table, row in changes:
            tables[table].add(row)
        if rows.any_user_gone(tables.get("registry_user", set())):
            return self._load_all()  # what hung on the user went by cascade, which no change row tells
        self._apply_providers(tables)
        self._apply_models(tables)
        if "registry_credential" in tables:
            self._apply_credentials(tables["registry_credential"])
        if set(tables) - _MODEL_TABLES - _OTHERS_TABLES - {"registry_credential"} or "registry_llmmodel" in tables:
            self._load_small()
        self.sequence = changes[-1][0]
        return frozenset(tables)

    def _apply_providers(self, tables: dict[str, set[UUID]]) -> None:
        """Take changed providers; their models are rebuilt with them, and vanish with them."""
        keys = tables.get("registry_provider", set())
        if not keys:
            return
        self.providers = {key: entry for key, entry in self.providers.items() if key not in keys}
        self.providers.update({entry.id: entry for entry in rows.read_providers(keys)})
        touched = {entry.id for entry in self.index.by_id.values() if entry.endpoint and entry.endpoint.id in keys}
        tables.setdefault("registry_llmmodel", set()).update(key for key in touched if isinstance(key, UUID))
        for key in keys - set(self.providers):
            self._forget([entry.id for entry in self.credentials.pop(key, ())])

    def _apply_models(self, tables: dict[str, set[UUID]]) -> None:
        keys = set(tables.get("registry_llmmodel", ()))
        if not _MODEL_TABLES.isdisjoint(tables):
            keys |= self._models_touched(tables)
        ordered = list(keys)
        found: list[LLMEntry] = []
        for start in range(0, len(ordered), _KEYS_A_QUERY):
            found += rows.read_models(self.providers, ordered[start : start + _KEYS_A_QUERY])
        self.index.replace(found, gone=keys)

    def _models_touched(self, tables: dict[str, set[UUID]]) -> set[UUID]:
        """Models whose price or rule changed. Its row may be gone: then the models that held it in memory tell."""
        prices, rules = tables.get("registry_modelprice", set()), tables.get("registry_modelaccess", set())
        if not prices and not rules:
            return set()
        touched = rows.models_of(prices, rules)
        for key, entry in self.index.by_id.items():
            held = any(price.id in prices for price in entry.prices)
            if isinstance(key, UUID) and (held or (rules and entry.allowed_group_ids is not None)):
                touched.add(key)
        return touched

    def _apply_credentials(self, keys: set[UUID]) -> None:
        self._forget(keys)
        kept = [entry for entries in self.credentials.values() for entry in entries if entry.id not in keys]
        self.credentials = _by_provider([*kept, *rows.read_credentials(keys)])


def _own_first(lists: tuple[RankedList, ...], owner_id: Hashable | None) -> RankedList | None:
    mine = next((ranked for ranked in lists if owner_id is not None and ranked.owner_id == owner_id), None)
    return mine or next((ranked for ranked in lists if ranked.owner_id is None), None)


def _by_name(lists: list[RankedList]) -> dict[str, tuple[RankedList, ...]]:
    found: dict[str, tuple[RankedList, ...]] = {}
    for ranked in lists:
        found[ranked.name] = (*found.get(ranked.name, ()), ranked)
    return found


def _by_provider(entries: list[CredentialEntry]) -> dict[Hashable, tuple[CredentialEntry, ...]]:
    found: dict[Hashable, list[CredentialEntry]] = defaultdict(list)
    for entry in entries:
        found[entry.provider_id].append(entry)
    return {
        key: tuple(sorted(group, key=lambda entry: (-entry.weight, entry.label, str(entry.id))))
        for key, group in found.items()
    }


_snapshot = Snapshot()


def shared_snapshot() -> Snapshot:
    """This process's snapshot."""
    return _snapshot


def refresh_quietly(snapshot: Snapshot) -> bool:
    """Refresh, and say whether the database could be read; a failure is logged once a change of state."""
    was_fresh = snapshot.age_s < 5
    try:
        close_old_connections()
        snapshot.refresh()
    except DatabaseError as error:
        if was_fresh:
            log.warning("The database can't be read (%s); serving from memory.", type(error).__name__)
        return False
    finally:
        close_old_connections()
    return True
