"""Which face answers which path. Calls to models never come here: llmhub/asgi.py gives them to the lane."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from registry.api import status

urlpatterns = [
    path("healthz", status.healthz, name="healthz"),
    path("readyz", status.readyz, name="readyz"),
    path("metrics", status.metrics, name="metrics"),
    path("", include("registry.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("registry.web.urls")),
]
