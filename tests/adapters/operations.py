"""What becomes of each thing a client can ask for, at each kind of provider: the table of docs/operations.md.

    python -m tests.adapters.operations > docs/operations.md

Found by building the request with and without it: another body carries it, the same body left it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from adapters.base import ProviderCodec
from adapters.create import codec_for
from adapters.errors import UnsupportedFeatureError
from adapters.kinds import KINDS, profile_for
from adapters.types import (
    AudioPart,
    ChatRequest,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    ImageRequest,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    Target,
    TextPart,
    ToolCall,
    ToolDefinition,
)
from adapters.wire_json import read_json

YES, LEFT_OUT, REFUSED = "yes", "left out", "-"
# A model of each provider's own that has what the provider has; any other where the provider makes no difference.
MODELS = {
    "openai": "gpt-4.1",
    "azure_openai": "gpt-4.1",
    "anthropic": "claude-sonnet-4-5",
    "anthropic_compat": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3",
    "groq": "qwen/qwen3-32b",
    "mistral": "mistral-large-latest",
    "deepseek": "deepseek-chat",
    "xai": "grok-4",
}
REASONING_MODELS = {"openai": "gpt-5", "azure_openai": "gpt-5", "mistral": "magistral-medium-latest"}
PNG = b"\x89PNG\r\n"
OBJECT: Mapping[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOL = ToolDefinition(name="look_up", description="d", parameters=OBJECT)
HI = ChatRequest(messages=(Message(role="user", parts=(TextPart(text="hi"),)),), max_output_tokens=2048)
WITH_TOOL = replace(HI, tools=(TOOL,))


def _asking(part: Any) -> ChatRequest:
    return replace(HI, messages=(Message(role="user", parts=(TextPart(text="hi"), part)),))


def _after_calls() -> ChatRequest:
    """Two calls at once, both answered."""
    calls = tuple(ToolCall(id=f"call_{n}", name="look_up", arguments='{"a": "b"}') for n in (1, 2))
    results = tuple(
        Message(role="tool", tool_call_id=call.id, name=call.name, parts=(TextPart(text="found"),)) for call in calls
    )
    return replace(WITH_TOOL, messages=(*HI.messages, Message(role="assistant", parts=calls), *results))


SCHEMA = JsonSchemaFormat(name="answer", schema=OBJECT | {"additionalProperties": False}, strict=True)
# name -> the request without it, the request with it
SETTINGS: dict[str, tuple[ChatRequest, ChatRequest]] = {
    "tools": (HI, WITH_TOOL),
    "tool results": (WITH_TOOL, _after_calls()),
    "one tool forced": (WITH_TOOL, replace(WITH_TOOL, tool_choice=NamedTool(name="look_up"))),
    "any tool forced": (WITH_TOOL, replace(WITH_TOOL, tool_choice="required")),
    "one call at a time": (WITH_TOOL, replace(WITH_TOOL, parallel_tool_calls=False)),
    "image by URL": (HI, _asking(ImagePart(url="https://example.org/a.png"))),
    "image as data": (HI, _asking(ImagePart(data=PNG, media_type="image/png"))),
    "audio": (HI, _asking(AudioPart(data=b"RIFF", format="wav"))),
    "PDF": (HI, _asking(FilePart(data=b"%PDF", media_type="application/pdf", filename="a.pdf"))),
    "JSON object": (HI, replace(HI, response_format=JsonFormat())),
    "JSON schema": (HI, replace(HI, response_format=SCHEMA)),
    "reasoning effort": (HI, replace(HI, reasoning_effort="high")),
    "temperature": (HI, replace(HI, temperature=0.3)),
    "top_k": (HI, replace(HI, top_k=7)),
    "stop": (HI, replace(HI, stop=("END",))),
    "seed": (HI, replace(HI, seed=7)),
    "logprobs": (HI, replace(HI, logprobs=True, top_logprobs=2)),
    "n": (HI, replace(HI, n=2)),
}


def target_for(kind: str, setting: str = "") -> Target:
    model = (REASONING_MODELS if setting == "reasoning effort" else MODELS).get(kind) or MODELS.get(kind, "some-model")
    return Target(kind=kind, base_url="https://api.test/v1", model=model, api_key="k", profile=profile_for(kind, model))


def outcome(kind: str, setting: str, *, stream: bool = False) -> str:
    """What becomes of one setting of a chat."""
    target = target_for(kind, setting)
    without, wanted = SETTINGS[setting]
    codec = codec_for(kind)
    try:
        wire = codec.for_request(wanted, target).build_request(wanted, target, stream=stream)
    except UnsupportedFeatureError:
        return REFUSED
    plain = codec.for_request(without, target).build_request(without, target, stream=stream)
    if read_json(wire.body) != read_json(plain.body):
        return YES
    assert wire.warnings, f"{kind} drops {setting} without a word"
    return LEFT_OUT


def _can(build: Callable[[], object]) -> str:
    try:
        return REFUSED if build() is None else YES
    except UnsupportedFeatureError:
        return REFUSED


def operations(kind: str) -> Iterator[tuple[str, str]]:
    target = target_for(kind)
    codec: ProviderCodec = codec_for(kind)
    for name, stream in (("chat", False), ("streamed chat", True)):
        yield name, _can(partial(codec.build_request, HI, target, stream=stream))
    for setting in SETTINGS:
        yield setting, outcome(kind, setting)
    yield "embeddings", _can(lambda: codec.build_embeddings(EmbeddingRequest(inputs=("a",)), target))
    yield "images made", _can(lambda: codec.build_images(ImageRequest(prompt="a"), target))
    yield "models listed", _can(lambda: codec.build_list_models(target))
    yield "tokens counted", _can(lambda: codec.build_count_tokens(HI, target))


def table() -> str:
    kinds = [kind for kind in KINDS if kind != "stub"]
    columns = {kind: dict(operations(kind)) for kind in kinds}
    rows = list(next(iter(columns.values())))
    lines = [
        "# What each provider is asked for",
        "",
        "Made by `python -m tests.adapters.operations`, and a test holds it to the code. `yes`: it is sent in the",
        "provider's own form. `left out`: the provider has no such thing and the answer does without; the",
        "`x-llmhub-warnings` header says so. `-`: refused with 400 by name before any call, since leaving it out would",
        "change what was asked. Self-hosted servers and routers get what the dialect knows; what the model behind them",
        "can do is the capability of the model, which the hub asks before it calls.",
        "",
        "| | " + " | ".join(KINDS[kind].label for kind in kinds) + " |",
        "|---|" + "---|" * len(kinds),
        *(f"| {row} | " + " | ".join(columns[kind][row] for kind in kinds) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
