"""What every page shares: who may open it, the reader's time zone, the navigation. Knows no single page."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import never_cache

from registry.models import User, UserSettings

PAGES = (
    ("playground", "Playground"),
    ("conversations", "Conversations"),
    ("compare", "Compare"),
    ("models", "Models"),
    ("keys", "Keys"),
    ("tokens", "Tokens"),
    ("usage", "Usage"),
)


# What is about one's own account and no more.
_OPEN_TO_VIEWERS = frozenset({"account", "password_change", "tokens", "token_revoke", "model_default"})


def signed_in(view: Callable[..., HttpResponseBase]) -> Callable[..., Any]:
    """For a signed-in person only, never cached, with times in the person's own zone. The view must render at once."""

    @never_cache
    @login_required
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD", "OPTIONS") and not _may_write(request):
            raise PermissionDenied("A viewer looks and changes nothing.")
        with timezone.override(zoneinfo.ZoneInfo(preferences_of(request).time_zone)):
            return view(request, *args, **kwargs)

    return wrapped


def for_managers(view: Callable[..., HttpResponseBase]) -> Callable[..., Any]:
    """For managers and administrators; for others there is nothing at this path."""

    @signed_in
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not person(request).is_manager:
            raise Http404
        return view(request, *args, **kwargs)

    return wrapped


def _may_write(request: HttpRequest) -> bool:
    name = request.resolver_match.url_name if request.resolver_match else None
    return "manage" in person(request).scopes or name in _OPEN_TO_VIEWERS


def person(request: HttpRequest) -> User:
    """The signed-in user of a page behind `signed_in`."""
    assert isinstance(request.user, User)
    return request.user


def preferences_of(request: HttpRequest) -> UserSettings:
    """The person's settings: read once a request, unsaved defaults where there are none yet."""
    kept = getattr(request, "_hub_preferences", None)
    if kept is None:
        user = person(request)
        kept = UserSettings.objects.select_related("default_model").filter(user=user).first() or UserSettings(user=user)
        request._hub_preferences = kept  # type: ignore[attr-defined]  # lives as long as the request
    return kept


def is_partial(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page. Without scripts the same URL answers the whole page."""
    return request.headers.get("HX-Request") == "true"


def show(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, section: str = "", status: int = 200
) -> HttpResponse:
    """Render a page with its navigation."""
    return render(request, template, {**(context or {}), "nav": navigation(request, section)}, status=status)


def navigation(request: HttpRequest, section: str = "") -> list[dict[str, Any]]:
    if not request.user.is_authenticated:
        return []
    links = [{"url": reverse(name), "title": title, "current": name == section} for name, title in PAGES]
    if person(request).is_manager:
        links.append({"url": reverse("people"), "title": "People", "current": section == "people"})
    if request.user.is_staff:
        links.append({"url": reverse("admin:index"), "title": "Admin", "current": False})
    return links


def navigation_everywhere(request: HttpRequest) -> dict[str, Any]:
    """For pages that the hub does not render itself; made only where a template shows it."""
    return {"nav": SimpleLazyObject(lambda: navigation(request))}


def api_base_url(request: HttpRequest) -> str:
    """What OpenAI's clients take as base URL to reach this hub."""
    return request.build_absolute_uri("/v1")


def address_of(request: HttpRequest) -> str | None:
    """Where the request came from, for the audit trail and the sign-in throttle; a proxy's header is not believed."""
    return request.META.get("REMOTE_ADDR") or None
