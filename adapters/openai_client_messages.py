"""The `messages` of a client that speaks OpenAI's chat dialect, to canonical ones. Refuses what it can't understand."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, get_args

from adapters.client_fields import Fields, checked_text, refuse
from adapters.openai_answers import parse_data_url
from adapters.openai_messages import DIALECT
from adapters.types import (
    AudioPart,
    Dialect,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)
from adapters.wire_json import dump_client_json

__all__ = ["HUB_FORMAT", "marks_of", "parse_messages"]

# `format` of the reasoning details, and key of the `extra_content`, in which the hub hands another vendor's signatures
# to an OpenAI client, to be brought back with the next turn.
HUB_FORMAT: Final = "llmhub-v1"

# Names under which codecs keep what only one vendor understands: dialects, and vendors by their own name.
_VENDORS: Final = frozenset({*get_args(Dialect), "anthropic", "gemini"}) - {DIALECT}
# Clients send whole answers back; these fields of an answer mean nothing in a request. Some are an SDK's or a library's
# own: `parsed` and `parsed_arguments` are OpenAI's (Python), `provider_specific_fields` is LiteLLM's.
_ECHOED: Final = ("annotations", "provider_specific_fields", "object", "parsed")
_ECHOED_IN_CALLS: Final = ("index", "provider_specific_fields", "parsed_arguments")
_PLAIN: Final = ("user", "system")


def parse_messages(raw: Any) -> tuple[Message, ...]:
    if not isinstance(raw, list) or not raw:
        refuse("messages", "is required and must be a list with at least one message.")
    messages: list[Message] = []
    for n, item in enumerate(raw):
        if type(item) is dict and len(item) == 2 and type(item.get("content")) is str and item.get("role") in _PLAIN:
            # Most of what anybody sends: a role and a text.
            parts = (TextPart(text=checked_text(item["content"], f"messages[{n}].content")),)
            messages.append(Message(role=item["role"], parts=parts))
            continue
        messages.append(_parse_message(Fields(item, f"messages[{n}]"), n, messages))
    return tuple(messages)


def _parse_message(fields: Fields, n: int, before: list[Message]) -> Message:
    role = fields.text("role")
    content = fields.take("content")
    name = fields.text("name", longest=256)
    path = fields.path("content")
    for field in _ECHOED:
        fields.take(field)
    match role:
        case "system" | "developer":
            parts = _parse_content(content, path, text_only=True)
            return Message(role="system", parts=parts, name=name, provider_metadata=marks_of(fields.rest()))
        case "user":
            parts = _parse_content(content, path)
            return Message(role="user", parts=parts, name=name, provider_metadata=marks_of(fields.rest()))
        case "assistant":
            parts = _parse_assistant(fields, content, path, n)
            return Message(role="assistant", parts=parts, name=name, provider_metadata=marks_of(fields.rest()))
        case "tool":
            call_id = fields.required_text("tool_call_id", longest=512)
            parts = _parse_content(content, path)
            marks = marks_of(fields.rest())
            return Message(role="tool", parts=parts, tool_call_id=call_id, name=name, provider_metadata=marks)
        case "function":  # before tools there were functions, and their results named no call
            calls = [call for message in before for call in message.tool_calls if call.name == name]
            if not calls:
                refuse(fields.path("name"), "names no function that an earlier message called.")
            parts = _parse_content(content, path)
            marks = marks_of(fields.rest())
            return Message(role="tool", parts=parts, tool_call_id=calls[-1].id, name=name, provider_metadata=marks)
        case _:
            refuse(fields.path("role"), 'must be "system", "developer", "user", "assistant" or "tool".')


def marks_of(rest: dict[str, Any]) -> dict[str, Any]:
    """`provider_metadata` for the fields of a message, part or tool that only this dialect knows."""
    if not rest:
        return {}
    # Gateways of this dialect took over Anthropic's mark for what is worth caching; it means the same to Anthropic.
    mark = rest.get("cache_control")
    return {DIALECT: rest, "anthropic": {"cache_control": mark}} if isinstance(mark, Mapping) else {DIALECT: rest}


def _parse_content(content: Any, path: str, *, text_only: bool = False) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=checked_text(content, path)),)
    if content is None:
        refuse(path, "is required: a string or a list of parts.")
    if not isinstance(content, list):
        refuse(path, "must be a string or a list of parts.")
    parts: list[Part] = []
    for n, item in enumerate(content):
        if isinstance(item, str):
            item = {"type": "text", "text": item}
        part = _parse_part(Fields(item, f"{path}[{n}]"))
        if text_only and not isinstance(part, TextPart):
            refuse(f"{path}[{n}].type", "a system message takes text parts only.")
        parts.append(part)
    return tuple(parts)


def _parse_part(fields: Fields) -> Part:
    kind = fields.text("type")
    match kind:
        case "text":
            text = fields.text("text")
            if text is None:
                refuse(fields.path("text"), "is required in a text part.")
            return TextPart(text=text, provider_metadata=marks_of(fields.rest()))
        case "refusal":
            refusal = RefusalPart(text=fields.text("refusal") or "")
            fields.nothing_else()
            return refusal
        case "image_url":
            return _parse_image(fields)
        case "input_audio":
            audio = Fields(fields.take("input_audio"), fields.path("input_audio"))
            data = _base64(audio.required_text("data"), audio.path("data"))
            form = audio.required_text("format", longest=16)
            audio.nothing_else()
            return AudioPart(data=data, format=form, provider_metadata=marks_of(fields.rest()))
        case "file":
            return _parse_file(fields)
        case _:
            refuse(fields.path("type"), 'must be "text", "image_url", "input_audio", "file" or "refusal".')


def _parse_image(fields: Fields) -> ImagePart:
    raw = fields.take("image_url")
    image = Fields({"url": raw} if isinstance(raw, str) else raw, fields.path("image_url"))
    url = image.required_text("url").strip()
    detail = image.text("detail", longest=16)
    image.nothing_else()
    marks = marks_of(fields.rest())
    if url[:5].lower() == "data:":
        inline = parse_data_url(url)
        if inline is None or not inline[0].startswith("image/") or not inline[1]:
            refuse(image.path("url"), "is a data: URL that holds no base64 image, such as data:image/png;base64,....")
        return ImagePart(media_type=inline[0], data=inline[1], detail=detail, provider_metadata=marks)
    if not url.lower().startswith(("https://", "http://")):
        refuse(image.path("url"), "must start with https://, http:// or data:.")
    return ImagePart(url=url, detail=detail, provider_metadata=marks)


def _parse_file(fields: Fields) -> FilePart:
    file = Fields(fields.take("file"), fields.path("file"))
    file_id = file.text("file_id", longest=512)
    filename = file.text("filename", longest=1024)
    encoded = file.text("file_data")
    file.nothing_else()
    marks = marks_of(fields.rest())
    if (file_id is None) == (encoded is None):
        refuse(fields.path("file"), "takes either file_id or file_data.")
    if encoded is None:
        return FilePart(file_id=file_id, filename=filename, provider_metadata=marks)
    if encoded[:5].lower() == "data:":
        inline = parse_data_url(encoded)
        if inline is None:
            refuse(file.path("file_data"), "is a data: URL that holds no base64.")
        return FilePart(media_type=inline[0], data=inline[1], filename=filename, provider_metadata=marks)
    if encoded.startswith(("https://", "http://")):  # OpenRouter takes an address here
        return FilePart(url=encoded, filename=filename, provider_metadata=marks)
    return FilePart(data=_base64(encoded, file.path("file_data")), filename=filename, provider_metadata=marks)


def _base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        refuse(path, "must be base64.")


# --- an assistant's turn coming back ---


def _parse_assistant(fields: Fields, content: Any, path: str, n: int) -> tuple[Part, ...]:
    parts: list[Part] = [*_parse_reasoning(fields)]
    if content is not None:
        parts.extend(_parse_content(content, path))
    refusal = fields.text("refusal")
    if refusal:
        parts.append(RefusalPart(text=refusal))
    for position, raw in enumerate(fields.items("tool_calls") or ()):
        parts.append(_parse_tool_call(Fields(raw, f"{fields.path('tool_calls')}[{position}]")))
    legacy = fields.fields("function_call")
    if legacy is not None:
        name, arguments = legacy.required_text("name", longest=256), legacy.text("arguments") or "{}"
        legacy.nothing_else()
        parts.append(ToolCall(id=f"call_function_{n}", name=name, arguments=arguments))
    if not parts and content is None:
        refuse(path, "is required in an assistant's message that calls no tool.")
    # An empty text beside something else says nothing, and some vendors refuse it.
    if len(parts) > 1:
        parts = [part for part in parts if not (isinstance(part, TextPart) and not part.text)]
    return tuple(parts)


def _parse_reasoning(fields: Fields) -> list[ReasoningPart]:
    text = fields.text("reasoning_content")
    other = fields.text("reasoning")
    details = fields.items("reasoning_details") or []
    ours = [item for item in details if isinstance(item, Mapping) and item.get("format") == HUB_FORMAT]
    if ours:
        return [_signed_reasoning(item, fields.path("reasoning_details")) for item in ours]
    text = text or other or ""
    if not text and not details:
        return []
    metadata = {DIALECT: {"reasoning_details": details}} if details else {}
    return [ReasoningPart(text=text, provider_metadata=metadata)]


def _signed_reasoning(item: Mapping[str, Any], path: str) -> ReasoningPart:
    text = item.get("text")
    return ReasoningPart(
        text=checked_text(text, path) if text is not None else "", provider_metadata=_foreign(item.get("metadata"))
    )


def _foreign(metadata: Any) -> dict[str, Any]:
    """Another vendor's blobs that the hub handed out; anything but a known vendor's object is left behind."""
    if not isinstance(metadata, Mapping):
        return {}
    return {name: value for name, value in metadata.items() if name in _VENDORS and isinstance(value, Mapping)}


def _parse_tool_call(fields: Fields) -> ToolCall:
    call_id = fields.required_text("id", longest=512)
    kind = fields.text("type") or "function"
    if kind not in ("function", "custom"):
        refuse(fields.path("type"), 'must be "function" or "custom".')
    inner = Fields(fields.take(kind), fields.path(kind))
    name = inner.required_text("name", longest=256)
    arguments = inner.take("arguments" if kind == "function" else "input")
    if isinstance(arguments, Mapping):  # an object where the text of one belongs
        arguments = dump_client_json(arguments).decode()
    elif arguments is not None:
        arguments = checked_text(arguments, inner.path("arguments" if kind == "function" else "input"))
    extra = fields.mapping("extra_content") or {}
    own: dict[str, Any] = {"type": "custom"} if kind == "custom" else {}
    if kept := {name: value for name, value in extra.items() if name != HUB_FORMAT}:
        own["extra_content"] = kept
    for place, given in (("call_fields", fields), ("inner_fields", inner)):
        for field in _ECHOED_IN_CALLS:
            given.take(field)
        if rest := given.rest():
            own[place] = rest
    metadata = _foreign(extra.get(HUB_FORMAT)) | marks_of(own)
    arguments = arguments or ("{}" if kind == "function" else "")
    return ToolCall(id=call_id, name=name, arguments=arguments, provider_metadata=metadata)
