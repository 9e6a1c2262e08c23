"""Which requests to Django count against which rate, and the 429 that says when to come back. Owns no counter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve

from registry.access.rates import network_of, shared_rates

WINDOW_S: Final = 60

# Ways in: whoever asks is nobody yet, so the address counts. By the names of their routes.
_SIGN_INS: Final = frozenset(
    {"login", "account_login", "account_reauthenticate", "mfa_authenticate", "mfa_reauthenticate", "mfa_login_webauthn",
     "mfa_reauthenticate_webauthn", "invitation", "setup", "openid_connect_login", "openid_connect_callback"}
)  # fmt: skip
# What has the hub call somebody else's server.
_TESTS: Final = frozenset(
    {"key_test", "provider_test", "key_models", "key_models_add", "model-test-connection", "provider-test-connection",
     "credential-test", "discovery_look", "measure", "registry_credential_test_connection",
     "registry_llmmodel_test_connection", "registry_provider_test_connection"}
)  # fmt: skip


class RateLimitMiddleware:
    """Before sessions and views: a request over its rate costs no query and calls nobody.

    Counted by address, besides by token where one is shown; a token's secret part is never kept, in any form.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        for key, limit in _rates_of(request):
            wait_s = shared_rates().take(key, limit, WINDOW_S)
            if wait_s:
                return _refuse(request, wait_s)
        return self.get_response(request)


def _rates_of(request: HttpRequest) -> list[tuple[str, int]]:
    """The windows that a request counts in, with how many go in a minute."""
    if request.path.startswith("/static/"):
        return []
    name = _route_of(request)
    address = network_of(request.META.get("REMOTE_ADDR"))
    found = []
    changes = request.method not in ("GET", "HEAD", "OPTIONS")
    if name in _SIGN_INS and (changes or name == "openid_connect_callback"):
        found.append((f"in/{address}", settings.LLMHUB_SIGN_INS_PER_MINUTE))
    if name in _TESTS and changes:
        found.append((f"test/{_caller(request) or address}", settings.LLMHUB_TESTS_PER_MINUTE))
    if request.path.startswith("/api/"):
        caller = _caller(request)
        if caller:
            found.append((f"api/{caller}", settings.LLMHUB_API_PER_MINUTE))
        # Many callers may share an address, and one caller may show many tokens: more, and not without end.
        found.append((f"api/{address}", settings.LLMHUB_API_PER_MINUTE * 5))
    return found


def _caller(request: HttpRequest) -> str:
    """A name for who asks, by what they show: the token's look-up part, or the session. Whether it is good is not asked
    here; who makes names up is stopped by the address."""
    shown = request.META.get("HTTP_AUTHORIZATION", "") or request.META.get("HTTP_X_API_KEY", "")
    start = shown.find("llmhub_")
    if start >= 0:
        return f"token/{shown[start + 7 : start + 19]}"
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return "session/" + hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()[:16] if session else ""


def _route_of(request: HttpRequest) -> str:
    try:
        return resolve(request.path_info).url_name or ""
    except Resolver404:
        return ""


def _refuse(request: HttpRequest, wait_s: int) -> HttpResponse:
    message = f"Too many requests. Try again in {wait_s} s."
    response: HttpResponse
    if request.path.startswith("/api/") or "application/json" in request.META.get("HTTP_ACCEPT", ""):
        error = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": message}
        response = JsonResponse({"error": error}, status=429)
    else:
        response = render(request, "429.html", {"wait_s": wait_s}, status=429)
    response["Retry-After"] = str(wait_s)
    response["Cache-Control"] = "no-store"
    return response


__all__ = ["RateLimitMiddleware"]
