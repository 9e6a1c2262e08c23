"""The `input` of a client that speaks OpenAI's Responses dialect, to canonical messages. Refuses what it can't read.

Nothing is stored here, so a conversation comes back whole: an assistant's turn is the run of its items (reasoning,
messages, calls). What only this dialect understands stays in `provider_metadata["openai.responses"]`: `item` is an item
kept whole, `id` and `phase` belong to a text or a call, `message_fields` and `part_fields` are what a message or a part
says that has no place in canonical values. Another vendor's signatures travel in `encrypted_content`.
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
_ECHOED: Final = ("annotations", "logprobs", "parsed")  # of an answer's text; `parsed` is OpenAI's SDK's own
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
        own: dict[str, Any] = {name: value for name in ("id", "phase") if (value := fields.text(name, longest=256))}
        content, path = fields.take("content"), fields.path("content")
        fields.take("status")  # an answer's own
        rest = fields.rest()
        if role == "assistant" and rest:
            own["message_fields"] = rest
        parts = _content(content, path, own if role == "assistant" else {})
        marks: dict[str, Any] = {DIALECT: {"message_fields": rest}} if rest else {}
        match role:
            case "assistant":
                if not any(isinstance(part, TextPart) for part in parts):
                    fields.nothing_else()  # a refusal has no place for them
                self._assistant.extend(parts)
            case "user":
                self.close()
                self.messages.append(Message(role="user", parts=parts, provider_metadata=marks))
            case "system" | "developer":
                if not all(isinstance(part, TextPart) for part in parts):
                    refuse(fields.path("content"), "of a system message takes text only.")
                self.close()
                self.messages.append(Message(role="system", parts=parts, provider_metadata=marks))
            case _:
                refuse(fields.path("role"), "must be user, assistant, system or developer.")

    def _output(self, fields: Fields) -> None:
        self.close()
        call_id = fields.required_text("call_id", longest=512)
        parts = _content(fields.take("output"), fields.path("output"), {})
        fields.take("status")  # an answer's own
        rest = fields.rest()
        self.messages.append(
            Message(
                role="tool",
                tool_call_id=call_id,
                name=self._names.get(call_id),
                parts=parts,
                provider_metadata={DIALECT: {"message_fields": rest}} if rest else {},
            )
        )


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
            for field in _ECHOED if kind == "output_text" else ():
                fields.take(field)
            return TextPart(text=text, provider_metadata=_with_rest(metadata, fields))
        case "refusal":
            refusal = RefusalPart(text=fields.text("refusal") or "")
            fields.nothing_else()
            return refusal
        case "input_image":
            return _image(fields)
        case "input_file":
            return _file(fields)
        case "input_audio":
            audio = Fields(fields.take("input_audio"), fields.path("input_audio"))
            data = _base64(audio.required_text("data"), audio.path("data"))
            form = audio.required_text("format", longest=16)
            audio.nothing_else()
            return AudioPart(data=data, format=form, provider_metadata=_with_rest({}, fields))
        case _:
            refuse(fields.path("type"), "must be input_text, input_image, input_file, input_audio or output_text.")


def _with_rest(metadata: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """With what a part says beside what we read: for this dialect, and no other."""
    rest = fields.rest()
    return {DIALECT: {**metadata.get(DIALECT, {}), "part_fields": rest}} if rest else dict(metadata)


def _image(fields: Fields) -> Part:
    url, file_id = fields.text("image_url"), fields.text("file_id", longest=512)
    if bool(url) == bool(file_id):
        refuse(fields.path("image_url"), "or file_id is required, and not both.")
    if file_id:
        return FilePart(file_id=file_id, media_type="image/*", provider_metadata=_with_rest({}, fields))
    detail = fields.text("detail", longest=16)
    metadata = _with_rest({}, fields)
    url = (url or "").strip()
    if url[:5].lower() == "data:":
        inline = parse_data_url(url)
        if inline is None or not inline[0].startswith("image/") or not inline[1]:
            refuse(fields.path("image_url"), "is a data: URL that holds no base64 image.")
        return ImagePart(media_type=inline[0], data=inline[1], detail=detail, provider_metadata=metadata)
    if not url.lower().startswith(("https://", "http://")):
        refuse(fields.path("image_url"), "must start with https://, http:// or data:.")
    return ImagePart(url=url, detail=detail, provider_metadata=metadata)


def _file(fields: Fields) -> FilePart:
    filename = fields.text("filename", longest=1024)
    given = {name: text for name in ("file_id", "file_url", "file_data") if (text := fields.text(name))}
    if len(given) != 1:
        refuse(fields.path("file_data"), "or file_url or file_id is required, and only one of them.")
    metadata = _with_rest({}, fields)
    if "file_id" in given:
        return FilePart(file_id=given["file_id"], filename=filename, provider_metadata=metadata)
    if "file_url" in given:
        return FilePart(url=given["file_url"], filename=filename, provider_metadata=metadata)
    encoded = given["file_data"]
    if encoded[:5].lower() == "data:":
        inline = parse_data_url(encoded)
        if inline is None:
            refuse(fields.path("file_data"), "is a data: URL that holds no base64.")
        return FilePart(media_type=inline[0], data=inline[1], filename=filename, provider_metadata=metadata)
    data = _base64(encoded, fields.path("file_data"))
    return FilePart(data=data, filename=filename, provider_metadata=metadata)


def _base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        refuse(path, "must be base64.")
