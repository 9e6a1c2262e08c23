"""Answers in OpenAI's chat dialect, whole and streamed, to canonical values. Reads every variant on record."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from adapters.errors import LLMError, UpstreamProtocolError, UpstreamUnavailableError
from adapters.openai_errors import error_in_body
from adapters.openai_messages import DIALECT
from adapters.openai_usage import find_usage, merge_usage, parse_usage, read_count
from adapters.streaming import MAX_EVENT_BYTES, SSEEvent, SSEReader, ToolCallAssembler
from adapters.types import (
    AudioPart,
    ChatResponse,
    Choice,
    Finished,
    FinishReason,
    ImagePart,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from adapters.wire_json import read_json

__all__ = ["OpenAIChatDecoder", "map_finish_reason", "parse_data_url", "raise_if_broken", "read_response"]

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "max_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}
# An answer that the provider itself calls broken is an error, never a finish.
_BROKEN = frozenset({"error", "insufficient_system_resource", "abort", "aborted"})

_METADATA_FIELDS = ("extra_content",)  # of a tool call: Gemini's signature on its compatible endpoint
_PLAIN_MESSAGE = frozenset({"role", "content", "refusal"})  # a text and nothing else: most answers
_KNOWN_TOP = frozenset({"id", "object", "created", "model", "choices", "usage"})


def map_finish_reason(raw: str, *, has_tool_calls: bool) -> FinishReason:
    """The unified reason. A forced tool call ends with "stop" at OpenAI, so calls that are there decide."""
    reason = _FINISH.get(raw.lower(), "stop")
    return "tool_calls" if reason == "stop" and has_tool_calls else reason


def raise_if_broken(raw: Any, target: Target) -> None:
    """Raise when a finish reason says that the provider broke the answer off: that is an error, never a finish."""
    if not isinstance(raw, str) or raw not in _BROKEN:
        return
    kind = UpstreamUnavailableError if raw == "insufficient_system_resource" else UpstreamProtocolError
    name = target.provider or target.kind
    raise kind(f"{name} broke the answer off", provider=target.provider, model=target.model, upstream_code=str(raw))


def _protocol_error(what: str, target: Target) -> UpstreamProtocolError:
    name = target.provider or target.kind
    return UpstreamProtocolError(f"{name} {what}", provider=target.provider, model=target.model)


def _reasoning(message: Mapping[str, Any], fields: tuple[str, ...], settled: str | None) -> tuple[str, str | None]:
    """The reasoning text and the field it stood in; a field once `settled` on is the only one read.

    OpenRouter writes the same thought in two fields at once, so two are never joined.
    """
    for name in (settled,) if settled else fields:
        value = message.get(name)
        if isinstance(value, str) and value:
            return value, name
        if name == "reasoning_details" and isinstance(value, list) and (text := _details_text(value)):
            return text, name
    if settled is None and "reasoning_details" not in fields:
        text = _details_text(message.get("reasoning_details"))
        if text:
            return text, "reasoning_details"
    return "", settled


def _details_text(details: Any) -> str:
    if not isinstance(details, list):
        return ""
    texts = (item.get("text") or item.get("summary") for item in details if isinstance(item, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _split_content(content: Any) -> tuple[str, str]:
    """Text and thoughts of a `content` that is a string or (Mistral) a list of text and thinking parts."""
    if isinstance(content, str):
        return content, ""
    text: list[str] = []
    thoughts: list[str] = []
    for item in content if isinstance(content, list) else ():
        if isinstance(item, str):
            text.append(item)
        elif isinstance(item, dict):
            if item.get("type") == "thinking":
                thoughts.extend(_split_content(item.get("thinking")))
            elif isinstance(item.get("text"), str):
                text.append(item["text"])
    return "".join(text), "".join(thoughts)


# --- whole answers -------------------------------------------------------------------------------------------------


def read_response(body: Any, target: Target) -> ChatResponse:
    """Read a whole body that reports no error; raises UpstreamProtocolError when it holds no answer."""
    if not isinstance(body, dict):
        raise _protocol_error("answered something that is no chat completion", target)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _protocol_error("answered without any choice", target)
    by_index: dict[int, Choice] = {}
    for position, item in enumerate(choices):
        if isinstance(item, dict):
            choice = _read_choice(item, position, target)
            by_index.setdefault(choice.index, choice)  # a second one under the same index is a repetition
    raw_usage = find_usage(body)
    rest = {name: value for name, value in body.items() if name not in _KNOWN_TOP and value is not None}
    created = body.get("created")
    return ChatResponse(
        id=_string(body.get("id")),
        model=_string(body.get("model")) or target.model,
        choices=tuple(by_index.values()),
        usage=parse_usage(raw_usage) if raw_usage else Usage(),
        created=read_count(created) or None,
        provider_metadata={DIALECT: rest} if rest else {},
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_choice(raw: Mapping[str, Any], position: int, target: Target) -> Choice:
    message = raw.get("message")
    if not isinstance(message, dict):
        # Azure leaves the message out when its filter took the answer; Together's old completions have `text`.
        message = {"content": raw.get("text")}
    finish = raw.get("finish_reason")
    raise_if_broken(finish, target)
    parts = _read_parts(message, target)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    index = raw.get("index")
    logprobs = raw.get("logprobs")
    return Choice(
        index=index if isinstance(index, int) else position,
        parts=parts,
        finish_reason=map_finish_reason(finish or "", has_tool_calls=has_calls)
        if isinstance(finish, str | None)
        else "stop",
        raw_finish_reason=_string(raw.get("native_finish_reason")) or _string(finish),
        logprobs=logprobs if isinstance(logprobs, dict) and logprobs.get("content") is not None else None,
    )


def _read_parts(message: Mapping[str, Any], target: Target) -> tuple[Part, ...]:
    if message.keys() <= _PLAIN_MESSAGE and isinstance(message.get("content"), str) and not message.get("refusal"):
        return (TextPart(text=message["content"]),) if message["content"] else ()
    parts: list[Part] = []
    text, thoughts = _split_content(message.get("content"))
    reasoning, _ = _reasoning(message, target.profile.reasoning_fields, None)
    details = message.get("reasoning_details")
    if reasoning or thoughts or details:
        metadata = {DIALECT: {"reasoning_details": details}} if isinstance(details, list) and details else {}
        parts.append(ReasoningPart(text=reasoning or thoughts, provider_metadata=metadata))
    if text:
        annotations = message.get("annotations")
        metadata = {DIALECT: {"annotations": annotations}} if isinstance(annotations, list) and annotations else {}
        parts.append(TextPart(text=text, provider_metadata=metadata))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(RefusalPart(text=refusal))
    parts.extend(_read_media(message))
    parts.extend(_read_tool_calls(message, target))
    return tuple(parts)


def _read_media(message: Mapping[str, Any]) -> list[Part]:
    """Images (OpenRouter) and audio (OpenAI) that the model made."""
    parts: list[Part] = []
    images = message.get("images")
    for image in images if isinstance(images, list) else ():
        link = image.get("image_url") if isinstance(image, dict) else None
        url = link.get("url") if isinstance(link, dict) else None
        if isinstance(url, str) and url:
            inline = parse_data_url(url)
            parts.append(ImagePart(media_type=inline[0], data=inline[1]) if inline else ImagePart(url=url))
    audio = message.get("audio")
    if isinstance(audio, dict) and isinstance(audio.get("data"), str) and audio["data"]:
        try:
            data = base64.b64decode(audio["data"], validate=True)
        except binascii.Error:
            return parts
        rest = {name: value for name, value in audio.items() if name != "data"}
        parts.append(AudioPart(data=data, format="", provider_metadata={DIALECT: {"audio": rest}}))
    return parts


def parse_data_url(url: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a base64 `data:` URL; None when it is none or is damaged."""
    if url[:5].lower() != "data:":
        return None
    head, comma, payload = url[5:].partition(",")
    media_type, *options = head.split(";")
    if not comma or "base64" not in [option.strip().lower() for option in options]:
        return None
    try:
        return media_type.strip().lower() or "text/plain", base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return None


def _read_tool_calls(message: Mapping[str, Any], target: Target) -> list[ToolCall]:
    assembler = ToolCallAssembler(choice=0, dialect=DIALECT, id_form=target.profile.tool_call_ids)
    # Every item is a call of its own here, even under an id that another one has.
    calls = [{**call, "index": n} for n, call in enumerate(_tool_deltas(message)) if isinstance(call, dict)]
    events = assembler.add(calls, _METADATA_FIELDS) + assembler.finish()
    arguments: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            arguments[event.index] = arguments.get(event.index, "") + event.arguments
    return [
        ToolCall(
            id=event.id,
            name=event.name,
            arguments=arguments.get(event.index, "{}"),
            provider_metadata=event.provider_metadata,
        )
        for event in events
        if isinstance(event, ToolCallStarted)
    ]


def _tool_deltas(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return calls
    legacy = message.get("function_call")
    # Snowflake sends a zero-valued one beside every answer: no name and no arguments is no call.
    if isinstance(legacy, dict) and (legacy.get("name") or legacy.get("arguments")):
        return [{"index": 0, "function": legacy}]
    return []


# --- streams -------------------------------------------------------------------------------------------------------


class _OpenChoice:
    """State of one choice of a stream."""

    __slots__ = ("finished", "reasoning_field", "tools")

    def __init__(self, index: int, target: Target) -> None:
        self.tools = ToolCallAssembler(choice=index, dialect=DIALECT, id_form=target.profile.tool_call_ids)
        self.reasoning_field: str | None = None
        self.finished = False


class OpenAIChatDecoder:
    """A `StreamDecoder` of chat chunks. Give it parsed events with `take` where the bytes are read elsewhere."""

    __slots__ = ("_body", "_choices", "_done", "_error", "_reader", "_seen_bytes", "_started", "_target", "_usage")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = SSEReader()
        self._choices: dict[int, _OpenChoice] = {}
        self._started = False
        self._done = False
        self._error: LLMError | None = None
        self._usage: dict[str, Any] = {}
        self._seen_bytes = False
        self._body: bytearray | None = None  # a JSON body that came instead of a stream

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
            self._fail(error, events)
        return events

    def close(self) -> list[StreamEvent]:
        if self._error is not None:
            raise self._error
        if self._body is not None:
            return self._whole_body(bytes(self._body))
        events: list[StreamEvent] = []
        try:
            for event in self._reader.close():
                self._take(event, events)
            if not self._choices:
                raise _protocol_error("ended the stream without an answer", self._target)
            if not self._done and not all(choice.finished for choice in self._choices.values()):
                raise _protocol_error("cut the stream short", self._target)
        except LLMError as error:
            # There is no next call to raise it: what an unfinished last event said is given up.
            self._fail(error, [])
        return events

    def _fail(self, error: LLMError, events: list[StreamEvent]) -> None:
        """Raise at once when nothing was decoded before the error, else with the next call."""
        error.provider = error.provider or self._target.provider
        error.model = error.model or self._target.model
        self._error = error
        if not events:
            raise error

    def _take(self, event: SSEEvent, events: list[StreamEvent]) -> None:
        data = event.data
        if data is None or self._done:
            return
        if data[:1] != b"{":
            data = data.strip()
            if data.startswith(b"[DONE]"):
                self._finish_all(events)
                return
            if not data:
                return
        chunk = read_json(data)
        if event.name == b"error" and not (isinstance(chunk, dict) and chunk.get("error")):
            chunk = {"error": chunk}
        if not isinstance(chunk, dict):
            raise _protocol_error("sent a chunk that is no object", self._target)
        error = error_in_body(chunk, self._target)
        if error is not None:
            raise error
        self._chunk(chunk, events)

    def _chunk(self, chunk: dict[str, Any], events: list[StreamEvent]) -> None:
        choices = chunk.get("choices")
        choices = choices if isinstance(choices, list) else ()
        if not self._started and (choices or chunk.get("id")):
            self._started = True
            created = chunk.get("created")
            events.append(
                ResponseStarted(
                    id=_string(chunk.get("id")),
                    model=_string(chunk.get("model")) or self._target.model,
                    created=read_count(created) or None,
                )
            )
        usage = find_usage(chunk)
        for raw in choices:
            if isinstance(raw, dict):
                self._choice(raw, events)
        if usage:
            self._usage = merge_usage(self._usage, usage)
            events.append(UsageReported(usage=parse_usage(self._usage)))

    def _choice(self, raw: dict[str, Any], events: list[StreamEvent]) -> None:
        index = raw.get("index")
        index = index if isinstance(index, int) else 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _OpenChoice(index, self._target)
        delta = raw.get("delta")
        if isinstance(delta, dict) and delta:
            self._delta(delta, raw.get("logprobs"), choice, index, events)
        finish = raw.get("finish_reason")
        if isinstance(finish, str) and finish and not choice.finished:
            raise_if_broken(finish, self._target)
            self._finish(choice, index, finish, _string(raw.get("native_finish_reason")) or finish, events)

    def _delta(
        self, delta: dict[str, Any], logprobs: Any, choice: _OpenChoice, index: int, events: list[StreamEvent]
    ) -> None:
        content = delta.get("content")
        thoughts = ""
        if content and not isinstance(content, str):
            content, thoughts = _split_content(content)
        if len(delta) > 1 or not content or thoughts:  # anything but a bare piece of text
            reasoning, choice.reasoning_field = _reasoning(
                delta, self._target.profile.reasoning_fields, choice.reasoning_field
            )
            details = delta.get("reasoning_details")
            if reasoning or thoughts or details:
                metadata = {DIALECT: {"reasoning_details": details}} if isinstance(details, list) and details else {}
                events.append(ReasoningDelta(text=reasoning or thoughts, choice=index, provider_metadata=metadata))
        has_logprobs = isinstance(logprobs, dict) and bool(logprobs.get("content"))
        if content or has_logprobs:
            events.append(TextDelta(text=content or "", choice=index, logprobs=logprobs if has_logprobs else None))
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            events.append(RefusalDelta(text=refusal, choice=index))
        if (calls := delta.get("tool_calls")) or delta.get("function_call"):
            deltas = calls if isinstance(calls, list) and calls else _tool_deltas(delta)
            events.extend(choice.tools.add(deltas, _METADATA_FIELDS))

    def _finish(self, choice: _OpenChoice, index: int, finish: str, raw: str | None, events: list[StreamEvent]) -> None:
        choice.finished = True
        events.extend(choice.tools.finish())
        reason = map_finish_reason(finish, has_tool_calls=choice.tools.count > 0)
        events.append(Finished(reason=reason, raw_reason=raw, choice=index))

    def _finish_all(self, events: list[StreamEvent]) -> None:
        """`[DONE]` came: a choice without a reason (Snowflake) ended well, and what it holds tells how."""
        self._done = True
        for index, choice in self._choices.items():
            if not choice.finished:
                self._finish(choice, index, "", None, events)

    def _whole_body(self, data: bytes) -> list[StreamEvent]:
        """A provider that answered a stream's request with one JSON body: an error, or the answer in one piece."""
        try:
            body = read_json(data)
            error = error_in_body(body[0] if isinstance(body, list) and body else body, self._target)
            if error is not None:
                raise error
            return _events_of(read_response(body, self._target))
        except LLMError as error:
            error.provider = error.provider or self._target.provider
            error.model = error.model or self._target.model
            self._error = error
            raise


def _events_of(response: ChatResponse) -> list[StreamEvent]:
    """The events of an answer that came whole."""
    events: list[StreamEvent] = [ResponseStarted(id=response.id, model=response.model, created=response.created)]
    for choice in response.choices:
        calls = 0
        for part in choice.parts:
            match part:
                case TextPart():
                    events.append(TextDelta(text=part.text, choice=choice.index, logprobs=choice.logprobs))
                case RefusalPart():
                    events.append(RefusalDelta(text=part.text, choice=choice.index))
                case ReasoningPart():
                    events.append(
                        ReasoningDelta(text=part.text, choice=choice.index, provider_metadata=part.provider_metadata)
                    )
                case ToolCall():
                    events.append(
                        ToolCallStarted(
                            index=calls,
                            id=part.id,
                            name=part.name,
                            choice=choice.index,
                            provider_metadata=part.provider_metadata,
                        )
                    )
                    events.append(ToolCallDelta(index=calls, arguments=part.arguments, choice=choice.index))
                    calls += 1
        events.append(Finished(reason=choice.finish_reason, raw_reason=choice.raw_finish_reason, choice=choice.index))
    if response.usage.reported:
        events.append(UsageReported(usage=response.usage))
    return events
