"""Presets, routes and prompt packs."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch

from registry.api.filters import PresetFilter, PromptPackFilter, RouteFilter
from registry.api.permissions import Access
from registry.api.serializers.shortlist import PresetSerializer, PromptPackSerializer, RouteSerializer
from registry.api.views.base import WriteRows
from registry.models import Preset, PresetEntry, PromptPack, Route, RouteEntry


class PresetViewSet(WriteRows):
    """A module's ranked models."""

    model = Preset
    access = Access(read=("models", "manage"))
    serializer_class = PresetSerializer
    filterset_class = PresetFilter

    def rows(self, visible: Any) -> Any:
        entries = PresetEntry.objects.select_related("model").order_by("position")
        return visible.prefetch_related(Prefetch("entries", queryset=entries))


class RouteViewSet(WriteRows):
    """Virtual model names."""

    model = Route
    access = Access(read=("models", "manage"))
    serializer_class = RouteSerializer
    filterset_class = RouteFilter

    def rows(self, visible: Any) -> Any:
        entries = RouteEntry.objects.select_related("model").order_by("is_fallback", "position")
        return visible.prefetch_related(Prefetch("entries", queryset=entries))


class PromptPackViewSet(WriteRows):
    """Templates and answer schemas by module."""

    model = PromptPack
    access = Access(read=("models", "manage"))
    serializer_class = PromptPackSerializer
    filterset_class = PromptPackFilter
