"""Forwarding a stream of the client's own dialect: whole events, untouched, with usage and errors read beside."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.errors import LLMError, RateLimitedError, UpstreamProtocolError
from adapters.openai_answers import OpenAIChatDecoder
from adapters.passthrough import ChatStreamTap, _heads, rewrite_model
from adapters.types import Target, UsageReported
from adapters.wire_json import dump_json, read_json
from tests.adapters.replay import ABSENT, cuts, load, outcome

TARGET = Target(kind="openai", base_url="https://api.test/v1", model="m", provider="acme")


def chunk(finish: Any = None, **fields: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": "x"}, "finish_reason": finish}]
    return {"id": "1", "model": "real", "choices": choices, "usage": None} | fields


USAGE = {"id": "1", "model": "real", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def body_of(*chunks: Any, done: bool = True) -> bytes:
    events = [b": note\n\n", *(b"data: " + dump_json(item) + b"\n\n" for item in chunks)]
    return b"".join(events) + (b"data: [DONE]\n\n" if done else b"")


WHOLE = body_of(chunk(), chunk(), chunk("stop"), USAGE)


def run(tap: ChatStreamTap, pieces: list[bytes]) -> bytes:
    return b"".join(tap.feed(piece) for piece in pieces) + tap.close()


def test_bytes_pass_untouched_at_any_split() -> None:
    for pieces in ([WHOLE], *cuts(WHOLE, seed=1)):
        tap = ChatStreamTap(TARGET)
        assert run(tap, pieces) == WHOLE
        assert (tap.usage.input_tokens, tap.usage.output_tokens) == (3, 2)
        assert tap.finish_reasons == {0: "stop"}
        assert tap.upstream_model == "real"


def test_only_whole_events_are_answered() -> None:
    tap = ChatStreamTap(TARGET)
    for n in range(len(WHOLE)):
        out = tap.feed(WHOLE[n : n + 1])
        assert out == b"" or out.endswith(b"\n\n")


def test_the_models_name_is_rewritten_and_nothing_else() -> None:
    out = run(ChatStreamTap(TARGET, model="alias"), [WHOLE])
    assert out == WHOLE.replace(b'"model":"real"', b'"model":"alias"')


def test_usage_that_only_the_hub_wanted_is_taken_out() -> None:
    tap = ChatStreamTap(TARGET, include_usage=False)
    out = run(tap, [WHOLE])
    assert b"prompt_tokens" not in out and out.endswith(b"data: [DONE]\n\n")
    assert tap.usage.input_tokens == 3


def test_an_error_is_raised_after_the_events_before_it_and_its_text_does_not_pass() -> None:
    tap = ChatStreamTap(TARGET)
    error = {"error": {"message": "slow down, sk-secret", "code": "rate_limit_exceeded"}}
    out = tap.feed(body_of(chunk(), error))
    assert b"sk-secret" not in out and out.endswith(b"\n\n")
    with pytest.raises(RateLimitedError):
        tap.close()


def test_a_stream_that_was_cut_is_an_error_and_half_an_event_is_not_forwarded() -> None:
    tap = ChatStreamTap(TARGET)
    assert tap.feed(body_of(chunk(), done=False) + b'data: {"id":"1","cho').endswith(b"}\n\n")
    with pytest.raises(UpstreamProtocolError):
        tap.close()


def test_a_missing_done_is_added_after_a_finish() -> None:
    assert run(ChatStreamTap(TARGET), [body_of(chunk("stop"), done=False)]).endswith(b"data: [DONE]\n\n")


def test_a_whole_body_is_renamed() -> None:
    assert read_json(rewrite_model(b'{"model":"real","x":1}', "alias")) == {"model": "alias", "x": 1}


STREAMS = [
    recording
    for recording in load("openai", "azure", "groq", "openrouter", "deepseek", "openai_compatible")
    if recording.is_stream and b"chat.completion.chunk" in recording.body
]


@pytest.mark.skipif(not STREAMS, reason=ABSENT)
@pytest.mark.parametrize("recording", STREAMS, ids=[recording.name for recording in STREAMS])
def test_what_passes_means_the_same_as_what_came(recording: Any) -> None:
    tap = ChatStreamTap(TARGET)
    try:
        out = run(tap, [recording.body])
    except LLMError:
        assert isinstance(outcome(OpenAIChatDecoder(TARGET), [recording.body])[-1], str)
        return
    before, after = outcome(OpenAIChatDecoder(TARGET), [recording.body]), outcome(OpenAIChatDecoder(TARGET), [out])
    assert after == before
    reports = [event.usage for event in before if isinstance(event, UsageReported)]
    assert tap.usage == (reports[-1] if reports else tap.usage)


def test_names_are_swapped_at_once_only_where_every_event_has_each_once() -> None:
    swaps = [(b'"model":"real"', b'"model":"m"')]
    tap = ChatStreamTap(TARGET)
    tap._swaps, tap._heads = swaps, None
    event = b'data: {"model":"real","y":1}\n\n'
    assert tap._swapped(event * 2, 2) == event.replace(b"real", b"m") * 2
    assert tap._swapped(b'data: {"model":"real","x":{"model":"real"}}\n\ndata: {"y":1}\n\n', 2) is None
    assert _heads(event, swaps) == (b'data: {"model":"real"', b'data: {"model":"m"')
    assert _heads(event, []) is None
    for other in (b"event: x\n" + event, b'data: {"choices":[],"model":"real"}\n\n'):
        assert _heads(other, swaps) is None
