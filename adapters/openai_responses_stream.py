"""Answers of OpenAI's Responses API, whole and streamed, to canonical values. Knows nothing of requests.

Events are told apart by the `type` in their JSON (OpenRouter sends no names) and state is kept by `output_index`, for
items overlap. A `.done` has the last word: what the deltas left unsaid is said then. The stream ends with `completed`,
`incomplete` or `failed`; an `error` event comes before `failed` and is raised once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from adapters.errors import LLMError, UpstreamProtocolError
from adapters.openai_errors import error_in_body
from adapters.openai_messages import DIALECT as CHAT
from adapters.openai_responses_items import (
    DIALECT,
    call_metadata,
    item_metadata,
    read_item,
    reasoning_text,
    text_metadata,
)
from adapters.openai_usage import parse_usage, read_count
from adapters.streaming import MAX_EVENT_BYTES, SSEEvent, SSEReader
from adapters.types import (
    ChatResponse,
    Choice,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
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
from adapters.wire_json import read_json

__all__ = ["ResponsesDecoder", "read_response"]

_INCOMPLETE: Final[Mapping[str, FinishReason]] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
# Of the answer's top level; the rest repeats the request.
_KEPT: Final = ("content_filters", "incomplete_details", "conversation", "status")
_PASSED_TO_CHAT: Final = ("service_tier", "moderation")
_CALLS: Final = ("function_call", "custom_tool_call")  # compared, not looked up: a type may be no text


# --- whole answers -------------------------------------------------------------------------------------------------


def read_response(body: Any, target: Target) -> ChatResponse:
    """Read a whole body that reports no error; raises UpstreamProtocolError when it holds no answer."""
    output = body.get("output") if isinstance(body, dict) else None
    if not isinstance(output, list):
        raise _protocol_error("answered something that is no response", target)
    parts = tuple(part for item in output if isinstance(item, dict) for part in read_item(item, target))
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason, raw = _finish(body, has_calls, target)
    if reason == "content_filter":  # it may have cut a call in two
        parts = tuple(part for part in parts if not isinstance(part, ToolCall))
    usage = body.get("usage")
    return ChatResponse(
        id=_text(body.get("id")),
        model=_text(body.get("model")) or target.model,
        choices=(Choice(parts=parts, finish_reason=reason, raw_finish_reason=raw, logprobs=_logprobs(output)),),
        usage=parse_usage(usage) if isinstance(usage, dict) and usage else Usage(),
        created=_created(body),
        provider_metadata=_response_metadata(body),
    )


def _finish(body: Mapping[str, Any], has_calls: bool, target: Target) -> tuple[FinishReason, str | None]:
    """The unified reason and the provider's own; raises when the answer failed without saying how."""
    status = body.get("status")
    match status:
        case "incomplete":
            details = body.get("incomplete_details")
            why = details.get("reason") if isinstance(details, dict) else None
            why = why if isinstance(why, str) else None
            return _INCOMPLETE.get(why or "", "other"), why or "incomplete"
        case "failed" | "cancelled":
            raise _protocol_error("broke the answer off", target)
        case "queued" | "in_progress":
            return "other", str(status)
        case _:
            return ("tool_calls" if has_calls else "stop"), _text(status)


def _response_metadata(body: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: body[name] for name in _KEPT if body.get(name) is not None}
    chat = {name: body[name] for name in _PASSED_TO_CHAT if body.get(name) is not None}
    return {DIALECT: own} | ({CHAT: chat} if chat else {})


def _logprobs(output: list[Any]) -> dict[str, Any] | None:
    tokens = [
        token
        for item in output
        if isinstance(item, dict) and item.get("type") == "message" and isinstance(item.get("content"), list)
        for piece in item["content"]
        if isinstance(piece, dict) and isinstance(piece.get("logprobs"), list)
        for token in piece["logprobs"]
    ]
    return {"content": tokens} if tokens else None


def _created(body: Mapping[str, Any]) -> int | None:
    created = body.get("created_at")
    return read_count(created) or None  # Unix seconds


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _protocol_error(what: str, target: Target) -> UpstreamProtocolError:
    name = target.provider or target.kind
    return UpstreamProtocolError(f"{name} {what}", provider=target.provider, model=target.model)


# --- streams -------------------------------------------------------------------------------------------------------


class _OpenItem:
    """State of one output item of a stream."""

    __slots__ = ("call_index", "done", "item", "reasoning_kind", "said")

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.item = item
        self.call_index = -1  # not a call that was announced
        self.said: dict[Any, list[str]] = {}  # what was told so far, by piece of the item
        self.reasoning_kind: str | None = None  # the first of two forms of a thought is the one that is read
        self.done = False

    def unsaid(self, key: Any, whole: Any) -> str:
        """What a `.done` adds to what the deltas of this piece said; nothing where the two disagree."""
        if not isinstance(whole, str):
            return ""
        told = "".join(self.said.get(key, ()))
        return whole[len(told) :] if whole.startswith(told) else ""

    def say(self, key: Any, text: str) -> None:
        self.said.setdefault(key, []).append(text)


_ARGUMENTS: Final = "arguments"


class ResponsesDecoder:
    """See `StreamDecoder` in base.py for the contract."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = SSEReader()
        self._error: LLMError | None = None
        self._body: bytearray | None = None  # a JSON body that came instead of a stream
        self._seen_bytes = False
        self._started = False
        self._finished = False
        self._items: dict[Any, _OpenItem] = {}
        self._calls = 0
        self._readers: Mapping[str, Callable[[dict[str, Any], list[StreamEvent]], None]] = {
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.output_text.delta": self._text_delta,
            "response.output_text.done": self._text_done,
            "response.refusal.delta": self._refusal_delta,
            "response.refusal.done": self._refusal_done,
            "response.reasoning_text.delta": self._reasoning_delta,
            "response.reasoning_text.done": self._reasoning_done,
            "response.reasoning_summary_text.delta": self._reasoning_delta,
            "response.reasoning_summary_text.done": self._reasoning_done,
            "response.function_call_arguments.delta": self._arguments_delta,
            "response.function_call_arguments.done": self._arguments_done,
            "response.custom_tool_call_input.delta": self._arguments_delta,
            "response.custom_tool_call_input.done": self._arguments_done,
            "response.completed": self._ended,
            "response.incomplete": self._ended,
            "response.failed": self._ended,
            "response.cancelled": self._ended,
        }

    def feed(self, data: bytes) -> list[StreamEvent]:
        if self._error is not None:
            raise self._error
        if not self._seen_bytes:
            data = data.lstrip()
            if not data:
                return []
            self._seen_bytes = True
            if data[:1] in (b"{", b"["):
                self._body = bytearray()
        events: list[StreamEvent] = []
        try:
            if self._body is not None:
                self._body += data
                if len(self._body) > MAX_EVENT_BYTES:
                    raise _protocol_error("sent a body that is too long", self._target)
                return []
            for event in self._reader.feed(data):
                self._take(event, events)
        except LLMError as error:
            self._remember(error)
            if not events:
                raise
        return events

    def close(self) -> list[StreamEvent]:
        if self._error is not None:
            raise self._error
        events: list[StreamEvent] = []
        try:
            if self._body is not None:
                self._whole_body(read_json(self._body), events)
                return events
            for event in self._reader.close():
                self._take(event, events)
            if not self._finished:
                what = "cut the stream short" if self._started else "ended the stream without an answer"
                raise _protocol_error(what, self._target)
        except LLMError as error:
            self._remember(error)
            raise
        return events

    def _remember(self, error: LLMError) -> None:
        error.provider = error.provider or self._target.provider
        error.model = error.model or self._target.model
        self._error = error

    def _take(self, event: SSEEvent, events: list[StreamEvent]) -> None:
        data = event.data
        if data is None or self._finished or not data.strip() or data.strip().startswith(b"[DONE]"):
            return
        value = read_json(data)
        if not isinstance(value, dict):
            raise _protocol_error("sent an event that is no object", self._target)
        kind = value.get("type")
        if kind == "error" or event.name == b"error" or (kind is None and value.get("error")):
            # Flat by the documents, nested on record.
            raise self._reported(value if isinstance(value.get("error"), dict) else {"error": value})
        response = value.get("response")
        if isinstance(response, dict):
            self._start(response, events)
        reader = self._readers.get(kind if isinstance(kind, str) else "")
        if reader is not None:
            reader(value, events)

    def _reported(self, body: Mapping[str, Any]) -> LLMError:
        return error_in_body(body, self._target) or _protocol_error("reported an error inside its answer", self._target)

    def _start(self, response: Mapping[str, Any], events: list[StreamEvent]) -> None:
        if not self._started:
            self._started = True
            model = _text(response.get("model")) or self._target.model
            events.append(ResponseStarted(id=_text(response.get("id")), model=model, created=_created(response)))

    # --- items ---

    def _open(self, value: Mapping[str, Any]) -> _OpenItem:
        """The item that an event belongs to; one that was never announced is opened by what is said of it."""
        key = value.get("output_index")
        key = key if isinstance(key, int) else _text(value.get("item_id"))
        found = self._items.get(key)
        if found is None:
            item = value.get("item")
            found = self._items[key] = _OpenItem(item if isinstance(item, dict) else {"id": value.get("item_id")})
        return found

    def _item_added(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        opened = self._open(value)
        item = value.get("item")
        if isinstance(item, dict):
            opened.item = item
            self._announce(opened, events)

    def _announce(self, opened: _OpenItem, events: list[StreamEvent]) -> None:
        item = opened.item
        if opened.call_index >= 0 or item.get("type") not in _CALLS or not item.get("name"):
            return
        opened.call_index = self._calls
        self._calls += 1
        events.append(
            ToolCallStarted(
                index=opened.call_index,
                id=str(item.get("call_id") or item.get("id") or ""),
                name=str(item["name"]),
                provider_metadata=call_metadata(item, self._target),
            )
        )

    def _item_done(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        item = value.get("item")
        opened = self._open(value)
        if opened.done or not isinstance(item, dict):
            return
        opened.done = True
        opened.item = {**opened.item, **item}
        match item.get("type"):
            case "message":
                self._message_done(opened, events)
            case "reasoning":
                text = "" if opened.said else reasoning_text(opened.item)
                metadata = item_metadata(opened.item, self._target)
                events.append(ReasoningDelta(text=text, provider_metadata=metadata))
            case "function_call" | "custom_tool_call":
                self._announce(opened, events)
                is_custom = item["type"] == "custom_tool_call"
                self._say_arguments(opened, item.get("input" if is_custom else "arguments"), events)
                if opened.call_index >= 0 and not opened.said and not is_custom:
                    events.append(ToolCallDelta(index=opened.call_index, arguments="{}"))
            case _:
                events.append(TextDelta(text="", provider_metadata=item_metadata(opened.item, self._target)))

    def _message_done(self, opened: _OpenItem, events: list[StreamEvent]) -> None:
        content = opened.item.get("content")
        for index, piece in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(piece, dict):
                continue
            if piece.get("type") == "refusal":
                self._refusal_done({"content_index": index, "refusal": piece.get("refusal")}, events, opened)
                continue
            self._say_text(opened, index, piece.get("text"), piece.get("logprobs"), events)
            if piece.get("annotations"):
                metadata = text_metadata(opened.item, piece, self._target)
                events.append(TextDelta(text="", provider_metadata=metadata))

    # --- texts ---

    def _text_delta(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        self._add_text(self._open(value), value.get("content_index"), value.get("delta"), value.get("logprobs"), events)

    def _text_done(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        opened = self._open(value)
        self._say_text(opened, value.get("content_index"), value.get("text"), value.get("logprobs"), events)

    def _say_text(self, opened: _OpenItem, index: Any, text: Any, logprobs: Any, events: list[StreamEvent]) -> None:
        """What no delta said of a piece's text."""
        rest = opened.unsaid(_index(index), text)
        self._add_text(opened, index, rest, logprobs if rest == text else None, events)

    def _add_text(self, opened: _OpenItem, index: Any, text: Any, logprobs: Any, events: list[StreamEvent]) -> None:
        if not isinstance(text, str) or not text:
            return
        # The first piece of a message says whose it is; a phase must go back with it.
        metadata = {} if opened.said else text_metadata(opened.item, {}, self._target)
        opened.say(_index(index), text)
        tokens = {"content": logprobs} if isinstance(logprobs, list) and logprobs else None
        events.append(TextDelta(text=text, logprobs=tokens, provider_metadata=metadata))

    def _refusal_delta(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        text = value.get("delta")
        if isinstance(text, str) and text:
            self._open(value).say(_index(value.get("content_index")), text)
            events.append(RefusalDelta(text=text))

    def _refusal_done(self, value: dict[str, Any], events: list[StreamEvent], opened: _OpenItem | None = None) -> None:
        opened = opened or self._open(value)
        text = opened.unsaid(_index(value.get("content_index")), value.get("refusal"))
        if text:
            opened.say(_index(value.get("content_index")), text)
            events.append(RefusalDelta(text=text))

    def _reasoning_delta(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        self._add_reasoning(self._open(value), value, value.get("delta"), events)

    def _reasoning_done(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        opened = self._open(value)
        self._add_reasoning(opened, value, opened.unsaid(_piece_of(value), value.get("text")), events)

    def _add_reasoning(self, opened: _OpenItem, value: Mapping[str, Any], text: Any, events: list[StreamEvent]) -> None:
        key = _piece_of(value)
        if not isinstance(text, str) or not text or opened.reasoning_kind not in (None, key[0]):
            return
        opened.reasoning_kind = key[0]
        between = "\n\n" if opened.said and key not in opened.said else ""
        opened.say(key, text)
        events.append(ReasoningDelta(text=between + text))

    # --- calls ---

    def _arguments_delta(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        opened = self._open(value)
        text = value.get("delta")
        if opened.call_index >= 0 and isinstance(text, str) and text:
            opened.say(_ARGUMENTS, text)
            events.append(ToolCallDelta(index=opened.call_index, arguments=text))

    def _arguments_done(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        text = value.get("arguments")
        self._say_arguments(self._open(value), value.get("input") if text is None else text, events)

    def _say_arguments(self, opened: _OpenItem, text: Any, events: list[StreamEvent]) -> None:
        rest = opened.unsaid(_ARGUMENTS, text)
        if opened.call_index >= 0 and rest:
            opened.say(_ARGUMENTS, rest)
            events.append(ToolCallDelta(index=opened.call_index, arguments=rest))

    # --- the end ---

    def _ended(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        response = value.get("response")
        response = response if isinstance(response, dict) else {}
        usage = response.get("usage")
        if isinstance(usage, dict) and usage:
            events.append(UsageReported(usage=parse_usage(usage)))
        if response.get("error"):
            raise self._reported(response)
        status = str(value.get("type", "")).removeprefix("response.")
        output = response.get("output")
        told = {_text(opened.item.get("id")) for opened in self._items.values() if opened.done} - {None}
        for index, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, dict) and _text(item.get("id")) not in told:  # what was never said to be done
                self._item_done({"output_index": index, "item": item}, events)
        reason, raw = _finish({**response, "status": status}, self._calls > 0, self._target)
        self._finished = True
        events.append(Finished(reason=reason, raw_reason=raw, provider_metadata=_response_metadata(response)))

    def _whole_body(self, body: Any, events: list[StreamEvent]) -> None:
        """A provider that answered a stream's request with one JSON body: an error, or the answer in one piece."""
        body = body[0] if isinstance(body, list) and body else body
        error = error_in_body(body, self._target)
        if error is not None:
            raise error
        answer = read_response(body, self._target)
        events.append(ResponseStarted(id=answer.id, model=answer.model, created=answer.created))
        self._ended({"type": f"response.{body.get('status') or 'completed'}", "response": body}, events)


def _index(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _piece_of(value: Mapping[str, Any]) -> tuple[str, Any]:
    """Which form of a thought an event speaks of, and which piece of it."""
    if "summary" in str(value.get("type")):
        return "summary", _index(value.get("summary_index"))
    return "text", _index(value.get("content_index"))
