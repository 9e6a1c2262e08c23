"""A name for every request that Django answers: `request.request_id`, and `x-request-id` on the answer.

Always made here: a client's own id could name another client's request in the log.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from registry.models.base import uuid7

HEADER = "x-request-id"


def new_request_id() -> str:
    """Sorts by time; 36 characters."""
    return f"req_{uuid7().hex}"


def request_id_of(request: object) -> str:
    """The request's id; empty for one that came around the middleware."""
    found: str = getattr(request, "request_id", "")
    return found


class RequestIdMiddleware:
    """Outermost, so that answers which other middleware gives carry the id too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = new_request_id()
        request.request_id = request_id  # type: ignore[attr-defined]  # Django's requests take further attributes
        response = self.get_response(request)
        response[HEADER] = request_id
        return response
