"""Usage rows, read only. Costs are decimals as text, null where unknown."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from registry.api.fields import MoneyField
from registry.api.serializers.base import RowSerializer
from registry.models import UsageAttempt, UsageRecord

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def cost() -> MoneyField:
    return MoneyField(max_digits=18, decimal_places=9, read_only=True, allow_null=True)


_FIELDS = (
    *("id", "request_id", "model", "model_id", "upstream_model", "provider", "state", *_TOKENS, "cost"),
    *("cost_status", "usage_source", "credential_scope", "attempts", "created_at", "settled_at"),
    *("latency_ms", "first_token_ms", "requested", "reason", "username", "user_id", "token", "token_id"),
    *("conversation_id", "operation", "dialect", "streamed", "tags", "error_code", "http_status"),
    "finish_reason",
)


class UsageSerializer(RowSerializer):
    model = serializers.CharField(source="model_name", read_only=True)
    model_id = serializers.UUIDField(read_only=True, allow_null=True)
    provider = serializers.CharField(source="provider_slug", read_only=True)
    user_id = serializers.UUIDField(read_only=True, allow_null=True)
    token = serializers.CharField(source="token_name", read_only=True)
    token_id = serializers.UUIDField(read_only=True, allow_null=True)
    cost = cost()

    class Meta:
        model = UsageRecord
        fields: ClassVar[tuple[str, ...]] = _FIELDS
        read_only_fields: ClassVar[tuple[str, ...]] = _FIELDS


class AttemptSerializer(RowSerializer):
    model = serializers.CharField(source="model_name", read_only=True)
    provider = serializers.CharField(source="provider_slug", read_only=True)
    cost = cost()

    class Meta:
        model = UsageAttempt
        fields = (
            *("number", "model", "provider", "credential_scope", "state", "error_code", "upstream_status"),
            *("upstream_request_id", *_TOKENS, "cost", "latency_ms", "first_token_ms", "started_at"),
        )
        read_only_fields = fields


class CostsSerializer(serializers.Serializer[UsageRecord]):
    """Cost by component, USD."""

    input = MoneyField(source="cost_input", max_digits=18, decimal_places=9, allow_null=True)
    output = MoneyField(source="cost_output", max_digits=18, decimal_places=9, allow_null=True)
    cache_read = MoneyField(source="cost_cache_read", max_digits=18, decimal_places=9, allow_null=True)
    cache_write = MoneyField(source="cost_cache_write", max_digits=18, decimal_places=9, allow_null=True)
    reasoning = MoneyField(source="cost_reasoning", max_digits=18, decimal_places=9, allow_null=True)
    image = MoneyField(source="cost_image", max_digits=18, decimal_places=9, allow_null=True)
    fee = MoneyField(source="cost_fee", max_digits=18, decimal_places=9, allow_null=True)


class UsageDetailSerializer(UsageSerializer):
    costs = CostsSerializer(source="*", read_only=True)
    provider_cost = cost()
    tries = AttemptSerializer(many=True, read_only=True)

    class Meta(UsageSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*_FIELDS, "costs", "provider_cost", "price_version", "tries")
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class SummaryRowSerializer(serializers.Serializer[Any]):
    """Sums of one group; `cost` in USD is the sum of what is known, `unpriced_calls` are missing from it."""

    label = serializers.CharField()  # type: ignore[assignment]  # what people read of the group
    key = serializers.UUIDField(allow_null=True)
    calls = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]  # the contract's name, which DRF uses too
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    cost = MoneyField(max_digits=20, decimal_places=9)
    unpriced_calls = serializers.IntegerField()
    mean_latency_ms = serializers.FloatField(allow_null=True)
    mean_first_token_ms = serializers.FloatField(allow_null=True)


class SummarySerializer(serializers.Serializer[Any]):
    group_by = serializers.CharField()
    results = SummaryRowSerializer(many=True)
    total = SummaryRowSerializer()
