"""The pages' paths: home, playground, keys, tokens, usage, accounts."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
