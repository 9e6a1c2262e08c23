"""From database rows to catalogue entries. Reads only columns that workers may hold: no ciphertext passes here."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from registry.catalog.entries import (
    CredentialEntry,
    LLMEntry,
    LLMTier,
    PriceEntry,
    ProviderEntry,
    QualityTier,
    RankedList,
    RankedModel,
)
from registry.models import (
    PRICE_FIELDS,
    Credential,
    CredentialState,
    LLMModel,
    ModelAccess,
    ModelPrice,
    Preset,
    PresetEntry,
    Provider,
    ProviderAccess,
    Route,
    RouteEntry,
    User,
)

log = logging.getLogger("llmhub.snapshot")

Keys = Iterable[UUID] | None  # None reads all rows

_WHY_NOT = {
    CredentialState.MISSING: "its key has to be entered again",
    CredentialState.UNDECRYPTABLE: "its key can't be opened with the present encryption keys",
    CredentialState.REJECTED: "",
}


def _rows(queryset: Any, keys: Keys, field: str = "pk") -> Any:
    return queryset if keys is None else queryset.filter(**{f"{field}__in": list(keys)})


def read_providers(keys: Keys = None) -> list[ProviderEntry]:
    access = read_access(ProviderAccess.objects.all(), "provider_id", keys)
    return [
        ProviderEntry(
            id=row.pk,
            slug=row.slug,
            name=row.name,
            kind=row.adapter,
            base_url=row.base_url,
            auth_type=row.auth_type,
            settings={name: value for name, value in row.settings.items() if name != "headers"},
            headers=row.settings.get("headers") or {},
            timeout_s=row.timeout_s,
            fee_percent=row.fee_percent,
            enabled=row.enabled,
            dry_run=row.dry_run,
            owner_id=row.owner_id,
            metadata=row.metadata,
            allowed_group_ids=access.get(row.pk),
        )
        for row in _rows(Provider.objects.all(), keys)
    ]


def read_credentials(keys: Keys = None) -> list[CredentialEntry]:
    return [
        CredentialEntry(
            id=row.pk,
            provider_id=row.provider_id,
            owner_id=row.owner_id,
            label=row.label,
            origin=row.origin,
            weight=row.weight,
            usable=row.enabled and not _WHY_NOT.get(row.state, ""),
            why_not="it is disabled" if not row.enabled else _WHY_NOT.get(row.state, ""),
            expires_at=row.expires_at,
        )
        for row in _rows(Credential.objects.all(), keys)
    ]


def read_prices(model_keys: Keys = None) -> dict[UUID, tuple[PriceEntry, ...]]:
    """Prices by model, newest first."""
    found: dict[UUID, list[PriceEntry]] = defaultdict(list)
    rows = _rows(ModelPrice.objects.all(), model_keys, "model_id").order_by("model_id", "-effective_from")
    for row in rows.values("id", "model_id", "effective_from", "tiers", *PRICE_FIELDS):
        rates = {name: row[name] for name in PRICE_FIELDS if row[name] is not None}
        price = PriceEntry(id=row["id"], effective_from=row["effective_from"], rates=rates, tiers=_tiers(row["tiers"]))
        found[row["model_id"]].append(price)
    return {key: tuple(prices) for key, prices in found.items()}


def _tiers(said: list[dict[str, Any]]) -> tuple[tuple[int, dict[str, Decimal]], ...]:
    return tuple(
        (tier["above_input_tokens"], {name: Decimal(tier[name]) for name in PRICE_FIELDS if name in tier})
        for tier in said
    )


def read_access(rules: Any, field: str, keys: Keys = None) -> dict[UUID, frozenset[Hashable]]:
    """Groups that may use a model or a provider, for those that have such a rule."""
    found: dict[UUID, set[Hashable]] = defaultdict(set)
    for key, group_id in _rows(rules, keys, field).values_list(field, "group_id"):
        found[key].add(group_id)
    return {key: frozenset(groups) for key, groups in found.items()}


def read_models(providers: Mapping[Hashable, ProviderEntry], keys: Keys = None) -> list[LLMEntry]:
    """Models with their prices and rules; one whose provider is not in `providers` is left out."""
    prices, access = read_prices(keys), read_access(ModelAccess.objects.all(), "model_id", keys)
    entries = []
    for row in _rows(LLMModel.objects.all(), keys).iterator(chunk_size=2000):
        provider = providers.get(row.provider_id)
        if provider is None:
            continue
        try:
            entries.append(_model_entry(row, provider, prices.get(row.pk, ()), access.get(row.pk)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # A row that was written past validation; the others must go on.
            log.warning("The model %s can't be read and is left out (%s).", row.pk, type(error).__name__)
    return entries


def _model_entry(
    row: LLMModel,
    provider: ProviderEntry,
    prices: tuple[PriceEntry, ...],
    groups: frozenset[Hashable] | None,
) -> LLMEntry:
    return LLMEntry(
        id=row.pk,
        name=row.name,
        provider=provider.slug,
        model=row.model_id,
        tier=LLMTier(row.tier),
        is_active=row.enabled and provider.enabled,
        endpoint=provider,
        owner_id=row.owner_id,
        description=row.description,
        family=row.family,
        aliases=tuple(row.aliases),
        tags=frozenset(row.tags),
        quality_tier=QualityTier(row.quality_tier),
        capabilities={name: answer["value"] for name, answer in row.capabilities.items()},
        known_params=frozenset(row.known_params),
        context_length=row.context_length,
        max_output_tokens=row.max_output_tokens,
        default_params=row.default_params,
        profile=row.profile,
        speed_tps=row.speed_tps,
        is_tier_first=row.is_tier_first,
        allowed_group_ids=groups,
        prices=prices,
        retires_on=row.retires_on,
        created=int(row.created_at.timestamp()),
    )


def read_presets(keys: Keys = None) -> list[RankedList]:
    entries = _by_parent(_rows(PresetEntry.objects.order_by("position"), keys, "preset_id"), "preset_id")
    return [
        RankedList(
            id=row.pk,
            name=row.slug,
            owner_id=row.owner_id,
            module=row.module,
            is_module_default=row.is_module_default,
            options=row.options,
            entries=tuple(
                RankedModel(
                    entry_id=entry.model_id, label=entry.model_ref or str(entry.model_id), options=entry.options
                )
                for entry in entries.get(row.pk, ())
            ),
        )
        for row in _rows(Preset.objects.filter(enabled=True), keys)
    ]


def read_routes(keys: Keys = None) -> list[RankedList]:
    rows = _rows(RouteEntry.objects.order_by("is_fallback", "position"), keys, "route_id")
    entries = _by_parent(rows, "route_id")
    return [
        RankedList(
            id=row.pk,
            name=row.name,
            owner_id=row.owner_id,
            strategy=row.strategy,
            sticky=row.sticky,
            entries=tuple(
                RankedModel(
                    entry_id=entry.model_id,
                    label=str(entry.model_id),
                    weight=entry.weight,
                    is_fallback=entry.is_fallback,
                )
                for entry in entries.get(row.pk, ())
            ),
        )
        for row in _rows(Route.objects.filter(enabled=True), keys)
    ]


def _by_parent(rows: Iterable[Any], field: str) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, field)].append(row)
    return found


def default_model_id() -> UUID | None:
    """The admin's default model."""
    key: UUID | None = LLMModel.objects.filter(is_default=True).values_list("pk", flat=True).first()
    return key


def models_of(price_ids: set[UUID], rule_ids: set[UUID]) -> set[UUID]:
    """Models that these prices and group rules belong to, as far as their rows still stand."""
    found: set[UUID] = set()
    if price_ids:
        found.update(ModelPrice.objects.filter(pk__in=price_ids).values_list("model_id", flat=True))
    if rule_ids:
        found.update(ModelAccess.objects.filter(pk__in=rule_ids).values_list("model_id", flat=True))
    return found


def any_user_gone(keys: set[UUID]) -> bool:
    """Whether one of these users was deleted."""
    return bool(keys) and User.objects.filter(pk__in=keys).count() < len(keys)
