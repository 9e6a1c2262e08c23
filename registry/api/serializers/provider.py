"""Providers: the endpoint, and on request its first key."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from adapters.egress import EgressPolicy
from adapters.errors import ConfigurationError, EgressDeniedError
from registry.api.fields import FlagField, TextField
from registry.api.secret_fields import HeadersField, KeyField
from registry.api.serializers.base import OwnedSerializer, check_row
from registry.api.serializers.credential import store_secret
from registry.catalog.endpoints import read_rules
from registry.catalog.from_template import free_slug
from registry.models import Credential, CredentialState, Provider


class HealthSerializer(serializers.Serializer[Any]):
    state = serializers.CharField(source="health_state")
    checked_at = serializers.DateTimeField(source="health_checked_at", allow_null=True)
    error = serializers.CharField(source="health_error")
    latency_ms = serializers.IntegerField(source="health_latency_ms", allow_null=True)


class ProviderSerializer(OwnedSerializer):
    slug = TextField(required=False, max_length=64)
    base_url = TextField(required=False, allow_blank=True, max_length=500)
    api_key = KeyField(required=False)
    headers = HeadersField(required=False)
    enabled = FlagField(required=False)
    health = HealthSerializer(source="*", read_only=True)
    has_key = serializers.SerializerMethodField(help_text="Whether a key is stored that you may use.")
    warnings = serializers.SerializerMethodField(help_text="What a write did besides, in plain words.")

    class Meta:
        model = Provider
        fields = (
            *("id", "slug", "name", "adapter", "base_url", "auth_type", "is_global", "api_key", "headers", "settings"),
            *("timeout_s", "fee_percent", "enabled", "dry_run", "metadata", "template", "health", "has_key"),
            *("warnings", "created_at", "updated_at"),
        )
        read_only_fields = ("template", "created_at", "updated_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.warnings_made: list[str] = []
        self.credential: tuple[str, Credential] | None = None  # what was done to the provider's key, for the audit

    def get_has_key(self, row: Provider) -> bool:
        known = getattr(row, "has_key", None)
        return (
            bool(Credential.objects.visible_to(self.user).usable().filter(provider=row).exists())
            if known is None
            else known
        )

    def get_warnings(self, row: Provider) -> list[str]:
        return self.warnings_made

    def create(self, validated_data: dict[str, Any]) -> Any:
        secret = validated_data.pop("api_key", None), validated_data.pop("headers", None)
        if not validated_data.get("slug"):
            owner = None if validated_data.get("is_global") else self.user
            try:
                validated_data["slug"] = free_slug(validated_data["name"], owner=owner)
            except DjangoValidationError as error:
                raise ValidationError(error.message_dict) from error
        row = super().create(validated_data)
        self.keep(row, *secret)
        return row

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        secret = validated_data.pop("api_key", None), validated_data.pop("headers", None)
        row = super().update(instance, validated_data)
        self.keep(row, *secret)
        return row

    def put(self, row: Any) -> Any:
        check_row(row)
        self._check_address(row)
        if not row._state.adding:
            lost = row.credentials.exclude(origin=row.origin).exclude(state=CredentialState.MISSING).count()
            if lost:
                self.warnings_made.append(
                    f"The address is another one now, so {lost} stored key{'s were' if lost > 1 else ' was'} removed: "
                    "enter the key again."
                )
        row.save()
        return row

    def _check_address(self, row: Provider) -> None:
        """A user's address must be one the hub may call; an admin's needs an endpoint policy, and is told so."""
        if not row.base_url:
            return
        groups = frozenset() if row.owner_id is None else frozenset(self.user.groups.values_list("pk", flat=True))
        policy = read_rules().policy_for(row.owner_id, groups)
        try:
            policy.check_url(row.base_url, allow_query=False)
        except ConfigurationError as error:
            raise ValidationError({"base_url": [f"{error}."]}) from error
        except EgressDeniedError as error:
            if row.owner_id is not None or not _openable(row.base_url):
                raise ValidationError({"base_url": [f"This can't be used: {error}."]}) from error
            self.warnings_made.append(f"Calls are refused for now: {error}. An endpoint policy opens it.")

    def keep(self, row: Provider, api_key: str | None, headers: Any) -> None:
        """Store what was given as the key of whoever owns the provider."""
        if api_key is None and headers is None:
            return
        found = row.credentials.filter(owner=row.owner).order_by("created_at").first()
        credential = found or Credential(provider=row, owner=row.owner)
        credential.provider = row
        store_secret(credential, api_key, headers)
        self.credential = ("change" if found else "create", credential)


def _openable(url: str) -> bool:
    """Whether an endpoint policy could ever open this address: never a cloud's metadata, never a URL with a query."""
    try:
        EgressPolicy.local().check_url(url, allow_query=False)
    except EgressDeniedError:
        return False
    return True
