"""Gemini's errors, from any body it sends to our tree. `str(error)` is ours; Google's words stay in `upstream_message`.

The body is `{"error": {code, message, status, details}}`, inside a list where a stream was asked for without SSE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from adapters.error_replies import class_for_status, reply_error
from adapters.errors import (
    AuthenticationError,
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamProtocolError,
)
from adapters.retry_after import parse_duration_s
from adapters.types import Target, WireResponse
from adapters.wire_json import read_json

__all__ = ["error_in_body", "parse_error"]

_LONGEST_MESSAGE: Final = 8000
# Google's canonical status names and what they stand for in HTTP (google.rpc.Code).
_STATUS: Final[Mapping[str, int]] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_BAD_KEY: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"})
# Only inside a 400, for which Google has no finer code (recorded and documented bodies in the tests).
_TEXTS: Final[tuple[tuple[re.Pattern[str], type[LLMError], str | None], ...]] = (
    (
        re.compile(r"input token count|exceeds the maximum number of tokens|context (?:length|window)", re.I),
        ContextLengthExceededError,
        "says that the prompt is too long for the model",
    ),
    (re.compile(r"API key (?:not valid|expired|not found)", re.I), AuthenticationError, None),
    (re.compile(r"location is not supported", re.I), PermissionDeniedError, "is not offered where the hub runs"),
    (re.compile(r"billing|prepay|credits? (?:are|is) depleted", re.I), QuotaExceededError, None),
)


def parse_error(response: WireResponse, target: Target) -> LLMError:
    """Classify a reply that is not 2xx: by the reason in its details, then status, then (400 only) text. Never raises.

    The status decides how to read: an error that answers a stream's request is JSON under `text/event-stream`.
    """
    try:
        body = read_json(response.body)
    except UpstreamProtocolError:
        body = {"error": {"message": response.body[:_LONGEST_MESSAGE].decode("utf-8", "replace")}}
    return _classified(response.status, response.headers, _error_of(body) or {}, target)


def error_in_body(body: Any, target: Target) -> LLMError | None:
    """The error that a 2xx body or a stream's chunk reports; None when it is fine."""
    error = _error_of(body)
    if not error:
        return None
    code, name = error.get("code"), error.get("status")
    if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599:
        status = code
    else:
        status = _STATUS.get(name if isinstance(name, str) else "", 500)
    return _classified(status, {}, error, target)


def _error_of(body: Any) -> Mapping[str, Any] | None:
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else None


def _classified(status: int, headers: Mapping[str, str], error: Mapping[str, Any], target: Target) -> LLMError:
    message, name = error.get("message"), error.get("status")
    message = message[:_LONGEST_MESSAGE] if isinstance(message, str) else ""
    raw_details = error.get("details")
    details = [item for item in raw_details if isinstance(item, dict)] if isinstance(raw_details, list) else []
    reasons = [reason for item in details if isinstance(reason := item.get("reason"), str)]
    error_class, words = _class_for(status, message, details, reasons)
    found = reply_error(
        error_class,
        target,
        status=status,
        headers=headers,
        code=reasons[0] if reasons else name if isinstance(name, str) else None,
        upstream_message=message or None,
        words=words,
        retryable=True if status == 409 else None,
    )
    if found.retry_after_s is None and error_class is not QuotaExceededError:
        found.retry_after_s = _retry_delay_s(details)
    return found


def _class_for(
    status: int, message: str, details: list[dict[str, Any]], reasons: list[str]
) -> tuple[type[LLMError], str | None]:
    if not _BAD_KEY.isdisjoint(reasons):
        return AuthenticationError, None
    error_class = class_for_status(status)
    if status == 499:
        return class_for_status(503), None  # Google gave the call up itself: nobody here cancelled it
    if error_class is RateLimitedError and any("PerDay" in quota for quota in _quotas(details)):
        return QuotaExceededError, "says that today's quota is used up"
    if error_class is InvalidRequestError and status == 400:
        for pattern, better, words in _TEXTS:
            if pattern.search(message):
                return better, words
    return error_class, None


def _quotas(details: list[dict[str, Any]]) -> list[str]:
    violations = [item.get("violations") for item in details]
    rows = [row for rows in violations if isinstance(rows, list) for row in rows if isinstance(row, dict)]
    return [row["quotaId"] for row in rows if isinstance(row.get("quotaId"), str)]


def _retry_delay_s(details: list[dict[str, Any]]) -> float | None:
    """`RetryInfo.retryDelay` ("34.4s"); Gemini sends no Retry-After header."""
    delays = [parse_duration_s(delay) for item in details if isinstance(delay := item.get("retryDelay"), str)]
    return next((delay for delay in delays if delay is not None and delay >= 0), None)
