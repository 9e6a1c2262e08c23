"""From what a caller names to an ordered list of candidates, and for every model dropped the reason.

One function serves the live call, `POST /api/llm/resolve` and the admin's "why" page. It reads memory only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from registry.access.principals import Principal
from registry.catalog.dict_registry import DictRegistry
from registry.catalog.entries import CredentialEntry, LLMEntry, LLMTier, ProviderEntry, RankedList
from registry.catalog.environment import environment_entries
from registry.catalog.protocol import LLMRegistry
from registry.catalog.targets import (
    endpoint_of,
    key_from_environment,
    needs_key,
    stored_keys_allowed,
)
from registry.routing.order import SpeedOf, by_weight, in_order_of
from registry.routing.requirements import Requirements

MAX_CANDIDATES = 8  # tries per call; nobody waits for a ninth
MAX_DROPPED = 50  # reasons told; a catalogue of thousands would drown the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a caller said about the model: each part is optional."""

    model: str | None = None  # an id, a name, provider/model, an alias, tier:x, preset:x, a route, auto
    llm_id: Hashable | None = None
    tier: str | None = None
    preset: str | None = None
    module: str | None = None
    models: tuple[str, ...] = ()  # names to fall back to, in order
    provider: str | None = None  # slug that the model must be at
    conversation_model_id: Hashable | None = None
    sticky_id: Hashable | None = None  # a conversation: a weighted choice is always the same for it
    requirements: Requirements = Requirements()
    needs: frozenset[str] = frozenset()  # capabilities that the request itself uses

    @property
    def text(self) -> str:
        """What was asked, in one short text for the usage row."""
        parts = [self.model or "", f"id:{self.llm_id}" if self.llm_id is not None else ""]
        parts += [f"tier:{self.tier}" if self.tier else "", f"preset:{self.preset or self.module or ''}".rstrip(":")]
        return " ".join(part for part in parts if part and part != "preset")[:300]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that can be called now, with the key that would pay."""

    entry: LLMEntry
    provider: ProviderEntry
    credential: CredentialEntry | None = None  # None: no key, the entry's own, or the environment's
    scope: str = "none"  # own, shared, environment, none
    reason: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  # of the preset that chose it


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A model that was considered and can't be used; `code` is stable, `reason` is for people."""

    name: str
    code: str  # not_found, disabled, not_allowed, no_key, no_capability, over_price, breaker_open, ...
    reason: str
    model_id: Hashable | None = None
    retry_after_s: float | None = None  # when it may be asked again, where that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    candidates: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...] = ()
    source: str = ""  # request, conversation, user_default, admin_default, environment

    def as_dict(self) -> dict[str, Any]:
        """For JSON: who would be called in which order, who not and why. Holds no key."""
        return {
            "source": self.source,
            "candidates": [
                {
                    "id": str(candidate.entry.id),
                    "name": candidate.entry.name,
                    "provider": candidate.provider.slug,
                    "model": candidate.entry.model,
                    "tier": candidate.entry.tier.value,
                    "credential_scope": candidate.scope,
                    "credential": candidate.credential.label if candidate.credential else None,
                    "reason": candidate.reason,
                }
                for candidate in self.candidates
            ],
            "dropped": [
                {"id": None if drop.model_id is None else str(drop.model_id), "name": drop.name}
                | {"code": drop.code, "reason": drop.reason}
                for drop in self.dropped
            ],
        }


@runtime_checkable
class Catalogue(Protocol):
    """What the hub's own registries offer beyond `LLMRegistry`."""

    def named(self, name: str, owner_id: Hashable | None) -> list[LLMEntry]: ...
    def in_tier(self, tier: LLMTier, owner_id: Hashable | None) -> Iterator[LLMEntry]: ...
    def active(self, owner_id: Hashable | None) -> Iterator[LLMEntry]: ...
    def alphabetical(self) -> Iterator[LLMEntry]: ...  # active and everybody's
    def by_id(self, llm_id: Hashable) -> LLMEntry | None: ...
    def default(self) -> LLMEntry | None: ...
    def preset(self, slug: str, owner_id: Hashable | None) -> RankedList | None: ...
    def preset_of_module(self, module: str) -> RankedList | None: ...
    def route(self, name: str, owner_id: Hashable | None) -> RankedList | None: ...
    def credentials_of(self, provider_id: Hashable) -> tuple[CredentialEntry, ...]: ...


Gate = Callable[[Candidate, Principal], Dropped | None]  # says no to a candidate: a breaker, a budget


def _not_known(entry_id: Hashable) -> float | None:
    return None


def resolve(
    catalogue: Catalogue,
    ask: Ask,
    principal: Principal,
    *,
    gates: Iterable[Gate] = (),
    limit: int = MAX_CANDIDATES,
    speed: SpeedOf = _not_known,
) -> Resolution:
    """Answer whom to call, best first. Never raises for what the caller named: an unknown name is a dropped model."""
    picker = _Picker(catalogue, ask, principal, tuple(gates), limit, speed)
    source = picker.pick()
    return Resolution(candidates=tuple(picker.found), dropped=tuple(picker.dropped), source=source)


class _Picker:
    """One resolution under way: collects candidates and reasons in order."""

    def __init__(
        self,
        catalogue: Catalogue,
        ask: Ask,
        principal: Principal,
        gates: tuple[Gate, ...],
        limit: int,
        speed: SpeedOf,
    ) -> None:
        self.catalogue = catalogue
        self.ask = ask
        self.principal = principal
        self.gates = gates
        self.limit = limit
        self.speed = speed
        self.owner_id = principal.user_id
        self.found: list[Candidate] = []
        self.dropped: list[Dropped] = []
        self._seen: set[Hashable] = set()

    def pick(self) -> str:
        """Follow the fixed order: the request, the conversation, the user, the admin, the environment."""
        if self._names_something():
            self._from_request()
            return "request"
        steps: tuple[tuple[str, Hashable | None, str], ...] = (
            ("conversation", self.ask.conversation_model_id, "the conversation's model"),
            ("user_default", self.principal.default_model_id, "the caller's default model"),
        )
        for source, llm_id, reason in steps:
            entry = self.catalogue.by_id(llm_id) if llm_id is not None else None
            if entry is not None:
                self._offer([entry], reason)
                if self.found:
                    return source
        default = self.catalogue.default()
        if default is not None:
            self._offer([default], "the hub's default model")
            if self.found:
                return "admin_default"
        self._offer(self.catalogue.alphabetical(), "the first enabled model by name", stop_at_first=True)
        if self.found:
            return "admin_default"
        self._offer(_from_environment(), "the environment's key")
        return "environment"

    def _names_something(self) -> bool:
        ask = self.ask
        named = ask.model or ask.models or ask.tier or ask.preset or ask.module or ask.provider
        return bool(named) or ask.llm_id is not None or not ask.requirements.is_empty

    def _from_request(self) -> None:
        ask = self.ask
        if ask.llm_id is not None:
            entry = self.catalogue.by_id(ask.llm_id)
            self._offer([entry] if entry else [], "named by id", missing=str(ask.llm_id))
        if ask.model:
            self._by_text(ask.model)
        for name in ask.models:
            self._by_text(name)
        if ask.llm_id is None and not ask.model and not ask.models:
            self._by_properties()

    def _by_text(self, text: str) -> None:
        """One name as a client writes it."""
        prefix, _, rest = text.partition(":")
        if text == "auto":
            self._by_properties(always=True)
        elif prefix == "tier" and rest:
            self._by_tier(rest)
        elif prefix == "preset" and rest:
            self._by_ranked(self.catalogue.preset(rest, self.owner_id), f"preset:{rest}")
        else:
            entries = self.catalogue.named(text, self.owner_id) or self._by_uuid(text)
            route = self.catalogue.route(text, self.owner_id) if not entries else None
            if route is not None:
                self._by_ranked(route, text)
            else:
                self._offer(entries, f"named {text!r}", missing=text)

    def _by_uuid(self, text: str) -> list[LLMEntry]:
        entry = self.catalogue.by_id(text)
        return [entry] if entry is not None else []

    def _by_properties(self, *, always: bool = False) -> None:
        ask = self.ask
        ranked = self.catalogue.preset(ask.preset, self.owner_id) if ask.preset else None
        if ask.module and ranked is None:
            ranked = self.catalogue.preset_of_module(ask.module) or self.catalogue.preset(ask.module, self.owner_id)
        if ask.preset or ask.module:
            self._by_ranked(ranked, f"preset:{ask.preset or ask.module}")
        elif ask.tier:
            self._by_tier(ask.tier)
        elif always or not ask.requirements.is_empty or ask.provider:
            ordered = ask.requirements.in_order(self.catalogue.active(self.owner_id), refusal=self._refusal)
            self._offer(ordered, "the best that meets the requirements")

    def _by_tier(self, tier: str) -> None:
        try:
            entries = self.catalogue.in_tier(LLMTier(tier), self.owner_id)
        except ValueError:
            self._drop(tier, "not_found", f"There is no tier {tier!r}.")
            return
        self._offer(entries, f"cheapest of tier {tier}", missing=f"tier:{tier}")

    def _by_ranked(self, ranked: RankedList | None, name: str) -> None:
        if ranked is None:
            self._drop(name, "not_found", f"There is no {name!r}.")
            return
        items = in_order_of(ranked, self.catalogue.by_id, sticky_id=self.ask.sticky_id, speed=self.speed)
        how = "" if ranked.strategy == "priority" else f", {ranked.strategy}"
        for position, item in enumerate(items, 1):
            entry = self.catalogue.by_id(item.entry_id) if item.entry_id is not None else None
            options = {**ranked.options, **item.options}
            instead = f", in the place of {item.label}" if item.stands_in else ""
            reason = f"number {position} of {name}{how}{instead}"
            self._offer([entry] if entry else [], reason, missing=item.label, options=options)

    def _offer(
        self,
        entries: Iterable[LLMEntry],
        reason: str,
        *,
        missing: str | None = None,
        options: Mapping[str, Any] | None = None,
        stop_at_first: bool = False,
    ) -> None:
        """Take each entry as candidate or note why not, until there are enough."""
        seen_any = False
        for entry in entries:
            if entry.owner_id is not None and entry.owner_id != self.owner_id:
                continue  # another user's model can't be told from one that is not there
            seen_any = True
            if len(self.found) >= self.limit or (stop_at_first and self.found):
                return
            if entry.id not in self._seen:
                self._seen.add(entry.id)
                self._judge(entry, reason, options or {})
        if not seen_any and missing is not None:
            self._drop(missing, "not_found", f"There is no model {missing!r} that you may use.")

    def _judge(self, entry: LLMEntry, reason: str, options: Mapping[str, Any]) -> None:
        refusal = self._refusal(entry)
        if refusal is not None:
            self._drop(entry.name, *refusal, model_id=entry.id)
            return
        provider = endpoint_of(entry)
        for credential, scope in list(self._keys(entry, provider)):
            if len(self.found) >= self.limit:
                return
            candidate = Candidate(
                entry=entry, provider=provider, credential=credential, scope=scope, reason=reason, options=options
            )
            said_no = next((no for gate in self.gates if (no := gate(candidate, self.principal))), None)
            if said_no is not None:
                self._note(said_no)
            else:
                self.found.append(candidate)

    def _refusal(self, entry: LLMEntry) -> tuple[str, str] | None:
        if not entry.is_active:
            provider_off = entry.endpoint is not None and not entry.endpoint.enabled
            return "disabled", "Its provider is disabled." if provider_off else "The model is disabled."
        if not self.principal.may_use(entry):
            by_token = not self.principal.token_allows(entry)
            return "not_allowed", "The token may not use it." if by_token else "Your groups may not use it."
        if self.ask.provider and self.ask.provider != entry.provider:
            return "wrong_provider", f"It is at {entry.provider}, not at {self.ask.provider}."
        for need in sorted(self.ask.needs):
            if entry.capability(need) == "no":
                return "no_capability", f"It has no {need.replace('_', ' ')}."
        return self.ask.requirements.refusal(entry)

    def _keys(self, entry: LLMEntry, provider: ProviderEntry) -> Iterator[tuple[CredentialEntry | None, str]]:
        """The keys to try for a model, best first. One's own key is never followed by a shared one in silence."""
        if entry.api_key:
            yield None, "environment"
            return
        stored = self.catalogue.credentials_of(provider.id) if stored_keys_allowed(provider) else ()
        own = [key for key in stored if key.owner_id is not None and key.owner_id == self.owner_id]
        shared = [key for key in stored if key.owner_id is None]
        policy = self.principal.key_policy
        # At a provider of one's own there is no shared key: the policy speaks of everybody's providers.
        if own and (policy != "shared_only" or provider.owner_id is not None):
            yield from self._usable(entry, own, "own")
            return
        if policy == "own_only":
            if needs_key(provider):
                self._drop(entry.name, "no_key", "You have no key for it, and use only your own.", model_id=entry.id)
            else:
                yield None, "none"
            return
        usable = list(self._usable(entry, shared, "shared"))
        yield from usable
        if usable:
            return
        if key_from_environment(provider) is not None:
            yield None, "environment"
        elif not needs_key(provider):
            yield None, "none"
        elif not shared:
            self._drop(entry.name, "no_key", f"Nobody has entered a key for {provider.slug}.", model_id=entry.id)

    def _usable(
        self, entry: LLMEntry, keys: list[CredentialEntry], scope: str
    ) -> Iterator[tuple[CredentialEntry, str]]:
        whose = "Your key" if scope == "own" else "The shared key"
        if len(keys) > 1:
            stick_to = "" if self.ask.sticky_id is None else str(self.ask.sticky_id)
            keys = by_weight(keys, lambda key: key.weight, lambda key: key.id, stick_to)
        for key in keys:
            if not key.usable:
                why = key.why_not or "it can't be used"
            elif key.expires_at is not None and key.expires_at <= dt.datetime.now(dt.UTC):
                why = "it has expired"
            else:
                yield key, scope
                continue
            self._drop(entry.name, "no_key", f"{whose} {key.label!r}: {why}.", model_id=entry.id)

    def _drop(self, name: str, code: str, reason: str, *, model_id: Hashable | None = None) -> None:
        self._note(Dropped(name=name, code=code, reason=reason, model_id=model_id))

    def _note(self, dropped: Dropped) -> None:
        if len(self.dropped) < MAX_DROPPED:
            self.dropped.append(dropped)


def _from_environment() -> list[LLMEntry]:
    return DictRegistry(environment_entries()).list_active()


class PlainCatalogue:
    """Anybody's `LLMRegistry` as a catalogue: no presets, routes or stored keys."""

    def __init__(self, registry: LLMRegistry) -> None:
        self.registry = registry

    def named(self, name: str, owner_id: Hashable | None) -> list[LLMEntry]:
        index = getattr(self.registry, "index", None)
        if index is not None:
            found: list[LLMEntry] = index.named(name, owner_id)
            return found
        entry = self.registry.get_by_name(name) if hasattr(self.registry, "get_by_name") else None
        if entry is not None:
            return [entry]
        return [entry for entry in self.registry.list_active() if name in (entry.name, entry.model)]

    def in_tier(self, tier: LLMTier, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        ordered = sorted(
            (entry for entry in self.registry.list_active() if entry.tier == tier), key=lambda entry: entry.tier_order
        )
        first = self.registry.get_by_tier(tier)
        if first is not None:
            ordered = [first, *(entry for entry in ordered if entry.id != first.id)]
        return iter(ordered)

    def active(self, owner_id: Hashable | None) -> Iterator[LLMEntry]:
        return iter(sorted(self.registry.list_active(), key=lambda entry: entry.cost_order))

    def alphabetical(self) -> Iterator[LLMEntry]:
        return iter(sorted(self.registry.list_active(), key=lambda entry: (entry.name, str(entry.id))))

    def by_id(self, llm_id: Hashable) -> LLMEntry | None:
        return self.registry.get_by_id(llm_id)

    def default(self) -> LLMEntry | None:
        return self.registry.get_default() if hasattr(self.registry, "get_default") else None

    def preset(self, slug: str, owner_id: Hashable | None) -> RankedList | None:
        return None

    def preset_of_module(self, module: str) -> RankedList | None:
        return None

    def route(self, name: str, owner_id: Hashable | None) -> RankedList | None:
        return None

    def credentials_of(self, provider_id: Hashable) -> tuple[CredentialEntry, ...]:
        return ()


__all__ = [
    "Ask",
    "Candidate",
    "Catalogue",
    "Dropped",
    "Gate",
    "PlainCatalogue",
    "Requirements",
    "Resolution",
    "resolve",
]
