"""What we send to Anthropic: turns, blocks, tools, formats, thinking by family, sampling, headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import AnthropicCodec
from adapters.errors import ConfigurationError, UnsupportedFeatureError
from adapters.kinds import profile_for
from adapters.types import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCall,
    ToolDefinition,
    WireRequest,
)

CODEC = AnthropicCodec()
TOOL = ToolDefinition(name="add", description="adds", parameters={"type": "object", "properties": {"a": {}}})
NO_SYSTEM_TURNS, SYSTEM_TURNS = "claude-sonnet-4-5", "claude-opus-4-8"


def target_for(model: str = "claude-sonnet-4-5", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "anthropic", "base_url": "https://api.anthropic.com", "auth_type": "api_key"}
    settings |= {"model": model, "api_key": "sk-test", "profile": profile_for("anthropic", model)}
    return Target(**settings | changes)


def said(role: Any, *parts: Part | str, **fields: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(text=p) if isinstance(p, str) else p for p in parts), **fields)


HELLO = (said("user", "hi"),)


def build(request: ChatRequest, model: str = NO_SYSTEM_TURNS, **changes: Any) -> WireRequest:
    return CODEC.build_request(request, target_for(model, **changes), stream=False)


def body_of(request: ChatRequest, model: str = NO_SYSTEM_TURNS, **changes: Any) -> dict[str, Any]:
    return json.loads(build(request, model, **changes).body)


def asked(model: str = NO_SYSTEM_TURNS, **settings: Any) -> dict[str, Any]:
    return body_of(ChatRequest(messages=HELLO, **settings), model)


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


# --- address, headers, credentials ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base", ["https://api.anthropic.com", "https://api.anthropic.com/", "https://api.anthropic.com/v1"]
)
def test_the_base_url_is_taken_with_and_without_its_version(base: str) -> None:
    assert build(ChatRequest(messages=HELLO), base_url=base).url == "https://api.anthropic.com/v1/messages"


def test_a_compatible_servers_path_is_kept() -> None:
    built = build(ChatRequest(messages=HELLO), base_url="https://api.deepseek.com/anthropic")
    assert built.url == "https://api.deepseek.com/anthropic/v1/messages"


@pytest.mark.parametrize(
    ("auth_type", "expected"),
    [("api_key", {"x-api-key": "sk-test"}), ("bearer", {"authorization": "Bearer sk-test"}), ("none", {})],
)
def test_one_credential_is_sent_never_two(auth_type: Any, expected: dict[str, str]) -> None:
    headers = build(ChatRequest(messages=HELLO), auth_type=auth_type).headers
    assert {name: headers[name] for name in headers if name in ("x-api-key", "authorization")} == expected


def test_a_credential_among_the_custom_headers_stands_alone() -> None:
    headers = build(ChatRequest(messages=HELLO), headers={"Authorization": "Bearer own"}).headers
    assert "x-api-key" not in headers and headers["authorization"] == "Bearer own"


def test_version_and_betas_come_from_options_headers_and_the_client() -> None:
    assert build(ChatRequest(messages=HELLO)).headers["anthropic-version"] == "2023-06-01"
    request = ChatRequest(messages=HELLO, provider_metadata={"anthropic": {"betas": ["c", "a"]}})
    options = {"anthropic_version": "2026-10-21", "anthropic_beta": "a, b"}
    headers = build(request, options=options, headers={"Anthropic-Beta": "z"}).headers
    assert headers["anthropic-version"] == "2026-10-21"
    assert headers["anthropic-beta"] == "z,a,b,c"


def test_a_missing_base_url_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        build(ChatRequest(messages=HELLO), base_url="")


# --- turns ---------------------------------------------------------------------------------------------------------


def test_leading_system_messages_become_system_blocks() -> None:
    body = body_of(ChatRequest(messages=(said("system", "a"), said("system", "b"), *HELLO)))
    assert body["system"] == [text("a"), text("b")]
    assert body["messages"] == [{"role": "user", "content": [text("hi")]}]


def test_a_later_system_message_is_a_turn_only_where_the_model_has_them() -> None:
    request = ChatRequest(messages=(said("user", "a"), said("assistant", "b"), said("system", "c"), said("user", "d")))
    assert [turn["role"] for turn in body_of(request, SYSTEM_TURNS)["messages"]] == [
        "user",
        "assistant",
        "system",
        "user",
    ]
    marked = body_of(request, NO_SYSTEM_TURNS)["messages"]
    assert marked[2] == {"role": "user", "content": [text("<system>c</system>"), text("d")]}


def test_a_system_message_between_a_call_and_its_result_waits_behind_the_result() -> None:
    request = ChatRequest(
        messages=(
            said("user", "a"),
            said("assistant", ToolCall(id="c1", name="add", arguments="{}")),
            said("system", "note"),
            said("tool", "5", tool_call_id="c1"),
        )
    )
    last = body_of(request, SYSTEM_TURNS)["messages"][-1]
    assert last == {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "5"}, text("<system>note</system>")],
    }


def test_neighbours_of_one_role_are_merged_and_empty_text_is_left_out() -> None:
    request = ChatRequest(messages=(said("user", "a", ""), said("assistant", ""), said("user", "b")))
    assert body_of(request)["messages"] == [{"role": "user", "content": [text("a"), text("b")]}]


def test_all_results_come_first_in_the_turn_after_the_calls() -> None:
    request = ChatRequest(
        messages=(
            said("user", "go"),
            said(
                "assistant",
                "ok",
                ToolCall(id="x", name="add", arguments='{"a":1}'),
                ToolCall(id="y", name="add", arguments=""),
            ),
            said("tool", "1", tool_call_id="x"),
            said("user", "and?"),
            said("tool", "2", tool_call_id="y", is_error=True),
        )
    )
    assert body_of(request)["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                text("ok"),
                {"type": "tool_use", "id": "x", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "y", "name": "add", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "x", "content": "1"},
                {"type": "tool_result", "tool_use_id": "y", "content": "2", "is_error": True},
                text("and?"),
            ],
        },
    ]


def test_ids_anthropic_refuses_are_rewritten_alike_in_call_and_result_and_stay_apart() -> None:
    request = ChatRequest(
        messages=(
            said("assistant", *(ToolCall(id=i, name="add", arguments="{}") for i in ("a.b", "a:b"))),
            said("tool", "1", tool_call_id="a.b"),
            said("tool", "2", tool_call_id="a:b"),
        )
    )
    calls, results = (turn["content"] for turn in body_of(request)["messages"])
    ids = [call["id"] for call in calls]
    assert ids == [result["tool_use_id"] for result in results]
    assert len(set(ids)) == 2 and all(i.replace("_", "").isalnum() for i in ids)


def test_arguments_that_are_no_object_are_wrapped() -> None:
    request = ChatRequest(messages=(said("assistant", ToolCall(id="a", name="add", arguments='{"a": 1')),))
    assert body_of(request)["messages"][0]["content"][0]["input"] == {"_raw": '{"a": 1'}


# --- parts ---------------------------------------------------------------------------------------------------------


def test_images_and_documents() -> None:
    message = said(
        "user",
        ImagePart(media_type="image/png", data=b"png"),
        ImagePart(url="https://example.test/a.jpg", detail="low"),
        FilePart(media_type="application/pdf", data=b"%PDF", filename="a.pdf"),
        FilePart(media_type="text/markdown; charset=utf-8", data="é".encode()),
        FilePart(url="https://example.test/b.pdf", provider_metadata={"anthropic": {"citations": {"enabled": True}}}),
    )
    content = body_of(ChatRequest(messages=(message,)))["messages"][0]["content"]
    assert content == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.test/a.jpg"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
        {
            "type": "document",
            "source": {"type": "url", "url": "https://example.test/b.pdf"},
            "citations": {"enabled": True},
        },
    ]


def test_an_uploaded_file_brings_its_beta() -> None:
    built = build(ChatRequest(messages=(said("user", FilePart(file_id="file_1")),)))
    assert json.loads(built.body)["messages"][0]["content"][0]["source"] == {"type": "file", "file_id": "file_1"}
    assert "files-api" in built.headers["anthropic-beta"]


@pytest.mark.parametrize(
    "part",
    [
        AudioPart(data=b"", format="wav"),
        ImagePart(media_type="image/tiff", data=b"x"),
        FilePart(media_type="application/zip", data=b"x"),
        FilePart(media_type="text/plain", data=b"\xff\xfe"),
    ],
)
def test_parts_without_a_block_are_refused(part: Part) -> None:
    with pytest.raises(UnsupportedFeatureError) as raised:
        build(ChatRequest(messages=(said("user", part),)))
    assert raised.value.param == "messages"


def test_an_image_in_the_assistants_turn_is_refused() -> None:
    with pytest.raises(UnsupportedFeatureError):
        build(ChatRequest(messages=(said("assistant", ImagePart(url="https://example.test/a.png")),)))


def test_signed_and_redacted_thinking_goes_back_verbatim_and_others_not_at_all() -> None:
    message = said(
        "assistant",
        ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": "SIG=="}}),
        ReasoningPart(text="", provider_metadata={"anthropic": {"redacted_data": "ENC"}}),
        ReasoningPart(text="theirs", provider_metadata={"gemini": {"signature": "G"}}),
        ReasoningPart(text="empty", provider_metadata={"anthropic": {"signature": ""}}),
        RefusalPart(text="no"),
    )
    request = ChatRequest(messages=(*HELLO, message))
    own = [
        {"type": "thinking", "thinking": "hm", "signature": "SIG=="},
        {"type": "redacted_thinking", "data": "ENC"},
    ]
    assert body_of(request)["messages"][1]["content"] == [*own, text("no")]
    # Compatible servers sign with an empty string and want it back.
    compatible = body_of(request, kind="anthropic_compat")["messages"][1]["content"]
    assert compatible == [*own, {"type": "thinking", "thinking": "empty", "signature": ""}, text("no")]


def test_cache_marks_are_put_where_they_were() -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    kept = {"anthropic": mark}
    request = ChatRequest(
        messages=(
            Message(role="system", parts=(TextPart(text="s", provider_metadata=kept),)),
            said("user", "a", "b", provider_metadata=kept),
            said("assistant", ToolCall(id="c", name="add", arguments="{}")),
            said("tool", "5", tool_call_id="c", provider_metadata=kept),
        ),
        tools=(ToolDefinition(name="add", provider_metadata=kept),),
        provider_metadata=kept,
    )
    body = body_of(request)
    assert body["system"] == [text("s") | mark]
    assert body["messages"][0]["content"] == [text("a"), text("b") | mark]
    assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": "5"} | mark]
    assert body["tools"] == [{"name": "add", "input_schema": {"type": "object", "properties": {}}} | mark]
    assert body["cache_control"] == mark["cache_control"]
