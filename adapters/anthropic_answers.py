"""What Anthropic's answers say about an answer, both ways: finish reasons, usage and errors. Builds no content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.error_replies import class_for_status, reply_error
from adapters.errors import (
    AuthenticationError,
    ContentFilteredError,
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.openai_usage import read_count
from adapters.types import FinishReason, Target, Usage
from adapters.wire_json import read_json

__all__ = [
    "encode_error_body",
    "encode_stop_reason",
    "encode_usage",
    "error_from_body",
    "error_in_stream",
    "finish_reason",
    "usage_from_wire",
]

# --- finish reasons ------------------------------------------------------------------------------------------------

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # a server tool's loop paused: sending the turn back continues it
    "compaction": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASON: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def finish_reason(raw: str | None, *, has_tool_calls: bool) -> FinishReason:
    if raw is None:
        return "tool_calls" if has_tool_calls else "stop"
    return _FINISH.get(raw, "other")


def encode_stop_reason(reason: FinishReason, raw: str | None, metadata: Mapping[str, Any]) -> str:
    """The stop_reason for a client: the provider's own where it is Anthropic's, else the nearest."""
    if raw is not None and raw in _FINISH:
        return raw
    if reason == "stop" and metadata.get("stop_sequence") is not None:
        return "stop_sequence"
    return _STOP_REASON.get(reason, "end_turn")


# --- usage ---------------------------------------------------------------------------------------------------------


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    return read_count(usage.get(name))


def _inside(usage: Mapping[str, Any], group: str, name: str) -> int | None:
    inner = usage.get(group)
    return _count(inner, name) if isinstance(inner, Mapping) else None


def usage_from_wire(usage: Mapping[str, Any]) -> Usage:
    """Anthropic's `input_tokens` leaves out cache reads and writes; ours counts them in."""
    uncached, read, written = (
        _count(usage, name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    counted = [value for value in (uncached, read, written) if value is not None]
    return Usage(
        input_tokens=sum(counted) if counted else None,
        output_tokens=_count(usage, "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=_inside(usage, "cache_creation", "ephemeral_1h_input_tokens"),
        reasoning_tokens=_inside(usage, "output_tokens_details", "thinking_tokens"),
        raw=dict(usage),
    )


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Usage for a client. The dialect demands both counts, so what nobody reported is written as 0 here."""
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    encoded: dict[str, Any] = {
        "input_tokens": max(0, (usage.input_tokens or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.cache_write_1h_tokens is not None:
        encoded["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, written - usage.cache_write_1h_tokens),
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens is not None:
        encoded["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.provider_cost_usd is not None:
        encoded["cost"] = float(usage.provider_cost_usd)  # USD; not Anthropic's, but its SDKs let other fields be
    return encoded


# --- errors --------------------------------------------------------------------------------------------------------

# type -> our class, and the status it stands for when it comes inside a stream.
_ERROR_TYPES: Mapping[str, tuple[type[LLMError], int]] = {
    "invalid_request_error": (InvalidRequestError, 400),
    "authentication_error": (AuthenticationError, 401),
    "billing_error": (QuotaExceededError, 402),
    "permission_error": (PermissionDeniedError, 403),
    "not_found_error": (ModelNotFoundError, 404),
    "conflict_error": (InvalidRequestError, 409),
    "request_too_large": (InvalidRequestError, 413),
    "rate_limit_error": (RateLimitedError, 429),
    "api_error": (UpstreamUnavailableError, 500),
    "timeout_error": (UpstreamTimeoutError, 504),
    "overloaded_error": (UpstreamUnavailableError, 529),
}
# details.error_code, read before the type (anthropic SDK 2.10).
_ERROR_CODES: Mapping[str, type[LLMError]] = {
    "enforced_spend_limit_reached": QuotaExceededError,
    "contract_spend_limit_reached": QuotaExceededError,
    "organization_on_hold": PermissionDeniedError,
    "cmek_key_disabled": PermissionDeniedError,
}
# Only inside a 400 whose type says no more than "invalid": the API has no code for these three (2026-11-20).
_PATTERNS: tuple[tuple[re.Pattern[str], type[LLMError], str], ...] = (
    (
        re.compile(r"prompt is too long|exceed(?:s|ed)? (?:the )?context (?:limit|window)", re.I),
        ContextLengthExceededError,
        "says that the prompt is too long for the model",
    ),
    (
        re.compile(r"credit balance is too low", re.I),
        QuotaExceededError,
        "says that the account's credit is used up",
    ),
    (
        re.compile(r"blocked by content filtering", re.I),
        ContentFilteredError,
        "blocked the content by its filter",
    ),
)


def error_from_body(status: int, headers: Mapping[str, str], body: bytes, target: Target) -> LLMError:
    """Classify an error reply: details.error_code, then type, then status, then (400 and 422) text. Never raises."""
    try:
        value = read_json(body)
    except UpstreamProtocolError:
        value = None
    return _classified(status, headers, value, target)


def error_in_stream(value: Mapping[str, Any], target: Target) -> LLMError:
    """Classify an `error` event of a stream, or an error body under a 2xx status."""
    error = value.get("error")
    kind = error.get("type") if isinstance(error, Mapping) else None
    _, status = _ERROR_TYPES.get(kind if isinstance(kind, str) else "", (UpstreamUnavailableError, 500))
    headers = {"request-id": value["request_id"]} if isinstance(value.get("request_id"), str) else {}
    return _classified(status, headers, value, target)


def _classified(status: int, headers: Mapping[str, str], value: Any, target: Target) -> LLMError:
    error = value.get("error") if isinstance(value, Mapping) else None
    body: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": error}
    kind, message, details = body.get("type"), body.get("message"), body.get("details")
    message = message if isinstance(message, str) else None
    kind = kind if isinstance(kind, str) else None
    code = details.get("error_code") if isinstance(details, Mapping) else None
    code = code if isinstance(code, str) else None
    error_class, words = _class_for(status, kind, code, message)
    retryable = True if status == 409 or ((code or "").startswith("cmek_") and status == 503) else None
    return reply_error(
        error_class,
        target,
        status=status,
        headers=headers,
        code=code or kind,
        upstream_message=message,
        words=words,
        retryable=retryable,
    )


def _class_for(
    status: int, kind: str | None, code: str | None, message: str | None
) -> tuple[type[LLMError], str | None]:
    if code is not None and code in _ERROR_CODES:
        return _ERROR_CODES[code], None
    error_class = class_for_status(status)
    # Compatible servers write "api_error" over any status; there the status knows better.
    if kind is not None and kind in _ERROR_TYPES and not (kind == "api_error" and status < 500):
        error_class = _ERROR_TYPES[kind][0]
    elif status == 404:
        return InvalidRequestError, "has no such endpoint: is the base URL right?"
    if error_class is InvalidRequestError and status in (400, 422) and message:
        for pattern, better, words in _PATTERNS:
            if pattern.search(message):
                return better, words
    return error_class, None


_TYPE_BY_STATUS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def encode_error_body(error: LLMError, *, request_id: str) -> dict[str, Any]:
    """The error body for a client of the hub; never an upstream's text."""
    message = error.message
    if isinstance(error, ContextLengthExceededError) and "prompt is too long" not in message:
        message = f"prompt is too long: {message}"  # clients compact their conversation on these words
    kind = _TYPE_BY_STATUS.get(error.status, "api_error")
    if isinstance(error, UpstreamUnavailableError) and error.upstream_status in (503, 529):
        kind = "overloaded_error"
    elif error.code == "insufficient_quota":  # the hub's own: a budget is spent
        kind = "billing_error"
    body: dict[str, Any] = {"type": kind, "message": message, "details": {"error_code": error.code}}
    if error.param and error.param not in message:
        body["message"] = f"{error.param}: {message}"
    return {"type": "error", "error": body, "request_id": request_id}
