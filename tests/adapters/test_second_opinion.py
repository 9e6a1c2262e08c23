"""The vendors' own SDKs read the bytes that our codecs read, from a loopback server: recordings, and synthetic answers.

Text, calls, finish reason and usage must agree; where they can't, the test says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.genai.errors import UnknownApiResponseError
from pydantic import ValidationError

from adapters.create import codec_for
from adapters.kinds import profile_for
from adapters.types import Target
from tests.adapters.replay import recordings
from tests.adapters.second_opinion import READERS, Reading, ours
from tests.speakers import Said, Speaker
from tests.speakers.anthropic import ANTHROPIC
from tests.speakers.gemini import GEMINI
from tests.speakers.ollama import OLLAMA
from tests.speakers.openai_chat import MISTRAL, OPENAI
from tests.upstream import Upstream, answer

SPEAKERS = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI, "mistral": MISTRAL, "ollama": OLLAMA}
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "mistral": "/v1/chat/completions",
    "ollama": "/api/chat",
}
SAID = {
    "text": Said(text="Grüße aus Köln \u2028 \U0001f600"),
    "reasoning": Said(text="Yes.", reasoning="Let me think."),
    "calls": Said(calls=(("weather", {"city": "Köln"}), ("clock", {"zone": "CET"}))),
    "both": Said(text="I will look.", calls=(("weather", {"city": "Köln"}),)),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def play(server: Upstream, provider: str, body: bytes, *, stream: bool) -> None:
    media_type = "application/json"
    if stream:
        media_type = "application/x-ndjson" if provider == "ollama" else "text/event-stream"
    call = "streamGenerateContent" if stream else "generateContent"
    path = PATHS.get(provider) or f"/v1beta/models/m:{call}"
    server.on("POST", path, answer(body, headers={"content-type": media_type}))


def compare(server: Upstream, provider: str, body: bytes, *, stream: bool) -> tuple[Reading, Reading]:
    play(server, provider, body, stream=stream)
    theirs = READERS[provider](server.base_url, stream=stream)
    target = Target(kind=provider, base_url="https://api.test", model="m", profile=profile_for(provider, "m"))
    return ours(codec_for(provider), target, body, stream=stream), theirs


@pytest.mark.parametrize("said", SAID.values(), ids=list(SAID))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", list(SPEAKERS))
def test_a_synthetic_answer_reads_the_same(server: Upstream, provider: str, stream: bool, said: Said) -> None:
    speaker: Speaker = SPEAKERS[provider]
    if provider == "ollama" and stream:
        # Its SDK reads lines with httpx, which ends one at U+2028 too; JSON lets that stand raw, and so do we.
        said = replace(said, text=said.text.replace("\u2028", ""))
    body = b"".join(speaker.stream(said)) if stream else json.dumps(speaker.answer(said)).encode()
    our, their = compare(server, provider, body, stream=stream)
    assert our == their
    (read,) = our.choices.values()
    assert (read.text, read.calls) == (said.text, list(said.calls))
    assert read.finish == ("tool_calls" if said.calls else "stop")
    assert (our.input_tokens, our.output_tokens) == (12, 5)


def is_stream(recording: dict[str, Any]) -> bool:
    body = recording["response_body"].lstrip()
    if "/api/chat" in (recording.get("path") or ""):
        return (recording["request_body"] or {}).get("stream", True) is not False
    return not body.startswith("{")


def keep(provider: str) -> Any:
    paths = {"gemini": "enerateContent"} | PATHS

    def is_answer(recording: dict[str, Any]) -> bool:
        path = (recording.get("path") or paths[provider]).split("?")[0]
        return recording["status"] == 200 and path.endswith(paths[provider])

    return is_answer


CASES = [
    pytest.param(provider, *parameter.values, id=f"{provider}-{parameter.id}", marks=parameter.marks)
    for provider in SPEAKERS
    for parameter in recordings(provider, keep(provider))
]


def unreadable(provider: str, body: str) -> str | None:
    """Why the SDK can't read what we can."""
    if provider == "gemini" and body.startswith("["):
        return "the SDK asks with alt=sse and reads nothing else; this was asked without and is a JSON array"
    if provider == "ollama" and any("message" not in json.loads(line) for line in body.splitlines() if line[:1] == "{"):
        return "the SDK demands a message in every line; the vendor's own example has a last line without"
    return None


@pytest.mark.parametrize(("provider", "recording"), CASES)
def test_a_recorded_answer_reads_the_same(server: Upstream, provider: str, recording: dict[str, Any]) -> None:
    body, stream = recording["response_body"], is_stream(recording)
    if unreadable(provider, body):
        with pytest.raises((UnknownApiResponseError, ValidationError)):
            compare(server, provider, body.encode(), stream=stream)
        return
    our, their = compare(server, provider, body.encode(), stream=stream)
    if "partialArgs" in body:
        # The SDK hands the pieces of arguments on as calls without any; we put them together (trap 34).
        for choice in their.choices.values():
            names = [name for name, _ in choice.calls if name != "None"]
            choice.calls = list(our.choices[0].calls) if names == [name for name, _ in our.choices[0].calls] else []
    assert our == their
