"""A streamed call under way: passes events on, remembers what was delivered, settles when the stream ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.adapter import Adapter, OpenStream
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
from registry.usage.call import CallRecord, turn_of
from registry.usage.ledger import TurnText


class OpenedCall:
    """A streamed answer under way: iterate it inside `async with`; leaving it early settles it as aborted."""

    def __init__(self, record: CallRecord, resolution: Resolution, request: ChatRequest) -> None:
        self.record = record
        self.resolution = resolution
        self.request = request
        self.usage = Usage()
        self.upstream_model = ""
        self.finish_reason = ""
        self.began = False
        self._text: list[str] = []
        self._other: list[str] = []
        self._first: list[tuple[bytes, list[StreamEvent]]] = []
        self._stream: OpenStream | None = None
        self._pairs: AsyncIterator[tuple[bytes, list[StreamEvent]]] | None = None

    @property
    def candidate(self) -> Candidate:
        assert self.record.candidate is not None
        return self.record.candidate

    async def begin(self, adapter: Adapter, request: ChatRequest) -> None:
        """Open the upstream and wait for the first events; raises while a fallback is still possible."""
        stream = adapter.open_stream(request)
        await stream.__aenter__()
        self._stream = stream
        headers = stream.headers
        self.record.note_upstream(stream.status, headers.get("x-request-id") or headers.get("request-id") or "")
        self._pairs = stream.__aiter__()
        async for raw, events in self._pairs:
            self._first.append((raw, events))
            if any(not isinstance(event, ResponseStarted) for event in events):
                self.record.note_first_token()
                break

    async def __aenter__(self) -> OpenedCall:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the upstream; a call that is not settled by now was left by its client."""
        await self.close_upstream()
        if not self.record.settled:
            self.record.abort(usage=self.usage, delivered=self.delivered, turn=self._turn())

    async def __aiter__(self) -> AsyncIterator[tuple[bytes, list[StreamEvent]]]:
        """Yield (raw upstream bytes, the events they completed). Raises the LLMError that broke the stream, settled."""
        assert self._pairs is not None
        try:
            first, self._first = self._first, []
            for pair in first:
                self._note(pair[1])
                yield pair
            async for pair in self._pairs:
                self._note(pair[1])
                yield pair
        except LLMError as error:
            self.record.fail(error, usage=self.usage, delivered=self.delivered, began=self.began)
            raise
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
        return turn_of(self.record.intent.conversation_id, self.request, "".join(self._text), self.finish_reason)

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
