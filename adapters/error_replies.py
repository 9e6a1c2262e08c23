"""What every provider's error reply shares: the class that a status means, how to word it, the request's id.

Knows no dialect: a codec reads its own body first and comes here for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapters.errors import (
    AuthenticationError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.retry_after import read_retry_after_s
from adapters.types import Target

__all__ = ["class_for_status", "reply_error", "request_id", "should_retry"]

_CLASSES: Mapping[int, type[LLMError]] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: UpstreamTimeoutError,
    429: RateLimitedError,
    504: UpstreamTimeoutError,
    524: UpstreamTimeoutError,  # Cloudflare
}
_WORDS: Mapping[type[LLMError], str] = {
    AuthenticationError: "did not accept the key",
    QuotaExceededError: "says that the account's quota or credit is used up",
    PermissionDeniedError: "denied access",
    ModelNotFoundError: "does not know the model",
    RateLimitedError: "is limiting the rate of requests",
    UpstreamUnavailableError: "can't answer now",
    UpstreamTimeoutError: "gave up waiting",
}


def class_for_status(status: int) -> type[LLMError]:
    """The error that a status means when the body says nothing better."""
    if status in _CLASSES:
        return _CLASSES[status]
    return UpstreamUnavailableError if status >= 500 else InvalidRequestError


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """What `x-should-retry` says (Anthropic, OpenAI); None when it says nothing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


def request_id(headers: Mapping[str, str]) -> str | None:
    return headers.get("request-id") or headers.get("x-request-id")


def reply_error(
    error_class: type[LLMError],
    target: Target,
    *,
    status: int,
    headers: Mapping[str, str],
    code: str | None,
    upstream_message: str | None,
    words: str | None = None,
    retryable: bool | None = None,
) -> LLMError:
    """Build the error with a message of ours; the provider's words go to `upstream_message` alone."""
    says = words or _WORDS.get(error_class, "refused the request")
    named = should_retry(headers)
    return error_class(
        f"{target.provider or target.kind} {says} (HTTP {status})",
        provider=target.provider,
        model=target.model,
        upstream_status=status,
        upstream_code=code,
        upstream_message=upstream_message,
        upstream_request_id=request_id(headers),
        retry_after_s=read_retry_after_s(headers),
        retryable=retryable if named is None else named,
    )
