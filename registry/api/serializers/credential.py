"""Credentials: a key goes in and never comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from registry.api.fields import RowField
from registry.api.secret_fields import HeadersField, KeyField
from registry.api.serializers.base import OwnedSerializer, check_row
from registry.models import Credential, Provider
from registry.vault.keyring import DecryptError


class CredentialSerializer(OwnedSerializer):
    provider = RowField(Provider, slug_field="slug")
    provider_id = serializers.UUIDField(read_only=True)
    api_key = KeyField(required=False)
    headers = HeadersField(required=False)

    class Meta:
        model = Credential
        fields = (
            *("id", "provider", "provider_id", "label", "is_global", "api_key", "headers", "weight", "enabled"),
            *("expires_at", "last_four", "fingerprint", "origin", "header_names", "state", "last_used_at"),
            *("last_error", "created_at", "updated_at"),
        )
        read_only_fields = (
            *("last_four", "fingerprint", "origin", "header_names", "state", "last_used_at", "last_error"),
            *("created_at", "updated_at"),
        )

    def validate_provider(self, value: Provider) -> Provider:
        if self.instance is not None and value.pk != self.instance.provider_id:
            raise ValidationError("A key stays with its provider: add another instead.")
        return value

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise ValidationError("This lies in the past.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is None:
            if not attrs.get("api_key") and not attrs.get("headers"):
                raise ValidationError({"api_key": "Give a key, or headers that carry one."})
            if attrs.get("is_global") and attrs["provider"].owner_id is not None:
                raise ValidationError({"is_global": "A key of a personal provider is its owner's."})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Any:
        self._secret = validated_data.pop("api_key", None), validated_data.pop("headers", None)
        return super().create(validated_data)

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        self._secret = validated_data.pop("api_key", None), validated_data.pop("headers", None)
        validated_data.pop("provider", None)
        return super().update(instance, validated_data)

    def put(self, row: Any) -> Any:
        check_row(row)
        store_secret(row, *self._secret)
        return row


def store_secret(row: Credential, api_key: str | None, headers: Mapping[str, str] | None) -> None:
    """Save `row` with what is given of its secret; what is not given stays, if it still belongs to this address."""
    if api_key is None and headers is None:
        row.save()
        return
    kept_key: str = ""
    kept_headers: Mapping[str, str] = {}
    if (api_key is None or headers is None) and not row._state.adding and row.origin == row.provider.origin:
        try:
            kept = row.reveal(row.owner_id)
            kept_key, kept_headers = kept.api_key or "", kept.headers
        except DecryptError:
            pass  # there is nothing to keep
    row.set_secret(kept_key if api_key is None else api_key, kept_headers if headers is None else headers)
