"""Writes canonical events as Anthropic's event stream for a client of the hub. Holds one answer's state.

The dialect has one content block open at a time, its indices run from 0 without gaps. Calls that an upstream streams
side by side are therefore written one after another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapters.anthropic_answers import encode_error_body, encode_stop_reason, encode_usage
from adapters.anthropic_blocks import vendor_data, wire_tool_id
from adapters.errors import LLMError
from adapters.types import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from adapters.wire_json import dump_json

__all__ = ["UNSIGNED", "AnthropicStreamEncoder", "message_id"]

# The signature of thinking that came from a provider that signs none. It comes back with the next turn and is known
# by it: Anthropic would refuse such a block.
UNSIGNED = "llmhub-unsigned"


def message_id(upstream_id: str | None, request_id: str) -> str:
    """The answer's id: Anthropic's own, else one made of the request's."""
    if upstream_id and upstream_id.startswith("msg_"):
        return upstream_id
    return f"msg_{wire_tool_id(request_id)}"


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), dump_json({"type": name, **fields}))


class AnthropicStreamEncoder:
    """See `StreamEncoder` in base.py for the contract. Only the first choice has a place in this dialect."""

    def __init__(self, *, request_id: str, model: str) -> None:
        self._request_id = request_id
        self._model = model
        self._started: ResponseStarted | None = None
        self._head_written = False
        self._usage = Usage()
        self._finished: Finished | None = None
        self._next_index = 0
        self._open: str | None = None  # text, thinking, or tool_use
        self._call = -1  # of the open tool_use
        self._arguments: list[str] = []
        self._saw_calls = False
        self._waiting: list[StreamEvent] = []  # until the open call's arguments are whole

    def encode(self, event: StreamEvent) -> bytes:
        match event:
            case ResponseStarted():
                # message_start waits for the first event after it: the usage it must carry often follows at once.
                self._started = event
                return b""
            case UsageReported():
                self._usage = event.usage
                return self._head()
            case Finished():
                if event.choice == 0:
                    self._finished = event
                return self._head()
            case _ if event.choice != 0:
                return b""
            case _:
                return self._head() + self._content(event)

    def finish(self) -> bytes:
        written = self._head() + self._drain(force=True) + self._close()
        finished = self._finished or Finished(reason="tool_calls" if self._saw_calls else "stop")
        metadata = vendor_data(finished.provider_metadata)
        delta = {
            "stop_reason": encode_stop_reason(finished.reason, finished.raw_reason, metadata),
            "stop_sequence": metadata.get("stop_sequence"),
        }
        delta |= {name: metadata[name] for name in ("stop_details", "container") if name in metadata}
        ending: dict[str, Any] = {"delta": delta, "usage": encode_usage(self._usage)}
        if "context_management" in metadata:
            ending["context_management"] = metadata["context_management"]
        return written + _event("message_delta", **ending) + _event("message_stop")

    def error(self, error: LLMError, *, request_id: str) -> bytes:
        body = encode_error_body(error, request_id=request_id)
        return b"event: error\ndata: %b\n\n" % dump_json(body)

    def _head(self) -> bytes:
        if self._head_written:
            return b""
        self._head_written = True
        message: dict[str, Any] = {
            "id": message_id(self._started.id if self._started else None, self._request_id),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(self._usage),
        }
        return _event("message_start", message=message) + _event("ping")

    def _content(self, event: StreamEvent) -> bytes:
        if self._open == "tool_use":
            if isinstance(event, ToolCallDelta) and event.index == self._call:
                return self._call_delta(event) + (self._drain() if self._waiting else b"")
            if self._waiting or not self._call_is_whole():
                self._waiting.append(event)
                return b""
        return self._write(event)

    def _write(self, event: StreamEvent) -> bytes:
        match event:
            case TextDelta() | RefusalDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._reasoning(event)
            case ToolCallStarted():
                return self._call_started(event)
            case _:
                return b""

    def _text(self, event: TextDelta | RefusalDelta) -> bytes:
        data = vendor_data(event.provider_metadata) if isinstance(event, TextDelta) else {}
        block = data.get("block")
        if isinstance(block, Mapping):
            return self._whole_block(block)
        written = b""
        if event.text or data.get("citations"):
            written = self._ensure("text", {"type": "text", "text": ""})
        if event.text:
            written += self._delta({"type": "text_delta", "text": event.text})
        for citation in data.get("citations", ()):
            written += self._delta({"type": "citations_delta", "citation": citation})
        return written

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        data = vendor_data(event.provider_metadata)
        if "redacted_data" in data:
            return self._whole_block({"type": "redacted_thinking", "data": data["redacted_data"]})
        if not event.text and "signature" not in data:
            return b""
        written = self._ensure("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if event.text:
            written += self._delta({"type": "thinking_delta", "thinking": event.text})
        if "signature" in data:
            written += self._close(signature=data["signature"])
        return written

    def _call_started(self, event: ToolCallStarted) -> bytes:
        written = self._close()
        self._saw_calls = True
        self._call = event.index
        self._arguments = []
        block = {
            "type": "tool_use",
            "id": wire_tool_id(event.id or f"toolu_{self._request_id}_{event.index}"),
            "name": event.name,
            "input": {},
        }
        caller = vendor_data(event.provider_metadata).get("caller")
        return written + self._start("tool_use", block | ({"caller": caller} if caller is not None else {}))

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        self._arguments.append(event.arguments)
        return self._delta({"type": "input_json_delta", "partial_json": event.arguments})

    def _call_is_whole(self) -> bool:
        try:
            json.loads("".join(self._arguments))
        except (ValueError, RecursionError):
            return False
        return True

    def _drain(self, *, force: bool = False) -> bytes:
        """Write what waited, as far as the open call is whole; with `force`, all of it."""
        written = b""
        while self._waiting and (force or self._open != "tool_use" or self._call_is_whole()):
            waiting, self._waiting = self._waiting, []
            written += self._close() + self._write(waiting[0])
            for later in waiting[1:]:
                written += self._content(later)
        return written

    def _ensure(self, kind: str, block: Mapping[str, Any]) -> bytes:
        return b"" if self._open == kind else self._close() + self._start(kind, block)

    def _start(self, kind: str, block: Mapping[str, Any]) -> bytes:
        self._open = kind
        return _event("content_block_start", index=self._next_index, content_block=block)

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._next_index, delta=delta)

    def _close(self, *, signature: str = UNSIGNED) -> bytes:
        if self._open is None:
            return b""
        written = b""
        if self._open == "thinking":
            written = self._delta({"type": "signature_delta", "signature": signature})
        written += _event("content_block_stop", index=self._next_index)
        self._open = None
        self._call = -1
        self._next_index += 1
        return written

    def _whole_block(self, block: Mapping[str, Any]) -> bytes:
        return self._close() + self._start("whole", block) + self._close()
