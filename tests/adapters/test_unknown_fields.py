"""A field that nobody knows, put into every object of a request: it arrives at the provider or is refused by name.

And what vendors document, or send themselves in an answer that comes back with the next turn, is never refused.
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
from adapters.wire_json import dump_json

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
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
            "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "free"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
        {"role": "tool", "tool_call_id": "d", "content": "x"},
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": "x"},
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
                {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
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
        {"role": "developer", "content": [{"type": "input_text", "text": "s"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                {"type": "input_image", "image_url": "https://example.org/a.png"},
                {"type": "input_image", "file_id": "file_1"},
                {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
                {"type": "input_file", "file_data": f"data:application/pdf;base64,{PNG}", "filename": "a"},
                {"type": "input_file", "file_data": PNG},
                {"type": "input_file", "file_url": "https://example.org/a.pdf"},
                {"type": "input_file", "file_id": "file_2"},
            ],
        },
        {"role": "user", "content": [{"type": "input_text", "text": "one text alone"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "21"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "free"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "x"}]},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    "reasoning": {"effort": "low"},
}
# Every field of the vendors' documents beside those above, and what their SDKs and others' send back with an answer.
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
USUAL_CHAT: dict[str, Any] = {
    "messages": [
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a", "cache_control": EPHEMERAL}]},
        {
            "role": "assistant",
            "content": "a",
            "refusal": None,
            "audio": None,
            "annotations": [],
            "parsed": {"a": 1},
            "provider_specific_fields": {"x": 1},
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "index": 0,
                    "provider_specific_fields": None,
                    "extra_content": {"google": {"thought_signature": "t"}},
                    "function": {
                        "name": "f",
                        "arguments": "{}",
                        "parsed_arguments": {},
                        "provider_specific_fields": {"thought_signature": "t"},
                    },
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c", "name": "f", "content": "x", "cache_control": EPHEMERAL},
    ]
}
USUAL_ANTHROPIC: dict[str, Any] = {
    "max_tokens": 9,
    "system": [{"type": "text", "text": "s", "cache_control": EPHEMERAL}],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "title": "t",
                    "context": "c",
                    "citations": {"enabled": True},
                    "cache_control": EPHEMERAL,
                    "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                },
                {"type": "text", "text": "a", "cache_control": EPHEMERAL, "citations": None},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
                {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "is_error": False,
                    "content": "x",
                    "cache_control": EPHEMERAL,
                }
            ],
        },
    ],
}
BREAKPOINT = {"type": "breakpoint"}
USUAL_RESPONSES: dict[str, Any] = {
    "input": [
        {
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [
                {"type": "input_text", "text": "a", "prompt_cache_breakpoint": BREAKPOINT},
                {"type": "input_image", "file_id": "file_1", "detail": "low", "prompt_cache_breakpoint": BREAKPOINT},
                {"type": "input_file", "file_id": "file_2", "detail": "high", "prompt_cache_breakpoint": BREAKPOINT},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": [], "parsed": None}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c",
            "name": "f",
            "namespace": "n",
            "caller": {"type": "direct"},
            "status": "completed",
            "arguments": "{}",
        },
        {
            "type": "function_call_output",
            "id": "fco_1",
            "call_id": "c",
            "name": "f",
            "namespace": "n",
            "caller": {"type": "direct"},
            "status": "completed",
            "output": [{"type": "input_text", "text": "x"}],
        },
    ]
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
    assert lost == []


@pytest.mark.parametrize(
    ("client", "body", "kind", "model"),
    [
        (client, usual, kind, model)
        for (client, _, kind, model), usual in zip(CLIENTS, (USUAL_CHAT, USUAL_ANTHROPIC, USUAL_RESPONSES), strict=True)
    ],
    ids=[kind for _, _, kind, _ in CLIENTS],
)
def test_what_vendors_document_and_sdks_send_back_is_taken(
    client: ClientCodec, body: dict[str, Any], kind: str, model: str
) -> None:
    codec = OpenAIResponsesCodec() if client.dialect == "openai.responses" else codec_for(kind)
    wire = codec.build_request(client.parse_request(body).request, target_for(kind, model), stream=True)
    for marked in (b'"cache_control"', b'"prompt_cache_breakpoint"', b'"detail":"low"', b'"namespace"', b'"citations"'):
        assert wire.body.count(marked) == dump_json(body).count(marked) - (body is USUAL_ANTHROPIC) * (
            marked == b'"citations"'  # one of them is null
        )
    for dropped in (b"parsed", b"provider_specific_fields", b"logprobs", b'"index"'):
        assert dropped not in wire.body


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
