"""Canonical messages and tools to OpenAI's chat JSON. Asks the profile what a server takes; reads nothing back."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.errors import UnsupportedFeatureError
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
    ToolDefinition,
)

__all__ = ["DIALECT", "build_messages", "build_tool", "data_url"]

DIALECT: Final = "openai.chat"

_ALNUM9 = re.compile(r"[A-Za-z0-9]{9}")
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def build_messages(messages: Sequence[Message], target: Target) -> list[dict[str, Any]]:
    """Build the `messages` list. Raises UnsupportedFeatureError for a part that the server can't take.

    Chat's tool messages carry text only: an image in a tool's result follows in a user message of its own.
    """
    wire: list[dict[str, Any]] = []
    attachments: list[dict[str, Any]] = []  # of the tool messages since the last other one
    for message in messages:
        if message.role != "tool" and attachments:
            wire.append({"role": "user", "content": attachments})
            attachments = []
        match message.role:
            case "system":
                wire.append({"role": target.profile.system_role, "content": _content(message.parts, target)})
            case "user":
                wire.append({"role": "user", "content": _content(message.parts, target)})
            case "assistant":
                wire.append(_assistant(message, target))
            case _:  # tool
                wire.append(_tool_result(message, target, attachments))
        if message.name and message.role != "tool":
            wire[-1]["name"] = message.name
        for field, value in _own(message.provider_metadata).items():
            wire[-1].setdefault(field, value)
    if attachments:
        wire.append({"role": "user", "content": attachments})
    return wire


def build_tool(tool: ToolDefinition) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function, **_own(tool.provider_metadata)}


def data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _own(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a client or provider of this very dialect attached; other vendors' marks stay here."""
    own = metadata.get(DIALECT)
    return own if isinstance(own, Mapping) else {}


def _content(parts: Sequence[Part], target: Target) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], TextPart) and not parts[0].provider_metadata:
        return parts[0].text
    content = [_part(part, target) for part in parts if not isinstance(part, ReasoningPart)]
    return content or ""


def _part(part: Part, target: Target) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text, **_own(part.provider_metadata)}
        case ImagePart():
            return {"type": "image_url", "image_url": _image(part, target), **_own(part.provider_metadata)}
        case AudioPart():
            _require(target.profile.supports_audio, "audio", target)
            audio = {"data": base64.b64encode(part.data).decode("ascii"), "format": part.format}
            return {"type": "input_audio", "input_audio": audio, **_own(part.provider_metadata)}
        case FilePart():
            return {"type": "file", "file": _file(part, target), **_own(part.provider_metadata)}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}
        case _:
            raise UnsupportedFeatureError(
                "a tool call can only stand in an assistant's message", provider=target.provider, model=target.model
            )


def _image(part: ImagePart, target: Target) -> dict[str, Any]:
    _require(target.profile.supports_images, "images", target)
    if part.url is not None:
        _require(target.profile.supports_image_urls, "images by URL (send the image itself)", target)
        image = {"url": part.url}
    else:
        image = {"url": data_url(part.data or b"", part.media_type or "image/png")}
    if part.detail is not None:
        image["detail"] = part.detail
    return image


def _file(part: FilePart, target: Target) -> dict[str, Any]:
    _require(target.profile.supports_files, "files", target)
    _require(part.url is None, "files by URL (send the file itself)", target)
    if part.file_id is not None:
        return {"file_id": part.file_id}
    # OpenAI answers 400 to file_data without a name.
    name = part.filename or "file" + (".pdf" if part.media_type == "application/pdf" else "")
    return {"filename": name, "file_data": data_url(part.data or b"", part.media_type or "application/pdf")}


def _assistant(message: Message, target: Target) -> dict[str, Any]:
    profile = target.profile
    calls = message.tool_calls
    spoken = [part for part in message.parts if isinstance(part, TextPart)]
    refusals = [part.text for part in message.parts if isinstance(part, RefusalPart)]
    wire: dict[str, Any] = {"role": "assistant", "content": _content(spoken, target) if spoken else None}
    if refusals:
        wire["refusal"] = "".join(refusals)
    if calls:
        wire["tool_calls"] = [_tool_call(call, target) for call in calls]
    elif wire["content"] is None and not refusals:
        wire["content"] = ""
    thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    if profile.reasoning_echo_field and (thoughts or calls):
        # DeepSeek wants the field on every tool turn of a thinking model, even when it is empty.
        wire[profile.reasoning_echo_field] = "".join(part.text for part in thoughts)
    if "reasoning_details" in profile.echo_fields:
        details = [item for part in thoughts for item in _own(part.provider_metadata).get("reasoning_details", ())]
        if details:
            wire["reasoning_details"] = details
    return wire


def _tool_call(call: ToolCall, target: Target) -> dict[str, Any]:
    own = _own(call.provider_metadata)
    kind = "custom" if own.get("type") == "custom" else "function"
    inner = {"name": call.name}
    inner |= {"input": call.arguments} if kind == "custom" else {"arguments": call.arguments or "{}"}
    inner |= own.get("inner_fields", {})
    wire = {"id": _call_id(call.id, target), "type": kind, kind: inner, **own.get("call_fields", {})}
    if "extra_content" in own and "extra_content" in target.profile.echo_fields:
        wire["extra_content"] = own["extra_content"]
    return wire


def _tool_result(message: Message, target: Target, attachments: list[dict[str, Any]]) -> dict[str, Any]:
    texts = [part for part in message.parts if isinstance(part, TextPart)]
    others = [part for part in message.parts if isinstance(part, ImagePart | AudioPart | FilePart)]
    if others:
        attachments.append({"type": "text", "text": f"Attached to the result of tool call {message.tool_call_id}:"})
        attachments.extend(_part(part, target) for part in others)
    content = _content(texts, target) if texts else ("The result is attached below." if others else "")
    return {"role": "tool", "tool_call_id": _call_id(message.tool_call_id or "", target), "content": content}


def _call_id(call_id: str, target: Target) -> str:
    """The id in a form that this server takes; the same id in always gives the same id out."""
    if target.profile.tool_call_ids == "any" or _ALNUM9.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest()[:8])
    digits = []
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)


def _require(supported: bool, what: str, target: Target) -> None:
    if not supported:
        raise UnsupportedFeatureError(
            f"{target.provider or target.kind} does not take {what} with the model {target.model}",
            provider=target.provider,
            model=target.model,
        )
