"""A stream forwarded as it is: what reaches the client, when it begins, and what the ledger may ask for afterwards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.errors import LLMError, UpstreamProtocolError
from adapters.passthrough import ChatStreamTap
from adapters.types import Target
from registry.usage.forwarding import FOLD_BYTES, Forwarding

TARGET = Target(kind="openai", base_url="https://api.test/v1", model="m", provider="acme")


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c", "created": 7, "model": "served", "choices": choices} | more
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


OPENING = event({"role": "assistant", "content": ""})
USAGE = event({}, choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})
END = event({}, "stop") + USAGE + b"data: [DONE]\n\n"


async def arriving(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def forwarding(model: str = "served", answer_id: str = "c") -> Forwarding:
    return Forwarding(ChatStreamTap(TARGET, model=model, answer_id=answer_id, include_usage=False, ends=False))


async def forwarded(stream: Forwarding, *pieces: bytes) -> bytes:
    assert await stream.begin(arriving(*pieces)) is None
    return b"".join([piece async for piece in stream.pieces()])


async def test_events_pass_as_they_are_but_for_usage_and_the_end() -> None:
    words = [event({"content": f"word {n} "}) for n in range(50)]
    stream = forwarding()
    assert await forwarded(stream, OPENING + b"".join(words) + END) == OPENING + b"".join(words) + event({}, "stop")
    assert (stream.tap.usage.input_tokens, stream.tap.usage.output_tokens) == (3, 2)
    assert (stream.tap.created, stream.tap.finish_reasons) == (7, {0: "stop"})
    assert stream.said == "".join(f"word {n} " for n in range(50))


async def test_every_split_of_the_bytes_gives_the_same() -> None:
    body = OPENING + event({"content": 'a \\"quoted\\" wörd'}) * 3 + END
    whole = await forwarded(forwarding("alias", "mine"), body)
    assert whole.count(b'"model":"alias"') == whole.count(b'"id":"mine"') == 5
    assert b'"served"' not in whole and b'"id":"c"' not in whole
    for at in range(1, len(body)):
        assert await forwarded(forwarding("alias", "mine"), body[:at], body[at:]) == whole


async def test_it_has_not_begun_before_anything_was_said() -> None:
    stream = forwarding()
    with pytest.raises(UpstreamProtocolError):
        await stream.begin(arriving(OPENING))
    assert not stream.began


async def test_an_error_after_some_words_is_raised_and_the_words_are_kept() -> None:
    stream = forwarding()
    body = OPENING + event({"content": "half"}) + b'data: {"error":{"message":"overloaded","code":500}}\n\n'
    assert await stream.begin(arriving(body)) is None
    passed = []
    with pytest.raises(LLMError):
        async for piece in stream.pieces():
            passed.append(piece)
    assert b"".join(passed) == OPENING + event({"content": "half"})
    assert stream.began and stream.said == "half"


@pytest.mark.parametrize(
    "delta", [{"reasoning": "hm"}, {"content": [{"type": "text", "text": "x"}]}, {"reasoning_details": [{}]}]
)
async def test_a_shape_that_the_hubs_clients_do_not_know_is_given_back_to_be_decoded(delta: dict[str, Any]) -> None:
    body = [OPENING, event(delta), END]
    assert await forwarding().begin(arriving(*body)) == body[:2]


async def test_long_streams_are_kept_as_text_alone() -> None:
    stream = forwarding()
    word = event({"content": "wörd "})
    count = 4 * FOLD_BYTES // len(word)
    await forwarded(stream, OPENING, *([word] * count), END)
    assert stream._raw_bytes < FOLD_BYTES
    assert stream.said == "wörd " * count
