"""What each documented error of each dialect becomes: the class, whether to try again, and how long to wait.

One row per error of the vendors' documents as of 2026-11-20; bodies are synthetic.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.create import codec_for
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
    UpstreamConnectionError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.kinds import profile_for
from adapters.types import Target, WireResponse

KEY = "sk-canary-0123456789"


def openai(code: Any, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": f"wrong: {KEY}", "type": kind, "code": code, **more}}


def anthropic(kind: str, code: str = "", text: str = f"wrong: {KEY}") -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind, "message": text}
    if code:
        error["details"] = {"error_code": code}
    return {"type": "error", "error": error, "request_id": "req_1"}


def gemini(code: int, status: str, text: str = f"wrong: {KEY}", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": text, "details": list(details)}}


PER_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}

# kind of provider, status, body, the class
ROWS: list[tuple[str, int, Any, type[LLMError]]] = [
    ("openai", 401, openai("invalid_api_key"), AuthenticationError),
    ("openai", 403, openai("unsupported_country_region_territory"), PermissionDeniedError),
    ("openai", 404, openai("model_not_found"), ModelNotFoundError),
    ("openai", 400, openai("model_not_found"), ModelNotFoundError),
    ("openai", 400, openai("unsupported_parameter", param="top_k"), InvalidRequestError),
    ("openai", 400, openai("context_length_exceeded"), ContextLengthExceededError),
    ("openai", 400, openai("content_policy_violation"), ContentFilteredError),
    ("openai", 400, openai("invalid_prompt"), ContentFilteredError),
    ("openai", 409, openai(None, "conflict"), InvalidRequestError),
    ("openai", 413, openai("request_too_large"), InvalidRequestError),
    ("openai", 429, openai("insufficient_quota", "insufficient_quota"), QuotaExceededError),
    ("openai", 429, openai("project_spend_limit_exceeded"), QuotaExceededError),
    ("openai", 429, openai("rate_limit_exceeded", "tokens"), RateLimitedError),
    ("openai", 500, openai(None, "server_error"), UpstreamUnavailableError),
    ("openai", 503, openai("server_is_overloaded", "server_error"), UpstreamUnavailableError),
    ("openai", 504, "<html>gateway timeout</html>", UpstreamConnectionError),
    ("openai", 520, "", UpstreamUnavailableError),
    ("azure_openai", 401, {"error": {"code": "401", "message": "Access denied"}}, AuthenticationError),
    ("azure_openai", 401, {"statusCode": 401, "message": "Unauthorized"}, AuthenticationError),
    ("azure_openai", 404, openai("DeploymentNotFound"), ModelNotFoundError),
    ("azure_openai", 429, openai("RateLimitReached"), RateLimitedError),
    (
        "azure_openai",
        400,
        openai("content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
        ContentFilteredError,
    ),
    ("azure_openai", 408, openai("Timeout"), UpstreamTimeoutError),
    ("azure_openai", 424, openai("FailedDependency"), UpstreamUnavailableError),
    ("openrouter", 401, {"error": {"code": 401, "message": "No cookie auth credentials found"}}, AuthenticationError),
    ("openrouter", 402, {"error": {"code": 402, "message": "Insufficient credits"}}, QuotaExceededError),
    (
        "openrouter",
        403,
        {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["x"], "flagged_input": "y"}}},
        ContentFilteredError,
    ),
    ("openrouter", 502, {"error": {"code": 502, "message": "bad"}}, UpstreamUnavailableError),
    ("groq", 498, openai("flex_capacity_exceeded"), UpstreamUnavailableError),
    ("groq", 400, openai("tool_use_failed"), UpstreamProtocolError),
    ("deepseek", 402, openai("invalid_request_error", "unknown_error"), QuotaExceededError),
    ("huggingface", 503, {"error": "Model is loading", "estimated_time": 20.5}, UpstreamUnavailableError),
    ("huggingface", 402, {"error": "You have exceeded your monthly credits"}, QuotaExceededError),
    (
        "vllm",
        400,
        {"object": "error", "message": "maximum context length is 8", "code": 400},
        ContextLengthExceededError,
    ),
    ("vllm", 401, {"error": "Unauthorized"}, AuthenticationError),
    (
        "llamacpp",
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        UpstreamUnavailableError,
    ),
    ("llamacpp", 400, openai(400, "exceed_context_size_error", n_ctx=512), ContextLengthExceededError),
    ("llamacpp", 501, openai(501, "not_supported_error"), InvalidRequestError),
    ("anthropic", 400, anthropic("invalid_request_error"), InvalidRequestError),
    (
        "anthropic",
        400,
        anthropic("invalid_request_error", text="prompt is too long: 9 tokens > 8 maximum"),
        ContextLengthExceededError,
    ),
    ("anthropic", 400, anthropic("invalid_request_error", text="Your credit balance is too low"), QuotaExceededError),
    ("anthropic", 400, anthropic("invalid_request_error", "organization_on_hold"), PermissionDeniedError),
    ("anthropic", 401, anthropic("authentication_error"), AuthenticationError),
    ("anthropic", 402, anthropic("billing_error"), QuotaExceededError),
    ("anthropic", 403, anthropic("permission_error"), PermissionDeniedError),
    ("anthropic", 404, anthropic("not_found_error", text="model: claude-x"), ModelNotFoundError),
    ("anthropic", 413, anthropic("request_too_large"), InvalidRequestError),
    ("anthropic", 429, anthropic("rate_limit_error"), RateLimitedError),
    ("anthropic", 429, anthropic("rate_limit_error", "enforced_spend_limit_reached"), QuotaExceededError),
    ("anthropic", 429, anthropic("rate_limit_error", "contract_spend_limit_reached"), QuotaExceededError),
    ("anthropic", 429, anthropic("rate_limit_error", "ramp_limit_exceeded"), RateLimitedError),
    ("anthropic", 500, anthropic("api_error"), UpstreamUnavailableError),
    ("anthropic", 504, anthropic("timeout_error"), UpstreamConnectionError),
    ("anthropic", 529, anthropic("overloaded_error"), UpstreamUnavailableError),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT"), InvalidRequestError),
    ("gemini", 400, gemini(400, "INVALID_ARGUMENT", "API key not valid", BAD_KEY), AuthenticationError),
    (
        "gemini",
        400,
        gemini(400, "INVALID_ARGUMENT", "input token count (9) exceeds the maximum"),
        ContextLengthExceededError,
    ),
    ("gemini", 402, gemini(402, "RESOURCE_EXHAUSTED"), QuotaExceededError),
    ("gemini", 403, gemini(403, "PERMISSION_DENIED"), PermissionDeniedError),
    ("gemini", 404, gemini(404, "NOT_FOUND"), ModelNotFoundError),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "later", RETRY_INFO), RateLimitedError),
    ("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "enough", PER_DAY, RETRY_INFO), QuotaExceededError),
    ("gemini", 500, gemini(500, "INTERNAL"), UpstreamUnavailableError),
    ("gemini", 503, gemini(503, "UNAVAILABLE"), UpstreamUnavailableError),
    ("gemini", 504, gemini(504, "DEADLINE_EXCEEDED"), UpstreamConnectionError),
    ("ollama", 400, {"error": "model does not support tools"}, InvalidRequestError),
    ("ollama", 404, {"error": "model 'x' not found"}, ModelNotFoundError),
    ("ollama", 429, {"error": "too many"}, RateLimitedError),
    ("ollama", 503, {"error": "server busy"}, UpstreamUnavailableError),
]
WAITABLE = (RateLimitedError, UpstreamUnavailableError, UpstreamConnectionError, UpstreamProtocolError)


def error_of(kind: str, status: int, body: Any, headers: dict[str, str] | None = None) -> LLMError:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    target = Target(kind=kind, base_url="https://api.test/v1", model="m", api_key=KEY, profile=profile_for(kind, "m"))
    return codec_for(kind).parse_error(WireResponse(status=status, headers=headers or {}, body=raw), target)


@pytest.mark.parametrize(
    ("kind", "status", "body", "expected"),
    ROWS,
    ids=[f"{kind}-{status}-{n}" for n, (kind, status, _, _) in enumerate(ROWS)],
)
def test_a_documented_error_has_its_class(kind: str, status: int, body: Any, expected: type[LLMError]) -> None:
    error = error_of(kind, status, body)
    assert isinstance(error, expected), repr(error)
    # 409 says of itself that another moment may do.
    assert error.retryable is (isinstance(error, WAITABLE) or status == 409)
    assert error.status != 401 and KEY not in str(error)  # the client's own token is fine, and no key is repeated


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "ollama"])
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
    ids=["seconds", "half-seconds", "date", "milliseconds", "nonsense", "none"],
)
def test_every_dialect_reads_how_long_to_wait(kind: str, headers: dict[str, str], wait_s: float | None) -> None:
    assert error_of(kind, 429, {"error": {"message": "slow"}}, headers).retry_after_s == wait_s


def test_a_wait_in_the_body_counts_where_no_header_says_one() -> None:
    assert error_of("gemini", 429, gemini(429, "RESOURCE_EXHAUSTED", "later", RETRY_INFO)).retry_after_s == 34.4
    assert (
        error_of("groq", 429, openai("rate_limit_exceeded", message="Please try again in 1m7.66s.")).retry_after_s
        == 67.66
    )
    assert error_of("huggingface", 503, {"error": "loading", "estimated_time": 20.5}).retry_after_s == 20.5


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "ollama"])
@pytest.mark.parametrize(("said", "retryable"), [("true", True), ("false", False)])
def test_x_should_retry_wins(kind: str, said: str, retryable: bool) -> None:
    status = 400 if retryable else 503
    assert error_of(kind, status, {"error": {"message": "x"}}, {"x-should-retry": said}).retryable is retryable
