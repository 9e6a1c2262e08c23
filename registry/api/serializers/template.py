"""Provider templates, and the body that makes a provider of one."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from registry.api.fields import FlagField, TextField, TextListField
from registry.api.secret_fields import HeadersField, KeyField
from registry.api.serializers.base import by_field
from registry.api.serializers.llm_model import LLMModelSerializer
from registry.api.serializers.provider import ProviderSerializer
from registry.catalog.from_template import create_from_template
from registry.catalog.templates import TEMPLATES, ProviderTemplate
from registry.models import Provider


class TemplateModelSerializer(serializers.Serializer[Any]):
    model_id = serializers.CharField()
    name = serializers.CharField(source="hub_name")
    tier = serializers.CharField()
    quality_tier = serializers.CharField()
    family = serializers.CharField()
    description = serializers.CharField()
    yes = serializers.ListField(child=serializers.CharField(), help_text="Capabilities it has.")
    no = serializers.ListField(child=serializers.CharField(), help_text="Capabilities it has not.")
    context_length = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    prices = serializers.DictField(child=serializers.CharField(), help_text="USD; empty: unknown.")


class TemplateSerializer(serializers.Serializer[ProviderTemplate]):
    slug = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the template's own word, which DRF uses too
    adapter = serializers.CharField(source="kind")
    description = serializers.CharField()
    base_url = serializers.CharField()
    base_url_hint = serializers.CharField()
    auth_type = serializers.CharField()
    requires_api_key = serializers.BooleanField()
    key_hint = serializers.CharField()
    env_names = serializers.ListField(child=serializers.CharField())
    docs_url = serializers.CharField()
    models = TemplateModelSerializer(many=True)


class FromTemplateSerializer(serializers.Serializer[Provider]):
    template = serializers.ChoiceField(choices=[(slug, row.label) for slug, row in TEMPLATES.items()], write_only=True)
    name = TextField(required=False, max_length=120, write_only=True)
    api_key = KeyField(required=False)
    headers = HeadersField(required=False)
    base_url = TextField(required=False, max_length=500, write_only=True)
    models = TextListField(
        required=False, max_items=200, write_only=True, help_text="The provider's ids; left out: the template's own."
    )
    is_global = FlagField(required=False, write_only=True)

    def create(self, validated_data: dict[str, Any]) -> Provider:
        """The provider's own serializer judges address and key, as if it had been sent to /api/providers/."""
        template = TEMPLATES[validated_data["template"]]
        checked = ProviderSerializer(context=self.context)
        is_global = checked.validate_is_global(validated_data.get("is_global", False))
        try:
            provider = create_from_template(
                template,
                owner=None if is_global else checked.user,
                name=validated_data.get("name", ""),
                base_url=validated_data.get("base_url", ""),
                model_ids=validated_data.get("models"),
            )
        except DjangoValidationError as error:
            raise ValidationError(by_field(error)) from error
        checked.put(provider)
        checked.keep(provider, validated_data.get("api_key"), validated_data.get("headers"))
        self._warnings = checked.warnings_made
        return provider

    def to_representation(self, instance: Provider) -> dict[str, Any]:
        provider = ProviderSerializer(instance, context=self.context)
        provider.warnings_made = self._warnings
        models = instance.models.select_related("provider")
        return {"provider": provider.data, "models": LLMModelSerializer(models, many=True, context=self.context).data}
