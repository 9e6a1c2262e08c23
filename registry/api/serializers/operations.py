"""What admins keep: budgets, endpoint policies, the audit trail; and a user's own settings."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Group
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from adapters.egress import EgressRule
from registry.api.fields import JsonField, MoneyField, RowField
from registry.api.serializers.base import RowSerializer
from registry.models import (
    AccessToken,
    AuditEvent,
    Budget,
    Credential,
    EndpointPolicy,
    LLMModel,
    Provider,
    RateLimit,
    User,
    UserSettings,
)
from registry.models.budget import LIMIT_SUBJECTS


def _every(manager: Any, user: Any) -> Any:
    """All rows: for fields of routes that only admins reach."""
    return manager.all()


_SUBJECTS: Final = ("user", "group", "token", "model")


def _named(subjects: tuple[str, ...], attrs: dict[str, Any], row: Any) -> list[str]:
    """Whom the row will be for."""
    return [name for name in subjects if (attrs[name] if name in attrs else getattr(row, name, None))]


class BudgetSerializer(RowSerializer):
    user = RowField(User, slug_field="username", among=_every, required=False, allow_null=True)
    group = RowField(Group, slug_field="name", among=_every, required=False, allow_null=True)
    token = RowField(AccessToken, among=_every, required=False, allow_null=True)
    model = RowField(LLMModel, slug_field="name", among=_every, required=False, allow_null=True)
    amount = MoneyField(max_digits=18, decimal_places=9, min_value=0)
    spent = MoneyField(max_digits=18, decimal_places=9, read_only=True, source="spent_now")
    leased = MoneyField(max_digits=18, decimal_places=9, read_only=True, source="leased_now")
    left = MoneyField(max_digits=18, decimal_places=9, read_only=True)

    class Meta:
        model = Budget
        fields = (
            *("id", *_SUBJECTS, "window", "amount", "spent", "leased", "left", "window_start", "enabled"),
            *("created_at", "updated_at"),
        )
        read_only_fields = ("window_start", "created_at", "updated_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(_named(_SUBJECTS, attrs, self.instance)) != 1:
            raise ValidationError("A budget is for exactly one of user, group, token and model.")
        return attrs


class RateLimitSerializer(RowSerializer):
    user = RowField(User, slug_field="username", among=_every, required=False, allow_null=True)
    group = RowField(Group, slug_field="name", among=_every, required=False, allow_null=True)
    model = RowField(LLMModel, slug_field="name", among=_every, required=False, allow_null=True)
    provider = RowField(Provider, slug_field="slug", among=_every, required=False, allow_null=True)
    credential = RowField(Credential, among=_every, required=False, allow_null=True)

    class Meta:
        model = RateLimit
        fields = (
            *("id", *LIMIT_SUBJECTS, "requests_per_minute", "tokens_per_minute", "concurrency", "enabled"),
            *("created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(_named(LIMIT_SUBJECTS, attrs, self.instance)) != 1:
            raise ValidationError("A limit is for exactly one of user, group, model, provider and credential.")
        return attrs


class EndpointPolicySerializer(RowSerializer):
    group = RowField(Group, slug_field="name", among=_every, required=False, allow_null=True)
    ports = JsonField(required=False, help_text="Ports; an empty list opens all.")

    class Meta:
        model = EndpointPolicy
        fields = (
            *("id", "target", "ports", "audience", "group", "note", "enabled", "expires_at"),
            *("created_at", "updated_at"),
        )
        read_only_fields = ("created_at", "updated_at")

    def validate_target(self, value: str) -> str:
        try:
            EgressRule.parse(value)
        except ValueError as error:
            raise ValidationError("This takes a host, an address or a network (10.0.0.0/8).") from error
        return value


class AuditEventSerializer(RowSerializer):
    actor = serializers.UUIDField(source="actor_id", read_only=True)

    class Meta:
        model = AuditEvent
        fields = ("id", "at", "actor", "actor_name", "address", "action", "table", "row", "label", "before", "after")
        read_only_fields = fields


class SettingsSerializer(RowSerializer):
    default_model = RowField(
        LLMModel,
        slug_field="name",
        among=lambda manager, user: manager.usable_by(user),
        required=False,
        allow_null=True,
    )

    class Meta:
        model = UserSettings
        fields = ("default_model", "key_policy", "time_zone")
