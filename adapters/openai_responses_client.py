"""OpenAI's Responses dialect toward the hub's clients: reads requests; `openai_responses_encode.py` writes answers.

Nothing is stored: what builds on a stored answer (`previous_response_id`, `conversation`, `background`) is refused.
Fields that only tune OpenAI's service change nothing elsewhere and go to `provider_metadata`; fields that ask for
something only this dialect can do go to `extra`, which other dialects refuse by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from adapters.base import ClientCodec, ClientRequest, StreamEncoder
from adapters.client_fields import Fields, refuse
from adapters.errors import LLMError
from adapters.openai_errors import encode_error
from adapters.openai_responses_encode import ResponsesEncoder, encode_response
from adapters.openai_responses_input import DIALECT, parse_input
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    ResponseFormat,
    TextPart,
    ToolChoice,
    ToolDefinition,
)

__all__ = ["OpenAIResponsesClientCodec"]

_LARGEST_INT = 2**31 - 1
_STORED = ("previous_response_id", "conversation")
_LOGPROBS = "message.output_text.logprobs"
# What OpenAI's service does with them (caching, abuse reports, padding) changes no answer.
_HINTS = (
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "client_metadata",
    "stream_options",
)


class OpenAIResponsesClientCodec(ClientCodec):
    """POST /v1/responses as OpenAI's SDKs and agents built on them use it."""

    dialect: ClassVar[Dialect] = DIALECT

    def parse_request(self, body: Mapping[str, Any]) -> ClientRequest:
        fields = Fields(body)
        _refuse_stored(fields)
        hints = {name: value for name in _HINTS if (value := fields.take(name)) is not None}
        include = fields.items("include") or []
        if include:
            hints["include"] = include
        extra: dict[str, Any] = {}
        model, stream = fields.text("model", longest=512), fields.flag("stream")
        messages = _instructions(fields) + parse_input(fields.take("input"))
        text = fields.fields("text")
        verbosity = text.text("verbosity", longest=32) if text else None
        response_format = _format(text) if text else None
        top_logprobs = fields.integer("top_logprobs", 0, 20)
        request = ChatRequest(
            messages=messages,
            tools=_tools(fields, extra),
            tool_choice=_tool_choice(fields, extra),
            parallel_tool_calls=fields.flag("parallel_tool_calls"),
            response_format=response_format,
            max_output_tokens=fields.integer("max_output_tokens", 1, _LARGEST_INT),
            temperature=fields.number("temperature", 0, 2),
            top_p=fields.number("top_p", 0, 1),
            logprobs=True if top_logprobs or _LOGPROBS in include else None,
            top_logprobs=top_logprobs,
            reasoning_effort=_effort(fields, hints),
            verbosity=verbosity,
            user=fields.text("user", longest=512),
            metadata=_metadata(fields),
            service_tier=fields.text("service_tier", longest=64),
            extra=fields.rest() | extra,
            dialect=DIALECT,
            provider_metadata={DIALECT: hints} if hints else {},
        )
        return ClientRequest(model=model or None, stream=bool(stream), request=request)

    def encode_response(self, response: ChatResponse, *, request_id: str, model: str) -> dict[str, Any]:
        return encode_response(response, request_id=request_id, model=model)

    def stream_encoder(self, *, request_id: str, model: str, include_usage: bool) -> StreamEncoder:
        """`include_usage` makes no difference: this dialect's streams always end with usage."""
        return ResponsesEncoder(request_id=request_id, model=model)

    def encode_error(self, error: LLMError, *, request_id: str) -> dict[str, Any]:
        return encode_error(error, request_id=request_id)


def _refuse_stored(fields: Fields) -> None:
    for name in _STORED:
        if fields.take(name) is not None:
            refuse(name, "can't be used: this hub stores no responses. Send the whole conversation in input.")
    if fields.flag("background"):
        refuse("background", "can't be true: this hub stores no responses.")
    fields.flag("store")  # asked for by default; the answer says that nothing was stored
    if fields.text("truncation") not in (None, "disabled"):
        refuse("truncation", "can only be disabled: this hub cuts no conversations.")


def _instructions(fields: Fields) -> tuple[Message, ...]:
    text = fields.text("instructions")
    return (Message(role="system", parts=(TextPart(text=text),)),) if text else ()


def _tools(fields: Fields, extra: dict[str, Any]) -> tuple[ToolDefinition, ...]:
    """The client's own functions; other kinds, which OpenAI runs itself, go verbatim to a provider of this dialect."""
    tools: list[ToolDefinition] = []
    others: list[Any] = []
    for n, raw in enumerate(fields.items("tools") or ()):
        tool = Fields(raw, f"tools[{n}]")
        if tool.text("type") != "function":
            others.append(dict(raw))
            continue
        tools.append(
            ToolDefinition(
                name=tool.required_text("name", longest=256),
                description=tool.text("description"),
                parameters=tool.mapping("parameters") or {},
                strict=tool.flag("strict"),
                provider_metadata={DIALECT: rest} if (rest := tool.rest()) else {},
            )
        )
    if others:
        extra["tools"] = others
    return tuple(tools)


def _tool_choice(fields: Fields, extra: dict[str, Any]) -> ToolChoice | None:
    choice = fields.take("tool_choice")
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return choice  # type: ignore[no-any-return]  # one of the three
        case {"type": "function", "name": str(name), **others} if name:
            Fields(others, "tool_choice").nothing_else()
            return NamedTool(name=name)
        case {"type": str()}:
            extra["tool_choice"] = dict(choice)
            return None
        case _:
            refuse("tool_choice", "must be auto, none, required, or {type: function, name}.")


def _format(text: Fields) -> ResponseFormat | None:
    wanted = text.fields("format")
    text.nothing_else()
    if wanted is None:
        return None
    found: ResponseFormat | None = None
    match wanted.text("type"):
        case None | "text":
            pass
        case "json_object":
            found = JsonFormat()
        case "json_schema":
            schema = wanted.mapping("schema")
            if schema is None:
                refuse("text.format.schema", "is required.")
            found = JsonSchemaFormat(
                name=wanted.required_text("name", longest=256),
                schema=schema,
                strict=wanted.flag("strict"),
                description=wanted.text("description"),
            )
        case _:
            refuse("text.format.type", "must be text, json_object or json_schema.")
    wanted.nothing_else()
    return found


def _effort(fields: Fields, hints: dict[str, Any]) -> str | None:
    reasoning = fields.fields("reasoning")
    if reasoning is None:
        return None
    effort = reasoning.text("effort", longest=32)
    if rest := reasoning.rest():
        hints["reasoning"] = rest  # how to summarise it
    return effort


def _metadata(fields: Fields) -> dict[str, str] | None:
    given = fields.mapping("metadata")
    if given is None:
        return None
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in given.items()):
        refuse("metadata", "takes texts only.")
    return dict(given) or None
