"""Reads Anthropic's event stream into canonical events. Holds one response's state; knows nothing of requests.

Rules proven by recordings: `ping` and unknown events stand anywhere; a block may lack deltas or, at max_tokens, its
stop; counts in `message_delta` are cumulative and replace those of `message_start` field by field; server tools'
blocks are no tool calls. A call whose stream ends in `length` or `content_filter` may be half a call: never run it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from adapters.anthropic_answers import error_in_stream, finish_reason, usage_from_wire
from adapters.anthropic_blocks import vendor_metadata
from adapters.errors import LLMError, UpstreamProtocolError
from adapters.streaming import SSEEvent, SSEReader
from adapters.types import (
    Finished,
    ReasoningDelta,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from adapters.wire_json import dump_json, read_json

__all__ = ["AnthropicStreamDecoder"]


class _OpenBlock:
    __slots__ = ("arguments_sent", "block", "json_text", "tool_index")

    def __init__(self, block: dict[str, Any], tool_index: int) -> None:
        self.block = block
        self.tool_index = tool_index  # -1: not a tool call
        self.arguments_sent = False
        self.json_text: list[str] = []  # input of a block that is kept whole

    @property
    def kind(self) -> str:
        return str(self.block.get("type"))


class AnthropicStreamDecoder:
    """See `StreamDecoder` in base.py for the contract."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = SSEReader()
        self._error: LLMError | None = None
        self._started = False
        self._done = False
        self._blocks: dict[int | None, _OpenBlock] = {}
        self._tool_calls = 0
        self._usage: dict[str, Any] = {}
        self._stop: dict[str, Any] = {}  # the last message_delta's `delta`, and what else belongs to the end
        self._readers: Mapping[str, Callable[[dict[str, Any], list[StreamEvent]], None]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
        }

    def feed(self, data: bytes) -> list[StreamEvent]:
        self._raise_error()
        events: list[StreamEvent] = []
        self._read(lambda: self._reader.feed(data), events)
        if not events:
            self._raise_error()
        return events

    def close(self) -> list[StreamEvent]:
        self._raise_error()
        events: list[StreamEvent] = []
        self._read(self._reader.close, events)
        self._raise_error()
        if not self._done:
            if self._stop.get("stop_reason") is None:
                self._error = self._broken("the stream ended before the answer did")
                raise self._error
            # Compatible servers leave message_stop out; the reason to stop has come, so the answer is whole.
            self._message_stop({}, events)
        return events

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _broken(self, message: str) -> UpstreamProtocolError:
        return UpstreamProtocolError(message, provider=self._target.provider, model=self._target.model)

    def _read(self, read: Callable[[], list[SSEEvent]], events: list[StreamEvent]) -> None:
        try:
            for event in read():
                if event.data is not None and not self._done:
                    self._dispatch(event, events)
        except LLMError as error:
            self._error = error

    def _dispatch(self, event: SSEEvent, events: list[StreamEvent]) -> None:
        data = event.data or b""
        if data.strip().startswith(b"[DONE]"):
            return
        value = read_json(data)
        if not isinstance(value, dict):
            raise self._broken("an event of the stream is not a JSON object")
        kind = value.get("type")
        if kind == "error" or value.get("error") or event.name == b"error":
            raise error_in_stream(value, self._target)
        reader = self._readers.get(kind if isinstance(kind, str) else "")
        if reader is not None:
            reader(value, events)

    def _message_start(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        message = value.get("message")
        message = message if isinstance(message, dict) else {}
        if not self._started:  # proxies splice a second one in
            self._started = True
            name, answer_id = message.get("model"), message.get("id")
            answer_id = answer_id if isinstance(answer_id, str) else None
            events.append(ResponseStarted(id=answer_id, model=str(name or self._target.model)))
        self._merge_usage(message.get("usage"), events)

    def _merge_usage(self, usage: Any, events: list[StreamEvent]) -> None:
        if isinstance(usage, dict) and usage:
            self._usage |= {name: count for name, count in usage.items() if count is not None}
            events.append(UsageReported(usage=usage_from_wire(self._usage)))

    def _block_start(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        block = value.get("content_block")
        if not isinstance(block, dict):
            raise self._broken("a content block has no description")
        kind = block.get("type")
        opened = _OpenBlock(block, self._tool_calls if kind == "tool_use" else -1)
        self._blocks[_index(value)] = opened
        match kind:
            case "tool_use":
                self._tool_calls += 1
                events.append(
                    ToolCallStarted(
                        index=opened.tool_index,
                        id=str(block.get("id") or ""),
                        name=str(block.get("name") or ""),
                        provider_metadata=vendor_metadata(caller=block.get("caller")),
                    )
                )
            case "text" if block.get("text"):
                events.append(TextDelta(text=str(block["text"])))
            case "thinking" if block.get("thinking") or block.get("signature"):
                signature = block.get("signature") or None
                events.append(
                    ReasoningDelta(
                        text=str(block.get("thinking") or ""), provider_metadata=vendor_metadata(signature=signature)
                    )
                )
            case "redacted_thinking":
                events.append(
                    ReasoningDelta(text="", provider_metadata=vendor_metadata(redacted_data=block.get("data")))
                )

    def _block_delta(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        delta = value.get("delta")
        if not isinstance(delta, dict):
            raise self._broken("a content block's delta is missing")
        opened = self._blocks.get(_index(value))
        match delta.get("type"):
            case "text_delta":
                if delta.get("text"):
                    events.append(TextDelta(text=str(delta["text"])))
            case "thinking_delta":
                if delta.get("thinking"):
                    events.append(ReasoningDelta(text=str(delta["thinking"])))
            case "signature_delta":
                metadata = vendor_metadata(signature=delta.get("signature"))
                events.append(ReasoningDelta(text="", provider_metadata=metadata))
            case "input_json_delta":
                self._input_delta(opened, str(delta.get("partial_json") or ""), events)
            case "citations_delta":
                metadata = vendor_metadata(citations=[delta["citation"]]) if "citation" in delta else {}
                events.append(TextDelta(text="", provider_metadata=metadata))
            case "compaction_delta":
                if opened is not None:
                    before, piece = opened.block.get("content"), delta.get("content")
                    opened.block["content"] = str(before or "") + str(piece or "")

    def _input_delta(self, opened: _OpenBlock | None, text: str, events: list[StreamEvent]) -> None:
        if opened is None or not text:
            return
        if opened.tool_index < 0:
            opened.json_text.append(text)
            return
        opened.arguments_sent = True
        events.append(ToolCallDelta(index=opened.tool_index, arguments=text))

    def _block_stop(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        opened = self._blocks.pop(_index(value), None)
        if opened is None or opened.kind in ("text", "thinking", "redacted_thinking"):
            return
        if opened.tool_index >= 0:
            if not opened.arguments_sent:
                # A call without arguments streams "" alone; compatible servers put the whole input into the start.
                arguments = dump_json(opened.block.get("input") or {}).decode()
                events.append(ToolCallDelta(index=opened.tool_index, arguments=arguments))
            return
        if opened.json_text:
            try:
                opened.block["input"] = json.loads("".join(opened.json_text))
            except (ValueError, RecursionError):
                return  # half a server tool's input says nothing
        events.append(TextDelta(text="", provider_metadata=vendor_metadata(block=opened.block)))

    def _message_delta(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        delta = value.get("delta")
        if isinstance(delta, dict):
            self._stop |= {name: item for name, item in delta.items() if item is not None}
        if value.get("context_management") is not None:
            self._stop["context_management"] = value["context_management"]
        self._merge_usage(value.get("usage"), events)

    def _message_stop(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        self._done = True
        self._blocks.clear()  # max_tokens inside a call leaves it open, its arguments cut
        raw = self._stop.pop("stop_reason", None)
        raw = raw if isinstance(raw, str) else None
        reason = finish_reason(raw, has_tool_calls=self._tool_calls > 0)
        events.append(Finished(reason=reason, raw_reason=raw, provider_metadata=vendor_metadata(**self._stop)))


def _index(value: Mapping[str, Any]) -> int | None:
    index = value.get("index")
    return index if isinstance(index, int) else None
