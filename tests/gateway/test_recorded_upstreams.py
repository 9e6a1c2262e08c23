"""The official OpenAI and Anthropic SDKs at the hub, before upstreams that say what real providers said.

Each provider's recordings are played for a tool loop, an answer to a JSON schema, a question about an image and a
stream; what the SDK reads must be what the recorded bytes say. Skipped by name where there are no recordings.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.adapters.replay import ABSENT, RECORDINGS, Recording
from tests.gateway.conftest import Hub, Someone
from tests.gateway.recorded import Scenes, played, said, said_in_stream, scenes_of
from tests.gateway.test_every_dialect import ASK, IMAGE, PNG, SCHEMA, SPEAKERS, register, text_of
from tests.upstream import SeenRequest, Upstream

# name -> the speaker whose addresses it has, its dialect, its recordings
PROVIDERS = {
    "openai": ("openai", "openai", ["openai"]),
    "azure_openai": ("azure_openai", "openai", ["azure"]),
    "anthropic": ("anthropic", "anthropic", ["anthropic"]),
    "gemini": ("gemini", "gemini", ["gemini", "vertex_gemini"]),
    "ollama": ("ollama", "ollama", ["ollama"]),
    "huggingface": ("huggingface", "openai", ["huggingface"]),
    "mistral": ("mistral", "openai", ["mistral"]),
    "openrouter": ("openrouter", "openai", ["openrouter"]),
    "groq": ("groq", "openai", ["groq"]),
    "deepseek": ("deepseek", "openai", ["deepseek"]),
    "xai": ("xai", "openai", ["openai_compatible/xai"]),
    "together": ("together", "openai", ["openai_compatible/together"]),
    "vllm": ("vllm", "openai", ["openai_compatible/vllm", "documented/vllm"]),
    "lmstudio": ("lmstudio", "openai", ["openai_compatible/lmstudio"]),
    "openai_compatible": ("openai_compatible", "openai", ["openai_compatible", "gemini_openai_compat"]),
}
SCENES = {name: scenes_of(dialect, *folders) for name, (_, dialect, folders) in PROVIDERS.items()}
NO_SCHEMA = {"deepseek"}  # refused before any call, by its documents

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason=ABSENT)


class Stage:
    """An upstream that plays one recording at a time, whatever it is asked, and keeps what it was asked."""

    def __init__(self, upstream: Upstream, name: str) -> None:
        self._upstream = upstream
        self._routes = SPEAKERS[PROVIDERS[name][0]].routes
        self.dialect = PROVIDERS[name][1]
        self.seen: list[SeenRequest] = []

    def play(self, *recordings: Recording) -> None:
        self.seen.clear()
        in_turn = iter(recordings)

        def next_play(request: SeenRequest) -> Any:
            return played(next(in_turn), self.seen)(request)

        for route in self._routes:
            self._upstream.on("POST", route, next_play)


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_both_sdks_read_what_the_provider_really_said(
    hub: Hub, upstream: Upstream, someone: Someone, name: str
) -> None:
    scenes = SCENES[name]
    if scenes == Scenes(tool=None, text=None, schema=None, image=None, stream=None):
        pytest.skip(f"no recordings of {name}")
    register(hub, upstream, someone, SPEAKERS[PROVIDERS[name][0]])
    stage = Stage(upstream, name)
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=someone.token, max_retries=0, timeout=20) as client:
        run_openai(client, stage, scenes, schema=name not in NO_SCHEMA)
    with anthropic.Anthropic(base_url=hub.base_url, api_key=someone.token, max_retries=0, timeout=20) as client:
        run_anthropic(client, stage, scenes, schema=name not in NO_SCHEMA)


def run_openai(client: openai.OpenAI, stage: Stage, scenes: Scenes, *, schema: bool) -> None:
    def ask(messages: list[Any] = ASK, **more: Any) -> Any:
        return client.chat.completions.create(model="m", messages=messages, **more).choices[0]

    if scenes.tool:
        stage.play(scenes.tool, scenes.text or scenes.tool)
        calls = said(stage.dialect, scenes.tool.body)[1]
        names = list(dict.fromkeys(called for called, _ in calls))
        tools = [
            {"type": "function", "function": {"name": called, "parameters": {"type": "object"}}} for called in names
        ]
        first = ask(tools=tools)
        got = first.message.tool_calls
        assert [(call.function.name, json.loads(call.function.arguments)) for call in got] == calls
        assert first.finish_reason == "tool_calls"
        turn = first.message.model_dump(exclude_none=True)
        results = [{"role": "tool", "tool_call_id": call.id, "content": "21 degrees"} for call in got]
        second = ask([*ASK, turn, *results], tools=tools).message
        assert (second.content or "") == said(stage.dialect, (scenes.text or scenes.tool).body)[0]
        assert stage.seen[1].body.count(b"21 degrees") == len(calls)
    elif scenes.text:
        stage.play(scenes.text)
        assert ask().message.content == said(stage.dialect, scenes.text.body)[0]
    if scenes.schema and schema:
        stage.play(scenes.schema)
        wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
        assert ask(response_format=wanted).message.content == said(stage.dialect, scenes.schema.body)[0]
    if scenes.image:
        stage.play(scenes.image)
        question = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
        assert ask(question).message.content == said(stage.dialect, scenes.image.body)[0]
        assert PNG.encode() in stage.seen[0].body
    if scenes.stream:
        stage.play(scenes.stream)
        chunks = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
        choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == 0]
        told = "".join(choice.delta.content or "" for choice in choices)
        assert told == said_in_stream(stage.dialect, scenes.stream.body)
        assert choices[-1].finish_reason


def run_anthropic(client: anthropic.Anthropic, stage: Stage, scenes: Scenes, *, schema: bool) -> None:
    def ask(messages: list[Any] = ASK, **more: Any) -> Any:
        return client.messages.create(model="m", max_tokens=99, messages=messages, **more)

    if scenes.tool:
        stage.play(scenes.tool, scenes.text or scenes.tool)
        calls = said(stage.dialect, scenes.tool.body)[1]
        names = list(dict.fromkeys(called for called, _ in calls))
        tools: list[Any] = [{"name": called, "input_schema": {"type": "object"}} for called in names]
        first = ask(tools=tools)
        got = [block for block in first.content if block.type == "tool_use"]
        assert [(block.name, block.input) for block in got] == calls
        assert first.stop_reason == "tool_use"
        turn = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]}
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": "21 degrees"} for block in got]
        second = ask([*ASK, turn, {"role": "user", "content": results}], tools=tools)
        assert text_of(second) == said(stage.dialect, (scenes.text or scenes.tool).body)[0]
        assert stage.seen[1].body.count(b"21 degrees") == len(calls)
    elif scenes.text:
        stage.play(scenes.text)
        assert text_of(ask()) == said(stage.dialect, scenes.text.body)[0]
    if scenes.schema and schema:
        stage.play(scenes.schema)
        wanted = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
        assert text_of(ask(extra_body=wanted)) == said(stage.dialect, scenes.schema.body)[0]
    if scenes.image:
        stage.play(scenes.image)
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
        assert text_of(ask([{"role": "user", "content": content}])) == said(stage.dialect, scenes.image.body)[0]
        assert PNG.encode() in stage.seen[0].body
    if scenes.stream:
        stage.play(scenes.stream)
        with client.messages.stream(model="m", max_tokens=99, messages=ASK) as streamed:
            told = "".join(streamed.text_stream)
            assert streamed.get_final_message().stop_reason
        assert told == said_in_stream(stage.dialect, scenes.stream.body)
