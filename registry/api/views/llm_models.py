"""Models, their price history, connection tests, and provider templates."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Prefetch, Subquery
from django.utils import timezone
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import audit
from registry.api.filters import ModelFilter, StableOrdering
from registry.api.paging import ByName
from registry.api.permissions import Access
from registry.api.serializers.llm_model import LLMModelSerializer, ModelPriceSerializer
from registry.api.serializers.probe import ProbeSerializer, ReportSerializer, report_body
from registry.api.serializers.template import FromTemplateSerializer, TemplateSerializer
from registry.api.views.base import WriteRows, address_of
from registry.catalog.templates import TEMPLATES
from registry.models import LLMModel, ModelPrice


class ModelViewSet(WriteRows):
    """Models of one's own and of everybody."""

    model = LLMModel
    access = Access(read=("models", "manage"))
    serializer_class = LLMModelSerializer
    filterset_class = ModelFilter
    filter_backends = (DjangoFilterBackend, StableOrdering)
    # Columns that are never null: a cursor can't stand on a null.
    ordering_fields = ("name", "model_id", "tier", "created_at", "updated_at")
    ordering = ("name", "id")
    pagination_class = ByName

    def rows(self, visible: Any) -> Any:
        in_force = (
            ModelPrice.objects.filter(model=OuterRef("model"), effective_from__lte=timezone.now())
            .order_by("-effective_from")
            .values("pk")[:1]
        )
        prices = ModelPrice.objects.filter(pk=Subquery(in_force))
        return visible.select_related("provider").prefetch_related(
            Prefetch("prices", queryset=prices, to_attr="current_prices")
        )

    @extend_schema(responses=ModelPriceSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], url_path="price-history", filter_backends=(), pagination_class=None)
    def price_history(self, request: Request, pk: str) -> Response:
        """All versions of the model's prices, newest first; the last 500."""
        rows = self.get_object().prices.order_by("-effective_from")[:500]
        return Response(ModelPriceSerializer(rows, many=True, context=self.get_serializer_context()).data)

    @extend_schema(request=ProbeSerializer, responses=ReportSerializer)
    @action(detail=False, methods=["post"], url_path="test-connection")
    def test_connection(self, request: Request) -> Response:
        """Try a model, a provider or a configuration that is not saved. Never answers a key."""
        asked = ProbeSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        return Response(report_body(asked.run(address=address_of(request))))

    @extend_schema(responses=TemplateSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], filter_backends=(), pagination_class=None)
    def templates(self, request: Request) -> Response:
        """Providers that the hub knows, with their usual models."""
        rows: Any = list(TEMPLATES.values())
        return Response(TemplateSerializer(rows, many=True).data)

    @extend_schema(request=FromTemplateSerializer, responses={201: FromTemplateSerializer})
    @action(detail=False, methods=["post"], url_path="from-template")
    def from_template(self, request: Request) -> Response:
        """Make a provider, its key and its models in one go."""
        serializer = FromTemplateSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            provider = serializer.save()
            for row in (provider, *provider.credentials.all(), *provider.models.all()):
                self.note("create", row, None, audit.snapshot(row))
        return Response(serializer.data, status=201)
