"""Anthropic's content blocks and turns, both ways, for both sides of the hub. Values in, values out; no request fields.

What only Anthropic understands travels in `provider_metadata["anthropic"]`: `cache_control`, `citations`, `title`,
`context`, `caller` on any part, `signature` or `redacted_data` on reasoning, `source_fields` on an image or a document
(what its source says that we don't know), and `block` on an empty text part, which is a block we have no type for
(server tools, fallback, compaction), kept whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.errors import InvalidRequestError, UnsupportedFeatureError
from adapters.types import (
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

__all__ = [
    "Conversation",
    "block_from_part",
    "build_conversation",
    "input_from_arguments",
    "part_from_block",
    "vendor_data",
    "vendor_metadata",
    "wire_tool_id",
]

Block = dict[str, Any]

VENDOR = "anthropic"
_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_NOT_IN_TOOL_IDS = re.compile(r"[^a-zA-Z0-9_-]")
# What a block says in canonical values. All its other fields (cache_control, citations, caller, new ones) are carried.
_SAID_BY_TYPE: Mapping[str, frozenset[str]] = {
    "text": frozenset({"type", "text"}),
    "image": frozenset({"type", "source"}),
    "document": frozenset({"type", "source"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error"}),
}
_OUR_MARKS = frozenset({"block", "signature", "redacted_data", "source_fields"})
# What a source says in canonical values; a text's media type is always text/plain.
_SAID_BY_SOURCE = frozenset({"type", "media_type", "data", "url", "file_id"})


def vendor_data(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `provider_metadata` holds for Anthropic; empty when it holds nothing."""
    data = metadata.get(VENDOR)
    return data if isinstance(data, Mapping) else {}


def vendor_metadata(**data: Any) -> dict[str, Any]:
    """A `provider_metadata` of the values that are not None."""
    kept = {name: value for name, value in data.items() if value is not None}
    return {VENDOR: kept} if kept else {}


def wire_tool_id(tool_id: str) -> str:
    """An id that Anthropic accepts (`[a-zA-Z0-9_-]+`); the same id gives the same answer, different ids differ."""
    clean = _NOT_IN_TOOL_IDS.sub("_", tool_id)
    if clean == tool_id and clean:
        return clean
    digest = hashlib.sha256(tool_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{clean or 'toolu'}_{digest}"


def input_from_arguments(arguments: str) -> dict[str, Any]:
    """A tool call's arguments as the object Anthropic wants; what is no JSON object is wrapped as `{"_raw": text}`."""
    if not arguments.strip():
        return {}
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {"_raw": arguments}
    return value if isinstance(value, dict) else {"_raw": arguments}


# --- canonical to wire ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Conversation:
    """The `system` and `messages` of a request, under construction."""

    system: list[Block] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    needs_files_beta: bool = False

    def add(self, role: str, blocks: Sequence[Block]) -> None:
        """Append to the last turn when it has the same role, else open one. A turn without content is never opened."""
        if not blocks:
            return
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": list(blocks)})
            return
        content: list[Block] = self.turns[-1]["content"]
        if blocks[0]["type"] == "tool_result":
            # Results come first in the turn after the calls; anything before them is a 400.
            position = sum(block["type"] == "tool_result" for block in content)
            content[position:position] = blocks
        else:
            content.extend(blocks)

    @property
    def awaits_tool_results(self) -> bool:
        if not self.turns or self.turns[-1]["role"] != "assistant":
            return False
        return any(block["type"] == "tool_use" for block in self.turns[-1]["content"])


def build_conversation(messages: Sequence[Message], target: Target) -> Conversation:
    """Translate a conversation; raises UnsupportedFeatureError for a part that Anthropic has no block for.

    Leading system messages become `system`; later ones a system turn where the model has them, else a marked text in
    the user's next turn. Neighbours of one role are merged, tool results are put first in theirs.
    """
    conversation = Conversation()
    leading = True
    for message in messages:
        if message.role == "system":
            blocks = _blocks(message, target, conversation)
            if leading:
                conversation.system.extend(blocks)
            elif target.profile.supports_system_turns and not conversation.awaits_tool_results:
                conversation.add("system", blocks)
            else:
                conversation.add("user", [_marked_system(block) for block in blocks])
            continue
        leading = False
        if message.role == "tool":
            conversation.add("user", [_tool_result(message, target, conversation)])
        else:
            conversation.add(message.role, _blocks(message, target, conversation))
            if message.name:
                conversation.warnings.append("the speaker's name was left out: Anthropic has no field for it")
    return conversation


def _marked_system(block: Block) -> Block:
    return block | {"text": f"<system>{block['text']}</system>"} if block["type"] == "text" else block


def _tool_result(message: Message, target: Target, conversation: Conversation) -> Block:
    result: Block = {"type": "tool_result", "tool_use_id": wire_tool_id(message.tool_call_id or "")}
    content = _blocks(message, target, conversation, keep_mark=False)
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        result["content"] = content[0]["text"]
    elif content:
        result["content"] = content
    if message.is_error:
        result["is_error"] = True
    return result | _carried("tool_result", message.provider_metadata)


def _blocks(message: Message, target: Target, conversation: Conversation, *, keep_mark: bool = True) -> list[Block]:
    blocks = []
    for part in message.parts:
        if isinstance(part, FilePart) and part.file_id is not None:
            conversation.needs_files_beta = True
        block = block_from_part(part, message.role, target)
        if block is not None:
            blocks.append(block)
    mark = vendor_data(message.provider_metadata).get("cache_control")
    if mark is not None and blocks and keep_mark:
        blocks[-1] = blocks[-1] | {"cache_control": mark}
    return blocks


def _carried(block_type: str, metadata: Mapping[str, Any]) -> Block:
    data = vendor_data(metadata)
    return {name: value for name, value in data.items() if name not in _SAID_BY_TYPE[block_type] | _OUR_MARKS}


def block_from_part(part: Part, role: str, target: Target) -> Block | None:
    """One part as a block; None for what has nothing to say (empty text, another vendor's reasoning)."""
    match part:
        case TextPart():
            block = vendor_data(part.provider_metadata).get("block")
            if isinstance(block, Mapping):
                return dict(block)
            # An empty text block is a 400.
            text = {"type": "text", "text": part.text} | _carried("text", part.provider_metadata)
            return text if part.text else None
        case ReasoningPart():
            return _thinking_block(part, target)
        case ToolCall():
            call = {
                "type": "tool_use",
                "id": wire_tool_id(part.id),
                "name": part.name,
                "input": input_from_arguments(part.arguments),
            }
            return call | _carried("tool_use", part.provider_metadata)
        case RefusalPart():
            return {"type": "text", "text": part.text} if part.text else None
        case _ if role in ("system", "assistant"):
            raise UnsupportedFeatureError(
                f"Anthropic takes text only in a message of role {role}",
                provider=target.provider,
                model=target.model,
                param="messages",
            )
        case ImagePart():
            source = _image_source(part, target) | _source_fields(part)
            return {"type": "image", "source": source} | _carried("image", part.provider_metadata)
        case FilePart():
            return _file_block(part, target)
        case _:
            raise _unsupported("Anthropic takes no audio", target)


def _unsupported(message: str, target: Target) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(message, provider=target.provider, model=target.model, param="messages")


def _thinking_block(part: ReasoningPart, target: Target) -> Block | None:
    data = vendor_data(part.provider_metadata)
    if "redacted_data" in data:
        return {"type": "redacted_thinking", "data": data["redacted_data"]}
    signature = data.get("signature")
    # Anthropic refuses a thinking block that it did not sign; compatible servers sign with an empty string.
    if signature is None or (not signature and target.kind == "anthropic"):
        return None
    return {"type": "thinking", "thinking": part.text, "signature": signature}


def _image_source(part: ImagePart, target: Target) -> Block:
    if not target.profile.supports_images:
        raise _unsupported(f"{target.model} takes no images", target)
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.media_type not in _IMAGE_TYPES:
        raise _unsupported(f"Anthropic takes jpeg, png, gif and webp images, not {part.media_type}", target)
    return _base64_source(part.media_type, part.data or b"")


def _source_fields(part: ImagePart | FilePart) -> Block:
    return dict(vendor_data(part.provider_metadata).get("source_fields", {}))


def _base64_source(media_type: str, data: bytes) -> Block:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode("ascii")}


def _file_block(part: FilePart, target: Target) -> Block:
    if not target.profile.supports_files:
        raise _unsupported(f"{target.model} takes no files", target)
    media_type = (part.media_type or "").partition(";")[0].strip().lower()
    source = _file_source(part, media_type, target) | _source_fields(part)
    if media_type in _IMAGE_TYPES:
        return {"type": "image", "source": source} | _carried("image", part.provider_metadata)
    block: Block = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    return block | _carried("document", part.provider_metadata)


def _file_source(part: FilePart, media_type: str, target: Target) -> Block:
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    data = part.data or b""
    if media_type in _IMAGE_TYPES or media_type == "application/pdf":
        return _base64_source(media_type, data)
    if media_type.startswith("text/") or media_type == "application/json":
        try:
            return {"type": "text", "media_type": "text/plain", "data": data.decode("utf-8")}
        except UnicodeDecodeError:
            raise _unsupported("a text file must be UTF-8", target) from None
    raise _unsupported(f"Anthropic takes PDF and text files, not {media_type or 'a file without a media type'}", target)


# --- wire to canonical ---------------------------------------------------------------------------------------------


def parts_from_content(content: Iterable[Any]) -> tuple[Part, ...]:
    return tuple(part_from_block(block) for block in content if isinstance(block, Mapping))


def part_from_block(block: Mapping[str, Any]) -> Part:
    """One block as a part; a type we have no part for is kept whole. Raises InvalidRequestError for bad base64."""
    match block.get("type"):
        case "text":
            return TextPart(text=str(block.get("text") or ""), provider_metadata=carried_fields("text", block))
        case "thinking":
            signature = block.get("signature")
            return ReasoningPart(
                text=str(block.get("thinking") or ""), provider_metadata=vendor_metadata(signature=signature)
            )
        case "redacted_thinking":
            return ReasoningPart(text="", provider_metadata=vendor_metadata(redacted_data=block.get("data")))
        case "tool_use":
            return ToolCall(
                id=str(block.get("id") or ""),
                name=str(block.get("name") or ""),
                arguments=json.dumps(block.get("input") or {}, ensure_ascii=False, separators=(",", ":")),
                provider_metadata=carried_fields("tool_use", block),
            )
        case "image" | "document":
            return _media_part(block)
        case _:
            return opaque_part(block)


def opaque_part(block: Mapping[str, Any]) -> TextPart:
    """A block that only Anthropic understands: no text for others, verbatim for Anthropic."""
    return TextPart(text="", provider_metadata=vendor_metadata(block=dict(block)))


def carried_fields(block_type: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """A `provider_metadata` of what a block holds beside its canonical values."""
    return vendor_metadata(**{name: value for name, value in block.items() if name not in _SAID_BY_TYPE[block_type]})


def _media_part(block: Mapping[str, Any]) -> Part:
    is_image = block["type"] == "image"
    source = block.get("source")
    source = source if isinstance(source, Mapping) else {}
    media_type, title = source.get("media_type"), block.get("title")
    carried = {k: v for k, v in block.items() if k not in _SAID_BY_TYPE[block["type"]]}
    if not is_image:  # the file's name is the title; it is not carried twice
        carried.pop("title", None)
    unknown = {k: v for k, v in source.items() if k not in _SAID_BY_SOURCE}
    metadata = vendor_metadata(**carried, source_fields=unknown or None)
    match source:
        case {"type": "base64", "data": str(text)}:
            data = _decoded(text)
            if is_image:
                return ImagePart(media_type=media_type, data=data, provider_metadata=metadata)
            return FilePart(media_type=media_type, filename=title, data=data, provider_metadata=metadata)
        case {"type": "url", "url": str(url)}:
            if is_image:
                return ImagePart(url=url, provider_metadata=metadata)
            return FilePart(filename=title, url=url, provider_metadata=metadata)
        case {"type": "file", "file_id": str(file_id)}:
            media_type = "image/png" if is_image else None  # tells image from document on the way back
            return FilePart(media_type=media_type, filename=title, file_id=file_id, provider_metadata=metadata)
        case {"type": "text", "data": str(text)} if not is_image:
            data = text.encode("utf-8", "surrogatepass")
            return FilePart(media_type="text/plain", filename=title, data=data, provider_metadata=metadata)
        case _:
            return opaque_part(block)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("the data of a base64 source is not base64", param="messages") from None
