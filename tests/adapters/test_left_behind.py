"""What one vendor alone understands never disappears in silence on the way to another: it is named in the warnings."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.anthropic_client import AnthropicClientCodec
from adapters.base import ClientCodec
from adapters.create import codec_for, create_adapter
from adapters.kinds import KINDS, profile_for
from adapters.left_behind import warn_left_behind
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_responses_client import OpenAIResponsesClientCodec
from adapters.transport import Transport
from adapters.types import Target
from tests.upstream import Upstream, json_answer

MARK = {"type": "ephemeral"}
TOOL = {"name": "f", "description": "d"}
CHAT_TOOL = {"type": "function", "function": {**TOOL, "parameters": {"type": "object"}}}
ASKED: list[tuple[str, ClientCodec, dict[str, Any]]] = [
    (
        "x_mark",
        OpenAIChatClientCodec(),
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x_mark": 1}]}]},
    ),
    ("x_mark", OpenAIChatClientCodec(), {"messages": [{"role": "user", "content": "a", "x_mark": 1}]}),
    (
        "x_mark",
        OpenAIChatClientCodec(),
        {"messages": [{"role": "user", "content": "a"}], "tools": [{**CHAT_TOOL, "x_mark": 1}]},
    ),
    (
        "cache_control",
        AnthropicClientCodec(),
        {
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": MARK}]}],
        },
    ),
    (
        "cache_control",
        AnthropicClientCodec(),
        {
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "a"}],
            "tools": [{**TOOL, "input_schema": {"type": "object"}, "cache_control": MARK}],
        },
    ),
    (
        "context_management",
        AnthropicClientCodec(),
        {"max_tokens": 9, "messages": [{"role": "user", "content": "a"}], "context_management": {"edits": []}},
    ),
    ("prompt_cache_key", OpenAIResponsesClientCodec(), {"input": "a", "prompt_cache_key": "k"}),
]


def target_for(kind: str) -> Target:
    return Target(kind=kind, base_url="https://api.test/v1", model="m", api_key="k", profile=profile_for(kind, "m"))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"stub"}))
@pytest.mark.parametrize(("field", "client", "body"), ASKED, ids=[f"{n}-{case[0]}" for n, case in enumerate(ASKED)])
def test_a_hint_for_one_vendor_arrives_or_is_named(
    field: str, client: ClientCodec, body: dict[str, Any], kind: str
) -> None:
    request = client.parse_request(body).request
    target = target_for(kind)
    codec = codec_for(kind).for_request(request, target)
    arrived = f'"{field}"'.encode() in codec.build_request(request, target, stream=False).body
    named = any(field in warning for warning in warn_left_behind(request, codec.dialect))
    assert arrived != named


def test_a_cache_mark_of_an_openai_client_reaches_anthropic() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": MARK}]}
    body = {"messages": [message], "tools": [{**CHAT_TOOL, "cache_control": MARK}]}
    request = OpenAIChatClientCodec().parse_request(body).request
    wire = codec_for("anthropic").build_request(request, target_for("anthropic"), stream=False)
    assert wire.body.count(b'"cache_control":{"type":"ephemeral"}') == 2
    assert warn_left_behind(request, "anthropic.messages") == ()


def test_what_a_vendor_wrote_itself_stays_behind_without_a_word() -> None:
    answered = {
        "role": "assistant",
        "content": "a",
        "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s"}],
    }
    request = OpenAIChatClientCodec().parse_request({"messages": [answered]}).request
    assert warn_left_behind(request, "gemini.generate_content") == ()


async def test_an_adapter_tells_it_with_the_answer() -> None:
    request = ASKED[3][1].parse_request(ASKED[3][2]).request
    answer = {"id": "1", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}]}
    told = ("left out, the provider has no place for them: cache_control (anthropic)",)
    transport = Transport()
    try:
        with Upstream() as upstream:
            upstream.on("POST", "/v1/chat/completions", json_answer(answer))
            adapter = create_adapter(
                "openai_compatible", base_url=f"{upstream.base_url}/v1", model="m", transport=transport
            )
            assert (await adapter.complete(request))[0].warnings == told
            assert adapter.open_stream(request).warnings == told
    finally:
        await transport.aclose()
