"""The discovery routes' shapes: registry, runtime, prompt packs. Field names are the ones older tools know."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.core.validators import validate_slug
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from adapters.errors import InvalidRequestError, LLMError
from registry.api.fields import FlagField, IntegerField, TextField, TextListField
from registry.api.serializers.base import check_row
from registry.catalog.endpoints import read_rules
from registry.models import RuntimeRegistration
from registry.routing.requirements import NAMES, read_requirements

DEFAULT_TTL_S: Final = 3600
MAX_TTL_S: Final = 7 * 24 * 3600


class RegistryModelSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="As the provider calls it.")
    name = serializers.CharField(help_text="As the hub calls it.")
    uuid = serializers.UUIDField()
    tags = serializers.ListField(child=serializers.CharField())
    tier = serializers.CharField()
    quality_tier = serializers.CharField()
    family = serializers.CharField()
    context_length = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    capabilities = serializers.DictField(child=serializers.CharField())
    enabled = serializers.BooleanField()


class ProviderErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class DiagnosticsSerializer(serializers.Serializer[Any]):
    """What a provider answered just now, with the key that the caller's own call would use."""

    state = serializers.ChoiceField(choices=["ok", "failing", "skipped"])
    reachable = serializers.BooleanField(allow_null=True, help_text="null: nobody asked.")
    key_accepted = serializers.BooleanField(allow_null=True, help_text="null: not known, or no key is needed.")
    latency_ms = serializers.IntegerField(allow_null=True)
    models = serializers.IntegerField(allow_null=True, help_text="How many it lists.")
    error = ProviderErrorSerializer(allow_null=True)


class RegistryProviderSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    slug = serializers.CharField()
    uuid = serializers.UUIDField()
    adapter = serializers.CharField()
    base = serializers.CharField(help_text="Origin and path; never user name, password or query.")
    models = RegistryModelSerializer(many=True)
    tags = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    has_key = serializers.BooleanField()
    health = serializers.CharField(required=False, help_text="With ?diagnostics=1.")
    health_checked_at = serializers.DateTimeField(required=False, allow_null=True)
    health_latency_ms = serializers.IntegerField(required=False, allow_null=True)
    diagnostics = DiagnosticsSerializer(required=False)


class RegistryDefaultsSerializer(serializers.Serializer[Any]):
    provider = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    modules = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), help_text="Models by module, best first."
    )


class RegistrySerializer(serializers.Serializer[Any]):
    providers = RegistryProviderSerializer(many=True)
    defaults = RegistryDefaultsSerializer()
    tags = serializers.ListField(child=serializers.CharField())


class RuntimeSerializer(serializers.Serializer[Any]):
    """An adapter that a program announces for a while."""

    id = TextField(max_length=64, source="slug", validators=[validate_slug])
    provider = TextField(max_length=64, validators=[validate_slug])
    label = TextField(max_length=120)  # type: ignore[assignment]  # the contract's name, which DRF uses too
    modes = TextListField(max_items=20, max_chars=40)
    base_url = TextField(required=False, allow_blank=True, max_length=500)
    models = TextListField(required=False, max_items=500, source="model_names")
    ttl_s = IntegerField(
        required=False, min_value=1, max_value=MAX_TTL_S, write_only=True, help_text="Seconds; one hour."
    )
    is_global = FlagField(required=False, help_text="For everybody; admins only.")
    expires_at = serializers.DateTimeField(read_only=True)

    def create(self, validated_data: dict[str, Any]) -> RuntimeRegistration:
        """Make or renew; an id that somebody else holds is taken until it expires."""
        user = self.context["request"].user
        is_global = validated_data.pop("is_global", False)
        if is_global and not user.is_superuser:
            raise PermissionDenied("Only administrators register adapters for everybody.")
        owner = None if is_global else user
        now = timezone.now()
        RuntimeRegistration.objects.filter(expires_at__lte=now).delete()
        found = RuntimeRegistration.objects.select_for_update().filter(slug=validated_data["slug"]).first()
        if found is not None and found.owner_id != (owner.pk if owner else None):
            raise ValidationError({"id": ["This is taken."]})
        row = found or RuntimeRegistration(owner=owner)
        ttl_s = validated_data.pop("ttl_s", DEFAULT_TTL_S)
        for name, value in {"base_url": "", "model_names": [], **validated_data}.items():
            setattr(row, name, value)
        row.expires_at = now + dt.timedelta(seconds=ttl_s)
        self._check_address(row, user)
        check_row(row)
        row.save()
        return row

    def _check_address(self, row: RuntimeRegistration, user: Any) -> None:
        if not row.base_url:
            return
        groups = frozenset(user.groups.values_list("pk", flat=True))
        try:
            read_rules().policy_for(row.owner_id, groups).check_url(row.base_url, allow_query=False)
        except LLMError as error:
            raise ValidationError({"base_url": [f"This can't be used: {error}."]}) from error

    def to_representation(self, instance: RuntimeRegistration) -> dict[str, Any]:
        return {**super().to_representation(instance), "is_global": instance.owner_id is None}


class RuntimeListSerializer(serializers.Serializer[Any]):
    adapters = RuntimeSerializer(many=True)


class PromptPackAnswerSerializer(serializers.Serializer[Any]):
    module = serializers.CharField()
    version = serializers.IntegerField()
    name = serializers.CharField()
    system_template = serializers.CharField()
    user_template = serializers.CharField()
    output_schema = serializers.JSONField(allow_null=True)
    options = serializers.JSONField()
    is_global = serializers.BooleanField()


class RecommendSerializer(serializers.Serializer[Any]):
    """What the models are wanted for. `requirements` has the same names as everywhere."""

    module = TextField(required=False, allow_blank=True, max_length=64)
    prompt = TextField(required=False, allow_blank=True, max_length=200_000)
    requirements = serializers.DictField(required=False)
    limit = IntegerField(required=False, min_value=1, max_value=50)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = attrs.pop("requirements", {})
        unknown = sorted(set(given) - NAMES)
        if unknown:
            raise ValidationError({"requirements": [f"There is no requirement {unknown[0]!r}."]})
        try:
            attrs["requirements_read"] = read_requirements(given)
        except InvalidRequestError as error:
            raise ValidationError({"requirements": [str(error)]}) from error
        return attrs


class RecommendationSerializer(serializers.Serializer[Any]):
    rank = serializers.IntegerField()
    model = serializers.CharField()
    provider = serializers.CharField()
    id = serializers.CharField()
    score = serializers.FloatField()
    estimated_cost = serializers.CharField(allow_null=True, help_text="USD for a call like the sample.")
    reasons = serializers.ListField(child=serializers.CharField())


class RecommendationListSerializer(serializers.Serializer[Any]):
    recommendations = RecommendationSerializer(many=True)
