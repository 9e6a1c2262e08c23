"""LLMModel: one model at one provider, with what is known of it; its prices; who may use it."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from registry.models.base import Record, RegistryQuerySet, RegistryRow, open_to_groups_of, unique_per_owner
from registry.models.provider import Provider, ProviderAccess


class Tier(models.TextChoices):
    ECONOMY = "economy", "Economy"
    STANDARD = "standard", "Standard"
    PREMIUM = "premium", "Premium"
    LOCAL = "local", "Local"


class QualityTier(models.TextChoices):
    BEST = "best", "Best"
    BALANCED = "balanced", "Balanced"
    CHEAP = "cheap", "Cheap"
    UNKNOWN = "unknown", "Unknown"


CAPABILITIES = (
    "chat",
    "tools",
    "parallel_tools",
    "vision",
    "json_mode",
    "json_schema",
    "streaming",
    "reasoning",
    "embeddings",
    "images",
    "audio_input",
)


def validate_capabilities(value: Any) -> None:
    """`{"tools": {"value": "yes" | "no" | "unknown", "source": ..., "date": ...}}`; names from CAPABILITIES."""
    if not isinstance(value, dict):
        raise ValidationError("This takes a JSON object.")
    for name, answer in value.items():
        if name not in CAPABILITIES:
            raise ValidationError(f"{name!r} is no known capability; known are {', '.join(CAPABILITIES)}.")
        if not isinstance(answer, dict) or answer.get("value") not in ("yes", "no", "unknown"):
            raise ValidationError(f"The capability {name!r} takes yes, no or unknown.")


def validate_string_list(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValidationError("This takes a list of texts.")


class ModelQuerySet(RegistryQuerySet):
    def visible_to(self, user: Any) -> Any:
        """Not the hub's own models that other groups alone may use, by a rule of the model or of its provider."""
        rows = super().visible_to(user)
        if not user.is_authenticated or user.is_superuser:
            return rows
        open_model = open_to_groups_of(user, ModelAccess, "model", "pk")
        open_provider = open_to_groups_of(user, ProviderAccess, "provider", "provider_id")
        return rows.filter(Q(owner=user) | (open_model & open_provider))

    def usable_by(self, user: Any) -> Any:
        """Enabled models that `user` sees and that no group rule keeps from them."""
        rows = self.visible_to(user)
        return rows.filter(enabled=True, provider__enabled=True) if user.is_authenticated else rows


class LLMModel(RegistryRow, Record):
    """A model that can be called. Capabilities answer yes, no or unknown, each with its source and date."""

    quiet_fields: ClassVar[frozenset[str]] = RegistryRow.quiet_fields

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="llm_models"
    )
    model_id = models.CharField(max_length=200)  # as the provider calls it
    name = models.CharField(max_length=200)  # as the hub's clients call it
    description = models.TextField(blank=True, max_length=4000)
    family = models.CharField(max_length=80, blank=True)
    aliases = models.JSONField(default=list, blank=True, validators=[validate_string_list])
    tier = models.CharField(max_length=16, choices=Tier.choices, default=Tier.STANDARD)
    quality_tier = models.CharField(max_length=16, choices=QualityTier.choices, default=QualityTier.UNKNOWN)
    tags = models.JSONField(default=list, blank=True, validators=[validate_string_list])
    capabilities = models.JSONField(default=dict, blank=True, validators=[validate_capabilities])
    known_params = models.JSONField(default=list, blank=True, validators=[validate_string_list])
    context_length = models.PositiveIntegerField(null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    default_params = models.JSONField(default=dict, blank=True)
    profile = models.JSONField(default=dict, blank=True)  # overrides of the adapter's profile
    speed_tps = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.0)])  # measured
    is_default = models.BooleanField(default=False, help_text="Used when nothing else names a model.")
    is_tier_first = models.BooleanField(
        default=False, help_text="Tried before the cheaper ones where a call asks for its tier."
    )
    enabled = models.BooleanField(default=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    retires_on = models.DateField(null=True, blank=True)
    vanished_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ModelQuerySet.as_manager()

    class Meta:
        verbose_name = "model"
        ordering = ("name", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *unique_per_owner("name", name="model_name"),
            *unique_per_owner("provider", "model_id", name="model_of_provider"),
            models.UniqueConstraint(
                fields=("is_default",), condition=Q(is_default=True, owner__isnull=True), name="model_one_default"
            ),
            models.UniqueConstraint(
                fields=("tier",), condition=Q(is_tier_first=True, owner__isnull=True), name="model_one_first_a_tier"
            ),
            models.CheckConstraint(
                condition=Q(is_tier_first=False) | Q(owner__isnull=True), name="model_first_is_global"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(owner__isnull=True), name="model_default_is_global"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("tier", "enabled"), name="model_by_tier"),
            models.Index(fields=("provider", "model_id"), name="model_by_upstream_id"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a personal model's row at somebody else's provider, and a global one at a personal provider."""
        super().clean()
        if not self.name:
            self.name = self.model_id
        provider = getattr(self, "provider", None)
        if provider is not None and provider.owner_id is not None and provider.owner_id != self.owner_id:
            raise ValidationError({"provider": "A model at a personal provider belongs to that provider's owner."})
        for name in ("default_params", "capabilities", "profile"):  # Django validates no empty value, so [] would pass
            if not isinstance(getattr(self, name), dict):
                raise ValidationError({name: "This takes a JSON object."})
        if self.speed_tps is not None and not math.isfinite(self.speed_tps):
            raise ValidationError({"speed_tps": "This takes a number."})

    def capability(self, name: str) -> str:
        """`yes`, `no` or `unknown`."""
        answer: str = self.capabilities.get(name, {}).get("value", "unknown")
        return answer

    def set_capability(self, name: str, value: str, *, source: str) -> None:
        """Note an answer with where it comes from and today's date; does not save."""
        self.capabilities[name] = {"value": value, "source": source, "date": timezone.now().date().isoformat()}

    def put_first(self) -> None:
        """Make this global model the first of its tier, in the place of the one that was."""
        with transaction.atomic():
            rows = LLMModel.objects.shared().filter(tier=self.tier, is_tier_first=True).exclude(pk=self.pk)
            for row in rows.select_for_update(of=("self",)):
                row.is_tier_first = False
                row.save(update_fields=["is_tier_first", "updated_at"])
            self.is_tier_first = True
            self.save(update_fields=["is_tier_first", "updated_at"])

    def price_at(self, when: dt.datetime | None = None) -> ModelPrice | None:
        """The price in force at `when` (now by default)."""
        return self.prices.filter(effective_from__lte=when or timezone.now()).order_by("-effective_from").first()


def price_field() -> models.DecimalField[Any, Any]:
    """USD per million tokens; null is unknown, 0 is free."""
    return models.DecimalField(
        max_digits=14, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(Decimal(0))]
    )


PRICE_FIELDS = (
    "input_per_1m",
    "output_per_1m",
    "cache_read_per_1m",
    "cache_write_per_1m",
    "cache_write_1h_per_1m",
    "reasoning_per_1m",
    "audio_input_per_1m",
    "audio_output_per_1m",
    "image_input_per_1m",
    "image_output_per_1m",
    "per_request",
    "per_image",
)


def validate_tiers(value: Any) -> None:
    """`[{"above_input_tokens": 200000, "input_per_1m": "6", ...}, ...]`: rising, amounts as texts, none below 0."""
    if not isinstance(value, list) or not all(isinstance(tier, dict) for tier in value):
        raise ValidationError("This takes a list of JSON objects.")
    bounds = [tier.get("above_input_tokens") for tier in value]
    if not all(isinstance(bound, int) and not isinstance(bound, bool) and bound > 0 for bound in bounds):
        raise ValidationError("Each tier needs above_input_tokens, a number above 0.")
    if bounds != sorted(set(bounds)):
        raise ValidationError("Tiers come in rising order.")
    for name, amount in ((name, tier[name]) for tier in value for name in tier.keys() - {"above_input_tokens"}):
        if name not in PRICE_FIELDS:
            raise ValidationError(f"There is no price named {name[:80]!r}.")
        try:
            known = isinstance(amount, str) and Decimal(amount).is_finite() and Decimal(amount) >= 0
        except InvalidOperation:
            known = False
        if not known:
            raise ValidationError(f"{name} takes an amount from 0 on, as a text.")


class ModelPrice(RegistryRow, Record):
    """What a model costs from a moment on. Rows are added, not changed: usage names the version it was priced with."""

    model = models.ForeignKey(LLMModel, on_delete=models.CASCADE, related_name="prices")
    effective_from = models.DateTimeField(default=timezone.now)
    input_per_1m = price_field()
    output_per_1m = price_field()
    cache_read_per_1m = price_field()
    cache_write_per_1m = price_field()
    cache_write_1h_per_1m = price_field()
    reasoning_per_1m = price_field()
    audio_input_per_1m = price_field()
    audio_output_per_1m = price_field()
    image_input_per_1m = price_field()
    image_output_per_1m = price_field()
    per_request = price_field()  # USD a call
    per_image = price_field()  # USD an image made
    # Prices that hold for a whole call whose input is longer; a kind that a tier does not name costs as above.
    tiers = models.JSONField(default=list, blank=True, validators=[validate_tiers])
    source = models.CharField(max_length=80, default="admin")

    class PriceQuerySet(RegistryQuerySet):
        owner_field = "model__owner"

    objects = PriceQuerySet.as_manager()

    class Meta:
        ordering = ("model", "-effective_from")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("model", "effective_from"), name="price_one_a_moment"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{kind}__isnull": True}) | Q(**{f"{kind}__gte": 0}),
                    name=f"price_{kind}_not_negative",
                )
                for kind in PRICE_FIELDS
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_from:%Y-%m-%d}"

    def clean(self) -> None:
        super().clean()
        validate_tiers(self.tiers)  # Django validates no empty value, so {} would pass


class ModelAccess(RegistryRow, Record):
    """A group that may use a model. A model with no such row is open to everybody who sees it."""

    model = models.ForeignKey(LLMModel, on_delete=models.CASCADE, related_name="access")
    # Protected: with its last rule gone, a model would be open to everybody.
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="+")

    class AccessQuerySet(RegistryQuerySet):
        owner_field = "model__owner"

    objects = AccessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "model access"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("model", "group"), name="access_once_a_group")
        ]

    def __str__(self) -> str:
        return f"{self.group} may use {self.model}"
