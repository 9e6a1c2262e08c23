"""The one tree of errors that calls to a model can end in. Knows nothing of HTTP frameworks.

    LLMError
    ├─ ConfigurationError           a bad row or mapping: no key, bad URL, unknown kind
    ├─ UnsupportedFeatureError      the provider's dialect or the model's profile can't carry what was asked
    ├─ EgressDeniedError            the address may not be called
    ├─ UpstreamConnectionError      DNS, TLS, refused, reset                                     retryable
    │   └─ UpstreamTimeoutError     connect, first byte, idle or total deadline; 408, 504, 524   retryable
    ├─ UpstreamStatusError          the provider answered with an error
    │   ├─ AuthenticationError      401
    │   ├─ PermissionDeniedError    403
    │   ├─ ModelNotFoundError       404
    │   ├─ QuotaExceededError       402, or 429 that says the money is gone: waiting will not help
    │   ├─ InvalidRequestError      400, 404, 409, 413, 422
    │   │   ├─ ContextLengthExceededError
    │   │   └─ ContentFilteredError
    │   ├─ RateLimitedError         429                                                          retryable
    │   └─ UpstreamUnavailableError 5xx, 529                                                     retryable
    └─ UpstreamProtocolError        a body that can't be read, an error inside a 200, a stream cut short
                                                                                     retryable before the first byte

`str(error)` is ours: it never holds an upstream's text (a provider may echo the key). What the provider said is in
`upstream_message`, for the log after redaction and for the owner of the credential.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "ContentFilteredError",
    "ContextLengthExceededError",
    "EgressDeniedError",
    "InvalidRequestError",
    "LLMError",
    "ModelNotFoundError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "RateLimitedError",
    "UnsupportedFeatureError",
    "UpstreamConnectionError",
    "UpstreamProtocolError",
    "UpstreamStatusError",
    "UpstreamTimeoutError",
    "UpstreamUnavailableError",
]


class LLMError(Exception):
    """Base of all. `retryable` says whether the same call may succeed later or elsewhere."""

    retryable = False
    code = "llm_error"  # stable, for clients and usage rows
    status = 502  # what the hub answers to its own client

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        upstream_status: int | None = None,
        upstream_code: str | None = None,
        upstream_message: str | None = None,
        upstream_request_id: str | None = None,
        retry_after_s: float | None = None,
        param: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.upstream_status = upstream_status
        self.upstream_code = upstream_code
        self.upstream_message = upstream_message
        self.upstream_request_id = upstream_request_id
        self.retry_after_s = retry_after_s
        self.param = param
        if retryable is not None:
            self.retryable = retryable

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, provider={self.provider!r}, model={self.model!r})"


class ConfigurationError(LLMError):
    code = "configuration_error"
    status = 400


class UnsupportedFeatureError(LLMError):
    code = "unsupported_feature"
    status = 400


class EgressDeniedError(LLMError):
    code = "endpoint_not_allowed"
    status = 502


class UpstreamConnectionError(LLMError):
    retryable = True
    code = "upstream_unreachable"
    status = 502


class UpstreamTimeoutError(UpstreamConnectionError):
    code = "upstream_timeout"
    status = 504


class UpstreamStatusError(LLMError):
    code = "upstream_error"
    status = 502


class AuthenticationError(UpstreamStatusError):
    code = "upstream_authentication"


class PermissionDeniedError(UpstreamStatusError):
    code = "upstream_permission_denied"


class ModelNotFoundError(UpstreamStatusError):
    code = "upstream_model_not_found"


class QuotaExceededError(UpstreamStatusError):
    code = "upstream_quota_exceeded"


class InvalidRequestError(UpstreamStatusError):
    code = "invalid_request"
    status = 400


class ContextLengthExceededError(InvalidRequestError):
    code = "context_length_exceeded"


class ContentFilteredError(InvalidRequestError):
    code = "content_filter"


class RateLimitedError(UpstreamStatusError):
    retryable = True
    code = "upstream_rate_limited"
    status = 429


class UpstreamUnavailableError(UpstreamStatusError):
    retryable = True
    code = "upstream_unavailable"
    status = 502


class UpstreamProtocolError(LLMError):
    retryable = True
    code = "upstream_protocol_error"
    status = 502
