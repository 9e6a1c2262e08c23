"""Models that go away: when, who still uses them, what could take their place, and the one step that puts it there.

Dates come from providers' lists, from admins, and from the catalogue below; nothing here calls anybody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from registry.access import audit
from registry.catalog.presets_data import successor_of
from registry.models import (
    AccessToken,
    Conversation,
    LLMModel,
    Preset,
    PresetEntry,
    RouteEntry,
    UserSettings,
)

AHEAD_DAYS: Final = 180
# What vendors had announced by November 2026, by adapter kind and how an id begins; an empty day: none is known.
# Longer beginnings first; a provider's own date in its list of models wins over these.
SHUTDOWNS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "openai": (
        ("gpt-3.5", "2026-10-23"),
        ("gpt-4.1", "2027-01-14"),
        ("gpt-4o", "2027-01-14"),
        ("gpt-4", "2026-10-23"),
        ("o1", "2026-10-23"),
        ("o3-mini", "2026-10-23"),
        ("o4-mini", "2026-10-23"),
        ("gpt-5.6", ""),
        ("gpt-5", "2026-12-11"),
    ),
    "anthropic": (
        ("claude-3-5-sonnet", "2025-10-28"),
        ("claude-3-opus", "2026-01-05"),
        ("claude-sonnet-4-2025", "2026-06-15"),
        ("claude-opus-4-2025", "2026-06-15"),
    ),
    "gemini": (
        ("gemini-2.0-flash", "2026-06-01"),
        ("gemini-2.5-flash-image", ""),
        ("gemini-2.5-flash-lite", ""),
        ("gemini-2.5-flash", "2026-12-01"),
        ("gemini-2.5-pro", "2026-12-01"),
    ),
}
_QUALITY: Final = {"best": 0, "balanced": 1, "cheap": 2, "unknown": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """How often a model is named. Conversations are counted, never shown."""

    presets: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    conversations: int = 0
    default_of: int = 0  # people who made it their default
    is_hub_default: bool = False

    @property
    def total(self) -> int:
        named = len(self.presets) + len(self.routes) + len(self.tokens)
        return named + self.conversations + self.default_of + self.is_hub_default


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """A model that is gone or going."""

    model: LLMModel
    state: str  # retired, retiring, vanished
    on: dt.date | None
    source: str  # provider or admin (the row), catalogue, discovery
    uses: Uses
    successor: LLMModel | None = None
    why: str = ""

    @property
    def days_left(self) -> int | None:
        return None if self.on is None else (self.on - timezone.now().date()).days


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRank:
    """A preset's rank whose model the hub lacks, with today's successor (`provider/model_id`) if one is known."""

    entry: PresetEntry
    successor_ref: str | None
    successor: LLMModel | None = None


@dataclass(slots=True, kw_only=True)
class Remapped:
    """What one remap changed, by kind."""

    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def shutdown_of(model: LLMModel) -> tuple[dt.date | None, str]:
    """When the model ends and who says so; (None, "") where nobody does."""
    if model.retires_on is not None:
        return model.retires_on, "provider"
    for beginning, day in SHUTDOWNS.get(model.provider.adapter, ()):
        if model.model_id.startswith(beginning):
            return (dt.date.fromisoformat(day), "catalogue") if day else (None, "")
    return None, ""


def retirements(*, within_days: int = AHEAD_DAYS, today: dt.date | None = None) -> list[Retirement]:
    """Global models that are gone or end within so many days, the soonest first."""
    now = today or timezone.now().date()
    rows = list(LLMModel.objects.shared().select_related("provider"))
    going: list[tuple[LLMModel, str, dt.date | None, str]] = []
    for row in rows:
        day, source = shutdown_of(row)
        if day is not None and day <= now + dt.timedelta(days=within_days):
            going.append((row, "retired" if day <= now else "retiring", day, source))
        elif row.vanished_at is not None:
            going.append((row, "vanished", row.vanished_at.date(), "discovery"))
    uses = _uses([row for row, *_ in going])
    leaving = {row.pk for row, *_ in going}
    staying = [row for row in rows if row.pk not in leaving and row.enabled and row.provider.enabled]
    found = []
    for row, state, day, source in going:
        successor, why = propose_successor(row, staying)
        found.append(
            Retirement(model=row, state=state, on=day, source=source, uses=uses[row.pk], successor=successor, why=why)
        )
    return sorted(found, key=lambda one: (one.uses.total == 0, one.on or dt.date.max, one.model.name))


def _uses(rows: Iterable[LLMModel]) -> dict[Any, Uses]:
    """Who names these models, in a handful of queries for all of them."""
    keys = {row.pk: row for row in rows}
    presets: dict[Any, list[str]] = {key: [] for key in keys}
    routes: dict[Any, list[str]] = {key: [] for key in keys}
    for key, name in PresetEntry.objects.filter(model__in=keys).values_list("model_id", "preset__name"):
        presets[key].append(name)
    for key, name in RouteEntry.objects.filter(model__in=keys).values_list("model_id", "route__name"):
        routes[key].append(name)
    talks = _counted(Conversation.objects.filter(llm_model__in=keys).values_list("llm_model_id", flat=True))
    defaults = _counted(UserSettings.objects.filter(default_model__in=keys).values_list("default_model_id", flat=True))
    tokens = [row for row in AccessToken.objects.exclude(allowed_models=[]) if row.is_live]
    return {
        key: Uses(
            presets=tuple(sorted(set(presets[key]))),
            routes=tuple(sorted(set(routes[key]))),
            tokens=tuple(token.name for token in tokens if _names_of(row) & set(token.allowed_models)),
            conversations=talks.get(key, 0),
            default_of=defaults.get(key, 0),
            is_hub_default=row.is_default,
        )
        for key, row in keys.items()
    }


def _counted(keys: Iterable[Any]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for key in keys:
        found[key] = found.get(key, 0) + 1
    return found


def _names_of(row: LLMModel) -> set[str]:
    """The texts that a token's allow-list may mean this model by."""
    return {row.name, row.model_id, str(row.pk)}


def propose_successor(row: LLMModel, staying: Iterable[LLMModel]) -> tuple[LLMModel | None, str]:
    """The vendor's own successor where the catalogue knows one; else the nearest that can all that this one can."""
    pool = [other for other in staying if other.pk != row.pk]
    wanted = successor_of(f"{row.provider.template or row.provider.slug}/{row.model_id}")
    if wanted is not None:
        provider, _, model_id = wanted.partition("/")
        for other in pool:
            if other.model_id == model_id and provider in (other.provider.slug, other.provider.template):
                return other, "the vendor's successor"
    can = {name for name in row.capabilities if row.capability(name) == "yes"}
    able = [other for other in pool if all(other.capability(name) == "yes" for name in can)]
    able = [other for other in able if (other.context_length or 0) >= min(row.context_length or 0, 128_000)]
    if not able:
        return None, ""

    def distance(other: LLMModel) -> tuple[Any, ...]:
        apart = abs(_QUALITY[other.quality_tier] - _QUALITY[row.quality_tier])
        return (
            other.provider_id != row.provider_id,
            not (row.family and other.family == row.family),
            other.tier != row.tier,
            apart,
            -other.created_at.timestamp(),
            other.name,
        )

    best = min(able, key=distance)
    same = "at the same provider" if best.provider_id == row.provider_id else "at another provider"
    return best, f"nearest {same} that can all that it can"


def missing_ranks() -> list[MissingRank]:
    """Ranks of global presets whose model the hub does not have, each with today's successor."""
    rows = PresetEntry.objects.filter(model__isnull=True, preset__owner__isnull=True).exclude(model_ref="")
    entries = list(rows.select_related("preset").order_by("preset__slug", "position"))
    wanted = {entry.pk: successor_of(entry.model_ref) for entry in entries}
    ids = {reference.partition("/")[2] for reference in wanted.values() if reference}
    known = {
        f"{row.provider.slug}/{row.model_id}": row
        for row in LLMModel.objects.shared().filter(model_id__in=ids).select_related("provider")
    }
    return [
        MissingRank(entry=entry, successor_ref=wanted[entry.pk], successor=known.get(wanted[entry.pk] or ""))
        for entry in entries
    ]


def remap(old: LLMModel, new: LLMModel, *, actor: Any, address: str | None = None) -> Remapped:
    """Put `new` wherever `old` is named: presets, routes, conversations, defaults and tokens' allow-lists.

    One transaction; the old model's row, its usage and its messages stay as they are. Raises ValueError for a model
    that not everybody who uses the old one could see.
    """
    if old.pk == new.pk or new.owner_id is not None or not new.enabled:
        raise ValueError("Choose another enabled model that is everybody's.")
    done = Remapped()
    with transaction.atomic():
        done.counts["presets"] = _remap_entries(PresetEntry.objects.filter(model=old), new, "preset_id")
        done.counts["routes"] = _remap_entries(RouteEntry.objects.filter(model=old), new, "route_id")
        done.counts["conversations"] = Conversation.objects.filter(llm_model=old).update(llm_model=new)
        done.counts["defaults"] = UserSettings.objects.filter(default_model=old).update(default_model=new)
        done.counts["tokens"] = _remap_tokens(old, new)
        if old.is_default:
            old.is_default = False
            old.save(update_fields=["is_default", "updated_at"])
            new.is_default = True
            new.save(update_fields=["is_default", "updated_at"])
            done.counts["hub default"] = 1
        told: dict[str, Any] = {"instead": new.name, **done.counts}
        audit.record(actor, "remap", old, None, told, address)
    return done


def _remap_entries(rows: Any, new: LLMModel, parent: str) -> int:
    """Point each rank to the new model; a list that has it already loses the old rank instead."""
    count = 0
    for entry in rows:
        others = type(entry).objects.filter(**{parent: getattr(entry, parent), "model": new})
        if others.exclude(pk=entry.pk).exists():
            entry.delete()
        else:
            entry.model = new
            if isinstance(entry, PresetEntry):
                entry.model_ref = f"{new.provider.slug}/{new.model_id}"[:200]
            entry.save()
        count += 1
    return count


def _remap_tokens(old: LLMModel, new: LLMModel) -> int:
    count = 0
    for token in AccessToken.objects.exclude(allowed_models=[]):
        if _names_of(old) & set(token.allowed_models):
            kept = [new.name if name in _names_of(old) else name for name in token.allowed_models]
            token.allowed_models = list(dict.fromkeys(kept))
            token.save(update_fields=["allowed_models", "updated_at"])
            count += 1
    return count


def take_successors(preset: Preset, *, actor: Any, address: str | None = None) -> int:
    """Point a preset's ranks that no model of the hub answers to today's successors, where the hub has those."""
    count = 0
    with transaction.atomic():
        before = {"entries": [entry.model_ref for entry in preset.entries.order_by("position")]}
        for missing in missing_ranks():
            if missing.entry.preset_id != preset.pk or missing.successor is None:
                continue
            if preset.entries.filter(model=missing.successor).exists():
                continue  # one rank of a model is enough
            missing.entry.model = missing.successor
            missing.entry.note = f"In the place of {missing.entry.model_ref}. {missing.entry.note}"[:300]
            missing.entry.model_ref = missing.successor_ref or ""
            missing.entry.save()
            count += 1
        if count:
            after = {"entries": [entry.model_ref for entry in preset.entries.order_by("position")]}
            audit.record(actor, "remap", preset, before, after, address)
    return count
