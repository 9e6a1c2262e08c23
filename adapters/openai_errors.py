"""Errors of OpenAI-shaped providers: from any body they send to our tree, and from our tree to a client's error body.

`str(error)` is always written here. What the provider said goes to `upstream_message` and nowhere else, because
providers echo keys, account ids and prompts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentFilteredError,
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.retry_after import parse_duration_s, read_retry_after_s
from adapters.types import Target, WireResponse
from adapters.wire_json import read_json

__all__ = ["encode_error", "error_in_body", "parse_error"]

_LONGEST_MESSAGE = 8000


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Structured codes and types, lower case. Sources: OpenAI's error guide and SDK types, Azure, OpenRouter, Groq, Z.ai,
# Moonshot and llama.cpp documentation, 2026-11-20.
_QUOTA = _names(
    "insufficient_quota billing_hard_limit_reached billing_not_active credit_balance_exhausted "
    "organization_spend_limit_exceeded project_spend_limit_exceeded organization_usage_limit_exceeded "
    "enforced_spend_limit_reached contract_spend_limit_reached exceeded_current_quota_error insufficient_balance "
    "insufficient_credits payment_required 1113 1308 1309 1310 1311 1312 1313 1314 1315 1316 1317 1318 1319 1320 "
    "1321"
)
_RATE = _names("rate_limit_exceeded rate_limit_error ratelimitreached too_many_requests 1302 1303 1305")
_CONTEXT = _names(
    "context_length_exceeded exceed_context_size_error context_window_exceeded token_limit_exceeded "
    "string_above_max_length"
)
_FILTER = _names(
    "content_filter content_policy_violation invalid_prompt bio_policy misalignment_policy_violation "
    "responsibleaipolicyviolation moderation_blocked content_filtered"
)
_NOT_FOUND = _names("model_not_found deploymentnotfound notfounderror model_not_exist")
_AUTH = _names("invalid_api_key authentication_error invalid_authentication incorrect_api_key")
_PERMISSION = _names("permission_error permission_denied unsupported_country_region_territory")
_OVERLOADED = _names(
    "server_error internal_server_error server_is_overloaded overloaded_error service_unavailable unavailable_error "
    "engine_overloaded insufficient_system_resource api_error provider_unavailable provider_overloaded"
)
# Groq: the model wrote a tool call that can't be parsed. Not the caller's fault, and a second try may do.
_MODEL_FAILED = frozenset({"tool_use_failed", "json_validate_failed"})

# Only for 400 and 422, each pinned by a recorded or documented body in tests/adapters/test_openai_errors.py.
_CONTEXT_TEXT = re.compile(
    r"maximum context length|prompt is too long|input token count|reduce the length|context window|"
    r"exceeds the (?:available )?context size|tokens \+ `max_new_tokens` must be",
    re.IGNORECASE,
)
_QUOTA_TEXT = re.compile(r"credit balance is too low|insufficient balance|exceeded your current quota", re.IGNORECASE)
_NOT_FOUND_TEXT = re.compile(
    r"model\b.{0,200}\b(?:does not exist|not found|is not supported by any provider)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What an error body says, in any of the shapes seen."""

    message: str = ""
    codes: frozenset[str] = frozenset()  # code, type and inner codes, lower case
    code: str | None = None
    param: str | None = None
    status: int | None = None  # the status inside a body that came with 200
    retry_after_s: float | None = None
    moderated: bool = False


def parse_error(response: WireResponse, target: Target) -> LLMError:
    """Classify a reply that is not 2xx: by status, then by code, then (400 and 422) by text. Never raises."""
    facts = _read_facts(_body_of(response))
    return _build(response.status, facts, response.headers, target)


def error_in_body(body: Any, target: Target, headers: Mapping[str, str] | None = None) -> LLMError | None:
    """The error that a 2xx body or a stream's chunk reports at its top or in its first choice; None when it is fine."""
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if not error and body.get("object") == "error":
        error = body
    if not error:
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        error = first.get("error") if isinstance(first, dict) else None
    if not error:
        return None
    facts = _read_facts({"error": error})
    return _build(facts.status, facts, headers or {}, target)


def _body_of(response: WireResponse) -> Any:
    try:
        return read_json(response.body)
    except UpstreamProtocolError:
        return response.body[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace")


def _read_facts(body: Any) -> _Facts:
    if isinstance(body, list) and body:  # Gemini's compatible endpoint wraps its error in a list
        body = body[0]
    if not isinstance(body, dict):
        return _Facts(message=_text(body))
    error = body.get("error", body)
    if not isinstance(error, dict):
        # Hugging Face: {"error": "text"} or ["text"], `error_type` and `estimated_time` beside it.
        kind = body.get("error_type")
        return _Facts(
            message=_text(error),
            codes=frozenset({kind.lower()} if isinstance(kind, str) else ()),
            code=kind if isinstance(kind, str) else None,
            retry_after_s=_seconds(body.get("estimated_time")),
        )
    raw_metadata = error.get("metadata")
    metadata = raw_metadata if isinstance(raw_metadata, dict) else {}
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    named = [error.get("code"), error.get("type"), metadata.get("error_type"), inner_code]
    codes = [str(value) for value in named if isinstance(value, str | int) and not isinstance(value, bool)]
    message = _text(error.get("message") or error.get("detail") or error)
    if metadata.get("raw"):
        message += " | " + _text(metadata["raw"])
    param = error.get("param")
    return _Facts(
        message=message,
        codes=frozenset(code.lower() for code in codes),
        code=codes[0] if codes else None,
        param=param if isinstance(param, str) else None,
        status=_embedded_status(error),
        retry_after_s=_seconds(error.get("retry_after")) or _retry_info_s(error.get("details")),
        moderated="flagged_input" in metadata or "reasons" in metadata,
    )


def _embedded_status(error: Mapping[str, Any]) -> int | None:
    for name in ("status_code", "code", "status"):
        value = error.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value) if len(value) == 3 else None
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return None


def _build(status: int | None, facts: _Facts, headers: Mapping[str, str], target: Target) -> LLMError:
    kind, words = _classify(status, facts)
    retry_after_s = read_retry_after_s(headers, facts.message if status == 429 else "")
    retryable: bool | None = {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())
    if retryable is None and (status == 409 or facts.codes & _MODEL_FAILED):
        retryable = True
    name = target.provider or target.kind
    return kind(
        f"{name} {words}" + (f" (HTTP {status})" if status else ""),
        provider=target.provider,
        model=target.model,
        upstream_status=status,
        upstream_code=facts.code,
        upstream_message=facts.message[:_LONGEST_MESSAGE] or None,
        upstream_request_id=headers.get("x-request-id") or headers.get("apim-request-id") or headers.get("cf-ray"),
        retry_after_s=retry_after_s if retry_after_s is not None else facts.retry_after_s,
        param=facts.param,
        retryable=retryable,
    )


def _classify(status: int | None, facts: _Facts) -> tuple[type[LLMError], str]:
    """The class of an error and our words for it. A specific code refines what the status says in general."""
    codes = facts.codes
    if codes & _QUOTA and status in (None, 400, 402, 403, 429):
        return QuotaExceededError, "says that the account has no money or quota left"
    if codes & _MODEL_FAILED:
        return UpstreamProtocolError, "could not use what its model wrote"
    by_status = _by_status(status, facts)
    if by_status is not None:
        return by_status
    for known, answer in _BY_CODE:
        if codes & known:
            return answer
    if status in (400, 422):
        for pattern, answer in _BY_TEXT:
            if pattern.search(facts.message[:_LONGEST_MESSAGE]):
                return answer
    if status is None:
        return UpstreamProtocolError, "reported an error inside its answer"
    if 300 <= status < 400:
        return ConfigurationError, "answered with a redirect, which is never followed; check the base URL"
    return InvalidRequestError, "refused the request as invalid"


_TOO_LONG = (ContextLengthExceededError, "says that the conversation is longer than the model's context")
_FILTERED = (ContentFilteredError, "refused the content by its usage policy")
_NO_MODEL = (ModelNotFoundError, "does not know this model, or the base URL is wrong")
_OUT_OF_QUOTA = (QuotaExceededError, "says that the account has no money or quota left")
_BY_CODE: tuple[tuple[frozenset[str], tuple[type[LLMError], str]], ...] = (
    (_CONTEXT, _TOO_LONG),
    (_FILTER, _FILTERED),
    (_NOT_FOUND, _NO_MODEL),
    (_AUTH, (AuthenticationError, "refused the key")),
    (_PERMISSION, (PermissionDeniedError, "does not allow this key to do that")),
    (_RATE, (RateLimitedError, "asks to slow down")),
    (_OVERLOADED, (UpstreamUnavailableError, "is overloaded or failing")),
)
_BY_TEXT: tuple[tuple[re.Pattern[str], tuple[type[LLMError], str]], ...] = (
    (_CONTEXT_TEXT, _TOO_LONG),
    (_QUOTA_TEXT, _OUT_OF_QUOTA),
    (_NOT_FOUND_TEXT, _NO_MODEL),
)


def _by_status(status: int | None, facts: _Facts) -> tuple[type[LLMError], str] | None:
    """For a status that leaves no doubt; None for 400, 409, 413, 422 and 200, where the code decides."""
    match status:
        case 401:
            return AuthenticationError, "refused the key"
        case 402:
            return _OUT_OF_QUOTA
        case 403:
            if facts.moderated or facts.codes & _FILTER:
                return _FILTERED  # OpenRouter's moderation; the key is fine
            if facts.codes & _AUTH:
                return AuthenticationError, "refused the key"
            return PermissionDeniedError, "does not allow this key to do that"
        case 404:
            return _NO_MODEL
        case 408 | 504 | 524:
            return UpstreamTimeoutError, "gave up waiting"
        case 424 | 498 | 499:
            return UpstreamUnavailableError, "is overloaded or failing"
        case 429:
            return RateLimitedError, "asks to slow down"
        case 501:
            return InvalidRequestError, "does not support what was asked"
        case int() if status >= 500:
            return UpstreamUnavailableError, "is overloaded or failing"
        case _:
            return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(_text(item) for item in value[:20])
    return "" if value is None else str(value)[:_LONGEST_MESSAGE]


def _seconds(value: Any) -> float | None:
    return parse_duration_s(str(value)) if isinstance(value, str | int | float) and value is not True else None


def _retry_info_s(details: Any) -> float | None:
    if not isinstance(details, list):
        return None
    delays = [_seconds(item.get("retryDelay")) for item in details if isinstance(item, dict)]
    return next((delay for delay in delays if delay is not None), None)


# --- toward a client -----------------------------------------------------------------------------------------------


def encode_error(error: LLMError, *, request_id: str) -> dict[str, Any]:
    """Build OpenAI's error body. `code` is a string that clients switch on; the HTTP status is `error.status`.

    OpenAI has no place for `request_id` in it; the lane sends it as a header.
    """
    kind, code = _client_type_and_code(error)
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}


def _client_type_and_code(error: LLMError) -> tuple[str, str]:
    """OpenAI's `type` and `code`. The hub's own errors bring their code; a provider's key is not the client's fault."""
    match error:
        case ContextLengthExceededError():
            return "invalid_request_error", "context_length_exceeded"
        case ContentFilteredError():
            return "invalid_request_error", "content_filter"
        case InvalidRequestError() | UnsupportedFeatureError():
            return "invalid_request_error", error.code
        case RateLimitedError():
            return "rate_limit_error", "rate_limit_exceeded"
        case QuotaExceededError():
            return "insufficient_quota", "insufficient_quota"
        case _ if error.code == "insufficient_quota":  # the hub's own: a budget is spent
            return "insufficient_quota", error.code
        case _:
            return _TYPE_BY_STATUS.get(error.status, "api_error"), error.code


_TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
