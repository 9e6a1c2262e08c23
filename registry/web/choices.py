"""Models as people choose among them: what each costs, can do, and whose key would pay. Reads rows, changes none."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone

from adapters.kinds import KINDS
from registry.models import CAPABILITIES, Credential, KeyPolicy, LLMModel, ModelPrice, User, UserSettings

SHOWN_CAPABILITIES = ("tools", "vision", "json_schema", "reasoning", "embeddings", "images", "audio_input")
CAPABILITY_LABELS = {name: name.replace("_", " ").replace("json", "JSON") for name in CAPABILITIES}
PAYER_LABELS = {
    "own": "your key",
    "shared": "shared key",
    "none": "no key needed",
    "missing": "no key yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """One model with what a person wants to know before choosing it."""

    model: LLMModel
    price: ModelPrice | None
    payer: str  # a key of PAYER_LABELS

    @property
    def price_text(self) -> str:
        """USD per million tokens, input and output, in few words."""
        price = self.price
        if price is None or (price.input_per_1m is None and price.output_per_1m is None):
            return "price unknown"
        if not price.input_per_1m and not price.output_per_1m:
            return "free" if price.input_per_1m == 0 and price.output_per_1m == 0 else "price unknown"
        return f"{_usd(price.input_per_1m)} in · {_usd(price.output_per_1m)} out"

    @property
    def capabilities(self) -> list[tuple[str, str]]:
        """What is shown of it: label and yes, no or unknown."""
        return [(CAPABILITY_LABELS[name], self.model.capability(name)) for name in SHOWN_CAPABILITIES]

    @property
    def payer_text(self) -> str:
        return PAYER_LABELS[self.payer]

    @property
    def is_callable(self) -> bool:
        return self.payer != "missing"

    @property
    def capability_labels(self) -> list[str]:
        return [CAPABILITY_LABELS[name] for name in SHOWN_CAPABILITIES if self.model.capability(name) == "yes"]


def usable_models(user: User) -> QuerySet[LLMModel]:
    """Models the person may use, with provider and present prices loaded, in the order they are shown."""
    now = timezone.now()
    prices = ModelPrice.objects.filter(effective_from__lte=now).order_by("-effective_from")
    rows: QuerySet[LLMModel] = LLMModel.objects.usable_by(user).select_related("provider")
    return rows.prefetch_related(Prefetch("prices", queryset=prices, to_attr="present_prices")).order_by(
        "provider__name", "name", "id"
    )


def with_payers(rows: Iterable[LLMModel], user: User, preferences: UserSettings) -> list[ModelChoice]:
    """Models of `usable_models` as choices: one query for the keys of all their providers."""
    models: list[Any] = list(rows)
    payers = _payers({model.provider_id for model in models}, user, preferences.key_policy)
    return [
        ModelChoice(
            model=model,
            price=next(iter(model.present_prices), None),
            payer=_payer_of(model, payers.get(model.provider_id)),
        )
        for model in models
    ]


def _payers(providers: set[uuid.UUID], user: User, policy: str) -> dict[uuid.UUID, str]:
    now = timezone.now()
    # No admin's view here: another person's key never pays.
    keys = Credential.objects.usable().filter(provider__in=providers)
    keys = keys.filter(Q(owner=user) | Q(owner=None)).filter(Q(expires_at=None) | Q(expires_at__gt=now))
    found: dict[uuid.UUID, set[str]] = {}
    for provider_id, owner_id in keys.values_list("provider_id", "owner_id"):
        found.setdefault(provider_id, set()).add("own" if owner_id else "shared")
    wanted = {KeyPolicy.OWN_ONLY: ("own",), KeyPolicy.SHARED_ONLY: ("shared",)}.get(
        KeyPolicy(policy), ("own", "shared")
    )
    return {key: next((scope for scope in wanted if scope in scopes), "") for key, scopes in found.items()}


def _payer_of(model: LLMModel, scope: str | None) -> str:
    if scope:
        return scope
    kind = KINDS.get(model.provider.adapter)
    needs_key = kind is None or kind.requires_api_key
    return "missing" if needs_key and not model.provider.dry_run else "none"


def _usd(amount: Decimal | None) -> str:
    if amount is None:
        return "?"
    text = f"{amount.normalize():f}"
    whole, _, part = text.partition(".")
    return f"${whole}.{part.ljust(2, '0')}" if part else f"${whole}"
