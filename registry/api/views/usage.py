"""Usage: one row a call with its tries, and sums."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.filters import UsageFilter
from registry.api.paging import RecentFirst
from registry.api.permissions import Access
from registry.api.serializers.usage import SummarySerializer, UsageDetailSerializer, UsageSerializer
from registry.api.views.base import ReadRows
from registry.api.views.queries import moment
from registry.models import UsageAttempt, UsageRecord
from registry.usage.queries import GROUPINGS, summary, totals


class UsageViewSet(ReadRows):
    """One's own calls; an administrator sees everybody's (never what was said)."""

    model = UsageRecord
    access = Access(read=("usage", "manage"))
    serializer_class = UsageSerializer
    filterset_class = UsageFilter
    pagination_class = RecentFirst

    def get_serializer_class(self) -> Any:
        return UsageDetailSerializer if self.action == "retrieve" else UsageSerializer

    def rows(self, visible: Any) -> Any:
        if self.action != "retrieve":
            return visible
        return visible.prefetch_related(Prefetch("tries", queryset=UsageAttempt.objects.order_by("number")))

    @extend_schema(
        filters=False,
        parameters=[
            OpenApiParameter("group_by", enum=list(GROUPINGS), default="model"),
            OpenApiParameter("since", description="ISO date or time, included."),
            OpenApiParameter("until", description="ISO date or time, not included."),
        ],
        responses=SummarySerializer,
    )
    @action(detail=False, methods=["get"], filter_backends=(), pagination_class=None)
    def summary(self, request: Request) -> Response:
        """Sums by group, dearest first; days and hours in their order. Settled calls, to the hour."""
        asked = request.query_params
        group_by = asked.get("group_by", "model")
        if group_by not in GROUPINGS:
            raise ValidationError({"group_by": [f"This takes one of {', '.join(GROUPINGS)}."]})
        since, until = (moment(asked[name], name) if asked.get(name) else None for name in ("since", "until"))
        found = {
            "group_by": group_by,
            "results": summary(request.user, group_by=group_by, since=since, until=until),  # type: ignore[arg-type]  # checked above
            "total": totals(request.user, since=since, until=until),
        }
        return Response(SummarySerializer(found).data)
