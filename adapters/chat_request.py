"""Reads what a script's author passes to an adapter into a ChatRequest. No dialect of its own: OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from adapters.errors import InvalidRequestError
from adapters.types import ChatRequest, Dialect, Message, TextPart, ToolDefinition

__all__ = ["Messages", "read_chat_request"]

Messages = str | ChatRequest | Sequence[Message] | Sequence[Mapping[str, Any]]

_CANONICAL = frozenset(field.name for field in fields(ChatRequest)) - {"messages", "extra", "dialect"}
_SETTINGS = _CANONICAL - {"include_usage"}  # OpenAI's JSON says False by leaving it out; a script means True


def read_chat_request(messages: Messages, options: Mapping[str, Any], dialect: Dialect) -> ChatRequest:
    """Build a request from a text, OpenAI-shaped dicts, canonical messages or a request, and keyword options.

    Options are OpenAI's fields or canonical ones; a value may be canonical already (`JsonFormat()`, a tuple of
    ToolDefinition). What is neither goes to `extra`, in the provider's own `dialect`. Raises InvalidRequestError.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if isinstance(options.get("tools"), tuple) and not _is_canonical("tools", options["tools"]):
        options["tools"] = list(options["tools"])
    if isinstance(messages, ChatRequest):
        request = messages
        if not options:
            return request
        messages = request.messages
    else:
        request = None
    canonical = {name: options.pop(name) for name in list(options) if _is_canonical(name, options[name])}
    placeholder = [{"role": "user", "content": "-"}]
    if isinstance(messages, str):
        turns: tuple[Message, ...] | None = (Message(role="user", parts=(TextPart(text=messages),)),)
    elif all(isinstance(message, Message) for message in messages):
        turns = tuple(message for message in messages if isinstance(message, Message))
    else:
        turns = None
    if turns is not None and not turns:
        raise InvalidRequestError("messages: at least one is needed", param="messages")
    if turns is not None and request is None and not options:
        return ChatRequest(messages=turns, dialect=dialect, **canonical)
    body = {"messages": placeholder if turns is not None else list(messages), **options}
    from adapters.openai_chat_client import OpenAIChatClientCodec  # canonical requests need none of it

    parsed = OpenAIChatClientCodec().parse_request(body).request
    if request is None:
        parsed = replace(parsed, include_usage=True, dialect=dialect, **canonical)
        return parsed if turns is None else replace(parsed, messages=turns)
    given = {name: getattr(parsed, name) for name in _SETTINGS if getattr(parsed, name) != _DEFAULTS[name]}
    extra = {**request.extra, **parsed.extra}
    return replace(request, **{**given, **canonical}, extra=extra, dialect=request.dialect or dialect)


def _is_canonical(name: str, value: Any) -> bool:
    """Whether an option is written in our own values rather than OpenAI's JSON."""
    if name == "max_output_tokens" or name == "include_usage":
        return True
    if name == "tools":
        return bool(value) and all(isinstance(tool, ToolDefinition) for tool in value)
    return name in _CANONICAL and (isinstance(value, tuple) or type(value).__module__ == "adapters.types")


_DEFAULTS = {field.name: getattr(ChatRequest(messages=()), field.name) for field in fields(ChatRequest)}
