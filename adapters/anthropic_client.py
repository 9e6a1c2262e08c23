"""The hub's own /v1/messages: reads clients' requests and writes answers and errors. The stream is beside it.

Fields that only Anthropic understands and that change nothing elsewhere (cache marks, context editing) go to
`ChatRequest.provider_metadata`; fields that ask for something only Anthropic can do go to `extra`, which other
dialects refuse by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from adapters.anthropic_answers import encode_error_body, encode_stop_reason, encode_usage
from adapters.anthropic_blocks import (
    VENDOR,
    carried_fields,
    input_from_arguments,
    part_from_block,
    vendor_data,
    vendor_metadata,
    wire_tool_id,
)
from adapters.anthropic_client_stream import UNSIGNED, AnthropicStreamEncoder, message_id
from adapters.anthropic_thinking import EFFORTS, effort_for_budget
from adapters.base import ClientCodec, ClientRequest, StreamEncoder
from adapters.client_fields import Fields, checked_text, refuse
from adapters.errors import InvalidRequestError, LLMError
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Dialect,
    JsonSchemaFormat,
    Message,
    NamedTool,
    Part,
    ReasoningPart,
    RefusalPart,
    ResponseFormat,
    TextPart,
    ToolCall,
    ToolChoice,
    ToolDefinition,
)

__all__ = ["AnthropicClientCodec", "with_betas", "with_version"]

_HINTS = ("cache_control", "context_management", "speed", "diagnostics", "service_tier", "thinking", "output_config")
_MOST = 2**31 - 1
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_BETA = re.compile(r"[A-Za-z0-9._-]{1,100}")


class AnthropicClientCodec(ClientCodec):
    dialect: ClassVar[Dialect] = "anthropic.messages"

    def parse_request(self, body: Mapping[str, Any], *, counting: bool = False) -> ClientRequest:
        """Read a client's JSON; `counting` is for count_tokens, where max_tokens has no place."""
        fields = Fields(body)
        max_tokens = fields.integer("max_tokens", 0, _MOST)
        if max_tokens is None and not counting:
            refuse("max_tokens", "is required.")
        hints = {name: value for name in _HINTS if (value := fields.take(name)) is not None}
        tools, own_tools = _tools(fields.items("tools") or [])
        choice, parallel = _tool_choice(fields.mapping("tool_choice"))
        metadata = fields.fields("metadata")
        user = metadata.text("user_id") if metadata else None
        if metadata:
            metadata.nothing_else()
        model, stream = fields.text("model"), fields.flag("stream")
        request = ChatRequest(
            messages=_system_messages(fields.take("system")) + _messages(fields.items("messages")),
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            response_format=_response_format(body),
            max_output_tokens=max_tokens,
            temperature=fields.number("temperature", 0, 2),
            top_p=fields.number("top_p", 0, 1),
            top_k=fields.integer("top_k", 0, _MOST),
            stop=_stop(fields.items("stop_sequences") or []),
            reasoning_effort=_effort(body),
            user=user,
            extra=fields.rest() | ({"tools": own_tools} if own_tools else {}),
            dialect=self.dialect,
            provider_metadata={VENDOR: hints} if hints else {},
        )
        return ClientRequest(model=model, stream=bool(stream), request=request)

    def encode_response(self, response: ChatResponse, *, request_id: str, model: str) -> dict[str, Any]:
        metadata = vendor_data(response.provider_metadata)
        choice = response.choices[0] if response.choices else None
        parts = choice.parts if choice else ()
        calls = [part for part in parts if isinstance(part, ToolCall)]
        content = [block for part in parts if (block := _encode_part(part, calls)) is not None]
        reason = choice.finish_reason if choice else "other"
        raw = choice.raw_finish_reason if choice else None
        body: dict[str, Any] = {
            "id": message_id(response.id, request_id),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": encode_stop_reason(reason, raw, metadata),
            "stop_sequence": metadata.get("stop_sequence"),
            "usage": encode_usage(response.usage),
        }
        return body | {
            name: metadata[name] for name in ("stop_details", "container", "context_management") if name in metadata
        }

    def stream_encoder(self, *, request_id: str, model: str, include_usage: bool) -> StreamEncoder:
        """`include_usage` makes no difference: this dialect's streams always end with usage."""
        return AnthropicStreamEncoder(request_id=request_id, model=model)

    def encode_error(self, error: LLMError, *, request_id: str) -> dict[str, Any]:
        return encode_error_body(error, request_id=request_id)


def with_betas(request: ChatRequest, header: str) -> ChatRequest:
    """Keep the client's `anthropic-beta` header for an Anthropic upstream; other upstreams never see it."""
    names = [name for part in header.split(",") if (name := part.strip())]
    if not names:
        return request
    for name in names:
        if not _BETA.fullmatch(name):
            refuse("anthropic-beta", "must be names of betas, separated by commas.")
    hints = {**vendor_data(request.provider_metadata), "betas": names}
    return replace(request, provider_metadata={**request.provider_metadata, VENDOR: hints})


def with_version(request: ChatRequest, header: str) -> ChatRequest:
    """Keep the client's `anthropic-version` header for an Anthropic upstream. Raises InvalidRequestError for no date.

    Versions before 2023-06-01 stream another format, which this hub neither reads nor writes: they are not passed on.
    """
    if not header:
        return request
    if not _VERSION.fullmatch(header):
        refuse("anthropic-version", "must be a date such as 2023-06-01.")
    if header < "2023-06-01":
        return request
    hints = {**vendor_data(request.provider_metadata), "version": header}
    return replace(request, provider_metadata={**request.provider_metadata, VENDOR: hints})


def _encode_part(part: Part, calls: list[ToolCall]) -> dict[str, Any] | None:
    match part:
        case TextPart():
            data = vendor_data(part.provider_metadata)
            if isinstance(data.get("block"), Mapping):
                return dict(data["block"])
            text: dict[str, Any] = {"type": "text", "text": part.text}
            return text | ({"citations": data["citations"]} if "citations" in data else {}) if part.text else None
        case ReasoningPart():
            data = vendor_data(part.provider_metadata)
            if "redacted_data" in data:
                return {"type": "redacted_thinking", "data": data["redacted_data"]}
            return {"type": "thinking", "thinking": part.text, "signature": data.get("signature", UNSIGNED)}
        case ToolCall():
            return {
                "type": "tool_use",
                "id": wire_tool_id(part.id or f"toolu_{calls.index(part)}"),
                "name": part.name,
                "input": input_from_arguments(part.arguments),
            } | {name: value for name, value in vendor_data(part.provider_metadata).items() if name == "caller"}
        case RefusalPart():
            return {"type": "text", "text": part.text}
        case _:
            return None  # the dialect's answers hold no images and no files


# --- reading the conversation --------------------------------------------------------------------------------------


def _system_messages(value: Any) -> tuple[Message, ...]:
    if value is None:
        return ()
    parts = _parts(value, "system")
    return (Message(role="system", parts=parts),) if parts else ()


def _stop(values: list[Any]) -> tuple[str, ...]:
    return tuple(checked_text(value, f"stop_sequences.{index}") for index, value in enumerate(values))


def _messages(value: list[Any] | None) -> tuple[Message, ...]:
    if not value:
        refuse("messages", "must be a list of at least one message.")
    messages: list[Message] = []
    names: dict[str, str] = {}  # tool call id -> tool, for dialects that name the tool in its result
    for index, item in enumerate(value):
        where = f"messages.{index}"
        if not isinstance(item, Mapping):
            refuse(where, "must be an object")
        role = item.get("role")
        _nothing_beside(item, where, "role", "content")
        if role == "user":
            messages.extend(_user_messages(item.get("content"), where, names))
        elif role in ("assistant", "system"):
            parts = _parts(item.get("content"), f"{where}.content")
            names |= {part.id: part.name for part in parts if isinstance(part, ToolCall)}
            messages.append(Message(role=role, parts=parts))
        else:
            refuse(f"{where}.role", "must be user, assistant or system")
    return tuple(messages)


def _nothing_beside(value: Mapping[str, Any], where: str, *known: str) -> None:
    for name in value:
        if name not in known and value[name] is not None:
            refuse(f"{where}.{name}", "is not known here and can't be passed on.")


def _user_messages(content: Any, where: str, names: Mapping[str, str]) -> list[Message]:
    """One turn of the user: tool results become messages of their own, what stands between them the user's."""
    if isinstance(content, str):
        return [Message(role="user", parts=(TextPart(text=checked_text(content, f"{where}.content")),))]
    messages: list[Message] = []
    waiting: list[Part] = []
    for index, block in enumerate(_blocks(content, f"{where}.content")):
        path = f"{where}.content.{index}"
        if block.get("type") != "tool_result":
            waiting.append(_part(block, path))
            continue
        if waiting:
            messages.append(Message(role="user", parts=tuple(waiting)))
            waiting = []
        messages.append(_tool_result(block, path, names))
    if waiting or not messages:
        messages.append(Message(role="user", parts=tuple(waiting)))
    return messages


def _tool_result(block: Mapping[str, Any], path: str, names: Mapping[str, str]) -> Message:
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str) or not call_id:
        refuse(f"{path}.tool_use_id", "must be the id of a tool_use block")
    content = block.get("content")
    return Message(
        role="tool",
        tool_call_id=call_id,
        name=names.get(call_id),
        parts=() if content is None else _parts(content, f"{path}.content"),
        is_error=block.get("is_error") is True,
        provider_metadata=carried_fields("tool_result", block),
    )


def _parts(content: Any, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=checked_text(content, where)),)
    return tuple(_part(block, f"{where}.{index}") for index, block in enumerate(_blocks(content, where)))


def _blocks(content: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(content, list):
        refuse(where, "must be a string or a list of blocks")
    for index, block in enumerate(content):
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            refuse(f"{where}.{index}", "must be a block: an object with a type")
    return content


_REQUIRED: Mapping[str, tuple[tuple[str, type], ...]] = {
    "text": (("text", str),),
    "thinking": (("thinking", str), ("signature", str)),
    "redacted_thinking": (("data", str),),
    "tool_use": (("id", str), ("name", str), ("input", Mapping)),
    "image": (("source", Mapping),),
    "document": (("source", Mapping),),
}


def _part(block: Mapping[str, Any], path: str) -> Part:
    for name, wanted in _REQUIRED.get(block["type"], ()):
        if not isinstance(block.get(name), wanted):
            refuse(f"{path}.{name}", "is missing or of the wrong type.")
        if wanted is str:
            checked_text(block[name], f"{path}.{name}")
    if block.get("signature") == UNSIGNED:
        # Another vendor's thinking that we wrote out ourselves: Anthropic never signed it.
        return ReasoningPart(text=block["thinking"])
    try:
        return part_from_block(block)
    except InvalidRequestError:
        refuse(f"{path}.source.data", "is not base64.")


# --- reading tools, formats and effort -----------------------------------------------------------------------------


def _tools(values: list[Any]) -> tuple[tuple[ToolDefinition, ...], list[Any]]:
    """The client's own tools; second, those that Anthropic runs itself (typed otherwise than `custom`), verbatim."""
    tools: list[ToolDefinition] = []
    own: list[Any] = []
    for index, item in enumerate(values):
        fields = Fields(item, f"tools.{index}")
        if fields.text("type") not in ("custom", None):
            own.append(item)
            continue
        schema = fields.mapping("input_schema")
        if schema is None:
            refuse(fields.path("input_schema"), "is required.")
        tools.append(
            ToolDefinition(
                name=fields.required_text("name"),
                description=fields.text("description"),
                parameters=schema,
                strict=fields.flag("strict"),
                provider_metadata=vendor_metadata(**fields.rest()),
            )
        )
    return tuple(tools), own


def _tool_choice(value: Mapping[str, Any] | None) -> tuple[ToolChoice | None, bool | None]:
    if value is None:
        return None, None
    _nothing_beside(value, "tool_choice", "type", "name", "disable_parallel_tool_use")
    parallel = False if value.get("disable_parallel_tool_use") is True else None
    match value.get("type"):
        case "auto" | "none" as kind:
            return kind, parallel
        case "any":
            return "required", parallel
        case "tool" if isinstance(value.get("name"), str):
            return NamedTool(name=value["name"]), parallel
        case _:
            refuse("tool_choice", "must be {type: auto, any, none}, or {type: tool, name}.")


def _response_format(body: Mapping[str, Any]) -> ResponseFormat | None:
    config = Fields(body).fields("output_config")
    wanted = config.fields("format") if config else None
    if wanted is None:
        return None
    schema = wanted.mapping("schema")
    if schema is None or wanted.take("type") != "json_schema":
        refuse("output_config.format", "must be {type: json_schema, schema}.")
    wanted.nothing_else()
    return JsonSchemaFormat(name="response", schema=schema, strict=True)


def _effort(body: Mapping[str, Any]) -> str | None:
    """What `thinking` and `output_config.effort` ask for, as one level."""
    fields = Fields(body)
    thinking, config = fields.fields("thinking"), fields.fields("output_config")
    effort = config.text("effort") if config else None
    if effort is not None and effort not in EFFORTS:
        refuse("output_config.effort", f"must be one of {', '.join(EFFORTS)}.")
    match thinking.take("type") if thinking else None:
        case "disabled" | "between_tools":
            return "none"
        case "enabled":
            budget = thinking.integer("budget_tokens", 1, _MOST) if thinking else None
            if budget is None:
                refuse("thinking.budget_tokens", "is required.")
            return effort or effort_for_budget(budget)
        case "adaptive":
            return effort or "high"
        case _:
            return effort
