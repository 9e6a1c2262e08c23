"""Models: what is known of them, and what they cost now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from adapters.errors import ConfigurationError
from adapters.kinds import profile_for
from registry.api.fields import FlagField, JsonObjectField, MoneyField, RowField, TextField, TextListField, money
from registry.api.serializers.base import OwnedSerializer, RowSerializer, check_row
from registry.catalog.from_base_model import take_from_base
from registry.models import CAPABILITIES, PRICE_FIELDS, LLMModel, ModelPrice, Provider

_ANSWERS: Final[Mapping[Any, str]] = {True: "yes", False: "no", None: "unknown"}


@extend_schema_field(OpenApiTypes.OBJECT)
class CapabilitiesField(serializers.Field[Any, Any, Any, Any]):
    """`{"tools": true, "vision": "no", "reasoning": {"value": "yes", "source": "vendor's page", "date": ...}}`."""

    def to_internal_value(self, data: Any) -> dict[str, dict[str, str]]:
        if not isinstance(data, dict):
            raise ValidationError("This takes an object of capabilities.")
        return {name: self._answer(name, value) for name, value in data.items()}

    def _answer(self, name: str, value: Any) -> dict[str, str]:
        if name not in CAPABILITIES:
            raise ValidationError(f"Known capabilities are {', '.join(CAPABILITIES)}.")
        source, date = "api", timezone.now().date().isoformat()
        if isinstance(value, dict):
            source, date = value.get("source", source), value.get("date", date)
            value = value.get("value")
        if value is None or isinstance(value, bool):
            value = _ANSWERS[value]
        if value not in ("yes", "no", "unknown"):
            raise ValidationError(f"{name} takes true, false, null, yes, no or unknown.")
        if not isinstance(source, str) or len(source) > 80 or not _is_date(date):
            raise ValidationError(f"{name}: source is a text of at most 80 characters, date such as 2026-11-20.")
        return {"value": value, "source": source, "date": date}

    def to_representation(self, value: Any) -> Any:
        return value


def _is_date(text: Any) -> bool:
    try:
        dt.date.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    return True


def price_input() -> MoneyField:
    return MoneyField(max_digits=14, decimal_places=6, min_value=Decimal(0), allow_null=True, required=False)


class PricesSerializer(serializers.Serializer[Any]):
    """USD per million tokens (per call, per image): decimals as text; null is unknown, 0 is free."""

    input_per_1m = price_input()
    output_per_1m = price_input()
    cache_read_per_1m = price_input()
    cache_write_per_1m = price_input()
    cache_write_1h_per_1m = price_input()
    reasoning_per_1m = price_input()
    audio_input_per_1m = price_input()
    audio_output_per_1m = price_input()
    image_input_per_1m = price_input()
    image_output_per_1m = price_input()
    per_request = price_input()
    per_image = price_input()

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(PRICE_FIELDS)) if isinstance(data, dict) else []
        if unknown:
            raise ValidationError(f"There is no price named {unknown[0][:80]!r}; prices are {', '.join(PRICE_FIELDS)}.")
        return super().to_internal_value(data)

    def get_attribute(self, instance: Any) -> ModelPrice | None:
        """The price in force, from the view's prefetch where there is one."""
        held = getattr(instance, "current_prices", None)
        return instance.price_at() if held is None else next(iter(held), None)

    def to_representation(self, instance: Any) -> dict[str, str]:
        """The known ones alone."""
        known = ((name, getattr(instance, name)) for name in PRICE_FIELDS)
        return {name: money(value) for name, value in known if value is not None}


class ModelPriceSerializer(RowSerializer):
    class Meta:
        model = ModelPrice
        fields = ("id", "effective_from", *PRICE_FIELDS, "tiers", "source", "created_at")
        read_only_fields = fields


class LLMModelSerializer(OwnedSerializer):
    provider = RowField(Provider, slug_field="slug", help_text="The provider's slug or id.")
    provider_id = serializers.UUIDField(read_only=True)
    name = TextField(required=False, max_length=200)
    aliases = TextListField(required=False)
    tags = TextListField(required=False, max_chars=64)
    known_params = TextListField(required=False, max_items=200, max_chars=64)
    capabilities = CapabilitiesField(required=False)
    default_params = JsonObjectField(required=False)
    profile = JsonObjectField(required=False)
    enabled = FlagField(required=False)
    is_default = FlagField(required=False, help_text="Used when nothing else names a model; admins only.")
    prices = PricesSerializer(required=False, help_text="The prices of now; writing them adds a version.")

    class Meta:
        model = LLMModel
        fields = (
            *("id", "provider", "provider_id", "model_id", "name", "description", "family", "aliases", "tier"),
            *("quality_tier", "tags", "capabilities", "known_params", "context_length", "max_output_tokens"),
            *("default_params", "profile", "speed_tps", "prices", "enabled", "is_default", "is_global", "retires_on"),
            *("vanished_at", "last_used_at", "created_at", "updated_at"),
        )
        read_only_fields = ("speed_tps", "vanished_at", "last_used_at", "created_at", "updated_at")

    def validate_provider(self, value: Provider) -> Provider:
        if self.instance is not None and value.pk != self.instance.provider_id:
            raise ValidationError("A model stays with its provider: add another instead.")
        return value

    def validate_is_default(self, value: bool) -> bool:
        if value and not self.user.is_superuser:
            raise PermissionDenied("Only administrators choose the default model.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        row: Any = self.instance
        provider = attrs.get("provider") or row.provider
        model_id = attrs.get("model_id") or row.model_id
        if "profile" in attrs:
            try:
                profile_for(provider.adapter, model_id, attrs["profile"])
            except (ConfigurationError, TypeError, ValueError) as error:
                raise ValidationError({"profile": [str(error)]}) from error
        if row is None:
            # An admin's model at everybody's provider is everybody's, unless said otherwise.
            attrs.setdefault("is_global", provider.owner_id is None and self.user.is_superuser)
            attrs.setdefault("name", model_id)
        elif self.partial and "capabilities" in attrs:
            attrs["capabilities"] = {**row.capabilities, **attrs["capabilities"]}
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Any:
        prices = validated_data.pop("prices", None)
        row = super().create(validated_data)
        self._price(row, prices)
        self._take_from_base(row)
        return row

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        prices = validated_data.pop("prices", None)
        validated_data.pop("provider", None)
        row = super().update(instance, validated_data)
        self._price(row, prices)
        if "family" in validated_data:
            self._take_from_base(row)
        return row

    def _take_from_base(self, row: LLMModel) -> None:
        if take_from_base(row):
            row.current_prices = [price for price in [row.price_at()] if price]  # type: ignore[attr-defined]  # as the list's prefetch leaves it

    def put(self, row: Any) -> Any:
        if row.is_default and row.owner_id is None:
            LLMModel.objects.shared().filter(is_default=True).exclude(pk=row.pk).update(is_default=False)
        check_row(row)
        row.save()
        return row

    def _price(self, row: LLMModel, prices: Mapping[str, Decimal | None] | None) -> None:
        """Add a version where the prices of now are others; a PATCH changes the ones it names."""
        if prices is None:
            return
        now = row.price_at()
        current = {name: getattr(now, name) if now else None for name in PRICE_FIELDS}
        wanted = {
            name: current[name] if self.partial and name not in prices else prices.get(name) for name in PRICE_FIELDS
        }
        if wanted != current:
            tiers = now.tiers if self.partial and now is not None else []
            price = ModelPrice(model=row, source="api", tiers=tiers, **wanted)
            check_row(price)
            price.save()
            row.current_prices = [price]  # type: ignore[attr-defined]  # as the view's prefetch would hold it
