"""A conversation with tools, images and reasoning, to each dialect and back: what the dialect can carry is not lost.

Where the hub serves the dialect itself, its client's codec reads back; for Gemini and Ollama a reader written here,
from the vendors' documents. HYPOTHESIS_EXAMPLES=2000 for more than a commit's share.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.anthropic_client import AnthropicClientCodec
from adapters.create import codec_for
from adapters.gemini_contents import read_part
from adapters.kinds import profile_for
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.openai_responses_client import OpenAIResponsesClientCodec
from adapters.types import (
    ChatRequest,
    ImagePart,
    JsonSchemaFormat,
    Message,
    NamedTool,
    Part,
    ReasoningPart,
    Target,
    TextPart,
    ToolCall,
    ToolDefinition,
)

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES") or 40)
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class Trip:
    """One way to a provider and back. `reasoning` makes a thought as the dialect's own answers bring it."""

    kind: str
    model: str
    read: Callable[[dict[str, Any]], ChatRequest]
    reasoning: Callable[[str, str], ReasoningPart] | None
    marks: Callable[[str, int], dict[str, Any]] = lambda kind, n: {}  # of an answer's n-th text or call
    responses: bool = False
    image_urls: bool = True
    arguments_are_text: bool = False  # the model's own text arrives; elsewhere an object with the same content
    named_choice: bool = True
    settings: frozenset[str] = frozenset()


def of_chat(body: dict[str, Any]) -> ChatRequest:
    return OpenAIChatClientCodec().parse_request(body).request


def of_responses(body: dict[str, Any]) -> ChatRequest:
    return OpenAIResponsesClientCodec().parse_request({k: v for k, v in body.items() if k != "include"}).request


def of_anthropic(body: dict[str, Any]) -> ChatRequest:
    return AnthropicClientCodec().parse_request(body).request


def of_gemini(body: dict[str, Any]) -> ChatRequest:
    messages = []
    if "systemInstruction" in body:
        messages.append(Message(role="system", parts=tuple(map(gemini_part, body["systemInstruction"]["parts"]))))
    for turn in body["contents"]:
        spoken: list[Part] = []
        for part in turn["parts"]:
            result = part.get("functionResponse")
            if result:
                inside = tuple(map(gemini_part, result.get("parts", ())))
                text = next(iter(result["response"].values()))
                failed = set(result["response"]) == {"error"}
                messages.append(
                    Message(
                        role="tool",
                        tool_call_id=result["id"],
                        name=result["name"],
                        parts=(TextPart(text=text), *inside),
                        is_error=failed,
                    )
                )
            else:
                spoken.append(gemini_part(part))
        if spoken:
            messages.append(Message(role="assistant" if turn["role"] == "model" else "user", parts=tuple(spoken)))
    config = body.get("generationConfig", {})
    declared = [tool for group in body.get("tools", ()) for tool in group["functionDeclarations"]]
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    choice: Any = {"AUTO": "auto", "NONE": "none", "ANY": "required"}.get(calling.get("mode", ""))
    schema = config.get("responseJsonSchema")
    return ChatRequest(
        messages=tuple(messages),
        tools=tuple(
            ToolDefinition(
                name=tool["name"], description=tool.get("description"), parameters=tool["parametersJsonSchema"]
            )
            for tool in declared
        ),
        tool_choice=NamedTool(name=calling["allowedFunctionNames"][0]) if "allowedFunctionNames" in calling else choice,
        response_format=JsonSchemaFormat(name="answer", schema=schema) if schema else None,
        max_output_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        seed=config.get("seed"),
        stop=tuple(config.get("stopSequences", ())),
    )


def gemini_part(part: dict[str, Any]) -> Part:
    if "fileData" in part:
        return ImagePart(url=part["fileData"]["fileUri"])
    found = read_part(part)
    assert found is not None
    return found


def of_ollama(body: dict[str, Any]) -> ChatRequest:
    options, messages = body.get("options", {}), []
    for turn in body["messages"]:
        parts: list[Part] = [ReasoningPart(text=turn["thinking"])] if turn.get("thinking") else []
        parts += [TextPart(text=turn["content"])] if turn.get("content") else []
        parts += [ImagePart(media_type="image/png", data=base64.b64decode(data)) for data in turn.get("images", ())]
        for call in turn.get("tool_calls", ()):
            function = call["function"]
            arguments = json.dumps(function["arguments"])
            parts.append(ToolCall(id=call.get("id", ""), name=function["name"], arguments=arguments))
        name = turn.get("tool_name")
        messages.append(
            Message(role=turn["role"], parts=tuple(parts), name=name, tool_call_id=turn.get("tool_call_id"))
        )
    schema = body.get("format")
    return ChatRequest(
        messages=tuple(messages),
        tools=tuple(ToolDefinition(**tool["function"]) for tool in body.get("tools", ())),
        response_format=JsonSchemaFormat(name="answer", schema=schema) if schema else None,
        max_output_tokens=options.get("num_predict"),
        temperature=options.get("temperature"),
        top_p=options.get("top_p"),
        seed=options.get("seed"),
        stop=tuple(options.get("stop", ())),
    )


def plain_thought(text: str, _: str) -> ReasoningPart:
    return ReasoningPart(text=text)


def anthropic_thought(text: str, mark: str) -> ReasoningPart:
    return ReasoningPart(text=text, provider_metadata={"anthropic": {"signature": mark}})


def gemini_thought(text: str, mark: str) -> ReasoningPart:
    return ReasoningPart(text=text, provider_metadata={"gemini": {"thought_signature": mark}})


def responses_thought(text: str, mark: str) -> ReasoningPart:
    summary = [{"type": "summary_text", "text": text}]
    item = {"type": "reasoning", "id": f"rs_{mark}", "summary": summary, "encrypted_content": mark}
    return ReasoningPart(text=text, provider_metadata={"openai.responses": {"item": item}})


def responses_ids(kind: str, n: int) -> dict[str, Any]:
    """Without the id of what it led to, a thought is refused; so the codec sends neither."""
    return {"openai.responses": {"id": f"{kind}_{n}"}}


def gemini_signatures(kind: str, n: int) -> dict[str, Any]:
    """Each on its own part. (A turn's first call that comes without one gets Google's placeholder for that.)"""
    return {"gemini": {"thought_signature": f"c2ln{kind}{n:03}"}}


LIMITS = frozenset({"max_output_tokens", "temperature", "top_p", "tool_choice", "response_format"})
TRIPS = {
    "openai.chat": Trip(
        kind="openai",
        model="gpt-4o",
        read=of_chat,
        reasoning=None,  # chat/completions takes no thoughts back
        arguments_are_text=True,
        settings=LIMITS | {"stop", "seed", "parallel_tool_calls"},
    ),
    "openai.chat, with reasoning": Trip(
        kind="openai_compatible",
        model="m",
        read=of_chat,
        reasoning=plain_thought,
        arguments_are_text=True,
        settings=LIMITS | {"stop", "seed", "parallel_tool_calls"},
    ),
    "openai.responses": Trip(
        kind="openai",
        model="gpt-4o",
        read=of_responses,
        reasoning=responses_thought,
        marks=responses_ids,
        responses=True,
        arguments_are_text=True,
        settings=LIMITS | {"parallel_tool_calls"},
    ),
    "anthropic": Trip(
        kind="anthropic",
        model="claude-sonnet-4-5",
        read=of_anthropic,
        reasoning=anthropic_thought,
        settings=frozenset({"max_output_tokens", "temperature", "stop", "tool_choice", "response_format"}),
    ),
    "gemini": Trip(
        kind="gemini",
        model="gemini-3.8-flash",
        read=of_gemini,
        reasoning=gemini_thought,
        marks=gemini_signatures,
        settings=LIMITS | {"stop", "seed"},
    ),
    "ollama": Trip(
        kind="ollama",
        model="qwen3",
        read=of_ollama,
        reasoning=plain_thought,
        image_urls=False,
        settings=frozenset({"max_output_tokens", "temperature", "top_p", "stop", "seed", "response_format"}),
    ),
}

# --- conversations -------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(
    lambda text: text.strip() == text  # Anthropic refuses a last turn of white space alone, so the codec trims it
)
names = st.from_regex(r"[a-z][a-z_]{0,11}", fullmatch=True)
objects = st.dictionaries(
    names, st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words, st.lists, max_leaves=4)
)
images = st.binary(max_size=20).map(lambda data: ImagePart(media_type="image/png", data=PNG + data))
linked = st.from_regex(r"https://example\.org/[a-z]{1,9}\.png", fullmatch=True).map(lambda url: ImagePart(url=url))
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@st.composite
def conversations(draw: st.DrawFn, trip: Trip) -> ChatRequest:
    tools = tuple(
        ToolDefinition(name=name, description=draw(st.none() | words), parameters=SCHEMA)
        for name in draw(st.lists(names, min_size=1, max_size=3, unique=True))
    )
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", parts=(TextPart(text=draw(words)),)))
    picture = images | linked if trip.image_urls else images
    calls_so_far = 0
    for _ in range(draw(st.integers(1, 3))):
        pictures = draw(st.lists(picture, max_size=2))
        messages.append(Message(role="user", parts=(TextPart(text=draw(words)), *pictures)))
        parts: list[Part] = []
        if trip.reasoning and draw(st.booleans()):
            parts.append(trip.reasoning(draw(words), draw(names)))
        calls = [
            ToolCall(
                id=f"call_{n}",
                name=draw(st.sampled_from(tools)).name,
                arguments=json.dumps(value),
                provider_metadata=trip.marks("fc", n),
            )
            for n, value in enumerate(draw(st.lists(objects, max_size=3)), calls_so_far)
        ]
        calls_so_far += len(calls)
        if not calls or draw(st.booleans()):
            parts.append(TextPart(text=draw(words), provider_metadata=trip.marks("msg", len(messages))))
        messages.append(Message(role="assistant", parts=(*parts, *calls)))
        for call in calls:
            told = (TextPart(text=draw(words)),)
            messages.append(Message(role="tool", tool_call_id=call.id, name=call.name, parts=told))
    messages.append(Message(role="user", parts=(TextPart(text=draw(words)),)))
    return ChatRequest(messages=tuple(messages), tools=tools, **draw(wishes(trip, tools)))


@st.composite
def wishes(draw: st.DrawFn, trip: Trip, tools: tuple[ToolDefinition, ...]) -> dict[str, Any]:
    some: dict[str, st.SearchStrategy[Any]] = {
        "max_output_tokens": st.integers(16, 4096),
        "temperature": st.sampled_from([0.0, 0.25, 1.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "seed": st.integers(0, 2**31 - 1),
        "stop": st.lists(words, min_size=1, max_size=3).map(tuple),
        "tool_choice": st.sampled_from(["auto", "none", "required", NamedTool(name=tools[0].name)]),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.just(JsonSchemaFormat(name="answer", schema=SCHEMA)),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(trip.settings)))) | {"max_output_tokens"}
    return {name: draw(some[name]) for name in sorted(chosen)}


@pytest.mark.parametrize("trip", list(TRIPS.values()), ids=list(TRIPS))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_conversation_comes_back_from(trip: Trip, data: st.DataObject) -> None:
    request = data.draw(conversations(trip))
    profile = profile_for(trip.kind, trip.model)
    if trip.reasoning is plain_thought and trip.kind != "ollama":
        profile = replace(profile, reasoning_echo_field="reasoning_content")
    target = Target(
        kind=trip.kind,
        base_url="https://api.test/v1",
        model=trip.model,
        api_key="sk-test",
        profile=profile,
        provider="p",
    )
    codec = OpenAIResponsesCodec() if trip.responses else codec_for(trip.kind)
    wire = codec.build_request(request, target, stream=False)
    assert wire.warnings == ()
    back = trip.read(json.loads(wire.body))
    assert conversation_of(back, trip) == conversation_of(request, trip)
    assert [(tool.name, tool.description, tool.parameters) for tool in back.tools] == [
        (tool.name, tool.description, tool.parameters) for tool in request.tools
    ]
    assert settings_of(back, trip) == settings_of(request, trip)


def settings_of(request: ChatRequest, trip: Trip) -> dict[str, Any]:
    found = {name: getattr(request, name) for name in trip.settings}
    if request.response_format is not None:
        assert isinstance(request.response_format, JsonSchemaFormat)
        found["response_format"] = request.response_format.schema  # its name is only OpenAI's
    return found


def conversation_of(request: ChatRequest, trip: Trip) -> list[Any]:
    """Who said what, in order, with the marks that belong to it; without the ids and marks that are made on the way."""
    ids: dict[str, int] = {}
    found = []
    for message in request.messages:
        for call in message.tool_calls:
            ids.setdefault(call.id, len(ids))
        parts = tuple(told_of(part, ids, trip) for part in message.parts)
        found.append((message.role, ids.get(message.tool_call_id or ""), message.is_error, parts))
    return found


def told_of(part: Any, ids: dict[str, int], trip: Trip) -> tuple[Any, ...]:
    marks = {name: value for name, value in part.provider_metadata.items() if name != "openai.chat"}
    match part:
        case TextPart():
            return ("text", part.text, marks)
        case ImagePart():
            return ("image", part.data, part.url)
        case ReasoningPart():
            return ("reasoning", part.text, marks)
        case ToolCall():
            arguments = part.arguments if trip.arguments_are_text else json.loads(part.arguments)
            return ("call", ids[part.id], part.name, arguments, marks)
        case _:
            raise AssertionError(part)
