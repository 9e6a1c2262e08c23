"""Recorded Responses traffic of five providers through the codec: answers, streams in every split, errors, requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import LLMError, QuotaExceededError
from adapters.kinds import profile_for
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.openai_responses_items import DIALECT, read_item
from adapters.types import (
    ChatRequest,
    FilePart,
    Finished,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolDefinition,
    WireResponse,
)
from tests.adapters.replay import (
    assert_splits_agree,
    calls_of,
    decode,
    finished,
    last_usage,
    reasoning_of,
    recordings,
    text_of,
)

CODEC = OpenAIResponsesCodec()
FOLDERS = ("openai_responses", "azure", "deepseek", "openrouter", "openai_compatible/lmstudio")


def target_for(model: str = "gpt-5.6-sol", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "openai", "base_url": "https://api.openai.com/v1", "api_key": "sk-test"}
    return Target(**settings | {"model": model, "profile": profile_for("openai", model)} | changes)


def of(recording: dict[str, Any]) -> WireResponse:
    headers = recording.get("response_headers") or {}
    return WireResponse(status=recording["status"], headers=headers, body=recording["response_body"].encode())


def from_folders(keep: Any) -> list[Any]:
    return [parameter for folder in FOLDERS for parameter in recordings(folder, keep)]


def is_response(recording: dict[str, Any]) -> bool:
    path = (recording.get("path") or "").split("?")[0]
    is_chat = "chat.completion" in recording["response_body"]  # two fixtures under a path that is not theirs
    return path.endswith("/responses") and recording["status"] == 200 and not is_chat


def is_stream(recording: dict[str, Any]) -> bool:
    return is_response(recording) and recording["response_body"].lstrip()[:1] != "{"


def is_answer(recording: dict[str, Any]) -> bool:
    return is_response(recording) and not is_stream(recording)


def events_in(body: str) -> list[dict[str, Any]]:
    lines = (line[5:].strip() for line in body.split("\n") if line.startswith("data:"))
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("recording", from_folders(is_stream))
def test_every_split_of_a_recorded_stream_gives_the_same_answer(recording: dict[str, Any]) -> None:
    body = recording["response_body"]
    last = events_in(body)[-1]
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body.encode())
    if last["type"] == "response.failed":
        assert not any(isinstance(event, Finished) for event in events)
        return
    # The stream and the whole answer that it ends with must tell the same.
    whole = CODEC.parse_response(
        WireResponse(status=200, headers={}, body=json.dumps(last["response"]).encode()), target_for()
    )
    assert text_of(events) == whole.text
    thoughts = [part.text for part in whole.parts if isinstance(part, ReasoningPart)]
    assert reasoning_of(events) == "".join(thoughts)
    assert calls_of(events) == [(call.name, call.arguments) for call in whole.tool_calls]
    assert finished(events).reason == whole.finish_reason
    if last["response"].get("usage"):
        assert last_usage(events) == whole.usage


@pytest.mark.parametrize("recording", from_folders(is_stream))
def test_a_recorded_stream_cut_short_is_an_error(recording: dict[str, Any]) -> None:
    body = recording["response_body"].encode()
    cut = max(body.rfind(kind) for kind in (b"response.completed", b"response.incomplete", b"response.failed"))
    _, error = decode(CODEC.stream_decoder(target_for()), [body[: cut - 60]])
    assert isinstance(error, LLMError)


def can_be_read(item: dict[str, Any]) -> bool:
    return bool(item.get("encrypted_content") or item.get("content"))


@pytest.mark.parametrize("recording", from_folders(is_answer))
def test_a_recorded_answer_is_read_whole(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    answer = CODEC.parse_response(of(recording), target_for())
    messages = [item for item in body["output"] if item["type"] == "message"]
    pieces = [piece for item in messages for piece in item["content"]]
    assert answer.text == "".join(piece.get("text", "") for piece in pieces if piece["type"] == "output_text")
    calls = [item for item in body["output"] if item["type"] in ("function_call", "custom_tool_call")]
    assert [(call.id, call.name) for call in answer.tool_calls] == [(item["call_id"], item["name"]) for item in calls]
    if body["status"] == "completed":
        assert answer.finish_reason == ("tool_calls" if calls else "stop")
    assert answer.model == body["model"] and answer.id == body["id"]
    if body.get("usage"):
        assert answer.usage.total_tokens == body["usage"]["total_tokens"]
    # What came goes back: every item that has a form in a request, in its order, with its ids and its phase.
    message = Message(role="assistant", parts=answer.parts)
    sent = json.loads(build(ChatRequest(messages=(message,))).body)["input"]
    expected = [item for item in body["output"] if item["type"] != "reasoning" or can_be_read(item)]
    if expected and expected[-1]["type"] == "reasoning":
        expected = []
    kept = ("id", "phase", "call_id", "name", "arguments", "encrypted_content", "caller", "namespace")
    assert [{k: item.get(k) for k in kept} for item in sent if item.get("id")] == [
        {k: item.get(k) for k in kept} for item in expected
    ]


@pytest.mark.parametrize("recording", recordings("openai_responses", lambda r: r["status"] >= 400))
def test_a_recorded_error_is_classified(recording: dict[str, Any]) -> None:
    error = CODEC.parse_error(of(recording), target_for())
    body = json.loads(recording["response_body"])["error"]
    expected = {
        "model_not_found": "upstream_model_not_found",
        "invalid_api_key": "upstream_authentication",
        "insufficient_quota": "upstream_quota_exceeded",
    }
    assert (error.code, error.retryable) == (expected.get(body["code"], "invalid_request"), False)
    assert error.param == body.get("param")
    assert body["message"] not in str(error)


def test_trap_12_an_error_and_the_failure_behind_it_are_one_error() -> None:
    (parameter,) = recordings("openai_responses", lambda r: '"response.failed"' in r["response_body"])[:1] or [None]
    recording = parameter.values[0] if parameter is not None else {}
    if not recording:
        pytest.skip("no recordings at ../shared/recordings/openai_responses")
    decoder = CODEC.stream_decoder(target_for())
    decoder.feed(recording["response_body"].encode())
    for _ in range(2):
        with pytest.raises(QuotaExceededError) as raised:
            decoder.close()
        assert not raised.value.retryable


# --- what we would have sent ---------------------------------------------------------------------------------------


def build(request: ChatRequest, target: Target | None = None, *, stream: bool = False) -> Any:
    return CODEC.build_request(request, target or target_for(), stream=stream)


def parts_of(content: Any) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(part_of(piece) for piece in content)


def part_of(piece: dict[str, Any]) -> Part:
    match piece["type"]:
        case "input_image" if "file_id" in piece:
            return FilePart(file_id=piece["file_id"], media_type="image/png")
        case "input_image":
            return ImagePart(url=piece["image_url"], detail=piece.get("detail"))
        case "input_file" if "file_data" in piece:
            head, _, data = piece["file_data"].partition(",")
            import base64

            return FilePart(
                data=base64.b64decode(data), media_type=head[5:].split(";")[0], filename=piece.get("filename")
            )
        case "input_file":
            return FilePart(url=piece.get("file_url"), file_id=piece.get("file_id"))
        case "refusal":
            return RefusalPart(text=piece["refusal"])
        case _:
            return TextPart(text=piece["text"])


def messages_of(sent: dict[str, Any]) -> tuple[Message, ...]:
    items = sent["input"]
    messages: list[Message] = []
    spoken: list[Part] = []
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type", "message")
        if kind == "message" and item["role"] == "assistant" and isinstance(item["content"], str):
            spoken.append(TextPart(text=item["content"]))
        elif kind.endswith("_output") or (kind == "message" and item["role"] != "assistant"):
            if spoken:
                messages.append(Message(role="assistant", parts=tuple(spoken)))
                spoken = []
            if kind.endswith("_output"):
                messages.append(Message(role="tool", tool_call_id=item["call_id"], parts=parts_of(item["output"])))
            else:
                role = "user" if item["role"] == "user" else "system"
                messages.append(Message(role=role, parts=parts_of(item["content"])))
        else:
            spoken.extend(read_item(item, target_for()))
    if spoken:
        messages.append(Message(role="assistant", parts=tuple(spoken)))
    return tuple(messages)


def request_of(sent: dict[str, Any]) -> ChatRequest:
    own = [tool for tool in sent.get("tools") or () if tool["type"] != "function" or "defer_loading" in tool]
    tools = tuple(
        ToolDefinition(
            name=tool["name"],
            description=tool.get("description"),
            parameters=tool["parameters"],
            strict=tool.get("strict"),
        )
        for tool in sent.get("tools") or ()
        if tool not in own
    )
    wanted = (sent.get("text") or {}).get("format") or {}
    formats = {"json_object": JsonFormat()}
    if wanted.get("type") == "json_schema":
        formats["json_schema"] = JsonSchemaFormat(  # type: ignore[assignment]  # one of two formats
            name=wanted["name"], schema=wanted["schema"], strict=wanted.get("strict")
        )
    named = ("instructions", "include", "previous_response_id", "prompt", "background", "moderation")
    reasoning = dict(sent.get("reasoning") or {})
    effort = reasoning.pop("effort", None)
    extra = {name: sent[name] for name in named if name in sent}
    extra |= ({"tools": own} if own else {}) | ({"reasoning": reasoning} if reasoning else {})
    return ChatRequest(
        messages=messages_of(sent),
        tools=tools,
        tool_choice=sent.get("tool_choice"),
        temperature=sent.get("temperature"),
        max_output_tokens=sent.get("max_output_tokens"),
        response_format=formats.get(wanted.get("type", "")),
        reasoning_effort=effort,
        user=sent.get("user"),
        extra=extra,
        dialect=DIALECT,
    )


def normal(sent: dict[str, Any]) -> dict[str, Any]:
    """One form for what the API reads alike: a text for the message it is, defaults left out, order of tools."""
    items = sent["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    body = {k: v for k, v in sent.items() if k not in ("input", "stream", "store", "include") and v is not None}
    body["input"] = merged([normal_item(item) for item in items])
    body["include"] = sorted(set(sent.get("include") or ()) - {"reasoning.encrypted_content"})
    tools = sent.get("tools") or ()
    kept = [{k: v for k, v in tool.items() if v is not None and (k, v) != ("strict", False)} for tool in tools]
    body["tools"] = sorted(kept, key=str)
    return body


def merged(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An assistant's texts without ids run together, and one that is empty says nothing."""
    found: list[dict[str, Any]] = []
    for item in items:
        if item.get("role") == "assistant" and "id" not in item:
            content = item["content"]
            text = content if isinstance(content, str) else "".join(piece["text"] for piece in content)
            if found and found[-1].keys() == {"said"}:
                found[-1]["said"] += text
            elif text:
                found.append({"said": text})
        else:
            found.append(item)
    return found


def normal_item(item: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in item.items() if k != "status" and v is not None}
    if kept.get("type") == "message" or "content" in kept:
        kept.pop("type", None)
        content = kept["content"]
        if kept.get("role") == "assistant" and isinstance(content, list):
            content = [{k: v for k, v in piece.items() if v and k != "logprobs"} for piece in content]
        if isinstance(content, list) and [list(piece) for piece in content] in ([["type", "text"]], [["text", "type"]]):
            content = content[0]["text"]
        kept["content"] = content
    if isinstance(kept.get("output"), list):
        kept["output"] = [{k: v for k, v in piece.items() if k != "detail"} for piece in kept["output"]]
    return kept


def has_request(recording: dict[str, Any]) -> bool:
    sent = recording.get("request_body") or {}
    items = sent.get("input")
    if not recording["path"].endswith("/responses") or items is None:
        return False
    # An orphan is what we never send (it was answered with a 400), additional tools have no form of ours.
    listed = items if isinstance(items, list) else []
    return recording["status"] == 200 and all(item.get("type") != "additional_tools" for item in listed)


@pytest.mark.parametrize(
    "recording", recordings("openai_responses", has_request) + recordings("azure", lambda r: has_request(r))
)
def test_the_request_of_a_recording_is_rebuilt_as_it_was_sent(recording: dict[str, Any]) -> None:
    sent = recording["request_body"]
    profile = profile_for("openai", sent["model"], {"system_role": "system"})
    built = build(request_of(sent), target_for(sent["model"], profile=profile), stream=bool(sent.get("stream")))
    assert built.url == "https://api.openai.com/v1/responses"
    ours = json.loads(built.body)
    assert ours["store"] is False
    for item in sent["input"] if isinstance(sent["input"], list) else ():
        if item.get("role") == "developer":
            item["role"] = "system"
    assert normal(ours) == normal(sent)


@pytest.mark.parametrize("recording", recordings("openai_responses", lambda r: r["status"] == 400 and "rs_" in str(r)))
def test_trap_15_reasoning_without_the_item_that_followed_it_is_left_out(recording: dict[str, Any]) -> None:
    sent = json.loads(build(request_of(recording["request_body"])).body)
    assert [item.get("type") for item in sent["input"]].count("reasoning") == 0
