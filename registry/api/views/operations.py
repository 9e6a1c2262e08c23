"""Budgets, rate limits, endpoint policies and the audit trail, which are for admins; and one's own settings."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import audit
from registry.api.filters import AuditFilter
from registry.api.paging import LatestFirst
from registry.api.permissions import Access
from registry.api.serializers.operations import (
    AuditEventSerializer,
    BudgetSerializer,
    EndpointPolicySerializer,
    RateLimitSerializer,
    SettingsSerializer,
)
from registry.api.views.base import ReadRows, RowView, WriteRows, address_of
from registry.models import AuditEvent, Budget, EndpointPolicy, RateLimit, UserSettings


class BudgetViewSet(WriteRows):
    """Money that a user, group, token or model may spend."""

    model = Budget
    access = Access(read=("manage",), admins_only=True)
    serializer_class = BudgetSerializer

    def get_queryset(self) -> Any:
        # An admin meets all of them; `visible_to` is a person's view of their own.
        rows = (
            Budget.objects.none()
            if getattr(self, "swagger_fake_view", False)
            else Budget.objects.editable_by(self.request.user)
        )
        return rows.select_related("user", "group", "token", "model")


class RateLimitViewSet(WriteRows):
    """Requests and tokens a minute and calls at once of a user, group, model, provider or key."""

    model = RateLimit
    access = Access(read=("manage",), admins_only=True)
    serializer_class = RateLimitSerializer

    def rows(self, visible: Any) -> Any:
        return visible.select_related("user", "group", "model", "provider", "credential")


class EndpointPolicyViewSet(WriteRows):
    """Private hosts and networks that may be called, and for whom."""

    model = EndpointPolicy
    access = Access(read=("manage",), admins_only=True)
    serializer_class = EndpointPolicySerializer

    def rows(self, visible: Any) -> Any:
        return visible.select_related("group")


class AuditViewSet(ReadRows):
    """Who did what to which row."""

    model = AuditEvent
    access = Access(read=("manage",), admins_only=True)
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilter
    pagination_class = LatestFirst

    @extend_schema(responses={(200, "application/x-ndjson"): OpenApiTypes.STR})
    @action(detail=False, methods=["get"], pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        """The whole trail, or what the filters leave, oldest first: one JSON object a line. The export is noted too."""
        rows = self.filter_queryset(self.get_queryset())
        audit.note(request.user, "export", AuditEvent._meta.db_table, "the audit trail", {}, address_of(request))
        answer = StreamingHttpResponse(audit.lines(rows), content_type="application/x-ndjson")
        answer["Content-Disposition"] = 'attachment; filename="audit.ndjson"'
        return answer


class SettingsView(RowView):
    """One's own default model, key policy and time zone."""

    model = UserSettings
    access = Access(read=("manage",))
    serializer_class = SettingsSerializer
    filter_backends = ()
    pagination_class = None

    def get_object(self) -> Any:
        row, _ = UserSettings.objects.select_related("default_model").get_or_create(user=self.request.user)
        return row

    def retrieve(self, request: Request) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=SettingsSerializer(partial=True))
    def partial_update(self, request: Request) -> Response:
        with transaction.atomic():
            row = self.get_object()
            before = audit.snapshot(row)
            serializer = self.get_serializer(row, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            serializer.save()
            self.note("change", row, before, audit.snapshot(row))
        return Response(serializer.data)
