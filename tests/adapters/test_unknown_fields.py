"""A field that nobody knows, put into every object of a request: it arrives at the provider or is refused by name.

What is passed over is named here: an answer's own fields that clients send back with it, and the sources of blobs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.anthropic_client import AnthropicClientCodec
from adapters.base import ClientCodec
from adapters.create import codec_for
from adapters.errors import InvalidRequestError, UnsupportedFeatureError
from adapters.kinds import KINDS, profile_for
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.openai_responses_client import OpenAIResponsesClientCodec
from adapters.types import Target

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object"}
CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}", "filename": "a"}},
            ],
        },
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    "stream_options": {"include_usage": True},
}
ANTHROPIC: dict[str, Any] = {
    "max_tokens": 99,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "21"}]},
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "f"},
    "metadata": {"user_id": "u"},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}
RESPONSES: dict[str, Any] = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "21"},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    "reasoning": {"effort": "low"},
}
PASSED_OVER = {
    "openai_compatible": ("messages.2.tool_calls.0", "messages.2.tool_calls.0.function"),
    "anthropic": ("messages.0.content.1.source", "messages.0.content.2.source"),
    "openai": ("input.0", "input.0.content.0", "input.2"),
}
CLIENTS: list[tuple[ClientCodec, dict[str, Any], str, str]] = [
    (OpenAIChatClientCodec(), CHAT, "openai_compatible", "gpt-4o"),
    (AnthropicClientCodec(), ANTHROPIC, "anthropic", "claude-sonnet-4-5"),
    (OpenAIResponsesClientCodec(), RESPONSES, "openai", "gpt-5.6-sol"),
]


def target_for(kind: str, model: str) -> Target:
    return Target(kind=kind, base_url="https://api.test/v1", model=model, api_key="k", profile=profile_for(kind, model))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every object of a request; a tool's schema and its input are the client's own and no place for fields."""
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            if inner is not SCHEMA and not (name == "input" and isinstance(inner, dict)):
                yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from places(inner, (*path, n))


@pytest.mark.parametrize(("client", "body", "kind", "model"), CLIENTS, ids=[kind for _, _, kind, _ in CLIENTS])
def test_an_unknown_field_arrives_or_is_refused_by_name(
    client: ClientCodec, body: dict[str, Any], kind: str, model: str
) -> None:
    codec = OpenAIResponsesCodec() if client.dialect == "openai.responses" else codec_for(kind)
    lost = []
    for path in places(body):
        asked = copy.deepcopy(body)
        place: Any = asked
        for step in path:
            place = place[step]
        place["x_probe"] = "PROBE"
        try:
            wire = codec.build_request(client.parse_request(asked).request, target_for(kind, model), stream=True)
        except InvalidRequestError as refused:
            assert "x_probe" in (refused.param or "")
            continue
        if b"PROBE" not in wire.body:
            lost.append(".".join(map(str, path)))
    assert tuple(lost) == PASSED_OVER[kind]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"stub"}))
@pytest.mark.parametrize("client", [client for client, _, _, _ in CLIENTS], ids=lambda client: client.dialect)
def test_an_unknown_wish_reaches_its_own_dialect_and_no_other(client: ClientCodec, kind: str) -> None:
    hello: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    if client.dialect == "openai.responses":
        hello = {"input": "hi"}
    request = client.parse_request({"x_probe": "PROBE", **hello}).request
    target = target_for(kind, "m")
    codec = codec_for(kind).for_request(request, target)
    if codec.dialect == client.dialect:
        assert b"PROBE" in codec.build_request(request, target, stream=False).body
    else:
        with pytest.raises(UnsupportedFeatureError, match="x_probe"):
            codec.build_request(request, target, stream=False)
