"""Items of OpenAI's Responses API, both ways: a conversation to input items, output items to parts. No request fields.

What only this API understands travels in `provider_metadata["openai.responses"]`: `item` is an output item kept whole
(reasoning with its encrypted content, server tools), `id`, `phase`, `annotations` and the like stand beside a text or a
call, and `origin` says whose they are: another account can't read them, so they go back to the same provider only.
`message_fields` and `part_fields` are what a client said of a message or a part that nothing here has a place for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.errors import UnsupportedFeatureError
from adapters.openai_messages import DIALECT as CHAT
from adapters.openai_messages import data_url
from adapters.types import (
    AudioPart,
    Dialect,
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
    "DIALECT",
    "build_input",
    "call_metadata",
    "item_metadata",
    "origin_of_target",
    "read_item",
    "reasoning_text",
]

DIALECT: Final[Dialect] = "openai.responses"

Item = dict[str, Any]
# What a call's item says beside its name and arguments; all of it goes back (a namespace, the program that called).
_CALL_FIELDS: Final = frozenset({"type", "call_id", "name", "arguments", "input", "status"})
_CALLS: Final = ("function_call", "custom_tool_call")  # compared, not looked up: a type may be no text


def origin_of_target(target: Target) -> str:
    return target.provider or target.kind


def _own(metadata: Mapping[str, Any], target: Target) -> Mapping[str, Any]:
    """What `metadata` holds for this API, when this very provider said it (or nobody knows who did)."""
    own = metadata.get(DIALECT)
    if not isinstance(own, Mapping):
        return {}
    return own if own.get("origin") in (None, origin_of_target(target)) else {}


# --- canonical to wire ---------------------------------------------------------------------------------------------


def build_input(messages: Sequence[Message], target: Target) -> list[Item]:
    """Build the `input` list. Raises UnsupportedFeatureError for a part that has no form here.

    Every turn's calls stand together, their outputs behind them: DeepSeek refuses a message in between.
    """
    items: list[Item] = []
    custom: set[str] = set()  # ids of calls whose input is free text
    for message in messages:
        match message.role:
            case "system":
                content, said = _content(message.parts, target), _message_fields(message, target)
                items.append({"role": target.profile.system_role, "content": content, **said})
            case "user":
                content, said = _content(message.parts, target), _message_fields(message, target)
                items.append({"role": "user", "content": content, **said})
            case "assistant":
                turn = _assistant(message, target)
                custom |= {item["call_id"] for item in turn if item.get("type") == "custom_tool_call"}
                items.extend(turn)
            case _:  # tool
                call_id = message.tool_call_id or ""
                kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
                output, said = _content(message.parts, target), _message_fields(message, target)
                items.append({"type": kind, "call_id": call_id, "output": output, **said})
    return items


def _content(parts: Sequence[Part], target: Target) -> str | list[Item]:
    spoken = [part for part in parts if not isinstance(part, ReasoningPart)]
    content = [_input_part(part, target) for part in spoken]
    if len(content) <= 1 and all(item.keys() == {"type", "text"} for item in content):
        return "".join(item["text"] for item in content)
    return content


def _message_fields(message: Message, target: Target) -> Mapping[str, Any]:
    return _own(message.provider_metadata, target).get("message_fields", {})  # type: ignore[no-any-return]  # only our own codec writes it


def _input_part(part: Part, target: Target) -> Item:
    wire = _plain_input_part(part, target)
    if not isinstance(part, RefusalPart):
        wire |= _own(part.provider_metadata, target).get("part_fields", {})
    return wire


def _plain_input_part(part: Part, target: Target) -> Item:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            _require(target.profile.supports_images, "images", target)
            url = part.url if part.url is not None else data_url(part.data or b"", part.media_type or "image/png")
            return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
        case AudioPart():
            _require(target.profile.supports_audio, "audio", target)
            encoded = base64.b64encode(part.data).decode("ascii")
            return {"type": "input_audio", "input_audio": {"data": encoded, "format": part.format}}
        case FilePart():
            return _file(part)
        case RefusalPart():
            return {"type": "input_text", "text": part.text}
        case _:
            raise UnsupportedFeatureError(
                "a tool call can only stand in an assistant's message", provider=target.provider, model=target.model
            )


def _file(part: FilePart) -> Item:
    if part.file_id is not None:
        is_image = (part.media_type or "").startswith("image/")
        return {"type": "input_image" if is_image else "input_file", "file_id": part.file_id}
    if part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    name = part.filename or "file" + (".pdf" if part.media_type == "application/pdf" else "")
    encoded = data_url(part.data or b"", part.media_type or "application/pdf")
    return {"type": "input_file", "filename": name, "file_data": encoded}


def _assistant(message: Message, target: Target) -> list[Item]:
    items: list[Item] = []
    for part in message.parts:
        own = _own(part.provider_metadata, target) if not isinstance(part, RefusalPart) else {}
        whole = own.get("item")
        match part:
            case TextPart() if isinstance(whole, Mapping):
                items.append(dict(whole))
            case TextPart():
                said = own.get("part_fields", {})
                _add_text(items, {"type": "output_text", "text": part.text, **said}, own)
            case RefusalPart():
                _add_text(items, {"type": "refusal", "refusal": part.text}, {})
            case ReasoningPart() if isinstance(whole, Mapping) and _can_be_read(whole):
                items.append({name: value for name, value in whole.items() if name != "status" and value is not None})
            case ToolCall():
                items.append(_call(part, own))
    if not any(item.get("type") != "reasoning" for item in items):
        return [{"role": "assistant", "content": ""}]
    return _calls_together(_without_orphans(items))


def _add_text(items: list[Item], content: Item, own: Mapping[str, Any]) -> None:
    """Append to the message before it when that is the same one, else open one."""
    known = {name: own[name] for name in ("id", "phase") if own.get(name)} | own.get("message_fields", {})
    last = items[-1] if items else {}
    is_same = all(last.get(name) == value for name, value in known.items())
    if content.get("text") == "" and is_same:
        return  # a stream tells a message's citations beside its text
    if last.get("type") == "message" and is_same:
        last["content"].append(content)
        return
    items.append({"type": "message", "role": "assistant", "content": [content], **known})


def _call(part: ToolCall, own: Mapping[str, Any]) -> Item:
    rest = {name: value for name, value in own.items() if name not in _CALL_FIELDS and name != "origin"}
    chat = part.provider_metadata.get(CHAT)
    is_custom = own.get("type") == "custom" or (isinstance(chat, Mapping) and chat.get("type") == "custom")
    if is_custom:
        return {"type": "custom_tool_call", "call_id": part.id, "name": part.name, "input": part.arguments} | rest
    arguments = part.arguments or "{}"
    return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments} | rest


def _can_be_read(item: Mapping[str, Any]) -> bool:
    """Nothing is stored upstream, so reasoning must bring its encrypted content, or (open weights) its own text."""
    return bool(item.get("encrypted_content") or item.get("content"))


def _without_orphans(items: list[Item]) -> list[Item]:
    """Leave out reasoning whose very next item is not here any more: "provided without its required following item"."""
    kept: list[Item] = []
    follower: Item | None = None
    for item in reversed(items):
        if item.get("type") != "reasoning":
            follower = item
        elif follower is None or not follower.get("id"):
            continue
        kept.append(item)
    kept.reverse()
    return kept


def _calls_together(items: list[Item]) -> list[Item]:
    """Move a message that stands between two calls in front of the first; reasoning stays before what it led to."""
    first = next((n for n, item in enumerate(items) if item.get("type") in _CALLS), None)
    if first is None:
        return items
    while first and items[first - 1].get("type") == "reasoning":
        first -= 1
    moved: list[Item] = []
    calls: list[Item] = []
    waiting: list[Item] = []
    for item in items[first:]:
        if item.get("type") == "reasoning":
            waiting.append(item)
            continue
        (moved if item.get("type") == "message" else calls).extend([*waiting, item])
        waiting = []
    return [*items[:first], *moved, *calls]


def _require(supported: bool, what: str, target: Target) -> None:
    if not supported:
        raise UnsupportedFeatureError(
            f"{target.provider or target.kind} does not take {what} with the model {target.model}",
            provider=target.provider,
            model=target.model,
        )


# --- wire to canonical ---------------------------------------------------------------------------------------------


def read_item(item: Mapping[str, Any], target: Target) -> list[Part]:
    """One output item as parts; a kind we have no part for is an empty text that holds it whole."""
    match item.get("type"):
        case "message":
            return _read_message(item, target)
        case "reasoning":
            return [ReasoningPart(text=reasoning_text(item), provider_metadata=item_metadata(item, target))]
        case "function_call" if item.get("name"):
            arguments = item.get("arguments")
            return [_read_call(item, arguments if isinstance(arguments, str) and arguments else "{}", target)]
        case "custom_tool_call" if item.get("name"):
            text = item.get("input")
            return [_read_call(item, text if isinstance(text, str) else "", target)]
        case "image_generation_call" if isinstance(item.get("result"), str):
            return [_read_image(item)]
        case _:
            return [TextPart(text="", provider_metadata=item_metadata(item, target))]


def _read_message(item: Mapping[str, Any], target: Target) -> list[Part]:
    parts: list[Part] = []
    content = item.get("content")
    for piece in content if isinstance(content, list) else ():
        kind = piece.get("type") if isinstance(piece, Mapping) else None
        if kind == "output_text" and isinstance(piece.get("text"), str):
            metadata = text_metadata(item, piece, target)
            parts.append(TextPart(text=piece["text"], provider_metadata=metadata))
        elif kind == "refusal" and isinstance(piece.get("refusal"), str):
            parts.append(RefusalPart(text=piece["refusal"]))
    return parts


def text_metadata(item: Mapping[str, Any], piece: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Whose message a text belongs to, and its citations, in this API's form and in chat's."""
    annotations = piece.get("annotations")
    annotations = annotations if isinstance(annotations, list) else []
    own = {"id": item.get("id"), "phase": item.get("phase"), "annotations": annotations or None}
    metadata: dict[str, Any] = {
        DIALECT: {name: value for name, value in own.items() if value} | {"origin": origin_of_target(target)}
    }
    cited = [_chat_citation(note) for note in annotations if isinstance(note, Mapping)]
    if any(cited):
        metadata[CHAT] = {"annotations": [note for note in cited if note]}
    return metadata


def _chat_citation(note: Mapping[str, Any]) -> Item | None:
    if note.get("type") != "url_citation":
        return None
    return {"type": "url_citation", "url_citation": {name: value for name, value in note.items() if name != "type"}}


def item_metadata(item: Mapping[str, Any], target: Target) -> dict[str, Any]:
    return {DIALECT: {"item": dict(item), "origin": origin_of_target(target)}}


def call_metadata(item: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """What must come back with a call. A custom call is marked for chat clients too, whose calls have types."""
    rest = {name: value for name, value in item.items() if name not in _CALL_FIELDS and value is not None}
    metadata: dict[str, Any] = {DIALECT: rest | {"origin": origin_of_target(target)}}
    if item.get("type") == "custom_tool_call":
        metadata[DIALECT]["type"] = "custom"
        metadata[CHAT] = {"type": "custom"}
    return metadata


def _read_call(item: Mapping[str, Any], arguments: str, target: Target) -> ToolCall:
    call_id = item.get("call_id") or item.get("id")
    return ToolCall(
        id=str(call_id or ""),
        name=str(item["name"]),
        arguments=arguments,
        provider_metadata=call_metadata(item, target),
    )


def _read_image(item: Mapping[str, Any]) -> Part:
    try:
        data = base64.b64decode(item["result"], validate=True)
    except (binascii.Error, ValueError):
        return TextPart(text="")
    return ImagePart(media_type=f"image/{item.get('output_format') or 'png'}", data=data)


def reasoning_text(item: Mapping[str, Any]) -> str:
    """The thinking in the open where there is any (open weights), else its summary; never both."""
    for name in ("content", "summary"):
        pieces = item.get(name)
        texts = (
            [piece.get("text") for piece in pieces if isinstance(piece, Mapping)] if isinstance(pieces, list) else []
        )
        if any(texts):
            return "\n\n".join(text for text in texts if isinstance(text, str) and text)
    return ""
