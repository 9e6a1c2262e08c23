"""Recorded Anthropic traffic through the codec: answers, streams in every split, errors, and the requests rebuilt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import AnthropicCodec
from adapters.anthropic_client import AnthropicClientCodec
from adapters.errors import UpstreamUnavailableError
from adapters.kinds import profile_for
from adapters.types import Target, TextPart, ToolCall, WireResponse
from tests.adapters.replay import assembled, assert_splits_agree, decode, finished, last_usage, recordings, text_of

CODEC = AnthropicCodec()


def is_stream(recording: dict[str, Any]) -> bool:
    return recording["status"] == 200 and recording["response_body"].lstrip().startswith("event:")


def target_for(model: str = "claude-sonnet-4-5", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "anthropic", "base_url": "https://api.anthropic.com", "auth_type": "api_key"}
    settings |= {"model": model, "api_key": "sk-test", "profile": profile_for("anthropic", model)}
    return Target(**settings | changes)


def events_of(body: str) -> list[dict[str, Any]]:
    lines = (line[5:] for line in body.split("\n") if line.startswith("data:"))
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("recording", recordings("anthropic", is_stream))
def test_every_split_of_a_recorded_stream_gives_the_same_answer(recording: dict[str, Any]) -> None:
    body = recording["response_body"]
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body.encode())
    wire = events_of(body)
    texts = [e["delta"]["text"] for e in wire if e.get("delta", {}).get("type") == "text_delta"]
    assert text_of(events) == "".join(texts)
    stop = [e["delta"]["stop_reason"] for e in wire if e["type"] == "message_delta"]
    assert finished(events).raw_reason == (stop[-1] if stop else None)
    calls = [e["content_block"]["name"] for e in wire if e.get("content_block", {}).get("type") == "tool_use"]
    assert [part.name for part in assembled(events) if isinstance(part, ToolCall)] == calls
    usage = last_usage(events)
    assert usage.output_tokens == [e["usage"]["output_tokens"] for e in wire if e["type"] == "message_delta"][-1]


@pytest.mark.parametrize("recording", recordings("anthropic", is_stream))
def test_our_own_stream_of_a_recorded_answer_reads_back_the_same(recording: dict[str, Any]) -> None:
    events, _ = decode(CODEC.stream_decoder(target_for()), [recording["response_body"].encode()])
    encoder = AnthropicClientCodec().stream_encoder(request_id="req_1", model="alias", include_usage=True)
    written = b"".join(encoder.encode(event) for event in events) + encoder.finish()
    again, error = decode(CODEC.stream_decoder(target_for()), [written])
    assert error is None
    assert assembled(again) == assembled(events)
    assert finished(again) == finished(events)
    assert last_usage(again).input_tokens == last_usage(events).input_tokens
    assert last_usage(again).output_tokens == last_usage(events).output_tokens


def is_answer(recording: dict[str, Any]) -> bool:
    return recording["status"] == 200 and not is_stream(recording) and "count_tokens" not in recording["path"]


@pytest.mark.parametrize("recording", recordings("anthropic", is_answer))
def test_a_recorded_answer_is_read_whole(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    response = WireResponse(status=200, headers={}, body=recording["response_body"].encode())
    answer = CODEC.parse_response(response, target_for())
    assert answer.text == "".join(block["text"] for block in body["content"] if block["type"] == "text")
    assert [(c.id, json.loads(c.arguments)) for c in answer.tool_calls] == [
        (block["id"], block["input"]) for block in body["content"] if block["type"] == "tool_use"
    ]
    usage = body["usage"]
    cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
    assert answer.usage.input_tokens == usage["input_tokens"] + cached
    assert answer.model == body["model"]
    encoded = AnthropicClientCodec().encode_response(answer, request_id="req_1", model=body["model"])
    kept = [{k: v for k, v in block.items() if v is not None} for block in body["content"]]
    assert encoded["content"] == [block for block in kept if block.get("text") != ""]
    assert encoded["stop_reason"] == body["stop_reason"]
    assert encoded["usage"]["input_tokens"] == usage["input_tokens"]


@pytest.mark.parametrize("recording", recordings("anthropic", lambda r: "count_tokens" in r["path"]))
def test_a_recorded_count_is_read_and_asked_for_alike(recording: dict[str, Any]) -> None:
    response = WireResponse(status=200, headers={}, body=recording["response_body"].encode())
    assert CODEC.parse_count_tokens(response, target_for()) == json.loads(recording["response_body"])["input_tokens"]
    sent = recording["request_body"]
    client = AnthropicClientCodec().parse_request(sent, counting=True)
    built = CODEC.build_count_tokens(client.request, target_for(sent["model"]))
    assert built.url.endswith("/v1/messages/count_tokens")
    assert normal(json.loads(built.body)) == normal(sent)


@pytest.mark.parametrize("recording", recordings("anthropic", lambda r: r["status"] >= 400))
def test_a_recorded_error_is_classified(recording: dict[str, Any]) -> None:
    headers = recording["response_headers"]
    response = WireResponse(status=recording["status"], headers=headers, body=recording["response_body"].encode())
    error = CODEC.parse_error(response, target_for())
    expected = {401: "upstream_authentication", 404: "upstream_model_not_found"}[recording["status"]]
    assert (error.code, error.retryable) == (expected, False)
    assert error.upstream_request_id == headers.get("request-id")
    assert "x-api-key" not in str(error) and "there-is-no-such-model" not in str(error)


DOCUMENTED = {
    "error_400_credit_balance": "upstream_quota_exceeded",
    "error_400_prompt_too_long": "context_length_exceeded",
    "error_402_billing": "upstream_quota_exceeded",
    "error_413_too_large": "invalid_request",
    "error_429_rate_limit": "upstream_rate_limited",
}


@pytest.mark.parametrize("recording", recordings("documented/anthropic"))
def test_a_documented_error_is_classified(recording: dict[str, Any], request: pytest.FixtureRequest) -> None:
    body = recording["response_body"].encode()
    if recording["status"] == 200:
        decoder = CODEC.stream_decoder(target_for())
        assert text_of(decoder.feed(body))
        with pytest.raises(UpstreamUnavailableError) as raised:
            decoder.close()
        assert (raised.value.upstream_code, raised.value.upstream_status) == ("overloaded_error", 529)
        assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
        return
    response = WireResponse(status=recording["status"], headers=recording["response_headers"], body=body)
    found = CODEC.parse_error(response, target_for())
    assert found.code == DOCUMENTED[request.node.callspec.id]
    if recording["status"] == 429:
        assert (found.retry_after_s, found.retryable) == (17.0, True)


# --- what we would have sent ---------------------------------------------------------------------------------------


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """One form for what the API reads alike: strings as text blocks, neighbours merged, defaults left out."""

    def blocks(content: Any) -> list[Any]:
        found = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kept = [{k: v for k, v in b.items() if not (k == "is_error" and v is False)} for b in found]
        return [b | ({"content": blocks(b["content"])} if b["type"] == "tool_result" else {}) for b in kept]

    turns: list[dict[str, Any]] = []
    for turn in body["messages"]:
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += blocks(turn["content"])
        else:
            turns.append({"role": turn["role"], "content": blocks(turn["content"])})
    result = {k: v for k, v in body.items() if k != "stream"} | {"messages": turns}
    if "system" in body:
        result["system"] = blocks(body["system"])
    if "tools" in body:
        result["tools"] = sorted(body["tools"], key=lambda tool: tool["name"])
    return result


def has_request(recording: dict[str, Any]) -> bool:
    return recording.get("path", "").split("?")[0] == "/v1/messages" and bool(recording.get("request_body"))


@pytest.mark.parametrize("recording", recordings("anthropic", has_request))
def test_the_request_of_a_recording_is_rebuilt_as_it_was_sent(recording: dict[str, Any]) -> None:
    sent = recording["request_body"]
    client = AnthropicClientCodec().parse_request(sent)
    assert client.model == sent["model"]
    built = CODEC.build_request(client.request, target_for(client.model), stream=client.stream)
    assert built.stream is sent.get("stream", False)
    assert normal(json.loads(built.body)) == normal(sent)
    assert built.warnings == ()


def test_a_server_tools_block_stays_whole_between_parts() -> None:
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    body = {"content": [block, {"type": "text", "text": "found"}], "stop_reason": "pause_turn", "usage": {}}
    response = WireResponse(status=200, headers={}, body=json.dumps(body).encode())
    answer = CODEC.parse_response(response, target_for())
    assert answer.tool_calls == ()
    assert (answer.text, answer.finish_reason) == ("found", "stop")
    kept = answer.parts[0]
    assert isinstance(kept, TextPart) and kept.provider_metadata["anthropic"]["block"] == block
