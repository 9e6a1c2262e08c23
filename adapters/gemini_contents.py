"""Gemini's contents and parts, both ways. Values in, values out; no request fields and no stream state.

What only Gemini understands travels in `provider_metadata["gemini"]`: `thought_signature` on the very part it came
with, and `part` on an empty text part, which is a part we have no type for (server tools, executed code), kept whole.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.errors import UnsupportedFeatureError, UpstreamProtocolError
from adapters.streaming import new_tool_call_id
from adapters.types import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCall,
)
from adapters.wire_json import dump_json, read_json

__all__ = ["Contents", "build_contents", "read_part", "vendor_data", "vendor_metadata"]

VENDOR: Final = "gemini"
# Gemini 3 refuses a turn whose first call is unsigned; this stands for "signed by another model" (ai.google.dev,
# thought signatures, 2026-11-20).
_FOREIGN_SIGNATURE: Final = "skip_thought_signature_validator"
_STANDARD_ALPHABET: Final = str.maketrans("-_", "+/")
_AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg", "mpeg": "audio/mpeg"}
_CHECKS_SIGNATURES: Final = "level"  # the thinking mode of the models that check them


def vendor_data(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `provider_metadata` holds for Gemini; empty when it holds nothing."""
    data = metadata.get(VENDOR)
    return data if isinstance(data, Mapping) else {}


def vendor_metadata(**data: Any) -> dict[str, Any]:
    """A `provider_metadata` of the values that are not None."""
    kept = {name: value for name, value in data.items() if value is not None}
    return {VENDOR: kept} if kept else {}


# --- canonical to wire ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Contents:
    """The `systemInstruction` and `contents` of a request, under construction."""

    system: list[dict[str, Any]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, role: str, parts: Sequence[Mapping[str, Any]]) -> None:
        """Append to the last turn when it is of the same role; tool results keep a turn to themselves."""
        if not parts:
            return
        last = self.turns[-1] if self.turns else None
        if last is None or last["role"] != role or _holds_results(last["parts"]) != _holds_results(parts):
            self.turns.append({"role": role, "parts": list(parts)})
        else:
            last["parts"].extend(parts)


def _holds_results(parts: Sequence[Mapping[str, Any]]) -> bool:
    return any("functionResponse" in part for part in parts)


def build_contents(messages: Sequence[Message], target: Target) -> Contents:
    """Translate a conversation; raises UnsupportedFeatureError for a part that Gemini has no form for.

    Leading system messages become `systemInstruction` (or open the first turn, for Gemma); later ones a marked text of
    the user's. All results of one turn stand in one content, what they bring along follows in the next.
    """
    contents = Contents()
    names: dict[str, str] = {}  # of the tools, by call id
    leading = True
    attachments: list[dict[str, Any]] = []
    for message in messages:
        if message.role != "tool" and attachments:
            contents.add("user", attachments)
            attachments = []
        match message.role:
            case "system":
                _add_system(message, target, contents, leading=leading)
                continue
            case "user":
                contents.add("user", [_wire_part(part, target) for part in message.parts])
            case "assistant":
                names |= {call.id: call.name for call in message.tool_calls}
                contents.add("model", _model_parts(message, target))
            case _:  # tool
                contents.add("user", [_tool_result(message, names, target, attachments)])
        leading = False
        if message.name and message.role != "tool":
            contents.warnings.append("the speaker's name was left out: Gemini has no field for it")
    if attachments:
        contents.add("user", attachments)
    return contents


def _add_system(message: Message, target: Target, contents: Contents, *, leading: bool) -> None:
    if any(not isinstance(part, TextPart) for part in message.parts):
        raise _unsupported("Gemini takes text only in a system message", target)
    texts = [{"text": part.text} for part in message.parts if isinstance(part, TextPart) and part.text]
    if not leading:
        contents.add("user", [{"text": f"<system>{text['text']}</system>"} for text in texts])
    elif target.profile.extra.get("system_instruction", True):
        contents.system.extend(texts)
    else:
        contents.add("user", texts)


def _model_parts(message: Message, target: Target) -> list[dict[str, Any]]:
    parts = [_wire_part(part, target) for part in message.parts if not _left_behind(part)]
    calls = [part for part in parts if "functionCall" in part]
    signed = any("thoughtSignature" in part for part in calls)
    if calls and not signed and target.profile.thinking_mode == _CHECKS_SIGNATURES:
        calls[0]["thoughtSignature"] = _FOREIGN_SIGNATURE
    # A turn that said nothing stays a turn: without it the user's two would run into one.
    return parts or [{"text": ""}]


def _left_behind(part: Part) -> bool:
    """Thoughts go back only with Gemini's signature: other models' are no use to it, and they cost tokens."""
    if isinstance(part, ReasoningPart):
        return _signature(part.provider_metadata) is None
    return isinstance(part, TextPart) and not part.text and not vendor_data(part.provider_metadata)


def _wire_part(part: Part, target: Target) -> dict[str, Any]:
    match part:
        case TextPart():
            whole = vendor_data(part.provider_metadata).get("part")
            if isinstance(whole, Mapping):
                return dict(whole)
            return _signed({"text": part.text}, part.provider_metadata)
        case ReasoningPart():
            return _signed({"text": part.text, "thought": True}, part.provider_metadata)
        case RefusalPart():
            return {"text": part.text}
        case ToolCall():
            call: dict[str, Any] = {"name": part.name, "args": _args(part.arguments)}
            if part.id:
                call["id"] = part.id
            return _signed({"functionCall": call}, part.provider_metadata)
        case _:
            return _signed(_media(part, target), part.provider_metadata)


def _signed(wire: dict[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    signature = _signature(metadata)
    return wire if signature is None else {**wire, "thoughtSignature": signature}


def _signature(metadata: Mapping[str, Any]) -> str | None:
    signature = vendor_data(metadata).get("thought_signature")
    if signature is None:
        # Google's own convention on its OpenAI-compatible endpoint, kept by clients that know it.
        found: Any = metadata.get("openai.chat")
        for step in ("extra_content", "google", "thought_signature"):
            found = found.get(step) if isinstance(found, Mapping) else None
        signature = found
    return signature if isinstance(signature, str) else None


def _args(arguments: str) -> Any:
    """Arguments as the object Gemini wants; what is no JSON object is wrapped as `{"_raw": text}`."""
    if not arguments.strip():
        return {}
    value = _json_or_none(arguments)
    return value if isinstance(value, dict) else {"_raw": arguments}


def _json_or_none(text: str) -> Any:
    try:
        return read_json(text.encode("utf-8", "replace"))
    except UpstreamProtocolError:
        return None


def _media(part: ImagePart | AudioPart | FilePart, target: Target) -> dict[str, Any]:
    match part:
        case ImagePart(data=None):
            _require(target.profile.supports_images and target.profile.supports_image_urls, "images by URL", target)
            media_type = part.media_type or _guessed(part.url or "") or "image/jpeg"
            return {"fileData": {"fileUri": part.url, "mimeType": media_type}}
        case ImagePart():
            _require(target.profile.supports_images, "images", target)
            return _inline(part.media_type or "image/png", part.data or b"")
        case AudioPart():
            _require(target.profile.supports_audio, "audio", target)
            return _inline(_AUDIO_TYPES.get(part.format, f"audio/{part.format}"), part.data)
        case FilePart(data=None):
            _require(target.profile.supports_files, "files", target)
            address = part.url or part.file_id or ""
            data: dict[str, Any] = {"fileUri": address}
            named = part.media_type or _guessed(part.filename or "") or _guessed(address)
            return {"fileData": data | ({"mimeType": named} if named else {})}
        case FilePart():  # pragma: no branch  # no other part is left
            _require(target.profile.supports_files, "files", target)
            return _inline(
                part.media_type or _guessed(part.filename or "") or "application/octet-stream", part.data or b""
            )


def _inline(media_type: str, data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode("ascii")}}


def _guessed(name: str) -> str | None:
    return mimetypes.guess_type(name.partition("?")[0])[0]


def _tool_result(
    message: Message, names: Mapping[str, str], target: Target, attachments: list[dict[str, Any]]
) -> dict[str, Any]:
    call_id = message.tool_call_id or ""
    name = names.get(call_id) or message.name
    if not name:
        raise _unsupported("a tool's result must follow the call it answers: Gemini wants the tool's name", target)
    result: dict[str, Any] = {"name": name, "response": _response(message)}
    if call_id:
        result["id"] = call_id
    taken = target.profile.extra.get("tool_result_media", ())
    inside: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ImagePart | AudioPart | FilePart):
            wire = _media(part, target)
            media = wire.get("inlineData") or wire.get("fileData") or {}
            if media.get("mimeType") in taken:
                inside.append(wire)
            else:
                attachments += [{"text": f"Attached to the result of {name} (call {call_id}):"}, wire]
    if inside:
        result["parts"] = inside
    return {"functionResponse": result}


def _response(message: Message) -> dict[str, Any]:
    """The result as the object Gemini wants: an object as it is, text under `output`, a failure under `error`."""
    value = _json_or_none(message.text) if message.text.lstrip()[:1] == "{" else None
    if message.is_error:
        return {"error": value if isinstance(value, dict) else message.text}
    return value if isinstance(value, dict) else {"output": message.text}


def _require(supported: bool, what: str, target: Target) -> None:
    if not supported:
        raise _unsupported(
            f"{target.provider or target.kind} does not take {what} with the model {target.model}", target
        )


def _unsupported(message: str, target: Target) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(message, provider=target.provider, model=target.model, param="messages")


# --- wire to canonical ---------------------------------------------------------------------------------------------


def read_part(wire: Mapping[str, Any]) -> Part | None:
    """One part of an answer; None for one that says nothing. A kind we have no part for is kept whole."""
    signature = wire.get("thoughtSignature")
    metadata = vendor_metadata(thought_signature=signature if isinstance(signature, str) and signature else None)
    text, call, inline = wire.get("text"), wire.get("functionCall"), wire.get("inlineData")
    if isinstance(text, str):
        if wire.get("thought") is True:
            return ReasoningPart(text=text, provider_metadata=metadata) if text or metadata else None
        return TextPart(text=text, provider_metadata=metadata) if text or metadata else None
    if isinstance(call, dict):
        name = call.get("name")
        return read_call(call, metadata) if isinstance(name, str) and name else None
    if isinstance(inline, dict) and isinstance(inline.get("data"), str):
        return _read_media(inline, metadata)
    return TextPart(text="", provider_metadata=vendor_metadata(part=dict(wire))) if wire else None


def read_call(call: Mapping[str, Any], metadata: Mapping[str, Any]) -> ToolCall:
    args = call.get("args")
    call_id = call.get("id")
    return ToolCall(
        id=call_id if isinstance(call_id, str) and call_id else new_tool_call_id(),
        name=str(call["name"]),
        arguments=dump_json(args if isinstance(args, dict) else {}).decode(),
        provider_metadata=metadata,
    )


def _read_media(inline: Mapping[str, Any], metadata: Mapping[str, Any]) -> Part:
    media_type = str(inline.get("mimeType") or "application/octet-stream").lower()
    try:
        # Google writes and reads both alphabets of base64.
        data = base64.b64decode(inline["data"].translate(_STANDARD_ALPHABET), validate=True)
    except (binascii.Error, ValueError):
        raise UpstreamProtocolError("the provider sent a file that is no base64") from None
    if media_type.startswith("image/"):
        return ImagePart(media_type=media_type, data=data, provider_metadata=metadata)
    if media_type.startswith("audio/"):
        return AudioPart(data=data, format=media_type[6:], provider_metadata=metadata)
    return FilePart(media_type=media_type, data=data, provider_metadata=metadata)
