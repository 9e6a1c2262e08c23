"""Azure OpenAI: its addresses, filters, errors and lists, on recorded and on documented bodies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters import create_adapter
from adapters.azure_openai import AzureOpenAICodec
from adapters.errors import ConfigurationError, UnsupportedFeatureError
from adapters.kinds import profile_for
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.types import (
    ChatRequest,
    EmbeddingRequest,
    FilePart,
    ImageRequest,
    Message,
    Target,
    TextPart,
    WireResponse,
)
from tests.adapters.replay import assert_splits_agree, calls_of, finished, last_usage, recordings, text_of

CODEC = AzureOpenAICodec()
HOST = "https://team.openai.azure.com"
HELLO = (Message(role="user", parts=(TextPart(text="hi"),)),)


def target_for(model: str = "my-gpt", api_version: str | None = "2024-10-21", **changes: Any) -> Target:
    settings: dict[str, Any] = {"kind": "azure_openai", "base_url": HOST, "auth_type": "api_key", "api_key": "k"}
    settings |= {"options": {"api_version": api_version}, "provider": "azure"}
    return Target(**settings | {"model": model, "profile": profile_for("azure_openai", model)} | changes)


def of(recording: dict[str, Any]) -> WireResponse:
    headers = recording.get("response_headers") or {}
    return WireResponse(status=recording["status"], headers=headers, body=recording["response_body"].encode())


def reply(body: Any, status: int = 200, **headers: str) -> WireResponse:
    return WireResponse(status=status, headers=headers, body=json.dumps(body).encode())


# --- addresses -----------------------------------------------------------------------------------------------------


def test_create_adapter_makes_a_working_codec() -> None:
    adapter = create_adapter("azure_openai", base_url=HOST, api_key="k", model="my-gpt")
    assert isinstance(adapter.codec, AzureOpenAICodec)
    built = adapter.codec.build_request(ChatRequest(messages=HELLO), adapter.target, stream=False)
    assert built.url == f"{HOST}/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize("base", [HOST, f"{HOST}/", f"{HOST}/openai", f"{HOST}/openai/deployments/other"])
@pytest.mark.parametrize(
    ("version", "url"),
    [
        ("2025-01-01-preview", "/openai/deployments/my-gpt/chat/completions?api-version=2025-01-01-preview"),
        (None, "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"),
        ("v1", "/openai/v1/chat/completions"),
        ("preview", "/openai/v1/chat/completions?api-version=preview"),
    ],
)
def test_the_api_version_chooses_the_form_of_the_address(base: str, version: str | None, url: str) -> None:
    assert CODEC.url_for(target_for(api_version=version, base_url=base), "/chat/completions") == HOST + url


@pytest.mark.parametrize("version", ["2024-10-21", "v1", None])
def test_a_base_url_that_ends_in_v1_is_the_v1_form(version: str | None) -> None:
    target = target_for(api_version=version, base_url="https://team.services.ai.azure.com/openai/v1/")
    assert CODEC.url_for(target, "/embeddings") == "https://team.services.ai.azure.com/openai/v1/embeddings"


def test_lists_and_responses_stand_outside_the_deployments() -> None:
    assert CODEC.url_for(target_for(model=""), "/models") == f"{HOST}/openai/models?api-version=2024-10-21"
    assert CODEC.url_for(target_for(), "/responses") == f"{HOST}/openai/v1/responses"


def test_a_deployments_name_can_not_leave_its_place_in_the_path() -> None:
    url = CODEC.url_for(target_for("../x?y"), "/chat/completions")
    assert url == f"{HOST}/openai/deployments/..%2Fx%3Fy/chat/completions?api-version=2024-10-21"
    with pytest.raises(ConfigurationError):
        CODEC.url_for(target_for(""), "/chat/completions")
    with pytest.raises(ConfigurationError):
        CODEC.url_for(target_for(api_version="2024&x=1"), "/chat/completions")


@pytest.mark.parametrize(("auth", "header"), [("api_key", ("api-key", "k")), ("bearer", ("authorization", "Bearer k"))])
def test_the_key_goes_where_the_provider_says(auth: Any, header: tuple[str, str]) -> None:
    built = CODEC.build_request(ChatRequest(messages=HELLO), target_for(auth_type=auth), stream=True)
    assert built.headers[header[0]] == header[1]
    assert len({"api-key", "authorization"} & built.headers.keys()) == 1


def test_embeddings_and_images_go_to_their_own_deployment() -> None:
    embeds = CODEC.build_embeddings(EmbeddingRequest(inputs=("a",)), target_for("embed"))
    assert embeds.url == f"{HOST}/openai/deployments/embed/embeddings?api-version=2024-10-21"
    draws = CODEC.build_images(ImageRequest(prompt="a"), target_for("draw", api_version="v1"))
    assert draws.url == f"{HOST}/openai/v1/images/generations"
    assert json.loads(draws.body)["model"] == "draw"


# --- requests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "model", "field"),
    [
        ("2024-10-21", "my-gpt", "max_completion_tokens"),
        ("v1", "my-gpt", "max_completion_tokens"),
        ("2024-02-01", "my-gpt", "max_tokens"),
        ("v1", "mistral-large", "max_tokens"),
    ],
)
def test_the_limits_field_follows_version_and_model(version: str, model: str, field: str) -> None:
    request = ChatRequest(messages=HELLO, max_output_tokens=9)
    body = json.loads(CODEC.build_request(request, target_for(model, version), stream=True).body)
    assert body[field] == 9
    assert ("stream_options" in body) is (version != "2024-02-01")


def test_files_are_refused_on_azures_chat() -> None:
    message = Message(role="user", parts=(FilePart(data=b"x", filename="a.pdf"),))
    with pytest.raises(UnsupportedFeatureError):
        CODEC.build_request(ChatRequest(messages=(message,)), target_for(), stream=False)


def has_chat_request(recording: dict[str, Any]) -> bool:
    return "chat/completions" in recording["path"] and bool(recording.get("request_body"))


@pytest.mark.parametrize("recording", recordings("azure", has_chat_request))
def test_the_request_of_a_recording_is_rebuilt_as_it_was_sent(recording: dict[str, Any]) -> None:
    sent = recording["request_body"]
    client = OpenAIChatClientCodec().parse_request({"model": "x", **sent})
    deployment, version = recording["path"].split("/deployments/")[1].split("/chat/completions?api-version=")
    # A deployment's name says nothing sure of its model, and the profile of the real one is not what is tried here.
    target = replace(target_for(deployment, version), profile=profile_for("azure_openai"))
    built = CODEC.build_request(client.request, target, stream=client.stream)
    assert built.url.removeprefix(HOST) == recording["path"].replace("//", "/")
    ours = json.loads(built.body)
    assert normal(ours) == normal(sent)
    assert built.warnings == ()


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """Without what Azure ignores (model), what we always add or leave out (stream), and empty texts beside calls."""
    kept = {k: v for k, v in body.items() if k not in ("model", "stream", "stream_options", "max_completion_tokens")}
    kept["messages"] = [
        {k: v for k, v in message.items() if not (k == "content" and message.get("tool_calls") and not v)}
        for message in body["messages"]
    ]
    return kept


# --- answers -------------------------------------------------------------------------------------------------------


def is_chat(recording: dict[str, Any]) -> bool:
    return recording["status"] == 200 and '"chat.completion' in recording["response_body"]


def is_stream(recording: dict[str, Any]) -> bool:
    return is_chat(recording) and not recording["response_body"].lstrip().startswith("{")


@pytest.mark.parametrize("recording", recordings("azure", is_stream))
def test_every_split_of_a_recorded_stream_gives_the_same_answer(recording: dict[str, Any]) -> None:
    body = recording["response_body"]
    lines = [line[5:].strip() for line in body.split("\n") if line.startswith("data:")]
    deltas = [choice.get("delta", {}) for line in lines if line != "[DONE]" for choice in json.loads(line)["choices"]]
    if len(body) > 100_000:  # one byte at a time it takes seconds and shows nothing new: the first part will do
        lines = body.split("\n\n")
        body, deltas = "\n\n".join([*lines[:40], *lines[-4:]]), []
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body.encode())
    assert finished(events).reason in ("stop", "length", "tool_calls")
    if deltas:
        assert text_of(events) == "".join(delta.get("content") or "" for delta in deltas)
        assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls_of(events))
    if '"usage":{' in body.replace(" ", ""):
        assert last_usage(events).input_tokens


@pytest.mark.parametrize("recording", recordings("azure", lambda r: is_chat(r) and not is_stream(r)))
def test_a_recorded_answer_is_read_whole(recording: dict[str, Any]) -> None:
    body = json.loads(recording["response_body"])
    answer = CODEC.parse_response(of(recording), target_for())
    message = body["choices"][0].get("message", {})
    assert answer.text == (message.get("content") or "")
    assert [call.id for call in answer.tool_calls] == [call["id"] for call in message.get("tool_calls") or ()]
    assert answer.model == body["model"]
    verdict = body["choices"][0].get("content_filter_results")
    assert answer.provider_metadata.get("openai.chat", {}).get("content_filter_results") == (
        [verdict] if verdict else None
    )


def test_trap_44_a_filtered_answer_has_no_message() -> None:
    body = {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {"hate": 1}}]}
    answer = CODEC.parse_response(reply(body), target_for())
    assert (answer.finish_reason, answer.parts) == ("content_filter", ())
    assert answer.provider_metadata["openai.chat"]["content_filter_results"] == [{"hate": 1}]


def test_an_answer_without_verdicts_is_openais() -> None:
    body = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    answer = CODEC.parse_response(reply(body), target_for())
    assert (answer.text, dict(answer.provider_metadata)) == ("x", {})


def test_trap_18_the_opening_chunk_has_no_choices() -> None:
    first = {"choices": [], "created": 0, "id": "", "model": "", "prompt_filter_results": []}
    delta = {"choices": [{"index": 0, "delta": {"content": "x"}}], "id": "c", "model": "gpt", "created": 5}
    late = {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}], "id": ""}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "id": "c"}
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in (first, delta, late, end))
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body + b"data: [DONE]\n\n")
    assert (events[0].id, events[0].model, events[0].created) == ("c", "gpt", 5)  # type: ignore[union-attr]  # the first event is ResponseStarted
    assert text_of(events) == "x"


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recording", recordings("azure", lambda r: r["status"] >= 400) + recordings("documented/azure")
)
def test_a_recorded_error_is_classified(recording: dict[str, Any]) -> None:
    error = CODEC.parse_error(of(recording), target_for())
    expected = {401: ("upstream_authentication", False), 429: ("upstream_rate_limited", True)}[recording["status"]]
    assert (error.code, error.retryable) == expected
    assert error.upstream_request_id == recording["response_headers"].get("apim-request-id")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "DeploymentNotFound", "message": "secret"}}, "upstream_model_not_found"),
        ({"error": {"code": "404", "message": "Resource not found"}}, "configuration_error"),
        ({"statusCode": 404, "message": "Resource not found"}, "configuration_error"),
    ],
)
def test_trap_8_a_wrong_address_is_told_from_a_wrong_deployment(body: Any, code: str) -> None:
    error = CODEC.parse_error(reply(body, 404), target_for())
    assert (error.code, error.retryable, error.upstream_status) == (code, False, 404)
    assert "secret" not in str(error)
    assert ("my-gpt" if code == "upstream_model_not_found" else "api_version") in str(error) == error.message


def test_a_filtered_prompt_is_told_from_a_bad_request() -> None:
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    body = {"error": {"message": "m", "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner}}
    assert CODEC.parse_error(reply(body, 400), target_for()).code == "content_filter"
    assert CODEC.parse_error(reply({"error": {"code": "400"}}, 400), target_for()).code == "invalid_request"


def test_trap_9_an_error_under_200_is_an_error() -> None:
    with pytest.raises(Exception) as raised:
        CODEC.parse_response(reply({"error": {"code": "content_filter", "status": 400}}), target_for())
    assert raised.value.code == "content_filter"  # type: ignore[attr-defined]  # LLMError


def test_the_wait_may_be_in_milliseconds_and_the_code_a_text() -> None:
    headers = {"retry-after-ms": "1500", "retry-after": "2"}
    error = CODEC.parse_error(
        WireResponse(status=429, headers=headers, body=b'{"error": {"code": "429"}}'), target_for()
    )
    assert (error.code, error.retry_after_s) == ("upstream_rate_limited", 1.5)
    gateway = CODEC.parse_error(reply({"statusCode": 401, "message": "no"}, 401), target_for())
    assert gateway.code == "upstream_authentication"


# --- the list ------------------------------------------------------------------------------------------------------


def test_the_list_tells_what_a_model_does_and_when_it_ends() -> None:
    row = {
        "id": "gpt-4o-2024-11-20",
        "capabilities": {"chat_completion": True, "embeddings": False, "inference": True},
        "deprecation": {"inference": 1_800_000_000},
    }
    page = CODEC.parse_list_models(reply({"data": [row, {"id": "plain"}]}), target_for())
    assert page.models[0].capabilities == {"chat": True, "embeddings": False}
    assert page.models[0].retires_on == "2027-01-15"
    assert (page.models[1].capabilities, page.models[1].retires_on) == ({}, None)
