"""A streamed call under way: passes events on, remembers what was delivered, settles when the stream ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from adapters.adapter import Adapter, OpenStream
from adapters.base import StreamDecoder
from adapters.errors import LLMError
from adapters.types import (
    ChatRequest,
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
from registry.routing.resolve import Candidate, Resolution
from registry.usage.call import turn_of
from registry.usage.forwarding import Forwarding
from registry.usage.ledger import Cost, TurnText


class StreamRecord(Protocol):
    """Whom a stream tells how it goes: a `CallRecord`, or what stands for one."""

    cost: Cost
    settled: bool

    @property
    def tries(self) -> int: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def candidate(self) -> Candidate | None: ...
    @property
    def conversation_id(self) -> Any: ...
    def note_upstream(self, status: int, request_id: str = "") -> None: ...
    def note_first_token(self) -> None: ...
    def succeed(
        self, usage: Usage, *, finish_reason: str, upstream_model: str, delivered: str, turn: TurnText | None = None
    ) -> None: ...
    def fail(
        self, error: LLMError, *, usage: Usage | None = None, delivered: str = "", began: bool = False
    ) -> None: ...
    def abort(self, *, usage: Usage | None = None, delivered: str = "", turn: TurnText | None = None) -> None: ...


class OpenedCall:
    """A streamed answer under way: iterate it inside `async with`; leaving it early settles it as aborted.

    With `forward_as` (an answer's id) the client speaks OpenAI's chat; where the provider does too, `forwards` is true
    once it began, and `forwarded` gives the provider's own events in place of the pairs.
    """

    def __init__(
        self,
        record: StreamRecord,
        resolution: Resolution,
        request: ChatRequest | None,
        *,
        forward_as: str | None = None,
    ) -> None:
        """`request` is needed where a turn is kept: where the record names a conversation."""
        self.record = record
        self.resolution = resolution
        self.request = request
        self.usage = Usage()
        self.upstream_model = ""
        self.finish_reason = ""
        self.began = False
        # A turn that is kept needs the answer's text apart from everything else.
        self._forward_as = forward_as if record.conversation_id is None else None
        self._text: list[str] = []
        self._other: list[str] = []
        self._first: list[tuple[bytes, list[StreamEvent]]] = []
        self._stream: OpenStream | None = None
        self._chunks: AsyncIterator[bytes]
        self._decoder: StreamDecoder
        self._forwarding: Forwarding | None = None

    @property
    def candidate(self) -> Candidate:
        assert self.record.candidate is not None
        return self.record.candidate

    @property
    def forwards(self) -> bool:
        return self._forwarding is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out of the request or changed in it, in plain words."""
        return self._stream.warnings if self._stream else ()

    @property
    def created(self) -> int | None:
        """The creation time (Unix seconds) that the forwarded events bear."""
        return self._forwarding.tap.created if self._forwarding else None

    async def begin(self, adapter: Adapter, request: ChatRequest) -> None:
        """Open the upstream and wait for the first events; raises while a fallback is still possible."""
        await self.begin_on(adapter.open_stream(request))

    async def begin_on(self, stream: OpenStream) -> None:
        """As `begin`, with the upstream's stream that is to be opened."""
        await stream.__aenter__()
        self._stream = stream
        headers = stream.headers
        self.record.note_upstream(stream.status, headers.get("x-request-id") or headers.get("request-id") or "")
        self._chunks = stream.chunks()
        tap = None
        if self._forward_as is not None:
            tap = stream.tap(model=self.candidate.entry.name, answer_id=self._forward_as)
        try:
            if tap is not None:
                self._forwarding = Forwarding(tap)
                read = await self._forwarding.begin(self._chunks)
                if self._forwarding.began:
                    self.record.note_first_token()
                if read is None:
                    return
                self._forwarding = None
            else:
                read = []
            self._decoder = stream.decoder()
            await self._begin_decoding(read)
        except LLMError as error:
            stream.name(error)
            raise

    async def _begin_decoding(self, read: list[bytes]) -> None:
        for raw in read:
            self._first.append((raw, self._decoder.feed(raw)))
        while not any(not isinstance(event, ResponseStarted) for _, events in self._first for event in events):
            raw = await anext(self._chunks, b"")
            self._first.append((raw, self._decoder.feed(raw) if raw else self._decoder.close()))
            if not raw:
                return
        self.record.note_first_token()

    async def __aenter__(self) -> OpenedCall:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the upstream; a call that is not settled by now was left by its client."""
        await self.close_upstream()
        if not self.record.settled:
            self._take_forwarded()
            self.record.abort(usage=self.usage, delivered=self.delivered, turn=self._turn())

    async def __aiter__(self) -> AsyncIterator[tuple[bytes, list[StreamEvent]]]:
        """Yield (raw upstream bytes, the events they completed). Raises the LLMError that broke the stream, settled."""
        try:
            first, self._first = self._first, []
            for pair in first:
                self._note(pair[1])
                yield pair
            if not first or first[-1][0]:
                async for raw in self._chunks:
                    events = self._decoder.feed(raw)
                    self._note(events)
                    yield raw, events
                events = self._decoder.close()
                self._note(events)
                yield b"", events
        except LLMError as error:
            self._fail(error)
            raise
        self._succeed()

    async def forwarded(self) -> AsyncIterator[bytes]:
        """Yield the provider's whole events, ready for the client: all but usage and `[DONE]`. Raises as iterating."""
        assert self._forwarding is not None
        try:
            async for data in self._forwarding.pieces():
                yield data
        except LLMError as error:
            self._take_forwarded()
            self._fail(error)
            raise
        self._take_forwarded()
        self._succeed()

    def cut(self, error: LLMError) -> None:
        """Settle as ended by the hub itself, for `error`, with what went to the client so far."""
        self._take_forwarded()
        self._fail(error)

    def _take_forwarded(self) -> None:
        """What the tap read on the way, for the record."""
        if self._forwarding is None:
            return
        tap = self._forwarding.tap
        self.usage = tap.usage
        self.upstream_model = tap.upstream_model or ""
        self.finish_reason = tap.finish_reasons.get(0, "")
        self.began = self._forwarding.began
        if not self.usage.reported or not tap.finish_reasons:
            self._other.append(self._forwarding.said)

    def _fail(self, error: LLMError) -> None:
        if self._stream is not None:
            self._stream.name(error)
        self.record.fail(error, usage=self.usage, delivered=self.delivered, began=self.began)

    def _succeed(self) -> None:
        self.record.succeed(
            self.usage,
            finish_reason=self.finish_reason,
            upstream_model=self.upstream_model,
            delivered="" if self.usage.reported else self.delivered,
            turn=self._turn(),
        )

    @property
    def delivered(self) -> str:
        return "".join(self._text) + "".join(self._other)

    def _turn(self) -> TurnText | None:
        if self.request is None:
            return None
        return turn_of(self.record.conversation_id, self.request, "".join(self._text), self.finish_reason)

    def _note(self, events: list[StreamEvent]) -> None:
        for event in events:
            match event:
                case TextDelta(choice=0):
                    self.began = True
                    self._text.append(event.text)
                case TextDelta() | RefusalDelta() | ReasoningDelta():
                    self.began = True
                    self._other.append(event.text)
                case ToolCallStarted():
                    self.began = True
                case ToolCallDelta():
                    self._other.append(event.arguments)
                case UsageReported():
                    self.usage = event.usage
                case ResponseStarted():
                    self.upstream_model = event.model or self.upstream_model
                case Finished(choice=0):
                    self.finish_reason = event.reason

    async def close_upstream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.__aexit__(None, None, None)
