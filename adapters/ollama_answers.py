"""Reads what Ollama answers: bodies, lines of a stream, counts, errors. Builds no request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from adapters.error_replies import class_for_status, reply_error
from adapters.errors import (
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from adapters.openai_usage import read_count
from adapters.streaming import NDJSONReader, new_tool_call_id
from adapters.types import (
    Finished,
    FinishReason,
    ReasoningDelta,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from adapters.wire_json import dump_json, read_json

__all__ = [
    "OllamaStreamDecoder",
    "finish_reason",
    "read_object",
    "read_tool_calls",
    "reported_error",
    "unix_seconds",
    "usage_from_wire",
]

_FINISH: dict[str, FinishReason] = {"stop": "stop", "load": "stop", "unload": "stop", "length": "length"}


class OllamaStreamDecoder:
    """Reads /api/chat's lines of JSON; see `StreamDecoder` in base.py for the contract."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = NDJSONReader()
        self._error: LLMError | None = None
        self._started = False
        self._done = False
        self._calls = 0

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
            self._error = UpstreamProtocolError(
                "the stream ended before the answer did", provider=self._target.provider, model=self._target.model
            )
            raise self._error
        return events

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _read(self, read: Callable[[], list[bytes]], events: list[StreamEvent]) -> None:
        try:
            for line in read():
                if not self._done:
                    self._line(read_object(line, self._target), events)
        except LLMError as error:
            self._error = error

    def _line(self, line: dict[str, Any], events: list[StreamEvent]) -> None:
        if not self._started:
            self._started = True
            model, created = str(line.get("model") or self._target.model), unix_seconds(line.get("created_at"))
            events.append(ResponseStarted(id=None, model=model, created=created))
        message = line.get("message")
        message = message if isinstance(message, dict) else {}
        if message.get("thinking"):
            events.append(ReasoningDelta(text=str(message["thinking"])))
        if message.get("content"):
            logprobs = line.get("logprobs")
            kept = {"content": logprobs} if isinstance(logprobs, list) else None
            events.append(TextDelta(text=str(message["content"]), logprobs=kept))
        for call in read_tool_calls(message):
            events.append(ToolCallStarted(index=self._calls, id=call.id, name=call.name))
            events.append(ToolCallDelta(index=self._calls, arguments=call.arguments))
            self._calls += 1
        if line.get("done") is True:
            self._done = True
            usage = usage_from_wire(line)
            if usage.reported:
                events.append(UsageReported(usage=usage))
            raw = line.get("done_reason")
            reason = finish_reason(raw, has_tool_calls=self._calls > 0)
            events.append(Finished(reason=reason, raw_reason=raw if isinstance(raw, str) else None))


def read_object(data: bytes, target: Target) -> dict[str, Any]:
    """A body or a line as an object; raises what it reports under `error`."""
    value = read_json(data)
    if not isinstance(value, dict):
        raise UpstreamProtocolError("the answer is not a JSON object", provider=target.provider, model=target.model)
    if value.get("error"):
        message = value["error"] if isinstance(value["error"], str) else None
        raise reported_error(500, {}, message, target)
    return value


def read_tool_calls(message: dict[str, Any]) -> list[ToolCall]:
    calls = []
    listed = message.get("tool_calls")
    for call in listed if isinstance(listed, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not function.get("name"):
            continue
        arguments = function.get("arguments") or {}
        text = arguments if isinstance(arguments, str) else dump_json(arguments).decode()
        call_id = call.get("id")
        calls.append(
            ToolCall(id=str(call_id) if call_id else new_tool_call_id(), name=str(function["name"]), arguments=text)
        )
    return calls


def finish_reason(raw: Any, *, has_tool_calls: bool) -> FinishReason:
    reason = _FINISH.get(raw, "other") if isinstance(raw, str) and raw else "stop"
    # Ollama says "stop" beside tool calls.
    return "tool_calls" if has_tool_calls and reason == "stop" else reason


def usage_from_wire(body: dict[str, Any]) -> Usage:
    """Durations are nanoseconds and stay in `raw`. prompt_eval_count is absent when the prompt was cached."""
    read, written = (read_count(body.get(name)) for name in ("prompt_eval_count", "eval_count"))
    raw = {name: value for name, value in body.items() if name.endswith(("_count", "_duration"))}
    return Usage(input_tokens=read, output_tokens=written, raw=raw)


def unix_seconds(value: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def reported_error(status: int, headers: dict[str, str], message: str | None, target: Target) -> LLMError:
    """Ollama's errors are a status and a sentence; the sentence is read within 400 and inside streams only."""
    text = (message or "").lower()
    error_class = class_for_status(status)
    words = None
    if status == 404 and message is None:
        error_class, words = InvalidRequestError, "has no such endpoint: is the base URL right?"
    elif status in (400, 500) and "context length" in text:
        error_class, words = ContextLengthExceededError, "says that the prompt is too long for the model"
    elif status == 400 and "does not support" in text:
        words = "says that the model can't do what was asked"
    elif error_class is RateLimitedError and "usage limit" in text:
        error_class = QuotaExceededError  # Ollama's cloud: hours until it resets
    elif error_class is UpstreamUnavailableError:
        words = "failed while answering" if status == 500 else None
    return reply_error(
        error_class, target, status=status, headers=headers, code=None, upstream_message=message, words=words
    )
