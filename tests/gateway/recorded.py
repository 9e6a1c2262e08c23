"""What recorded answers say, read from the vendors' own JSON without our codecs, and which recording serves what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.adapters.replay import Recording, load
from tests.upstream import Play, SeenRequest, answer, chunked

Said = tuple[str, list[tuple[str, Any]]]  # text; names and arguments of calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes:
    """One provider's recordings by what a client needs of them; None where there is none."""

    tool: Recording | None
    text: Recording | None
    schema: Recording | None
    image: Recording | None
    stream: Recording | None


def said(dialect: str, body: bytes) -> Said:
    value = json.loads(body)
    if dialect == "anthropic":
        blocks = value["content"]
        calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
        return "".join(block["text"] for block in blocks if block["type"] == "text"), calls
    if dialect == "gemini":
        parts = [part for item in value["candidates"][:1] for part in item.get("content", {}).get("parts", ())]
        calls = [
            (part["functionCall"]["name"], part["functionCall"].get("args", {}))
            for part in parts
            if "functionCall" in part
        ]
        return "".join(part.get("text", "") for part in parts if not part.get("thought")), calls
    message = value["message"] if dialect == "ollama" else value["choices"][0]["message"]
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    return _text(message.get("content")), [(one["name"], _object(one["arguments"])) for one in functions]


def said_in_stream(dialect: str, body: bytes) -> str:
    text = ""
    for line in body.decode().splitlines():
        line = line.strip() if dialect == "ollama" else line.partition("data:")[2].strip()
        if not line.startswith("{"):
            continue
        value = json.loads(line)
        if dialect == "anthropic":
            delta = value.get("delta") or {}
            text += delta.get("text", "") if delta.get("type") == "text_delta" else ""
            text += (value.get("content_block") or {}).get("text") or ""
        elif dialect == "ollama":
            text += value["message"].get("content") or ""
        elif dialect == "gemini":
            text += said(dialect, line.encode())[0]
        else:
            text += "".join(_text(choice.get("delta", {}).get("content")) for choice in value.get("choices") or ())
    return text


def _text(content: Any) -> str:
    if isinstance(content, list):  # Mistral's
        return "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content or ""


def _object(arguments: Any) -> Any:
    return json.loads(arguments or "{}") if isinstance(arguments, str) else arguments


def scenes_of(dialect: str, *folders: str) -> Scenes:
    """The first recording of each scene, by name."""
    chats = [one for one in load(*folders) if one.content["status"] == 200 and _is_chat(dialect, one)]
    streams = [one for one in chats if _streams(dialect, one)]
    whole = [(one, *said(dialect, one.body)) for one in chats if one not in streams and _is_answer(one)]
    asked = {one.name: json.dumps(one.content.get("request_body")) for one, _, _ in whole}
    schemas = ('"json_schema"', "esponseJsonSchema", "esponse_json_schema", '"format": {')
    pictures = ('"image_url"', '"image"', "inlineData", "inline_data", '"images": ["')
    return Scenes(
        tool=_first(one for one, _, calls in whole if calls),
        text=_first(one for one, text, calls in whole if text.strip() and not calls),
        schema=_first(one for one, text, _ in whole if _is_object(text) and _holds(asked[one.name], schemas)),
        image=_first(one for one, text, calls in whole if text and not calls and _holds(asked[one.name], pictures)),
        stream=_first(one for one in streams if said_in_stream(dialect, one.body).strip()),
    )


def _first(found: Any) -> Recording | None:
    return next(iter(found), None)


def _holds(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _is_chat(dialect: str, one: Recording) -> bool:
    path = (one.content.get("path") or "").split("?")[0]
    ends = {"anthropic": "/messages", "gemini": "enerateContent", "ollama": "/api/chat"}
    return (
        path.endswith(ends.get(dialect, "/chat/completions")) and "error" not in one.name and "err-in" not in one.name
    )


def _streams(dialect: str, one: Recording) -> bool:
    if dialect == "ollama":
        return one.body.count(b"\n") > 1
    if dialect == "gemini":
        return "stream" in one.content["path"] and one.body.lstrip().startswith(b"data:")
    return one.is_stream


def _is_answer(one: Recording) -> bool:
    body = one.body.lstrip()
    return body.startswith(b"{") and b'"error"' not in body[:400] and b'"content_filter"' not in body


def played(recording: Recording, seen: list[SeenRequest]) -> Callable[[SeenRequest], Play]:
    """The recorded bytes, as they came: at once, or in pieces of 200 bytes where it is a stream."""
    body, streams = recording.body, not recording.body.lstrip().startswith(b"{") or recording.body.count(b"\n{") > 0
    kind = "application/x-ndjson" if body.lstrip().startswith(b"{") else "text/event-stream"

    def play(request: SeenRequest) -> Play:
        seen.append(request)
        if not streams:
            return answer(body, headers={"content-type": "application/json"})
        pieces = [body[n : n + 200] for n in range(0, len(body), 200)]
        return chunked(*pieces, headers={"content-type": kind})

    return play
