"""Reads Gemini's stream into canonical events. Holds one response's state; knows nothing of requests.

Each event is a whole GenerateContentResponse with new parts. Usage is cumulative, its fields come and go, and the last
chunk may change even the prompt's count. A call ends with STOP like everything else, sometimes in a chunk of its own.
The array that Gemini sends where `alt=sse` was left out is read too, once it is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.errors import LLMError, UpstreamProtocolError
from adapters.gemini_answers import (
    block_reason,
    broken_finish,
    candidate_rest,
    finish_reason,
    parts_of,
    raw_finish,
    read_logprobs,
    read_usage,
)
from adapters.gemini_contents import read_part, vendor_metadata
from adapters.gemini_errors import error_in_body
from adapters.gemini_partial_args import PartialArguments
from adapters.openai_usage import merge_usage
from adapters.streaming import MAX_EVENT_BYTES, SSEReader, new_tool_call_id
from adapters.types import (
    AudioPart,
    FilePart,
    Finished,
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from adapters.wire_json import dump_json, read_json

__all__ = ["GeminiStreamDecoder"]


class _OpenCandidate:
    """State of one candidate of a stream."""

    __slots__ = ("calls", "finished", "open_call", "rest")

    def __init__(self) -> None:
        self.calls = 0
        self.finished = False
        self.open_call: PartialArguments | None = None  # a call whose arguments arrive in pieces
        self.rest: dict[str, Any] = {}


class GeminiStreamDecoder:
    """See `StreamDecoder` in base.py for the contract."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = SSEReader()
        self._error: LLMError | None = None
        self._body: bytearray | None = None  # JSON that came instead of an event stream
        self._seen_bytes = False
        self._started = False
        self._candidates: dict[int, _OpenCandidate] = {}
        self._usage: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[StreamEvent]:
        self._raise_error()
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
                    raise self._broken("the provider sent a body that is too long")
                return []
            for event in self._reader.feed(data):
                self._take(event.data, events)
        except LLMError as error:
            self._fail(error)
            if not events:
                raise
        return events

    def close(self) -> list[StreamEvent]:
        self._raise_error()
        events: list[StreamEvent] = []
        try:
            if self._body is not None:
                self._take_body(bytes(self._body), events)
            for event in self._reader.close():
                self._take(event.data, events)
            if not self._candidates:
                raise self._broken("the stream ended without an answer")
            if not all(candidate.finished for candidate in self._candidates.values()):
                raise self._broken("the stream ended before the answer did")
        except LLMError as error:
            self._fail(error)
            raise
        return events

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _fail(self, error: LLMError) -> None:
        error.provider = error.provider or self._target.provider
        error.model = error.model or self._target.model
        self._error = error

    def _broken(self, message: str) -> UpstreamProtocolError:
        return UpstreamProtocolError(message, provider=self._target.provider, model=self._target.model)

    def _take(self, data: bytes | None, events: list[StreamEvent]) -> None:
        if data is None or not data.strip() or data.startswith(b"[DONE]"):
            return
        self._chunk(read_json(data), events)

    def _take_body(self, data: bytes, events: list[StreamEvent]) -> None:
        body = read_json(data)
        for chunk in body if isinstance(body, list) else [body]:
            self._chunk(chunk, events)

    def _chunk(self, chunk: Any, events: list[StreamEvent]) -> None:
        if not isinstance(chunk, dict):
            raise self._broken("an event of the stream is not a JSON object")
        error = error_in_body(chunk, self._target)
        if error is not None:
            raise error
        if not self._started:
            self._started = True
            model, response_id = chunk.get("modelVersion"), chunk.get("responseId")
            events.append(
                ResponseStarted(
                    id=response_id if isinstance(response_id, str) and response_id else None,
                    model=model if isinstance(model, str) and model else self._target.model,
                )
            )
        # Before the candidates, so that an answer that ends in an error has its tokens told.
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict) and usage:
            self._usage = merge_usage(self._usage, usage)
            found = read_usage(self._usage)
            if found.reported:
                events.append(UsageReported(usage=found))
        candidates = chunk.get("candidates")
        for position, raw in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(raw, dict):
                index = raw.get("index")
                self._candidate(raw, index if isinstance(index, int) else position, events)
        blocked = block_reason(chunk)
        if blocked is not None and not self._candidates:
            self._candidates[0] = candidate = _OpenCandidate()
            candidate.finished = True
            metadata = vendor_metadata(promptFeedback=chunk["promptFeedback"])
            events.append(Finished(reason="content_filter", raw_reason=blocked, provider_metadata=metadata))

    def _candidate(self, raw: dict[str, Any], index: int, events: list[StreamEvent]) -> None:
        candidate = self._candidates.setdefault(index, _OpenCandidate())
        if candidate.finished:
            return
        finish = raw_finish(raw)
        broken = broken_finish(finish, self._target)
        if broken is not None:
            raise broken  # before its parts are told: a call among them must not run
        candidate.rest |= candidate_rest(raw)
        logprobs = read_logprobs(raw.get("logprobsResult"))
        for wire in parts_of(raw):
            if candidate.open_call is not None or _is_partial(wire):
                self._partial(wire, candidate, index, events)
            self._part(wire, candidate, index, logprobs, events)
            logprobs = None  # of the chunk, so told once
        if logprobs is not None:
            events.append(TextDelta(text="", choice=index, logprobs=logprobs))
        if finish is not None:
            self._close_call(candidate, index, events)
            candidate.finished = True
            reason = finish_reason(finish, has_tool_calls=candidate.calls > 0)
            metadata = vendor_metadata(**candidate.rest)
            events.append(Finished(reason=reason, raw_reason=finish, choice=index, provider_metadata=metadata))

    def _part(
        self,
        wire: Mapping[str, Any],
        candidate: _OpenCandidate,
        index: int,
        logprobs: Mapping[str, Any] | None,
        events: list[StreamEvent],
    ) -> None:
        if _is_partial(wire):
            return
        match read_part(wire):
            case TextPart(text=text, provider_metadata=metadata):
                events.append(TextDelta(text=text, choice=index, logprobs=logprobs, provider_metadata=metadata))
            case ReasoningPart(text=text, provider_metadata=metadata):
                events.append(ReasoningDelta(text=text, choice=index, provider_metadata=metadata))
            case ToolCall() as call:
                self._open_call(call.id, call.name, call.provider_metadata, candidate, index, events)
                events.append(ToolCallDelta(index=candidate.calls - 1, arguments=call.arguments, choice=index))
            case ImagePart() | AudioPart() | FilePart():
                # The stream has no event for a file: it goes whole to whoever knows Gemini's part.
                events.append(TextDelta(text="", choice=index, provider_metadata=vendor_metadata(part=dict(wire))))

    def _open_call(
        self,
        call_id: str,
        name: str,
        metadata: Mapping[str, Any],
        candidate: _OpenCandidate,
        index: int,
        events: list[StreamEvent],
    ) -> None:
        events.append(
            ToolCallStarted(index=candidate.calls, id=call_id, name=name, choice=index, provider_metadata=metadata)
        )
        candidate.calls += 1

    # Arguments in pieces come only where `streamFunctionCallArguments` was asked for, which we never do; a caller's own
    # fields may. They are told whole, when the call is whole.

    def _partial(
        self, wire: Mapping[str, Any], candidate: _OpenCandidate, index: int, events: list[StreamEvent]
    ) -> None:
        call = wire.get("functionCall")
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(call, dict) or name or not call:
            self._close_call(candidate, index, events)  # an empty one ends the call; so does anything else
        if not isinstance(call, dict) or not _is_partial(wire):
            return
        if isinstance(name, str) and name:
            signature, call_id = wire.get("thoughtSignature"), call.get("id")
            metadata = vendor_metadata(thought_signature=signature if isinstance(signature, str) else None)
            call_id = call_id if isinstance(call_id, str) and call_id else new_tool_call_id()
            self._open_call(call_id, name, metadata, candidate, index, events)
            candidate.open_call = PartialArguments()
        if candidate.open_call is not None:
            candidate.open_call.add(call.get("partialArgs"))
            if call.get("willContinue") is not True:
                self._close_call(candidate, index, events)

    def _close_call(self, candidate: _OpenCandidate, index: int, events: list[StreamEvent]) -> None:
        if candidate.open_call is not None:
            arguments = dump_json(candidate.open_call.value).decode()
            events.append(ToolCallDelta(index=candidate.calls - 1, arguments=arguments, choice=index))
            candidate.open_call = None


def _is_partial(wire: Mapping[str, Any]) -> bool:
    call = wire.get("functionCall")
    return isinstance(call, dict) and ("partialArgs" in call or "willContinue" in call)
