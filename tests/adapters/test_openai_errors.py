"""Errors of OpenAI-shaped providers. Bodies are synthetic, after the vendors' error guides (2026-11-20)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters import errors
from adapters.errors import LLMError
from adapters.openai_errors import encode_error, parse_error
from adapters.retry_after import parse_duration_s, read_retry_after_s
from adapters.types import Target, WireResponse
from adapters.wire_json import dump_json

TARGET = Target(kind="openai", base_url="https://api.test/v1", provider="acme", model="m")


def classify(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> LLMError:
    raw = body if isinstance(body, bytes) else dump_json(body)
    return parse_error(WireResponse(status=status, headers=headers or {}, body=raw), TARGET)


def openai(message: str = "m", code: Any = None, kind: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "type": kind, **more}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, openai(code="invalid_api_key"), "AuthenticationError"),
        (402, openai(code=402), "QuotaExceededError"),
        (403, openai(), "PermissionDeniedError"),
        (403, openai(code=403, metadata={"flagged_input": "x", "reasons": ["violence"]}), "ContentFilteredError"),
        (404, openai(code="model_not_found"), "ModelNotFoundError"),
        (404, {"statusCode": 404, "message": "Resource not found"}, "ModelNotFoundError"),
        (400, openai(code="model_not_found", param="model"), "ModelNotFoundError"),
        (400, openai(code="context_length_exceeded"), "ContextLengthExceededError"),
        (400, openai("This model's maximum context length is 8 tokens"), "ContextLengthExceededError"),
        (400, openai(kind="exceed_context_size_error", code=400, n_ctx=4096), "ContextLengthExceededError"),
        (
            422,
            b"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
            "ContextLengthExceededError",
        ),
        (
            400,
            openai(code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
            "ContentFilteredError",
        ),
        (400, openai("Your credit balance is too low to access the API"), "QuotaExceededError"),
        (400, openai(code="tool_use_failed"), "UpstreamProtocolError"),
        (400, openai(code="unsupported_parameter", param="stop"), "InvalidRequestError"),
        (413, openai(code="rate_limit_exceeded"), "RateLimitedError"),
        (429, openai(code="rate_limit_exceeded"), "RateLimitedError"),
        (429, openai(code="insufficient_quota"), "QuotaExceededError"),
        (429, openai(code="project_spend_limit_exceeded"), "QuotaExceededError"),
        (429, openai(kind="exceeded_current_quota_error"), "QuotaExceededError"),
        (429, openai(code="1113"), "QuotaExceededError"),
        (429, openai(code="1302"), "RateLimitedError"),
        (429, openai(code="429"), "RateLimitedError"),
        (498, b"", "UpstreamUnavailableError"),
        (500, openai(kind="server_error"), "UpstreamUnavailableError"),
        (503, b"<html>upstream connect error</html>", "UpstreamUnavailableError"),
        (529, b"", "UpstreamUnavailableError"),
        (408, b"", "UpstreamTimeoutError"),
        (302, b"", "ConfigurationError"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "InvalidRequestError"),
        (400, {"error": ["Error in `inputs`: field required"]}, "InvalidRequestError"),
        (400, [openai(code=400)], "InvalidRequestError"),
        (400, b"\xff\xfe", "InvalidRequestError"),
        (400, b"[" * 200_000, "InvalidRequestError"),
        (400, {"error": {"message": {"deep": [1]}, "code": True, "param": 7}}, "InvalidRequestError"),
    ],
)
def test_classification(status: int, body: Any, expected: str) -> None:
    error = classify(status, body)
    assert type(error).__name__ == expected
    assert error.upstream_status == status


def test_text_decides_only_for_400_and_422() -> None:
    assert type(classify(500, openai("maximum context length"))) is errors.UpstreamUnavailableError


def test_the_upstreams_words_never_reach_our_message() -> None:
    error = classify(401, openai("Incorrect API key provided: sk-secret-123", code="invalid_api_key"))
    assert "sk-secret" not in str(error) and "sk-secret" not in repr(error)
    assert error.upstream_message == "Incorrect API key provided: sk-secret-123"
    assert "sk-secret" not in str(encode_error(error, request_id="r"))


@pytest.mark.parametrize(
    ("status", "headers", "code", "retryable"),
    [
        (429, {}, "rate_limit_exceeded", True),
        (429, {}, "insufficient_quota", False),
        (429, {"x-should-retry": "false"}, "rate_limit_exceeded", False),
        (500, {"x-should-retry": "false"}, None, False),
        (400, {"x-should-retry": "true"}, None, True),
        (409, {}, None, True),
        (400, {}, None, False),
    ],
)
def test_whether_to_try_again(status: int, headers: dict[str, str], code: str | None, retryable: bool) -> None:
    assert classify(status, openai(code=code), headers).retryable is retryable


NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, "", 30),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, "", 0),
        ({"retry-after-ms": "250", "retry-after": "1"}, "", 0.25),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "-5"}, "", 0),
        ({"retry-after": "1e300"}, "", 31 * 86400),
        ({"x-ratelimit-reset-requests": "1m26.4s", "x-ratelimit-remaining-requests": "0"}, "", 86.4),
        ({"x-ratelimit-reset-tokens": "26ms"}, "", 0.026),
        (
            {
                "x-ratelimit-reset-requests": "12h0m0s",
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-tokens": "6s",
                "x-ratelimit-remaining-tokens": "0",
            },
            "",
            6,
        ),
        ({"x-ratelimit-reset": str(int((NOW.timestamp() + 9) * 1000))}, "", 9),
        ({}, "Rate limit reached. Please try again in 7.66s. Visit", 7.66),
        ({}, "no hint", None),
    ],
)
def test_every_form_of_retry_after(headers: dict[str, str], text: str, seconds: float | None) -> None:
    found = read_retry_after_s(headers, text, now=NOW)
    assert found is None if seconds is None else found == pytest.approx(seconds)


def test_waits_inside_the_body() -> None:
    assert classify(503, {"error": "loading", "estimated_time": 20.0}).retry_after_s == 20
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]
    assert classify(429, openai(details=details)).retry_after_s == 34.4


@pytest.mark.parametrize("text", ["", "5x", "s", "1m 2s", "１s", "--1"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration_s(text) is None


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.InvalidRequestError("x", param="n"), "invalid_request_error", "invalid_request"),
        (errors.ContextLengthExceededError("x"), "invalid_request_error", "context_length_exceeded"),
        (errors.ContentFilteredError("x"), "invalid_request_error", "content_filter"),
        (errors.UnsupportedFeatureError("x"), "invalid_request_error", "unsupported_feature"),
        (errors.RateLimitedError("x"), "rate_limit_error", "rate_limit_exceeded"),
        (errors.QuotaExceededError("x"), "insufficient_quota", "insufficient_quota"),
        (errors.AuthenticationError("x"), "api_error", "upstream_authentication"),
        (errors.UpstreamTimeoutError("x"), "api_error", "upstream_timeout"),
    ],
)
def test_the_clients_error_body(error: LLMError, kind: str, code: str) -> None:
    assert encode_error(error, request_id="r") == {
        "error": {"message": "x", "type": kind, "param": error.param, "code": code}
    }
