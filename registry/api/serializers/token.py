"""Access tokens: the plaintext is answered once. No token makes or changes one that may do more than itself."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from registry.api.fields import IntegerField, TextListField
from registry.api.serializers.base import RowSerializer
from registry.models import SCOPES, AccessToken
from registry.models.access_token import MAX_GRACE

_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")


class AccessTokenSerializer(RowSerializer):
    scopes = TextListField(required=False, max_items=len(SCOPES), allow_empty=False)
    allowed_models = TextListField(required=False, max_items=200)
    networks = TextListField(required=False, max_items=50, max_chars=64)
    requests_per_minute = IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    tokens_per_minute = IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    concurrency = IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    is_live = serializers.BooleanField(read_only=True)

    class Meta:
        model = AccessToken
        fields: ClassVar[tuple[str, ...]] = (
            *("id", "name", "prefix", "scopes", "allowed_models", "networks", *_LIMITS, "expires_at"),
            *("is_live", "revoked_at", "last_used_at", "created_at", "updated_at"),
        )
        read_only_fields = ("prefix", "revoked_at", "last_used_at", "created_at", "updated_at")

    def validate_scopes(self, value: list[str]) -> list[str]:
        unknown = [scope for scope in value if scope not in SCOPES]
        if unknown:
            raise ValidationError(f"Scopes are {', '.join(SCOPES)}.")
        return value

    def validate_networks(self, value: list[str]) -> list[str]:
        try:
            return [str(ipaddress.ip_network(text)) for text in value]
        except ValueError as error:
            raise ValidationError("This takes networks such as 10.0.0.0/8 or 192.0.2.7/32.") from error

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise ValidationError("This lies in the past.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None and self.instance.revoked_at is not None:
            raise ValidationError("A revoked token can't be changed.")
        presented: AccessToken | None = self.context["request"].auth
        if presented is not None:
            row = self.instance or AccessToken(name="", scopes=[scope for scope in AccessToken().scopes])
            allowed = presented.present_scopes
            wanted = {name: attrs.get(name, getattr(row, name)) for name in _NARROWING}
            if self.instance is None and "scopes" not in attrs:
                attrs["scopes"] = wanted["scopes"] = [s for s in wanted["scopes"] if s in allowed]
            _check_not_wider(presented, wanted)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Any:
        presented = self.context["request"].auth
        row, self.plaintext = AccessToken.mint(owner=self.user, made_with=presented, **validated_data)
        return row


class RotateSerializer(serializers.Serializer[Any]):
    grace_s = IntegerField(
        required=False,
        default=0,
        min_value=0,
        max_value=int(MAX_GRACE.total_seconds()),
        help_text="How long the present secret opens beside the new one.",
    )


class MintedTokenSerializer(AccessTokenSerializer):
    """The answer to a POST: the only time the token itself is shown."""

    token = serializers.CharField(read_only=True, help_text="Shown once: keep it now.")

    class Meta(AccessTokenSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*AccessTokenSerializer.Meta.fields, "token")


_NARROWING = ("scopes", "allowed_models", "networks", *_LIMITS, "expires_at")


def _check_not_wider(presented: AccessToken, wanted: dict[str, Any]) -> None:
    """Raises ValidationError at the first field in which `wanted` would allow more than the presented token."""
    wider = "The token you use may not do this itself."
    if not set(wanted["scopes"]) <= set(presented.present_scopes):
        raise ValidationError({"scopes": [wider]})
    models = presented.allowed_models
    if models and not (wanted["allowed_models"] and set(wanted["allowed_models"]) <= set(models)):
        raise ValidationError({"allowed_models": [wider]})
    if presented.networks and not (
        wanted["networks"] and all(_inside(n, presented.networks) for n in wanted["networks"])
    ):
        raise ValidationError({"networks": [wider]})
    for name in (*_LIMITS, "expires_at"):
        limit = getattr(presented, name)
        if limit is not None and (wanted[name] is None or wanted[name] > limit):
            raise ValidationError({name: [wider]})


def _inside(network: str, allowed: list[str]) -> bool:
    inner = ipaddress.ip_network(network)
    outer = map(ipaddress.ip_network, allowed)
    return any(inner.version == net.version and inner.subnet_of(net) for net in outer)  # type: ignore[arg-type]  # of one version, by the test before
