"""Small Responses requests, items and events, shared by the tests of its codec."""

from __future__ import annotations

import json
from typing import Any

from adapters.kinds import profile_for
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Message,
    Part,
    Target,
    TextPart,
    ToolDefinition,
    WireResponse,
)

CODEC = OpenAIResponsesCodec()
TOOL = ToolDefinition(name="weather", parameters={"type": "object", "properties": {}})


def target_for(model: str = "gpt-5.6-sol", kind: str = "openai", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": kind, "base_url": "https://api.openai.com/v1", "api_key": "sk-test"}
    return Target(**settings | {"model": model, "profile": profile_for(kind, model)} | changes)


def said(role: Any, *parts: Part | str, **fields: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(text=p) if isinstance(p, str) else p for p in parts), **fields)


HELLO = (said("user", "hi"),)


def body_of(request: ChatRequest, model: str = "gpt-5.6-sol", *, stream: bool = False) -> dict[str, Any]:
    return json.loads(CODEC.build_request(request, target_for(model), stream=stream).body)


def asked(model: str = "gpt-5.6-sol", **settings: Any) -> dict[str, Any]:
    return body_of(ChatRequest(messages=HELLO, **settings), model)


def items(*messages: Message) -> list[dict[str, Any]]:
    return body_of(ChatRequest(messages=messages))["input"]


def read(*output: Any, **fields: Any) -> ChatResponse:
    body = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": list(output), **fields}
    return CODEC.parse_response(WireResponse(status=200, headers={}, body=json.dumps(body).encode()), target_for())


def message(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(content), **fields}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": value, "annotations": [], **fields}


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
SECRET = REASONING | {"encrypted_content": "gAAA"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"a":1}'}


def sse(*events: dict[str, Any], names: bool = True) -> bytes:
    lines = [(f"event: {event['type']}\n" if names else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join(lines).encode()


def ev(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def ended(*output: Any, status: str = "completed", **fields: Any) -> dict[str, Any]:
    return ev(status, response={"id": "r", "model": "m", "status": status, "output": list(output), **fields})


CREATED = ev("created", response={"id": "r", "model": "m", "created_at": 5})
