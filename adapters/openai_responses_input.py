"""The `input` of a client that speaks OpenAI's Responses dialect, to canonical messages. Refuses what it can't read.

Nothing is stored here, so a conversation comes back whole: an assistant's turn is the run of its items (reasoning,
messages, calls). What only this dialect understands stays in `provider_metadata["openai.responses"]`: `item` is an item
kept whole, `id` and `phase` belong to a text or a call. Another vendor's signatures travel in `encrypted_content`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, get_args

import orjson

from adapters.client_fields import Fields, checked_text, refuse
from adapters.openai_answers import parse_data_url
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

__all__ = ["DIALECT", "open_metadata", "parse_input", "seal_metadata"]

DIALECT: Final[Dialect] = "openai.responses"
_CHAT: Final[Dialect] = "openai.chat"
_SEALED: Final = "llmhub-v1."
_VENDORS: Final = frozenset({*get_args(Dialect), "anthropic", "gemini", "openai"}) - {DIALECT}


def seal_metadata(metadata: Mapping[str, Any]) -> str | None:
    """Other vendors' blobs as one opaque text for a client to bring back; None when there are none."""
    foreign = {name: value for name, value in metadata.items() if name in _VENDORS and value}
    return _SEALED + base64.b64encode(orjson.dumps(foreign)).decode("ascii") if foreign else None


def open_metadata(text: Any) -> dict[str, Any] | None:
    """What `seal_metadata` closed; None for any other text."""
    if not isinstance(text, str) or not text.startswith(_SEALED):
        return None
    try:
        opened = orjson.loads(base64.b64decode(text[len(_SEALED) :], validate=True))
    except (binascii.Error, ValueError):
        return {}
    if not isinstance(opened, dict):
        return {}
    return {name: value for name, value in opened.items() if name in _VENDORS and isinstance(value, dict)}


def parse_input(value: Any) -> tuple[Message, ...]:
    """Raises InvalidRequestError with `param` naming the item."""
    if isinstance(value, str):
        return (Message(role="user", parts=(TextPart(text=checked_text(value, "input")),)),)
    if not isinstance(value, list) or not value:
        refuse("input", "is required and must be a text or a list of at least one item.")
    turns = _Turns()
    for n, item in enumerate(value):
        turns.add(Fields(item, f"input[{n}]"), item)
    turns.close()
    return tuple(turns.messages)


class _Turns:
    """Gathers items to messages; the assistant's items that follow one another are one turn."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._assistant: list[Part] = []
        self._names: dict[str, str] = {}  # call id -> tool, for dialects that name the tool in its result

    def add(self, fields: Fields, item: Mapping[str, Any]) -> None:
        kind = fields.text("type") or "message"
        match kind:
            case "message":
                self._message(fields)
            case "function_call" | "custom_tool_call":
                call = _call(fields, custom=kind == "custom_tool_call")
                self._names[call.id] = call.name
                self._assistant.append(call)
            case "function_call_output" | "custom_tool_call_output":
                self._output(fields)
            case "reasoning":
                self._assistant.append(_reasoning(item))
            case "item_reference":
                refuse(
                    fields.path("type"), "names an item that was stored; this hub stores none. Send the item itself."
                )
            case _ if kind.endswith(("_call", "_call_output")) or kind == "compaction":
                self._assistant.append(TextPart(text="", provider_metadata={DIALECT: {"item": dict(item)}}))
            case _:
                refuse(fields.path("type"), f"is of a kind that is not known here: {kind[:64]}.")

    def close(self) -> None:
        if self._assistant:
            self.messages.append(Message(role="assistant", parts=tuple(self._assistant)))
            self._assistant = []

    def _message(self, fields: Fields) -> None:
        role = fields.text("role")
        own = {name: value for name in ("id", "phase") if (value := fields.text(name, longest=256))}
        parts = _content(fields.take("content"), fields.path("content"), own if role == "assistant" else {})
        match role:
            case "assistant":
                self._assistant.extend(parts)
            case "user":
                self.close()
                self.messages.append(Message(role="user", parts=parts))
            case "system" | "developer":
                if not all(isinstance(part, TextPart) for part in parts):
                    refuse(fields.path("content"), "of a system message takes text only.")
                self.close()
                self.messages.append(Message(role="system", parts=parts))
            case _:
                refuse(fields.path("role"), "must be user, assistant, system or developer.")

    def _output(self, fields: Fields) -> None:
        self.close()
        call_id = fields.required_text("call_id", longest=512)
        parts = _content(fields.take("output"), fields.path("output"), {})
        self.messages.append(Message(role="tool", tool_call_id=call_id, name=self._names.get(call_id), parts=parts))


def _call(fields: Fields, *, custom: bool) -> ToolCall:
    call_id = fields.required_text("call_id", longest=512)
    name = fields.required_text("name", longest=256)
    text = fields.text("input" if custom else "arguments") or ("" if custom else "{}")
    metadata = open_metadata(fields.take("encrypted_content")) or {}
    fields.take("status")
    own: dict[str, Any] = fields.rest()
    if custom:
        own["type"] = "custom"
        metadata[_CHAT] = {"type": "custom"}
    return ToolCall(id=call_id, name=name, arguments=text, provider_metadata=metadata | ({DIALECT: own} if own else {}))


def _reasoning(item: Mapping[str, Any]) -> ReasoningPart:
    """Thinking that comes back; its own vendor gets it whole, others read its text."""
    text = ""
    for name in ("content", "summary"):
        pieces = item.get(name)
        texts = (
            [piece.get("text") for piece in pieces if isinstance(piece, Mapping)] if isinstance(pieces, list) else []
        )
        text = text or "\n\n".join(piece for piece in texts if isinstance(piece, str) and piece)
    foreign = open_metadata(item.get("encrypted_content"))
    metadata: dict[str, Any] = {DIALECT: {"item": dict(item)}} if foreign is None else foreign
    return ReasoningPart(text=checked_text(text, "input"), provider_metadata=metadata)


def _content(value: Any, path: str, own: Mapping[str, Any]) -> tuple[Part, ...]:
    metadata: dict[str, Any] = {DIALECT: dict(own)} if own else {}
    if isinstance(value, str):
        return (TextPart(text=checked_text(value, path), provider_metadata=metadata),)
    if not isinstance(value, list):
        refuse(path, "must be a text or a list of parts.")
    return tuple(_part(Fields(item, f"{path}[{n}]"), metadata) for n, item in enumerate(value))


def _part(fields: Fields, metadata: Mapping[str, Any]) -> Part:
    kind = fields.text("type")
    match kind:
        case "input_text" | "output_text" | "text":
            text = fields.text("text")
            if text is None:
                refuse(fields.path("text"), "is required in a text part.")
            return TextPart(text=text, provider_metadata=metadata)
        case "refusal":
            return RefusalPart(text=fields.text("refusal") or "")
        case "input_image":
            return _image(fields)
        case "input_file":
            return _file(fields)
        case "input_audio":
            audio = Fields(fields.take("input_audio"), fields.path("input_audio"))
            data = _base64(audio.required_text("data"), audio.path("data"))
            return AudioPart(data=data, format=audio.required_text("format", longest=16))
        case _:
            refuse(fields.path("type"), "must be input_text, input_image, input_file, input_audio or output_text.")


def _image(fields: Fields) -> Part:
    url, file_id = fields.text("image_url"), fields.text("file_id", longest=512)
    if bool(url) == bool(file_id):
        refuse(fields.path("image_url"), "or file_id is required, and not both.")
    if file_id:
        return FilePart(file_id=file_id, media_type="image/*")
    detail = fields.text("detail", longest=16)
    url = (url or "").strip()
    if url[:5].lower() == "data:":
        inline = parse_data_url(url)
        if inline is None or not inline[0].startswith("image/") or not inline[1]:
            refuse(fields.path("image_url"), "is a data: URL that holds no base64 image.")
        return ImagePart(media_type=inline[0], data=inline[1], detail=detail)
    if not url.lower().startswith(("https://", "http://")):
        refuse(fields.path("image_url"), "must start with https://, http:// or data:.")
    return ImagePart(url=url, detail=detail)


def _file(fields: Fields) -> FilePart:
    filename = fields.text("filename", longest=1024)
    given = {name: text for name in ("file_id", "file_url", "file_data") if (text := fields.text(name))}
    if len(given) != 1:
        refuse(fields.path("file_data"), "or file_url or file_id is required, and only one of them.")
    if "file_id" in given:
        return FilePart(file_id=given["file_id"], filename=filename)
    if "file_url" in given:
        return FilePart(url=given["file_url"], filename=filename)
    encoded = given["file_data"]
    if encoded[:5].lower() == "data:":
        inline = parse_data_url(encoded)
        if inline is None:
            refuse(fields.path("file_data"), "is a data: URL that holds no base64.")
        return FilePart(media_type=inline[0], data=inline[1], filename=filename)
    return FilePart(data=_base64(encoded, fields.path("file_data")), filename=filename)


def _base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        refuse(path, "must be base64.")
