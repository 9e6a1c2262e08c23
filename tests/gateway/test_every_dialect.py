"""The official OpenAI and Anthropic SDKs at the hub, before every kind of provider, each played in its own dialect.

A tool loop, an answer to a JSON schema, a question about an image and a stream: what a client of either dialect needs.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    open_loopback,
    rows_at_once,
)
from tests.speakers import INPUT_TOKENS, OUTPUT_TOKENS, PNG, Speaker
from tests.speakers.anthropic import ANTHROPIC, ANTHROPIC_COMPAT
from tests.speakers.gemini import GEMINI
from tests.speakers.ollama import OLLAMA
from tests.speakers.openai_chat import AZURE, AZURE_V1, DEEPSEEK, HUGGINGFACE, MISTRAL, OPENAI, OPENROUTER, PLAIN
from tests.speakers.openai_responses import RESPONSES
from tests.upstream import Upstream

SPEAKERS = {
    "openai": OPENAI,
    "openai, responses": RESPONSES,
    "azure_openai": AZURE,
    "azure_openai, v1": AZURE_V1,
    "anthropic": ANTHROPIC,
    "anthropic_compat": ANTHROPIC_COMPAT,
    "gemini": GEMINI,
    "ollama": OLLAMA,
    "huggingface": HUGGINGFACE,
    "mistral": MISTRAL,
    "openrouter": OPENROUTER,
    "deepseek": DEEPSEEK,
} | {speaker.kind: speaker for speaker in PLAIN}
# What a provider's documents rule out is refused before any call, with 400.
WITHOUT = {"deepseek": {"schema", "image"}}

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
FILLED = {"city": "Köln", "degrees": 7}
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
ASK: list[Any] = [{"role": "user", "content": "Wie ist es in Köln?"}]


def register(hub: Hub, upstream: Upstream, someone: Someone, speaker: Speaker) -> None:
    for route in speaker.routes:
        upstream.on("POST", route, speaker.play)
    with rows_at_once(hub, someone):
        open_loopback()
        settings = speaker.settings
        provider = make_provider(upstream, "loop", adapter=speaker.kind, path=speaker.path, settings=settings)
        make_key(provider, "sk-planted-5f1d")
        make_model(provider, "m")


@pytest.mark.parametrize("name", list(SPEAKERS))
def test_openais_sdk_works_in_front_of(hub: Hub, upstream: Upstream, someone: Someone, name: str) -> None:
    register(hub, upstream, someone, SPEAKERS[name])
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=someone.token, max_retries=0, timeout=20) as client:
        openai_tool_loop(client)
        openai_schema(client, refused="schema" in WITHOUT.get(name, ()))
        openai_image(client, refused="image" in WITHOUT.get(name, ()))
        openai_stream(client)


def openai_tool_loop(client: openai.OpenAI) -> None:
    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": PLACE}}]
    first = client.chat.completions.create(model="m", messages=ASK, tools=tools)
    (call,) = first.choices[0].message.tool_calls or ()
    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Köln"})
    said = first.choices[0].message.model_dump(exclude_none=True)
    told = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    second = client.chat.completions.create(model="m", messages=[*ASK, said, told], tools=tools)
    assert second.choices[0].message.content == "The tool says: 21 degrees."
    assert second.choices[0].finish_reason == "stop"
    assert second.usage is not None
    assert (second.usage.prompt_tokens, second.usage.completion_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)


def openai_schema(client: openai.OpenAI, *, refused: bool) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
    if refused:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="m", messages=ASK, response_format=wanted)
        return
    answer = client.chat.completions.create(model="m", messages=ASK, response_format=wanted)
    assert json.loads(answer.choices[0].message.content or "") == FILLED


def openai_image(client: openai.OpenAI, *, refused: bool) -> None:
    question: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
    if refused:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="m", messages=question)
        return
    answer = client.chat.completions.create(model="m", messages=question)
    assert answer.choices[0].message.content == "I see 1 image."


def openai_stream(client: openai.OpenAI) -> None:
    text, finish, usage = "", None, None
    options: Any = {"include_usage": True}
    for chunk in client.chat.completions.create(model="m", messages=ASK, stream=True, stream_options=options):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert (text, finish) == ("You said: Wie ist es in Köln?", "stop")
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)


@pytest.mark.parametrize("name", list(SPEAKERS))
def test_anthropics_sdk_works_in_front_of(hub: Hub, upstream: Upstream, someone: Someone, name: str) -> None:
    register(hub, upstream, someone, SPEAKERS[name])
    with anthropic.Anthropic(base_url=hub.base_url, api_key=someone.token, max_retries=0, timeout=20) as client:
        anthropic_tool_loop(client)
        anthropic_schema(client, refused="schema" in WITHOUT.get(name, ()))
        anthropic_image(client, refused="image" in WITHOUT.get(name, ()))
        anthropic_stream(client)


def anthropic_tool_loop(client: anthropic.Anthropic) -> None:
    tools: list[Any] = [{"name": "weather", "input_schema": PLACE}]
    first = client.messages.create(model="m", max_tokens=99, messages=ASK, tools=tools)
    (call,) = [block for block in first.content if block.type == "tool_use"]
    assert (first.stop_reason, call.name, call.input) == ("tool_use", "weather", {"city": "Köln"})
    said: Any = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]}
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
    turns = [*ASK, said, {"role": "user", "content": [result]}]
    second = client.messages.create(model="m", max_tokens=99, messages=turns, tools=tools)
    assert text_of(second) == "The tool says: 21 degrees."
    assert second.stop_reason == "end_turn"
    assert (second.usage.input_tokens, second.usage.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def anthropic_schema(client: anthropic.Anthropic, *, refused: bool) -> None:
    wanted = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    if refused:
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(model="m", max_tokens=99, messages=ASK, extra_body=wanted)
        return
    answer = client.messages.create(model="m", max_tokens=99, messages=ASK, extra_body=wanted)
    assert json.loads(text_of(answer)) == FILLED


def anthropic_image(client: anthropic.Anthropic, *, refused: bool) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    question: Any = [{"role": "user", "content": content}]
    if refused:
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(model="m", max_tokens=99, messages=question)
        return
    answer = client.messages.create(model="m", max_tokens=99, messages=question)
    assert text_of(answer) == "I see 1 image."


def anthropic_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="m", max_tokens=99, messages=ASK) as streamed:
        assert "".join(streamed.text_stream) == "You said: Wie ist es in Köln?"
        message = streamed.get_final_message()
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
