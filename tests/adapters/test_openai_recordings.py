"""Replays recorded OpenAI-shaped traffic: whole, byte by byte and at random splits."""

from __future__ import annotations

import pytest

from adapters.errors import LLMError
from adapters.kinds import KINDS, profile_for
from adapters.openai_chat import OpenAIChatCodec
from adapters.types import Finished, Target, ToolCallDelta, UsageReported
from adapters.wire_json import read_json
from tests.adapters.replay import ABSENT, Recording, cuts, load, outcome

FOLDERS = [
    "openai",
    "azure",
    "deepseek",
    "groq",
    "huggingface",
    "mistral",
    "openrouter",
    "openai_compatible",
    "gemini_openai_compat",
    "documented",
]
# Recordings of what the provider itself broke off.
BROKEN = {
    "documented/openai/stream_error_mid_stream.json": "UpstreamUnavailableError",
    "groq/stream-system-tools-reasoning-err-in-200__tool_use_failed_error_streaming_with_text.1.json": (
        "UpstreamProtocolError"
    ),
}


def is_chat(recording: Recording) -> bool:
    if "chat/completions" in (recording.content.get("path") or ""):
        return True
    return recording.content.get("path") is None and b'"chat.completion' in recording.body


CHAT = [recording for recording in load(*FOLDERS) if is_chat(recording)]
STREAMS = [recording for recording in CHAT if recording.is_stream]
WHOLE = [recording for recording in CHAT if recording.content["status"] < 300 and not recording.is_stream]
ERRORS = [recording for recording in CHAT if recording.content["status"] >= 400]
CODEC = OpenAIChatCodec()

pytestmark = pytest.mark.skipif(not CHAT, reason=ABSENT)


def target_of(recording: Recording) -> Target:
    folders = recording.name.split("/")
    kind = next((name for name in folders[1::-1] if name in KINDS), "openai_compatible")
    return Target(kind=kind, base_url="https://api.test/v1", model="m", profile=profile_for(kind), provider=kind)


def by_name(recordings: list[Recording]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", recordings, ids=[recording.name for recording in recordings])


@by_name(STREAMS)
def test_a_stream_decodes_the_same_at_any_split(recording: Recording) -> None:
    target = target_of(recording)
    whole = outcome(CODEC.stream_decoder(target), [recording.body])
    if recording.name in BROKEN:
        assert whole[-1] == BROKEN[recording.name]
    else:
        assert any(isinstance(event, Finished) for event in whole)
        assert not isinstance(whole[-1], str)
    for pieces in cuts(recording.body, seed=len(recording.body)):
        assert outcome(CODEC.stream_decoder(target), pieces) == whole


@by_name(STREAMS)
def test_streamed_tool_arguments_are_json(recording: Recording) -> None:
    arguments: dict[tuple[int, int], str] = {}
    for event in outcome(CODEC.stream_decoder(target_of(recording)), [recording.body]):
        if isinstance(event, ToolCallDelta):
            key = (event.choice, event.index)
            arguments[key] = arguments.get(key, "") + event.arguments
    for text in arguments.values():
        assert isinstance(read_json(text.encode()), dict)


@by_name(STREAMS)
def test_a_stream_that_loses_its_end_is_an_error(recording: Recording) -> None:
    body = recording.body[: len(recording.body) // 3]
    assert isinstance(outcome(CODEC.stream_decoder(target_of(recording)), [body])[-1], str)


@by_name(STREAMS)
def test_usage_is_never_summed(recording: Recording) -> None:
    reports = [
        event.usage
        for event in outcome(CODEC.stream_decoder(target_of(recording)), [recording.body])
        if isinstance(event, UsageReported)
    ]
    if reports:
        total = reports[-1].raw.get("total_tokens")
        assert total is None or reports[-1].total_tokens == total


@by_name(WHOLE)
def test_a_whole_answer_reads(recording: Recording) -> None:
    target = target_of(recording)
    if recording.name.startswith("documented/openrouter/error_in_200"):
        with pytest.raises(LLMError) as caught:
            CODEC.parse_response(recording.response, target)
        assert caught.value.retryable
        return
    response = CODEC.parse_response(recording.response, target)
    assert response.choices
    assert response.usage.reported
    for call in response.tool_calls:
        assert call.id and call.name
        if not call.provider_metadata:  # a custom tool's input is free text
            assert isinstance(read_json(call.arguments.encode()), dict)


@by_name(ERRORS)
def test_an_error_is_classified_and_keeps_the_upstreams_words_to_itself(recording: Recording) -> None:
    error = CODEC.parse_error(recording.response, target_of(recording))
    assert error.upstream_status == recording.content["status"]
    assert error.upstream_message
    assert error.upstream_message not in str(error)
