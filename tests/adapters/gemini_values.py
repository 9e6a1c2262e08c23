"""Small Gemini requests and bodies, shared by the tests of its codec."""

from __future__ import annotations

import json
from typing import Any

from adapters.errors import (
    LLMError,
)
from adapters.gemini import GeminiCodec
from adapters.kinds import profile_for
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Message,
    Part,
    Target,
    TextPart,
    ToolCall,
    ToolDefinition,
    WireRequest,
    WireResponse,
)

CODEC = GeminiCodec()
BASE = "https://generativelanguage.googleapis.com/v1beta"
OLD, BUDGET, LEVEL = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-3.8-flash"
WEATHER = ToolDefinition(
    name="weather",
    description="tells it",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def target_for(model: str = LEVEL, **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "gemini", "auth_type": "api_key", "api_key": "test-key", "base_url": BASE}
    return Target(**settings | {"model": model, "profile": profile_for("gemini", model)} | changes)


def said(role: Any, *parts: Part | str, **fields: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(text=p) if isinstance(p, str) else p for p in parts), **fields)


HELLO = (said("user", "hi"),)


def build(request: ChatRequest, model: str = LEVEL, *, stream: bool = False, **changes: Any) -> WireRequest:
    return CODEC.build_request(request, target_for(model, **changes), stream=stream)


def body_of(request: ChatRequest, model: str = LEVEL, **changes: Any) -> dict[str, Any]:
    return json.loads(build(request, model, **changes).body)


def asked(model: str = LEVEL, **settings: Any) -> dict[str, Any]:
    return body_of(ChatRequest(messages=HELLO, **settings), model)


def turns(*messages: Message, model: str = LEVEL) -> list[dict[str, Any]]:
    return body_of(ChatRequest(messages=messages), model)["contents"]


def tool_call(name: str = "weather", id: str = "c1", signature: str | None = None, arguments: str = "{}") -> ToolCall:
    metadata = {"gemini": {"thought_signature": signature}} if signature else {}
    return ToolCall(id=id, name=name, arguments=arguments, provider_metadata=metadata)


def read(body: Any, model: str = LEVEL, status: int = 200) -> ChatResponse:
    response = WireResponse(status=status, headers={}, body=json.dumps(body).encode())
    return CODEC.parse_response(response, target_for(model))


def answer(*parts: Any, finish: Any = "STOP", **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}], **fields}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def error_of(status: int, body: Any, **headers: str) -> LLMError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CODEC.parse_error(WireResponse(status=status, headers=headers, body=raw), target_for())
