"""Ollama's dialect: requests, recorded and documented answers in every split, errors, lists, embeddings."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapters.errors import (
    ConfigurationError,
    ContextLengthExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from adapters.kinds import profile_for
from adapters.ollama import OllamaCodec
from adapters.types import (
    AudioPart,
    ChatRequest,
    EmbeddingRequest,
    Finished,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    Part,
    ReasoningPart,
    ResponseStarted,
    Target,
    TextDelta,
    TextPart,
    ToolCall,
    ToolDefinition,
    UsageReported,
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

CODEC = OllamaCodec()
PNG = b"\x89PNG\r\n\x1a\n"


def target_for(model: str = "qwen3", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "ollama", "base_url": "http://localhost:11434", "auth_type": "none"}
    return Target(**settings | {"model": model, "profile": profile_for("ollama", model)} | changes)


def user(*parts: Part | str) -> Message:
    return Message(role="user", parts=tuple(TextPart(text=p) if isinstance(p, str) else p for p in parts))


def built(request: ChatRequest, *, stream: bool = False, **changes: Any) -> dict[str, Any]:
    return json.loads(CODEC.build_request(request, target_for(**changes), stream=stream).body)


def reply(body: Any, status: int = 200) -> WireResponse:
    return WireResponse(status=status, headers={}, body=json.dumps(body).encode())


def ndjson(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


# --- requests ------------------------------------------------------------------------------------------------------


def test_stream_is_always_said_because_left_out_it_means_true() -> None:
    assert built(ChatRequest(messages=(user("hi"),)))["stream"] is False
    request = CODEC.build_request(ChatRequest(messages=(user("hi"),)), target_for(), stream=True)
    assert (json.loads(request.body)["stream"], request.stream) == (True, True)
    assert request.url == "http://localhost:11434/api/chat"


def test_settings_become_options() -> None:
    request = ChatRequest(
        messages=(user("hi"),), max_output_tokens=9, temperature=0.5, top_p=0.9, top_k=3, seed=7, stop=("a", "b")
    )
    options = {"num_ctx": 8192, "options": {"min_p": 0.1}, "keep_alive": "5m"}
    body = built(request, options=options)
    assert body["options"] == {
        "num_ctx": 8192,
        "min_p": 0.1,
        "num_predict": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "seed": 7,
        "stop": ["a", "b"],
    }
    assert body["keep_alive"] == "5m"


def test_images_go_as_bare_base64() -> None:
    body = built(ChatRequest(messages=(user("what?", ImagePart(media_type="image/png", data=PNG)),)))
    assert body["messages"] == [{"role": "user", "content": "what?", "images": ["iVBORw0KGgo="]}]


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (ChatRequest(messages=(user(ImagePart(url="https://example.test/a.png")),)), "messages"),
        (ChatRequest(messages=(user(AudioPart(data=b"", format="wav")),)), "messages"),
        (ChatRequest(messages=(user("hi"),), n=2), "n"),
        (ChatRequest(messages=(user("hi"),), tools=(ToolDefinition(name="t"),), tool_choice="required"), "tool_choice"),
        (
            ChatRequest(messages=(user("hi"),), tools=(ToolDefinition(name="t"),), tool_choice=NamedTool(name="t")),
            "tool_choice",
        ),
        (ChatRequest(messages=(user("hi"),), extra={"store": True}, dialect="openai.chat"), "store"),
    ],
)
def test_what_ollama_can_not_carry_is_refused_by_name(request_: ChatRequest, param: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as raised:
        built(request_)
    assert raised.value.param == param


def test_tool_turns_carry_object_arguments_and_the_tools_name() -> None:
    request = ChatRequest(
        messages=(
            user("2+3?"),
            Message(
                role="assistant",
                parts=(ReasoningPart(text="hm"), ToolCall(id="c1", name="add", arguments='{"a": 2, "b": 3}')),
            ),
            Message(role="tool", tool_call_id="c1", parts=(TextPart(text="5"),)),
        ),
        tools=(ToolDefinition(name="add", description="adds", parameters={"type": "object"}),),
    )
    assert built(request)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": {"a": 2, "b": 3}}}],
            "thinking": "hm",
        },
        {"role": "tool", "content": "5", "tool_name": "add", "tool_call_id": "c1"},
    ]


def test_broken_arguments_go_back_as_they_were() -> None:
    call = ToolCall(id="c1", name="add", arguments='{"a": ')
    body = built(ChatRequest(messages=(Message(role="assistant", parts=(call,)),)))
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == {"_raw": '{"a": '}


def test_tool_choice_none_sends_no_tools() -> None:
    request = ChatRequest(messages=(user("hi"),), tools=(ToolDefinition(name="t"),), tool_choice="none")
    assert "tools" not in built(request)


def test_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert built(ChatRequest(messages=(user("hi"),), response_format=JsonFormat()))["format"] == "json"
    wanted = JsonSchemaFormat(name="x", schema=schema)
    assert built(ChatRequest(messages=(user("hi"),), response_format=wanted))["format"] == schema


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("qwen3", "none", False),
        ("qwen3", "low", True),
        ("gpt-oss:20b", "none", "low"),
        ("gpt-oss:20b", "medium", "medium"),
        ("gpt-oss:20b", "xhigh", "max"),
    ],
)
def test_effort_becomes_think(model: str, effort: str, think: Any) -> None:
    assert built(ChatRequest(messages=(user("hi"),), reasoning_effort=effort), model=model)["think"] == think


def test_dropped_settings_are_named() -> None:
    request = CODEC.build_request(
        ChatRequest(messages=(user("hi"),), user="u", verbosity="low"), target_for(), stream=False
    )
    assert request.warnings == (
        "user was left out: Ollama has no such setting",
        "verbosity was left out: Ollama has no such setting",
    )


def test_a_key_goes_as_bearer_only_when_asked_for() -> None:
    request = ChatRequest(messages=(user("hi"),))
    cloud = target_for(base_url="https://ollama.com", auth_type="bearer", api_key="secret")
    assert CODEC.build_request(request, cloud, stream=False).headers["authorization"] == "Bearer secret"
    local = target_for(api_key="secret")
    assert "authorization" not in CODEC.build_request(request, local, stream=False).headers


def test_a_base_url_with_api_is_taken_too_and_none_is_refused() -> None:
    assert CODEC.build_list_models(target_for(base_url="http://h:1/api/"))
    assert CODEC.build_list_models(target_for(base_url="http://h:1/api/")).url == "http://h:1/api/tags"
    with pytest.raises(ConfigurationError):
        CODEC.build_list_models(target_for(base_url=""))


# --- answers -------------------------------------------------------------------------------------------------------


def test_a_tool_call_beside_stop_is_tool_calls() -> None:
    body = {
        "model": "m",
        "message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
        "done": True,
        "done_reason": "stop",
        "eval_count": 4,
    }
    answer = CODEC.parse_response(reply(body), target_for())
    assert (answer.finish_reason, answer.choices[0].raw_finish_reason) == ("tool_calls", "stop")
    (call,) = answer.tool_calls
    assert (call.name, call.arguments) == ("f", "{}") and call.id
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (None, 4)


def test_a_stream_thinks_answers_and_calls() -> None:
    data = ndjson(
        {
            "model": "m",
            "created_at": "2026-08-07T06:08:14.732370123Z",
            "message": {"thinking": "h\u2028m"},
            "done": False,
        },
        {"model": "m", "message": {"content": "ok\u2028\u0085"}, "done": False},
        {
            "model": "m",
            "message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": "é"}}}]},
            "done": False,
        },
        {"model": "m", "message": {"tool_calls": [{"function": {"name": "g", "arguments": {}}}]}, "done": False},
        {"model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 889},
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), data)
    assert events[0] == ResponseStarted(id=None, model="m", created=1786082894)
    assert (reasoning_of(events), text_of(events)) == ("h\u2028m", "ok\u2028\u0085")
    assert calls_of(events) == [("f", '{"a":"é"}'), ("g", "{}")]
    assert finished(events) == Finished(reason="tool_calls", raw_reason="stop")
    assert (last_usage(events).input_tokens, last_usage(events).output_tokens) == (5, 889)


def test_an_error_line_ends_the_stream_after_what_came_before_it() -> None:
    data = ndjson({"model": "m", "message": {"content": "Yes"}, "done": False}, {"error": "the model ran away"})
    decoder = CODEC.stream_decoder(target_for(provider="box"))
    assert decoder.feed(data)[1:] == [TextDelta(text="Yes")]
    with pytest.raises(UpstreamUnavailableError) as raised:
        decoder.feed(b"")
    assert raised.value.upstream_message == "the model ran away"
    assert str(raised.value) == "box failed while answering (HTTP 500)"
    assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), data)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_stream_without_done_is_cut_short(cut: int) -> None:
    data = ndjson({"model": "m", "message": {"content": "Yes"}, "done": False})
    _, error = decode(CODEC.stream_decoder(target_for()), [data[:cut]])
    assert isinstance(error, UpstreamProtocolError)
    _, error = decode(CODEC.stream_decoder(target_for()), [data])
    assert isinstance(error, UpstreamProtocolError)


def test_a_last_line_without_its_end_counts() -> None:
    data = ndjson({"model": "m", "message": {"content": "x"}, "done": True, "done_reason": "length"}).rstrip()
    events, error = decode(CODEC.stream_decoder(target_for()), [data])
    assert error is None and finished(events).reason == "length"
    assert not [event for event in events if isinstance(event, UsageReported)]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b'{"error":"model \'x\' not found"}', ModelNotFoundError),
        (404, b"404 page not found", InvalidRequestError),
        (400, b'{"error":"registry.ollama.ai/library/x does not support tools"}', InvalidRequestError),
        (400, b'{"error":"the input length exceeds the context length"}', ContextLengthExceededError),
        (
            503,
            b'{"error":"server busy, please try again.  maximum pending requests exceeded"}',
            UpstreamUnavailableError,
        ),
        (500, b"", UpstreamUnavailableError),
    ],
)
def test_errors_are_a_status_and_a_sentence(status: int, body: bytes, expected: type[Exception]) -> None:
    error = CODEC.parse_error(WireResponse(status=status, headers={}, body=body), target_for())
    assert type(error) is expected


def test_show_says_what_a_model_can_do() -> None:
    body = {
        "details": {"family": "qwen3"},
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960, "tokenizer.ggml.tokens": [1]},
        "capabilities": ["completion", "tools", "thinking"],
    }
    request = CODEC.build_show(target_for("qwen3:0.6b"))
    assert (request.url, json.loads(request.body)) == ("http://localhost:11434/api/show", {"model": "qwen3:0.6b"})
    model = CODEC.parse_show(reply(body), target_for("qwen3:0.6b"))
    assert (model.id, model.context_length) == ("qwen3:0.6b", 40960)
    assert model.capabilities["tools"] and model.capabilities["reasoning"] and not model.capabilities["vision"]
    assert model.raw["model_info"] == {"general.architecture": "qwen3"}


def test_embeddings() -> None:
    request = CODEC.build_embeddings(EmbeddingRequest(inputs=("a", "b"), dimensions=8), target_for("all-minilm"))
    assert json.loads(request.body) == {"model": "all-minilm", "input": ["a", "b"], "dimensions": 8}
    with pytest.raises(UnsupportedFeatureError):
        CODEC.build_embeddings(EmbeddingRequest(inputs=((1, 2),)), target_for())
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_embeddings(reply({"embeddings": None}), target_for())
    answer = CODEC.parse_embeddings(reply({"embeddings": [[1, 0.5]], "prompt_eval_count": 2}), target_for("all-minilm"))
    assert (answer.model, answer.vectors, answer.usage.input_tokens) == ("all-minilm", ((1.0, 0.5),), 2)


def test_the_list_names_what_is_installed() -> None:
    rows: list[Any] = [
        {"name": "a:latest", "model": "a:latest", "modified_at": "2026-01-01T00:00:00Z", "capabilities": ["tools"]},
        {"name": "b", "details": {"family": "llama"}},
        {"model": 5},
        5,
    ]
    first, second = CODEC.parse_list_models(reply({"models": rows}), target_for()).models
    assert (first.id, first.created, first.capabilities["tools"]) == ("a:latest", 1767225600, True)
    assert (second.id, second.created, second.capabilities) == ("b", None, {})  # a server too old to name them


# --- recordings ----------------------------------------------------------------------------------------------------


def is_chat(recording: dict[str, Any]) -> bool:
    return recording.get("path") == "/api/chat" and recording["status"] == 200


def is_stream(recording: dict[str, Any]) -> bool:
    return is_chat(recording) and (recording["request_body"] or {}).get("stream", True)


@pytest.mark.parametrize("recording", recordings("ollama", is_stream))
def test_every_split_of_a_recorded_stream_gives_the_same_answer(recording: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in recording["response_body"].splitlines()]
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), recording["response_body"].encode())
    messages = [line.get("message", {}) for line in lines]
    assert text_of(events) == "".join(message.get("content", "") for message in messages)
    assert reasoning_of(events) == "".join(message.get("thinking", "") for message in messages)
    if "eval_count" in lines[-1]:
        assert last_usage(events).output_tokens == lines[-1]["eval_count"]


@pytest.mark.parametrize("recording", recordings("ollama", lambda r: is_chat(r) and not is_stream(r)))
def test_a_recorded_answer_is_read_whole(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    response = WireResponse(status=200, headers={}, body=recording["response_body"].encode())
    answer = CODEC.parse_response(response, target_for())
    assert answer.text == body["message"]["content"]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (body["prompt_eval_count"], body["eval_count"])
    calls = body["message"].get("tool_calls", [])
    assert [json.loads(call.arguments) for call in answer.tool_calls] == [c["function"]["arguments"] for c in calls]
    assert answer.finish_reason == ("tool_calls" if calls else "stop")


def images(message: dict[str, Any]) -> list[ImagePart]:
    return [ImagePart(media_type="image/png", data=base64.b64decode(data)) for data in message.get("images", ())]


def test_a_recorded_request_is_rebuilt() -> None:
    for parameter in recordings("ollama", lambda r: is_chat(r) and bool(r["request_body"])):
        if parameter.id == "none":
            pytest.skip("no recordings at ../shared/recordings/ollama")
        (recording,) = parameter.values
        sent = recording["request_body"]
        if sent.get("keep_alive") == 0:
            continue  # unloads a model: no chat
        options = sent.get("options") or {}
        request = ChatRequest(
            messages=tuple(
                user(m["content"], *images(m))
                if m["role"] == "user"
                else Message(role=m["role"], parts=(TextPart(text=m["content"]),))
                for m in sent["messages"]
            ),
            tools=tuple(ToolDefinition(**tool["function"]) for tool in sent.get("tools") or ()),
            temperature=options.get("temperature"),
            seed=options.get("seed"),
            response_format=JsonSchemaFormat(name="x", schema=sent["format"]) if sent.get("format") else None,
        )
        body = built(request, stream=sent.get("stream", True), model=sent["model"])
        expected = {name: value for name, value in sent.items() if value not in (None, "", {}, [])}
        assert body == {"stream": True} | expected


@pytest.mark.parametrize("recording", recordings("ollama", lambda r: r["path"] == "/api/tags"))
def test_the_documented_list_is_read(recording: dict[str, Any]) -> None:
    page = CODEC.parse_list_models(
        WireResponse(status=200, headers={}, body=recording["response_body"].encode()), target_for()
    )
    assert [model.id for model in page.models] == ["deepseek-r1:latest", "llama3.2:latest"]
    assert page.models[0].raw["details"]["parameter_size"] == "7.6B"
    assert page.models[0].capabilities == {}
    assert page.next_cursor is None


@pytest.mark.parametrize("recording", recordings("ollama", lambda r: r["path"] == "/api/embed"))
def test_the_documented_embeddings_are_read_and_asked_for(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    answer = CODEC.parse_embeddings(
        WireResponse(status=200, headers={}, body=recording["response_body"].encode()), target_for()
    )
    assert [list(vector) for vector in answer.vectors] == body["embeddings"]
    assert answer.usage.input_tokens == body.get("prompt_eval_count")


@pytest.mark.parametrize("recording", recordings("ollama", lambda r: r["status"] == 404))
def test_a_recorded_error_is_model_not_found(recording: dict[str, Any]) -> None:
    body = recording["response_body"].encode()
    error = CODEC.parse_error(WireResponse(status=404, headers={}, body=body), target_for())
    assert isinstance(error, ModelNotFoundError)
    assert error.upstream_message == "model 'nonexistent-model:latest' not found"
