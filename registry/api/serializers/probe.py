"""Connection tests: what to try, and the report of it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from adapters.kinds import KINDS
from registry.api.fields import JsonObjectField, NumberField, RowField, TextField
from registry.api.secret_fields import HeadersField, KeyField
from registry.discovery.probe import ConnectionReport, probe_config, probe_provider
from registry.models import LLMModel, Provider


class UnsavedConfigSerializer(serializers.Serializer[Any]):
    """A provider as it would be registered. No stored key is ever used with it."""

    adapter = serializers.ChoiceField(choices=[(kind, row.label) for kind, row in KINDS.items()])
    base_url = TextField(required=False, allow_blank=True, max_length=500)
    api_key = KeyField(required=False)
    model = TextField(required=False, allow_blank=True, max_length=200)
    headers = HeadersField(required=False)
    settings = JsonObjectField(required=False)
    timeout_s = NumberField(required=False, min_value=0.1, max_value=3600)

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise ValidationError({unknown[0][:80]: ["There is no such setting."]})
        return super().to_internal_value(data)


class ProbeSerializer(serializers.Serializer[Any]):
    """Exactly one of `model`, `provider` and `config`."""

    model = RowField(LLMModel, slug_field="name", required=False, help_text="Name or id.")
    provider = RowField(Provider, slug_field="slug", required=False, help_text="Slug or id.")
    config = UnsavedConfigSerializer(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise ValidationError("Name exactly one of model, provider and config.")
        return attrs

    def run(self, *, address: str | None) -> ConnectionReport:
        user = self.context["request"].user
        asked = self.validated_data
        if "config" in asked:
            return probe_config(asked["config"], user, address=address)
        model = asked.get("model")
        return probe_provider(model.provider if model else asked["provider"], user, model=model, address=address)


class StepSerializer(serializers.Serializer[Any]):
    step = serializers.ChoiceField(choices=["list_models", "chat"])
    ok = serializers.BooleanField()
    latency_ms = serializers.IntegerField()
    detail = serializers.CharField()


class ProbeErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    upstream_status = serializers.IntegerField(allow_null=True)


class ReportSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    outcome = serializers.CharField(help_text="ok, or the error's code.")
    latency_ms = serializers.IntegerField()
    tried = StepSerializer(many=True)
    models = serializers.ListField(child=serializers.CharField(), help_text="At most 50 of what the provider lists.")
    error = ProbeErrorSerializer(allow_null=True)


def report_body(report: ConnectionReport) -> Any:
    return ReportSerializer(report).data
