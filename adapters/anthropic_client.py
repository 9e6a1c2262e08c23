"""The hub's own /v1/messages: reads clients' requests and writes answers and errors. The stream is beside it.

Fields that only Anthropic understands and that change nothing elsewhere (cache marks, context editing) go to
`ChatRequest.provider_metadata`; fields that ask for something only Anthropic can do go to `extra`, which other
dialects refuse by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from adapters.anthropic_answers import encode_error_body, encode_stop_reason, encode_usage
from adapters.anthropic_blocks import (
    VENDOR,
    input_from_arguments,
    part_from_block,
    vendor_data,
    vendor_metadata,
    wire_tool_id,
)
from adapters.anthropic_client_stream import UNSIGNED, AnthropicStreamEncoder, message_id
from adapters.anthropic_thinking import EFFORTS, effort_for_budget
from adapters.base import ClientCodec, ClientRequest, StreamEncoder
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

__all__ = ["AnthropicClientCodec", "with_betas"]

_HINTS = ("cache_control", "context_management", "speed", "diagnostics", "service_tier", "thinking", "output_config")
_READ = {"model", "messages", "max_tokens", "system", "stop_sequences", "stream", "temperature", "top_p", "top_k"}
_READ |= {"tools", "tool_choice", "metadata"}


class AnthropicClientCodec(ClientCodec):
    dialect: ClassVar[Dialect] = "anthropic.messages"

    def parse_request(self, body: Mapping[str, Any], *, counting: bool = False) -> ClientRequest:
        """Read a client's JSON; `counting` is for count_tokens, where max_tokens has no place."""
        max_tokens = _integer(body, "max_tokens")
        if max_tokens is None and not counting:
            raise _invalid("max_tokens", "is required")
        messages = _system_messages(body.get("system")) + _messages(body.get("messages"))
        tools, own_tools = _tools(body.get("tools"))
        choice, parallel = _tool_choice(body.get("tool_choice"))
        extra = {name: value for name, value in body.items() if name not in _READ and name not in _HINTS}
        if own_tools:
            extra["tools"] = own_tools
        metadata = _object(body, "metadata") or {}
        hints = {name: body[name] for name in _HINTS if body.get(name) is not None}
        request = ChatRequest(
            messages=messages,
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            response_format=_response_format(body),
            max_output_tokens=max_tokens,
            temperature=_number(body, "temperature"),
            top_p=_number(body, "top_p"),
            top_k=_integer(body, "top_k"),
            stop=_strings(body, "stop_sequences"),
            reasoning_effort=_effort(body),
            user=_text(metadata, "user_id", where="metadata."),
            extra=extra,
            dialect=self.dialect,
            provider_metadata={VENDOR: hints} if hints else {},
        )
        stream = body.get("stream")
        if stream is not None and not isinstance(stream, bool):
            raise _invalid("stream", "must be true or false")
        return ClientRequest(model=_text(body, "model"), stream=bool(stream), request=request)

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
    hints = {**vendor_data(request.provider_metadata), "betas": names}
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


# --- reading fields ------------------------------------------------------------------------------------------------


def _invalid(param: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param} {problem}", param=param)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise _invalid(name, "must be an object")
    return value


def _text(body: Mapping[str, Any], name: str, *, where: str = "") -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _invalid(where + name, "must be a string")
    return value


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _invalid(name, "must be a number")
    if value < 0:
        raise _invalid(name, "must not be negative")
    return float(value)


def _integer(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _invalid(name, "must be an integer")
    if value < 0:
        raise _invalid(name, "must not be negative")
    return value


def _strings(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid(name, "must be a list of strings")
    return tuple(value)


# --- reading the conversation --------------------------------------------------------------------------------------


def _system_messages(value: Any) -> tuple[Message, ...]:
    if value is None:
        return ()
    parts = _parts(value, "system")
    return (Message(role="system", parts=parts),) if parts else ()


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _invalid("messages", "must be a list of at least one message")
    messages: list[Message] = []
    names: dict[str, str] = {}  # tool call id -> tool, for dialects that name the tool in its result
    for index, item in enumerate(value):
        where = f"messages.{index}"
        if not isinstance(item, Mapping):
            raise _invalid(where, "must be an object")
        role = item.get("role")
        if role == "user":
            messages.extend(_user_messages(item.get("content"), where, names))
        elif role in ("assistant", "system"):
            parts = _parts(item.get("content"), f"{where}.content")
            names |= {part.id: part.name for part in parts if isinstance(part, ToolCall)}
            messages.append(Message(role=role, parts=parts))
        else:
            raise _invalid(f"{where}.role", "must be user, assistant or system")
    return tuple(messages)


def _user_messages(content: Any, where: str, names: Mapping[str, str]) -> list[Message]:
    """One turn of the user: tool results become messages of their own, what stands between them the user's."""
    if isinstance(content, str):
        return [Message(role="user", parts=(TextPart(text=content),))]
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
        raise _invalid(f"{path}.tool_use_id", "must be the id of a tool_use block")
    content = block.get("content")
    return Message(
        role="tool",
        tool_call_id=call_id,
        name=names.get(call_id),
        parts=() if content is None else _parts(content, f"{path}.content"),
        is_error=block.get("is_error") is True,
        provider_metadata=vendor_metadata(cache_control=block.get("cache_control")),
    )


def _parts(content: Any, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part(block, f"{where}.{index}") for index, block in enumerate(_blocks(content, where)))


def _blocks(content: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(content, list):
        raise _invalid(where, "must be a string or a list of blocks")
    for index, block in enumerate(content):
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise _invalid(f"{where}.{index}", "must be a block: an object with a type")
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
            raise _invalid(f"{path}.{name}", "is missing or of the wrong type")
    if block.get("signature") == UNSIGNED:
        # Another vendor's thinking that we wrote out ourselves: Anthropic never signed it.
        return ReasoningPart(text=block["thinking"])
    try:
        return part_from_block(block)
    except InvalidRequestError as error:
        raise _invalid(f"{path}.source.data", "is not base64") from error


# --- reading tools, formats and effort -----------------------------------------------------------------------------


def _tools(value: Any) -> tuple[tuple[ToolDefinition, ...], list[Any]]:
    """The client's own tools; second, those that Anthropic runs itself (typed otherwise than `custom`), verbatim."""
    if value is None:
        return (), []
    if not isinstance(value, list):
        raise _invalid("tools", "must be a list")
    tools: list[ToolDefinition] = []
    own: list[Any] = []
    for index, item in enumerate(value):
        if not isinstance(item, Mapping):
            raise _invalid(f"tools.{index}", "must be an object")
        if item.get("type", "custom") not in ("custom", None):
            own.append(item)
            continue
        schema = item.get("input_schema")
        if not isinstance(item.get("name"), str):
            raise _invalid(f"tools.{index}.name", "must be a string")
        if not isinstance(schema, Mapping):
            raise _invalid(f"tools.{index}.input_schema", "must be an object")
        known = ("type", "name", "description", "input_schema", "strict")
        tools.append(
            ToolDefinition(
                name=item["name"],
                description=_text(item, "description", where=f"tools.{index}."),
                parameters=schema,
                strict=item.get("strict"),
                provider_metadata=vendor_metadata(**{k: v for k, v in item.items() if k not in known}),
            )
        )
    return tuple(tools), own


def _tool_choice(value: Any) -> tuple[ToolChoice | None, bool | None]:
    if value is None:
        return None, None
    kind = value.get("type") if isinstance(value, Mapping) else None
    parallel = False if kind and value.get("disable_parallel_tool_use") is True else None
    match kind:
        case "auto" | "none":
            return kind, parallel
        case "any":
            return "required", parallel
        case "tool" if isinstance(value.get("name"), str):
            return NamedTool(name=value["name"]), parallel
        case _:
            raise _invalid("tool_choice", "must be {type: auto, any, none}, or {type: tool, name}")


def _response_format(body: Mapping[str, Any]) -> ResponseFormat | None:
    wanted = (_object(body, "output_config") or {}).get("format")
    if wanted is None:
        return None
    schema = wanted.get("schema") if isinstance(wanted, Mapping) else None
    if not isinstance(schema, Mapping) or wanted.get("type") != "json_schema":
        raise _invalid("output_config.format", "must be {type: json_schema, schema}")
    return JsonSchemaFormat(name="response", schema=schema, strict=True)


def _effort(body: Mapping[str, Any]) -> str | None:
    """What `thinking` and `output_config.effort` ask for, as one level."""
    thinking = _object(body, "thinking") or {}
    effort = (_object(body, "output_config") or {}).get("effort")
    if effort is not None and effort not in EFFORTS:
        raise _invalid("output_config.effort", f"must be one of {', '.join(EFFORTS)}")
    match thinking.get("type"):
        case "disabled" | "between_tools":
            return "none"
        case "enabled":
            budget = thinking.get("budget_tokens")
            if not isinstance(budget, int) or isinstance(budget, bool):
                raise _invalid("thinking.budget_tokens", "must be an integer")
            return effort or effort_for_budget(budget)
        case "adaptive":
            return effort or "high"
        case _:
            return effort
