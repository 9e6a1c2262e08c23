"""What Gemini's and Ollama's codecs, the stub and the shared readers do at their edges. Synthetic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.chat_request import read_chat_request
from adapters.create import codec_for
from adapters.egress import EgressPolicy
from adapters.errors import (
    ConfigurationError,
    InvalidRequestError,
    LLMError,
    QuotaExceededError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
)
from adapters.retry_after import read_retry_after_s
from adapters.streaming import NDJSONReader, ToolCallAssembler, new_tool_call_id
from adapters.stub import StubTransport
from adapters.types import (
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    ImageRequest,
    Message,
    Target,
    ToolCallDelta,
    ToolDefinition,
    Usage,
    WireResponse,
)
from adapters.wire_http import build_headers
from tests.adapters import gemini_values
from tests.adapters.replay import decode, text_of
from tests.adapters.test_ollama import CODEC as OLLAMA
from tests.adapters.test_ollama import built, ndjson, reply, target_for, user

HELLO = (user("hi"),)
TOOL = ToolDefinition(name="f")


# --- Ollama --------------------------------------------------------------------------------------------------------


def test_ollamas_options_come_from_the_request_before_the_client_before_the_provider() -> None:
    extra = {"options": {"num_ctx": 9, "temperature": 0.1}, "keep_alive": "5m"}
    request = ChatRequest(messages=HELLO, temperature=0.5, extra=extra, dialect="ollama.chat")
    body = built(request)
    assert body["options"] == {"num_ctx": 9, "temperature": 0.5} and body["keep_alive"] == "5m"
    embeds = EmbeddingRequest(inputs=("a",), dimensions=8)
    asked = json.loads(OLLAMA.build_embeddings(embeds, target_for(options={"num_ctx": 9})).body)
    assert (asked["dimensions"], asked["options"]) == (8, {"num_ctx": 9})
    assert "dimensions" not in json.loads(OLLAMA.build_embeddings(EmbeddingRequest(inputs=("a",)), target_for()).body)


def test_ollama_refuses_what_it_cannot_do_and_says_what_it_leaves_out() -> None:
    profile = target_for().profile
    blind, toolless = profile.override({"supports_images": False}), profile.override({"supports_tools": False})
    image = user("x", ImagePart(media_type="image/png", data=b"x"))
    for request, own in (
        (ChatRequest(messages=HELLO, tools=(TOOL,)), toolless),
        (ChatRequest(messages=(image,)), blind),
        (ChatRequest(messages=HELLO, reasoning_effort="enormous"), profile),
    ):
        with pytest.raises(UnsupportedFeatureError):
            built(request, profile=own)
    request = ChatRequest(messages=HELLO, tools=(TOOL,), parallel_tool_calls=False)
    assert "parallel" in OLLAMA.build_request(request, target_for(), stream=False).warnings[0]
    described = ChatRequest(messages=HELLO, tools=(TOOL, ToolDefinition(name="g", description="d")))
    assert [tool["function"].get("description") for tool in built(described)["tools"]] == [None, "d"]


def test_ollamas_answers_of_the_wrong_shape_are_errors() -> None:
    for body in ({}, [1], {"message": 5}):
        with pytest.raises(UpstreamProtocolError):
            OLLAMA.parse_response(reply(body), target_for())
    with pytest.raises(UpstreamProtocolError):
        OLLAMA.parse_list_models(reply({"models": 5}), target_for())
    odd = {"role": "assistant", "content": "a", "tool_calls": [5, {"function": {}}, {"function": {"name": "f"}}]}
    (call,) = OLLAMA.parse_response(reply({"message": odd, "done": True}), target_for()).tool_calls
    assert call.arguments == "{}"
    proxied = OLLAMA.parse_error(reply({"error": {"message": "no"}}, status=500), target_for())
    assert proxied.upstream_message == "no"
    limited = OLLAMA.parse_error(reply({"error": "you reached your usage limit"}, status=429), target_for())
    assert isinstance(limited, QuotaExceededError)


def test_ollamas_lines_after_the_last_mean_nothing() -> None:
    said = {"model": "m", "message": {"role": "assistant", "content": "a"}, "done": False}
    done = {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": -1}
    events, error = decode(OLLAMA.stream_decoder(target_for()), [ndjson(said, done, said) + b"no json"])
    assert error is None and text_of(events) == "a"


# --- Gemini --------------------------------------------------------------------------------------------------------


def test_a_file_without_a_type_goes_to_gemini_as_what_its_name_says() -> None:
    parts = (FilePart(data=b"x", filename="a.csv"), FilePart(data=b"x"), FilePart(url="https://a.b/c"))
    (turn,) = gemini_values.turns(Message(role="user", parts=parts))
    assert [part["inlineData"]["mimeType"] for part in turn["parts"][:2]] == ["text/csv", "application/octet-stream"]
    assert turn["parts"][2] == {"fileData": {"fileUri": "https://a.b/c"}}


# --- the stub and what no codec has ----------------------------------------------------------------------------------


def test_a_codec_without_an_operation_says_so() -> None:
    stub, target = codec_for("stub"), Target(kind="stub", base_url="", model="m")
    answer = WireResponse(status=200, headers={}, body=b"{}")
    asked = ChatRequest(messages=HELLO)
    for call in (
        lambda: stub.build_embeddings(EmbeddingRequest(inputs=("a",)), target),
        lambda: stub.parse_embeddings(answer, target),
        lambda: stub.build_images(ImageRequest(prompt="a"), target),
        lambda: stub.parse_images(answer, target),
        lambda: stub.build_count_tokens(asked, target),
        lambda: stub.parse_count_tokens(answer, target),
    ):
        with pytest.raises(UnsupportedFeatureError):
            call()
    assert isinstance(stub.parse_error(answer, target), LLMError)
    with pytest.raises(UpstreamProtocolError):
        stub.stream_decoder(target).close()
    assert stub.build_list_models(target) is not None


# --- shared readers ------------------------------------------------------------------------------------------------


def test_a_request_from_canonical_values_and_plain_options() -> None:
    request = read_chat_request("hi", {"tools": ({"type": "function", "function": {"name": "f"}},)}, "openai.chat")
    assert request.tools == (ToolDefinition(name="f"),)
    assert read_chat_request(request, {}, "openai.chat") is request
    assert read_chat_request(request, {"temperature": 0.5}, "openai.chat").temperature == 0.5


def test_text_that_cannot_be_stored_is_refused() -> None:
    for text in ("a\0b", "\ud83d"):
        with pytest.raises(InvalidRequestError):
            read_chat_request([{"role": "user", "content": text}], {}, "openai.chat")


NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1_000"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 7)}, 7.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp() + 7) * 1000)}, 7.0),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "9s"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_a_wait_is_read_from_any_form(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after_s(headers, now=NOW) == seconds


def test_a_line_beyond_the_limit_stays_an_error() -> None:
    reader = NDJSONReader(limit=8)
    assert reader.feed(b"{}\n" + b"x" * 9 + b"\n{}\n") == [b"{}"]
    for again in (lambda: reader.feed(b"{}\n"), reader.close):
        with pytest.raises(UpstreamProtocolError):
            again()
    parted = NDJSONReader()
    assert parted.feed(b"a\rb\n\n") == [b"a", b"b"] and parted.close() == []
    assert len(new_tool_call_id("alnum9")) == 9 and new_tool_call_id().startswith("call_")


def test_values_that_contradict_themselves_are_refused() -> None:
    for make in (lambda: ImagePart(), lambda: ImagePart(data=b"x", url="u"), lambda: FilePart(data=b"x", url="u")):
        with pytest.raises(ValueError):
            make()
    nothing = ChatResponse(id=None, model="m", choices=())
    assert (nothing.parts, nothing.finish_reason, nothing.text) == ((), "other", "")
    assert Usage().total_tokens is None and Usage(output_tokens=2).total_tokens == 2


def test_a_header_that_no_request_can_carry_is_refused() -> None:
    for headers in ({"bad name": "x"}, {"x-a": "two\nlines"}):
        with pytest.raises(ConfigurationError):
            build_headers(Target(kind="openai", base_url="", headers=headers), {})
    kept: Any = build_headers(Target(kind="openai", base_url="", headers={"Host": "x", "X-A": "b"}), {"accept": "c"})
    assert kept == {"x-a": "b", "accept": "c"}


def test_whole_numbers_may_be_written_as_others() -> None:
    asked = read_chat_request([{"role": "user", "content": "hi"}], {"n": 2.0, "max_tokens": 9}, "openai.chat")
    assert (asked.n, asked.max_output_tokens) == (2, 9)


def test_calls_of_the_wrong_shape_make_no_events_and_an_object_is_the_whole() -> None:
    assembler = ToolCallAssembler(choice=0, dialect="openai.chat")
    assert assembler.add([5, None]) == []
    held = assembler.add([{"index": 0, "function": {"arguments": {"a": 1}}}])
    held += assembler.add([{"index": 0, "function": {"arguments": {"a": 1}}}])
    told = held + assembler.add([{"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": 1}}}])
    assert [event.arguments for event in told if isinstance(event, ToolCallDelta)] == ['{"a":1}']
    endless = NDJSONReader(limit=8)
    with pytest.raises(UpstreamProtocolError):
        endless.feed(b"x" * 9)


async def test_the_stubs_stream_can_be_read_whole() -> None:
    target = Target(kind="stub", base_url="", model="m")
    wire = codec_for("stub").build_request(ChatRequest(messages=HELLO), target, stream=True)
    async with StubTransport().stream(wire, target.timeouts, EgressPolicy.local()) as streamed:
        assert b"hi" in await streamed.aread()
