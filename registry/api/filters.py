"""What lists can be narrowed by. A filter narrows rows that are already the caller's to see; it never widens."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework.filters import OrderingFilter

from registry.api.views.queries import any_of, moment, with_text_in_list
from registry.models import (
    CAPABILITIES,
    AuditEvent,
    Conversation,
    Credential,
    LLMModel,
    Preset,
    PromptPack,
    Provider,
    QualityTier,
    Route,
    Tier,
    UsageRecord,
    UsageState,
)

OWNERS = (("me", "my own"), ("shared", "everybody's"))


def by_id_or(queryset: QuerySet[Any], text: str, key: str, *names: str) -> QuerySet[Any]:
    """Rows whose `key` is the UUID `text`, or one of whose `names` is exactly `text`."""
    condition = Q()
    for name in names:
        condition |= Q(**{name: text})
    try:
        condition |= Q(**{key: uuid.UUID(text)})
    except ValueError:
        pass
    return queryset.filter(condition)


class StableOrdering(OrderingFilter):
    """`?ordering=`, with the key last: rows that tie keep one order, so that a cursor neither skips nor repeats."""

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> Any:
        asked = super().get_ordering(request, queryset, view)
        return asked and (*asked, *(() if "id" in asked else ("id",)))


class RowFilter(filters.FilterSet):  # type: ignore[misc]  # the package has no types
    """`owner=me|shared` for rows that have an owner."""

    owner = filters.ChoiceFilter(choices=OWNERS, method="by_owner", help_text="me or shared")

    def by_owner(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(owner=self.request.user) if value == "me" else queryset.filter(owner__isnull=True)


class ProviderFilter(RowFilter):
    search = filters.CharFilter(method="by_text", help_text="In name, slug or address.")
    adapter = filters.CharFilter()
    enabled = filters.BooleanFilter()

    class Meta:
        model = Provider
        fields = ("owner", "adapter", "enabled")

    def by_text(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(any_of(("name", "slug", "base_url"), value))


class CredentialFilter(RowFilter):
    provider = filters.CharFilter(method="by_provider", help_text="Slug or id.")
    enabled = filters.BooleanFilter()
    state = filters.CharFilter()

    class Meta:
        model = Credential
        fields = ("owner", "enabled", "state")

    def by_provider(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return by_id_or(queryset, value, "provider", "provider__slug")


class ModelFilter(RowFilter):
    tier = filters.ChoiceFilter(choices=Tier.choices)
    quality_tier = filters.ChoiceFilter(choices=QualityTier.choices)
    family = filters.CharFilter()
    tag = filters.CharFilter(method="by_tag")
    provider = filters.CharFilter(method="by_provider", help_text="Slug or id.")
    search = filters.CharFilter(method="by_text", help_text="In name, the provider's id, family or description.")
    enabled = filters.BooleanFilter()
    capability = filters.ChoiceFilter(
        choices=[(name, name) for name in CAPABILITIES], method="by_capability", help_text="Models that have it."
    )
    min_context = filters.NumberFilter(field_name="context_length", lookup_expr="gte", max_value=2**31 - 1, min_value=0)

    class Meta:
        model = LLMModel
        fields = ("owner", "tier", "quality_tier", "family", "enabled")

    def by_tag(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return with_text_in_list(queryset, "tags", value)

    def by_provider(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return by_id_or(queryset, value, "provider", "provider__slug")

    def by_text(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(any_of(("name", "model_id", "family", "description"), value))

    def by_capability(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"capabilities__{value}__value": "yes"})


class ConversationFilter(filters.FilterSet):  # type: ignore[misc]  # the package has no types
    archived = filters.BooleanFilter()
    search = filters.CharFilter(field_name="title", lookup_expr="icontains")

    class Meta:
        model = Conversation
        fields = ("archived",)


class PresetFilter(RowFilter):
    module = filters.CharFilter()

    class Meta:
        model = Preset
        fields = ("owner", "module", "enabled")


class PromptPackFilter(PresetFilter):
    class Meta:
        model = PromptPack
        fields = ("owner", "module", "enabled")


class RouteFilter(RowFilter):
    class Meta:
        model = Route
        fields = ("owner", "strategy", "enabled")


class PeriodFilter(filters.FilterSet):  # type: ignore[misc]  # the package has no types
    """`since` (included) and `until` (not included): ISO dates or times."""

    time_column = "created_at"
    since = filters.CharFilter(method="after", help_text="ISO date or time, included.")
    until = filters.CharFilter(method="before", help_text="ISO date or time, not included.")

    def after(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.time_column}__gte": moment(value, name)})

    def before(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.time_column}__lt": moment(value, name)})


class UsageFilter(PeriodFilter):
    model = filters.CharFilter(method="by_model", help_text="Name or id.")
    provider = filters.CharFilter(method="by_provider", help_text="Slug or id.")
    state = filters.ChoiceFilter(choices=UsageState.choices)
    token = filters.CharFilter(method="by_token", help_text="Name or id.")
    user = filters.CharFilter(method="by_user", help_text="Username or id; others' calls are for admins.")
    request_id = filters.CharFilter()

    class Meta:
        model = UsageRecord
        fields = ("state", "request_id")

    def by_model(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return by_id_or(queryset, value, "model", "model_name")

    def by_provider(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return by_id_or(queryset, value, "provider", "provider_slug")

    def by_token(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return by_id_or(queryset, value, "token", "token_name")

    def by_user(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return by_id_or(queryset, value, "user", "username")


class AuditFilter(PeriodFilter):
    time_column = "at"
    action = filters.CharFilter()
    table = filters.CharFilter()
    row = filters.UUIDFilter()
    actor = filters.CharFilter(field_name="actor_name")

    class Meta:
        model = AuditEvent
        fields = ("action", "table", "row")
