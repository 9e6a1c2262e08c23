"""OpenAI's chat dialect toward the hub's clients: reads their requests. Answers are in `openai_chat_encode.py`.

Fields that OpenAI documents become canonical ones; the others go to `extra` and from there to a provider of the same
dialect. Wrong types are refused with the field's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from adapters.base import ClientCodec, ClientRequest, StreamEncoder
from adapters.client_fields import Fields, checked_number, checked_text, refuse
from adapters.errors import LLMError
from adapters.openai_chat_encode import OpenAIChatEncoder, encode_response
from adapters.openai_client_messages import marks_of, parse_messages
from adapters.openai_errors import encode_error
from adapters.openai_messages import DIALECT
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    JsonFormat,
    JsonSchemaFormat,
    NamedTool,
    ResponseFormat,
    ToolChoice,
    ToolDefinition,
)

__all__ = ["OpenAIChatClientCodec"]

_LARGEST_INT = 2**31 - 1
_LARGEST_SEED = 2**63 - 1

# Fields that are one plain value and bear the same name in a canonical request, but for the two limits; most requests
# name two or three, and only those are read.
_SIMPLE: Mapping[str, Callable[[Fields, str], Any]] = {
    "max_completion_tokens": lambda fields, name: fields.integer(name, 1, _LARGEST_INT),
    "max_tokens": lambda fields, name: fields.integer(name, 1, _LARGEST_INT),
    "parallel_tool_calls": Fields.flag,
    "temperature": lambda fields, name: fields.number(name, 0, 2),
    "top_p": lambda fields, name: fields.number(name, 0, 1),
    "top_k": lambda fields, name: fields.integer(name, -1, _LARGEST_INT),
    "presence_penalty": lambda fields, name: fields.number(name, -2, 2),
    "frequency_penalty": lambda fields, name: fields.number(name, -2, 2),
    "logprobs": Fields.flag,
    "top_logprobs": lambda fields, name: fields.integer(name, 0, 20),
    "n": lambda fields, name: fields.integer(name, 1, 128),
    "seed": lambda fields, name: fields.integer(name, -_LARGEST_SEED, _LARGEST_SEED),
    "verbosity": lambda fields, name: fields.text(name, longest=32),
    "user": lambda fields, name: fields.text(name, longest=512),
    "service_tier": lambda fields, name: fields.text(name, longest=64),
}


class OpenAIChatClientCodec(ClientCodec):
    """POST /v1/chat/completions as OpenAI's SDKs and their many imitators use it."""

    dialect: ClassVar[Dialect] = "openai.chat"

    def parse_request(self, body: Mapping[str, Any]) -> ClientRequest:
        fields = Fields(body)
        stream = fields.flag("stream") or False
        options = fields.fields("stream_options")
        include_usage = bool(options and options.flag("include_usage"))
        model = fields.text("model", longest=512)
        extra: dict[str, Any] = {}
        if options and (other_options := options.rest()):
            extra["stream_options"] = other_options
        messages = parse_messages(fields.take("messages"))
        tools = _parse_tools(fields, extra)
        said: dict[str, Any] = {}
        for name in body:
            if (read := _SIMPLE.get(name)) is not None:
                said[name] = read(fields, name)
        newer_limit, older_limit = said.pop("max_completion_tokens", None), said.pop("max_tokens", None)
        request = ChatRequest(
            messages=messages,
            tools=tools,
            tool_choice=_parse_tool_choice(fields, extra),
            response_format=_parse_format(fields),
            max_output_tokens=older_limit if newer_limit is None else newer_limit,
            logit_bias=_parse_logit_bias(fields),
            stop=_parse_stop(fields),
            reasoning_effort=_parse_effort(fields, extra),
            metadata=_parse_metadata(fields),
            include_usage=include_usage,
            extra={**fields.rest(), **extra},
            dialect=DIALECT,
            **said,
        )
        return ClientRequest(model=model or None, stream=stream, request=request)

    def encode_response(self, response: ChatResponse, *, request_id: str, model: str) -> dict[str, Any]:
        return encode_response(response, request_id=request_id, model=model)

    def stream_encoder(self, *, request_id: str, model: str, include_usage: bool) -> StreamEncoder:
        return OpenAIChatEncoder(request_id=request_id, model=model, include_usage=include_usage)

    def encode_error(self, error: LLMError, *, request_id: str) -> dict[str, Any]:
        return encode_error(error, request_id=request_id)


def _parse_tools(fields: Fields, extra: dict[str, Any]) -> tuple[ToolDefinition, ...]:
    tools: list[ToolDefinition] = []
    others: list[Any] = []
    for n, raw in enumerate(fields.items("tools") or ()):
        path = f"tools[{n}]"
        tool = Fields(raw, path)
        kind = tool.text("type") or "function"
        if kind != "function":
            others.append(dict(raw))  # OpenAI's own kinds (custom, ...): only for a provider of this dialect
            continue
        tools.append(_parse_function(Fields(tool.take("function"), f"{path}.function"), tool.rest()))
    for n, raw in enumerate(fields.items("functions") or ()):  # before tools there were functions
        tools.append(_parse_function(Fields(raw, f"functions[{n}]"), {}))
    if others:
        extra["tools"] = others
    return tuple(tools)


def _parse_function(function: Fields, marks: dict[str, Any]) -> ToolDefinition:
    tool = ToolDefinition(
        name=function.required_text("name", longest=256),
        description=function.text("description"),
        parameters=function.mapping("parameters") or {},
        strict=function.flag("strict"),
        provider_metadata=marks_of(marks),
    )
    function.nothing_else()
    return tool


def _parse_tool_choice(fields: Fields, extra: dict[str, Any]) -> ToolChoice | None:
    choice = fields.take("tool_choice")
    legacy = fields.take("function_call")
    if choice is None and legacy is not None:
        choice = {"type": "function", "function": legacy} if isinstance(legacy, Mapping) else legacy
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return choice  # type: ignore[no-any-return]  # one of the three
        case "any":  # Mistral's word
            return "required"
        case {"type": "function", **named}:
            outer = Fields(named, "tool_choice")
            inner = outer.fields("function") or outer  # the flat form is the Responses API's
            name = inner.required_text("name", longest=256)
            inner.nothing_else()
            outer.nothing_else()
            return NamedTool(name=name)
        case {"type": "custom" | "allowed_tools"}:
            extra["tool_choice"] = choice
            return None
        case _:
            refuse("tool_choice", 'must be "auto", "none", "required" or an object that names a function.')


def _parse_format(fields: Fields) -> ResponseFormat | None:
    wanted = fields.fields("response_format")
    if wanted is None:
        return None
    kind = wanted.text("type")
    if kind == "text":
        return None
    if kind == "json_object":
        schema = wanted.mapping("schema")  # llama.cpp's shape
        wanted.nothing_else()
        return JsonSchemaFormat(name="response", schema=schema) if schema else JsonFormat()
    if kind != "json_schema":
        refuse("response_format.type", 'must be "text", "json_object" or "json_schema".')
    inner = wanted.fields("json_schema")
    if inner is None:
        refuse("response_format.json_schema", 'is required with the type "json_schema".')
    schema = inner.mapping("schema")
    if schema is None:
        refuse("response_format.json_schema.schema", "is required and must be a JSON schema.")
    found = JsonSchemaFormat(
        name=inner.text("name", longest=64) or "response",
        schema=schema,
        strict=inner.flag("strict"),
        description=inner.text("description"),
    )
    wanted.nothing_else()
    inner.nothing_else()
    return found


def _parse_stop(fields: Fields) -> tuple[str, ...]:
    value = fields.take("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        refuse("stop", "must be a string or a list of strings.")
    if len(value) > 64:
        refuse("stop", "must hold at most 64 strings.")
    return tuple(text for n, item in enumerate(value) if (text := checked_text(item, f"stop[{n}]")))


def _parse_logit_bias(fields: Fields) -> dict[str, float] | None:
    bias = fields.mapping("logit_bias")
    if bias is None:
        return None
    return {token: checked_number(value, f"logit_bias.{token[:32]}", -100, 100) for token, value in bias.items()}


def _parse_metadata(fields: Fields) -> dict[str, str] | None:
    metadata = fields.mapping("metadata")
    if metadata is None:
        return None
    return {name: checked_text(value, f"metadata.{name[:64]}") for name, value in metadata.items()}


def _parse_effort(fields: Fields, extra: dict[str, Any]) -> str | None:
    """`reasoning_effort`, or OpenRouter's `reasoning: {"effort": ...}` when it says nothing else."""
    effort = fields.text("reasoning_effort", longest=32)
    reasoning = fields.take("reasoning")
    if reasoning is None:
        return effort
    if effort is None and isinstance(reasoning, Mapping) and set(reasoning) == {"effort"}:
        return Fields(reasoning, "reasoning").text("effort", longest=32)
    extra["reasoning"] = reasoning
    return effort
