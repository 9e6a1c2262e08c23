"""Canonical answers to OpenAI's chat dialect for the hub's clients, whole and streamed. Reads nothing back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from adapters.errors import LLMError
from adapters.openai_client_messages import HUB_FORMAT
from adapters.openai_errors import encode_error
from adapters.openai_messages import DIALECT, data_url
from adapters.openai_usage import encode_usage
from adapters.types import (
    AudioPart,
    ChatResponse,
    Choice,
    Finished,
    ImagePart,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)

__all__ = ["OpenAIChatEncoder", "completion_id", "encode_response"]

# OpenAI knows no word for an answer that ended oddly; "error" is OpenRouter's, and no client takes it for success.
_FINISH: Final[Mapping[str, str]] = {"other": "stop"}
_PASSED_ON: Final = ("service_tier", "system_fingerprint", "citations", "search_results", "moderation")


def completion_id(request_id: str) -> str:
    return request_id if request_id.startswith("chatcmpl-") else f"chatcmpl-{request_id}"


def encode_response(response: ChatResponse, *, request_id: str, model: str) -> dict[str, Any]:
    """Build a `chat.completion`; `model` is the name that the client asked for."""
    body: dict[str, Any] = {
        "id": completion_id(request_id),
        "object": "chat.completion",
        "created": response.created or int(time.time()),
        "model": model,
        "choices": [_encode_choice(choice) for choice in response.choices],
    }
    usage = encode_usage(response.usage)
    if usage is not None:
        body["usage"] = usage
    own = response.provider_metadata.get(DIALECT, {})
    body.update((name, own[name]) for name in _PASSED_ON if name in own)
    return body


def _encode_choice(choice: Choice) -> dict[str, Any]:
    return {
        "index": choice.index,
        "message": _encode_message(choice.parts),
        "logprobs": choice.logprobs,
        "finish_reason": _FINISH.get(choice.finish_reason, choice.finish_reason),
    }


def _encode_message(parts: tuple[Part, ...]) -> dict[str, Any]:
    if len(parts) == 1 and type(parts[0]) is TextPart and not parts[0].provider_metadata:  # most answers
        return {"role": "assistant", "content": parts[0].text, "refusal": None}
    texts = [part for part in parts if isinstance(part, TextPart)]
    refusals = [part.text for part in parts if isinstance(part, RefusalPart)]
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    images = [part for part in parts if isinstance(part, ImagePart)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(part.text for part in texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if thoughts:
        message["reasoning_content"] = "".join(part.text for part in thoughts)
        details = [item for part in thoughts for item in _reasoning_details(part.text, part.provider_metadata)]
        if details:
            message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = [_encode_call(call) for call in calls]
    annotations = [item for part in texts for item in part.provider_metadata.get(DIALECT, {}).get("annotations", ())]
    if annotations:
        message["annotations"] = annotations
    if images:
        message["images"] = [
            {"type": "image_url", "image_url": {"url": part.url or data_url(part.data or b"", part.media_type or "")}}
            for part in images
        ]
    for part in parts:
        if isinstance(part, AudioPart):
            message["audio"] = {
                **part.provider_metadata.get(DIALECT, {}).get("audio", {}),
                "data": data_url(part.data, "").partition(",")[2],
            }
    return message


def _encode_call(call: ToolCall) -> dict[str, Any]:
    if call.provider_metadata.get(DIALECT, {}).get("type") == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    wire: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    extra = _extra_content(call.provider_metadata)
    if extra:
        wire["extra_content"] = extra
    return wire


def _extra_content(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What must come back with a call: a compatible provider's own `extra_content`, another vendor's signatures."""
    extra = dict(metadata.get(DIALECT, {}).get("extra_content", {}))
    foreign = {name: value for name, value in metadata.items() if name != DIALECT}
    if foreign:
        extra[HUB_FORMAT] = foreign
    return extra


def _reasoning_details(text: str, metadata: Mapping[str, Any]) -> Sequence[Any]:
    own = metadata.get(DIALECT, {}).get("reasoning_details")
    if own:
        return own  # type: ignore[no-any-return]  # a mapping of our own making
    foreign = {name: value for name, value in metadata.items() if name != DIALECT}
    if not foreign:
        return ()
    return ({"type": "reasoning.text", "text": text, "format": HUB_FORMAT, "metadata": foreign},)


class OpenAIChatEncoder:
    """A `StreamEncoder` of `chat.completion.chunk`: one id, one `created`, the role in each choice's first chunk."""

    __slots__ = ("_created", "_custom_calls", "_head", "_id", "_include_usage", "_model", "_opened", "_tail", "_usage")

    def __init__(self, *, request_id: str, model: str, include_usage: bool) -> None:
        self._id = completion_id(request_id)
        self._model = model
        self._include_usage = include_usage
        self._created = int(time.time())
        self._opened: set[int] = set()
        self._custom_calls: set[tuple[int, int]] = set()
        self._usage: Usage | None = None
        self._head = self._build_head()
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"

    def _build_head(self) -> bytes:
        """A chunk up to its choices; the same for all, so it is written once."""
        fixed = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        return b"data: " + orjson.dumps(fixed)[:-1] + b',"choices":['

    def encode(self, event: StreamEvent) -> bytes:
        if isinstance(event, TextDelta):
            if event.logprobs is None:
                return self._chunk(event.choice, b'{"content":' + orjson.dumps(event.text) + b"}")
            return self._chunk(event.choice, orjson.dumps({"content": event.text}), orjson.dumps(event.logprobs))
        match event:
            case ToolCallDelta():
                return self._call_delta(event)
            case ReasoningDelta():
                return self._reasoning(event)
            case ToolCallStarted():
                return self._call_started(event)
            case RefusalDelta():
                return self._chunk(event.choice, orjson.dumps({"refusal": event.text}))
            case Finished():
                reason = _FINISH.get(event.reason, event.reason)
                return self._chunk(event.choice, b"{}", finish=orjson.dumps(reason))
            case UsageReported():
                self._usage = event.usage
                return b""
            case _:  # ResponseStarted
                # Written with the first delta, so that a stream which never says anything can still be an error.
                if event.created and not self._opened:
                    self._created = event.created
                    self._head = self._build_head()
                return b""

    def continue_at(self, created: int | None) -> None:
        """Write the rest of an answer whose beginning was forwarded, with its creation time (Unix seconds)."""
        self._created = created or self._created
        self._head = self._build_head()

    def finish(self) -> bytes:
        usage = encode_usage(self._usage) if self._include_usage and self._usage is not None else None
        if usage is None:
            return b"data: [DONE]\n\n"
        return self._head + b'],"usage":' + orjson.dumps(usage) + b"}\n\ndata: [DONE]\n\n"

    def error(self, error: LLMError, *, request_id: str) -> bytes:
        return b"data: " + orjson.dumps(encode_error(error, request_id=request_id)) + b"\n\n"

    def _chunk(self, choice: int, delta: bytes, logprobs: bytes = b"null", finish: bytes = b"null") -> bytes:
        index = b"%d" % choice
        chunk = (
            self._head
            + b'{"index":'
            + index
            + b',"delta":'
            + delta
            + b',"logprobs":'
            + logprobs
            + b',"finish_reason":'
            + finish
            + b"}]"
            + self._tail
        )
        if choice in self._opened:
            return chunk
        self._opened.add(choice)
        role = b'{"role":"assistant","content":"","refusal":null}'
        return self._chunk(choice, role) + chunk

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        delta: dict[str, Any] = {}
        if event.text:
            delta["reasoning_content"] = event.text
        if event.provider_metadata and (details := _reasoning_details(event.text, event.provider_metadata)):
            delta["reasoning_details"] = details
        return self._chunk(event.choice, orjson.dumps(delta)) if delta else b""

    def _call_started(self, event: ToolCallStarted) -> bytes:
        call: dict[str, Any] = {"index": event.index, "id": event.id}
        if event.provider_metadata.get(DIALECT, {}).get("type") == "custom":
            self._custom_calls.add((event.choice, event.index))
            call |= {"type": "custom", "custom": {"name": event.name, "input": ""}}
        else:
            call |= {"type": "function", "function": {"name": event.name, "arguments": ""}}
        extra = _extra_content(event.provider_metadata) if event.provider_metadata else None
        if extra:
            call["extra_content"] = extra
        return self._chunk(event.choice, orjson.dumps({"tool_calls": [call]}))

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        if (event.choice, event.index) in self._custom_calls:
            body: dict[str, Any] = {"index": event.index, "custom": {"input": event.arguments}}
        else:
            body = {"index": event.index, "function": {"arguments": event.arguments}}
        return self._chunk(event.choice, orjson.dumps({"tool_calls": [body]}))
