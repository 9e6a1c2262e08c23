"""Recorded Gemini traffic through the codec: answers, streams in every split, errors, and the requests rebuilt."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from adapters.errors import LLMError
from adapters.gemini import DIALECT, GeminiCodec
from adapters.gemini_contents import read_part
from adapters.kinds import profile_for
from adapters.types import (
    ChatRequest,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    Part,
    ReasoningPart,
    Target,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolDefinition,
    WireResponse,
)
from tests.adapters.replay import (
    assert_splits_agree,
    calls_of,
    finished,
    last_usage,
    reasoning_of,
    recordings,
    text_of,
)

CODEC = GeminiCodec()
FOLDERS = ("gemini", "vertex_gemini")


def target_for(model: str = "gemini-3-flash-preview", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "gemini", "auth_type": "api_key", "api_key": "test-key"}
    settings |= {"base_url": "https://generativelanguage.googleapis.com/v1beta"}
    return Target(**settings | {"model": model, "profile": profile_for("gemini", model)} | changes)


def of(recording: dict[str, Any]) -> WireResponse:
    headers = recording.get("response_headers") or {}
    return WireResponse(status=recording["status"], headers=headers, body=recording["response_body"].encode())


def from_folders(keep: Any) -> list[Any]:
    return [parameter for folder in FOLDERS for parameter in recordings(folder, keep)]


def is_stream(recording: dict[str, Any]) -> bool:
    return recording["status"] == 200 and "streamGenerateContent" in recording["path"]


def is_answer(recording: dict[str, Any]) -> bool:
    return recording["status"] == 200 and recording["path"].endswith(":generateContent")


def chunks_of(body: str) -> list[dict[str, Any]]:
    if body.lstrip().startswith("["):
        return json.loads(body)
    return [json.loads(line[5:]) for line in re.split(r"[\r\n]+", body) if line.startswith("data:")]


def parts_in(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", ())]
    return [part for candidate in candidates for part in candidate.get("content", {}).get("parts", ())]


def counted(usage: dict[str, Any], *names: str) -> int | None:
    return sum(usage[name] for name in names if name in usage) if any(name in usage for name in names) else None


@pytest.mark.parametrize("recording", from_folders(is_stream))
def test_every_split_of_a_recorded_stream_gives_the_same_answer(recording: dict[str, Any]) -> None:
    body = recording["response_body"]
    chunks = chunks_of(body)
    parts = parts_in(chunks)
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body.encode())
    assert text_of(events) == "".join(p["text"] for p in parts if "text" in p and not p.get("thought"))
    assert reasoning_of(events) == "".join(p["text"] for p in parts if p.get("thought"))
    named = [p["functionCall"] for p in parts if p.get("functionCall", {}).get("name")]
    assert [name for name, _ in calls_of(events)] == [call["name"] for call in named]
    if not any("partialArgs" in json.dumps(p) for p in parts):
        assert [json.loads(arguments) for _, arguments in calls_of(events)] == [call["args"] for call in named]
    usage = chunks[-1]["usageMetadata"]
    assert last_usage(events).input_tokens == usage["promptTokenCount"]
    assert last_usage(events).output_tokens == counted(usage, "candidatesTokenCount", "thoughtsTokenCount")
    assert finished(events).reason == ("tool_calls" if named else "stop")
    signatures = [p["thoughtSignature"] for p in parts if "thoughtSignature" in p]
    kept = [event.provider_metadata.get("gemini", {}).get("thought_signature") for event in events if marked(event)]
    assert [signature for signature in kept if signature] == signatures


def marked(event: Any) -> bool:
    return isinstance(event, TextDelta | ToolCallStarted)


@pytest.mark.parametrize("recording", from_folders(is_stream))
def test_a_recorded_stream_cut_short_is_an_error(recording: dict[str, Any]) -> None:
    body = recording["response_body"].encode()
    decoder = CODEC.stream_decoder(target_for())
    with pytest.raises(LLMError):
        decoder.feed(body[: body.rfind(b"finishReason") - 40])
        decoder.close()


@pytest.mark.parametrize("recording", from_folders(is_answer))
def test_a_recorded_answer_is_read_whole(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    answer = CODEC.parse_response(of(recording), target_for())
    parts = parts_in([body])
    assert answer.text == "".join(p["text"] for p in parts if "text" in p and not p.get("thought"))
    thoughts = "".join(part.text for part in answer.parts if isinstance(part, ReasoningPart))
    assert thoughts == "".join(p["text"] for p in parts if p.get("thought"))
    assert [json.loads(call.arguments) for call in answer.tool_calls] == [
        p["functionCall"]["args"] for p in parts if "functionCall" in p
    ]
    assert all(call.id for call in answer.tool_calls)
    usage = body["usageMetadata"]
    assert answer.usage.input_tokens == counted(usage, "promptTokenCount", "toolUsePromptTokenCount")
    assert answer.usage.output_tokens == counted(usage, "candidatesTokenCount", "thoughtsTokenCount")
    if "candidatesTokenCount" in usage:
        assert answer.usage.total_tokens == usage["totalTokenCount"]
    raw = body["candidates"][0]["finishReason"]
    expected = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "MODEL_ARMOR": "content_filter"}
    assert answer.choices[0].raw_finish_reason == raw
    assert answer.finish_reason == ("tool_calls" if answer.tool_calls else expected[raw])
    assert answer.model == body["modelVersion"]
    # What came goes back as it came: texts, calls and every signature on its own part.
    sent_back = body_of(ChatRequest(messages=(user("x"), Message(role="assistant", parts=answer.parts))))
    ours = [part for turn in sent_back["contents"][1:] for part in turn["parts"]]
    assert normal_parts(ours) == normal_parts([p for p in parts if not p.get("thought")])


@pytest.mark.parametrize("recording", from_folders(lambda r: r["status"] >= 400))
def test_a_recorded_error_is_classified(recording: dict[str, Any]) -> None:
    error = CODEC.parse_error(of(recording), target_for())
    expected = {404: ("upstream_model_not_found", False), 429: ("upstream_rate_limited", True)}[recording["status"]]
    assert (error.code, error.retryable) == expected
    assert error.upstream_message and error.upstream_message not in str(error)
    if "34.4s" in recording["response_body"]:
        assert error.retry_after_s == 34.4


DOCUMENTED = {
    "error_400_missing_thought_signature": ("invalid_request", False, None),
    "error_429_per_day_quota": ("upstream_quota_exceeded", False, None),
    "error_503_overloaded": ("upstream_unavailable", True, None),
}


@pytest.mark.parametrize("recording", recordings("documented/gemini"))
def test_a_documented_error_is_classified(recording: dict[str, Any], request: pytest.FixtureRequest) -> None:
    error = CODEC.parse_error(of(recording), target_for())
    assert (error.code, error.retryable, error.retry_after_s) == DOCUMENTED[request.node.callspec.id]


@pytest.mark.parametrize(
    "recording",
    recordings("gemini", lambda r: r["path"].startswith("/v1beta/models?") or r["path"] == "/v1beta/models"),
)
def test_a_recorded_model_list_is_read(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    page = CODEC.parse_list_models(of(recording), target_for())
    assert page.next_cursor == body.get("nextPageToken")
    assert not any(model.id.startswith("models/") for model in page.models)
    by_id = {model.id: model for model in page.models}
    flash = by_id["gemini-2.5-flash"]
    assert (flash.context_length, flash.max_output_tokens) == (1_048_576, 65_536)
    assert flash.capabilities["chat"] and flash.capabilities["reasoning"] and not flash.capabilities["embeddings"]
    useful = ("generateContent", "embedContent", "predict")
    assert len(page.models) == sum(
        any(method in row["supportedGenerationMethods"] for method in useful) for row in body["models"]
    )


@pytest.mark.parametrize("recording", recordings("gemini_embeddings"))
def test_recorded_embeddings_are_read_and_asked_for_alike(recording: dict[str, Any]) -> None:
    body, sent = json.loads(recording["response_body"]), recording["request_body"]
    model = sent["requests"][0]["model"].removeprefix("models/")
    answer = CODEC.parse_embeddings(of(recording), target_for(model))
    assert len(answer.vectors) == len(body["embeddings"])
    assert answer.usage.input_tokens == body.get("usageMetadata", {}).get("promptTokenCount")
    texts = [part["text"] for entry in sent["requests"] for part in entry["content"]["parts"]]
    task = sent["requests"][0].get("taskType")
    asked = EmbeddingRequest(
        inputs=tuple(texts),
        dimensions=sent["requests"][0].get("outputDimensionality"),
        extra={"taskType": task} if task else {},
        dialect=DIALECT,
    )
    built = CODEC.build_embeddings(asked, target_for(model))
    assert built.url.endswith(recording["path"])
    entries = json.loads(built.body)["requests"]
    if len(texts) == len(sent["requests"]):
        assert entries == sent["requests"]
    else:  # two texts as two parts of one content gave one vector: we ask for one each
        assert len(entries) == len(texts) == 2 and len(answer.vectors) == 1


# --- what we would have sent ---------------------------------------------------------------------------------------


def user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text=text),))


def body_of(request: ChatRequest, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    return json.loads(CODEC.build_request(request, target_for(model), stream=False).body)


def camel(value: Any) -> Any:
    """Google reads both spellings of its own fields; what a caller wrote inside `args` and schemas stays."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = ("args", "response", "properties", "parametersJsonSchema", "parameters", "responseJsonSchema")
    named = {re.sub(r"_([a-z])", lambda match: match.group(1).upper(), key): item for key, item in value.items()}
    return {key: item if key in kept else camel(item) for key, item in named.items()}


def media(part: dict[str, Any]) -> Part:
    if "inlineData" in part:
        found = read_part(part)
        assert found is not None
        return found
    data = part["fileData"]
    if data["mimeType"].startswith("image/"):
        return ImagePart(url=data["fileUri"], media_type=data["mimeType"])
    return FilePart(url=data["fileUri"], media_type=data["mimeType"])


def messages_of(sent: dict[str, Any]) -> list[Message]:
    messages: list[Message] = []
    system = sent.get("systemInstruction", {}).get("parts", ())
    if system:
        messages.append(Message(role="system", parts=tuple(TextPart(text=part["text"]) for part in system)))
    names: dict[str, list[str]] = {}
    for turn in sent["contents"]:
        parts: list[Part] = []
        for part in turn["parts"]:
            if "functionResponse" in part:
                result = part["functionResponse"]
                response = result["response"]
                failed = set(response) == {"error"}
                text = response["error"] if failed else json.dumps(response)
                inside = tuple(media(item) for item in result.get("parts", ()))
                messages.append(
                    Message(
                        role="tool",
                        tool_call_id=result.get("id") or names[result["name"]].pop(0),
                        parts=(TextPart(text=text), *inside),
                        is_error=failed,
                    )
                )
                continue
            found = media(part) if "fileData" in part else read_part(part)
            if part.get("thought"):
                continue  # unsigned thoughts are not sent again
            if isinstance(found, ToolCall):
                names.setdefault(found.name, []).append(found.id)
            parts.append(found or TextPart(text=""))
        if parts:
            messages.append(Message(role="assistant" if turn["role"] == "model" else "user", parts=tuple(parts)))
    return messages


def request_of(sent: dict[str, Any]) -> ChatRequest:
    config = dict(sent.get("generationConfig", {}))
    declared = [item for entry in sent.get("tools", ()) for item in entry.get("functionDeclarations", ())]
    own = [entry for entry in sent.get("tools", ()) if "functionDeclarations" not in entry]
    settings: dict[str, Any] = {
        "max_output_tokens": config.pop("maxOutputTokens", None),
        "temperature": config.pop("temperature", None),
        "top_k": config.pop("topK", None),
        "stop": tuple(config.pop("stopSequences", ())),
        "n": config.pop("candidateCount", None),
    }
    if "responseJsonSchema" in config:
        config.pop("responseMimeType")
        schema = config.pop("responseJsonSchema")
        settings["response_format"] = JsonSchemaFormat(name=schema.get("title", "answer"), schema=schema)
    elif config.pop("responseMimeType", None):
        settings["response_format"] = JsonFormat()
    extra = {name: sent[name] for name in ("safetySettings", "toolConfig", "modelArmorConfig") if name in sent}
    extra |= ({"generationConfig": config} if config else {}) | ({"tools": own} if own else {})
    tools = [
        ToolDefinition(
            name=item["name"],
            description=item.get("description"),
            parameters=item.get("parametersJsonSchema") or item.get("parameters") or {},
        )
        for item in declared
    ]
    return ChatRequest(messages=tuple(messages_of(sent)), tools=tuple(tools), extra=extra, dialect=DIALECT, **settings)


def normal_parts(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for part in parts:
        part = {k: v for k, v in part.items() if k != "thought"}
        if "inlineData" in part:  # both alphabets of base64 are on record
            data = part["inlineData"]["data"].replace("-", "+").replace("_", "/")
            part["inlineData"] = part["inlineData"] | {"data": data}
        for name in ("functionCall", "functionResponse"):
            if name in part:  # ids that we made up for calls that came without
                part[name] = {k: v for k, v in part[name].items() if not (k == "id" and str(v).startswith("call_"))}
        if part != {"text": ""}:
            found.append(part)
    return found


def normal(sent: dict[str, Any]) -> dict[str, Any]:
    """One form for what the API reads alike: neighbours merged, schemas without their spelling, defaults left out."""
    turns: list[dict[str, Any]] = []
    for turn in sent["contents"]:
        parts = normal_parts([part for part in turn["parts"] if not part.get("thought")])
        holds = any("functionResponse" in part for part in parts)
        last = turns[-1] if turns else {}
        same = last.get("role") == turn["role"]
        if same and any("functionResponse" in part for part in last["parts"]) == holds:
            last["parts"] += parts
        else:
            turns.append({"role": turn["role"], "parts": parts})
    result: dict[str, Any] = {"contents": turns, "config": sent.get("generationConfig") or {}}
    result["config"] = {k: v for k, v in result["config"].items() if v not in ([], 1)}
    result["system"] = [part["text"] for part in sent.get("systemInstruction", {}).get("parts", ())]
    tools = [entry for entry in sent.get("tools", ()) if "functionDeclarations" not in entry]
    declared = [item for entry in sent.get("tools", ()) for item in entry.get("functionDeclarations", ())]
    result["tools"] = sorted([*tools, *map(declaration, declared)], key=str)
    for name in ("toolConfig", "safetySettings"):
        result[name] = sent.get(name)
    return result


def declaration(item: dict[str, Any]) -> dict[str, Any]:
    """Both kinds of schema in one spelling; types in upper or lower case are the same to Google."""
    schema = item.get("parametersJsonSchema") or item.get("parameters") or {}
    text = json.dumps(schema) if schema.get("properties") else "{}"
    found = {"name": item["name"], "schema": json.loads(re.sub(r'"type": "([a-zA-Z]+)"', lambda m: m[0].lower(), text))}
    return found | ({"description": item["description"]} if item.get("description") else {})


def has_request(recording: dict[str, Any]) -> bool:
    return "enerateContent" in recording["path"] and bool(recording.get("request_body"))


@pytest.mark.parametrize("recording", from_folders(has_request))
def test_the_request_of_a_recording_is_rebuilt_as_it_was_sent(recording: dict[str, Any]) -> None:
    sent = camel(recording["request_body"])
    model = re.search(r"models/([^:/]+):", recording["path"])
    assert model is not None
    target = target_for(model[1])
    stream = "stream" in recording["path"]
    built = CODEC.build_request(request_of(sent), target, stream=stream)
    assert built.url.split("?")[0].endswith(f"/models/{model[1]}:{'streamG' if stream else 'g'}enerateContent")
    assert built.stream is stream
    assert normal(json.loads(built.body)) == normal(sent)
    assert "test-key" not in built.url and built.headers["x-goog-api-key"] == "test-key"
