"""The REST face's paths, all below /api/ (the two model-calling routes of /api/llm/ are the lane's)."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
