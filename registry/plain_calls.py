"""The short way of a call: one model by its name, one stored key, plain texts in OpenAI's chat, answered at once.

What is asked and told is what `DynamicLLMClient` asks and tells (limits, budgets, health, ledger, egress), made ready
once for a caller and a model and renewed when anything it was made of changes. Whatever is not plain goes the long way:
before anything was counted by answering None, after a failed try by handing the call over with what it holds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from adapters.errors import LLMError
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.plain_chat import PlainAnswer, PlainRequest, read_plain_answer
from adapters.types import Usage
from registry.plain_ready import Ready, ReadyCalls
from registry.results import CallResult
from registry.routing.budgets import Reservation
from registry.routing.guard import Guard
from registry.routing.limits import Entry, LimitError, Limits
from registry.routing.resolve import Candidate
from registry.usage import lines
from registry.usage.call import CallRecord
from registry.usage.journal import Journal
from registry.usage.ledger import Cost, TurnText
from registry.usage.opened_call import OpenedCall
from registry.usage.plain_lines import encode_cost, encode_counts, encode_plain_cost
from registry.usage.pricing import MILLION, SMALLEST, cost_of, tokens_of_size

if TYPE_CHECKING:
    from registry.catalog.snapshot import Snapshot
    from registry.client import DynamicLLMClient

_CODEC: Final = OpenAIChatClientCodec()
_COUNTS: Final = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


class Begun(NamedTuple):
    """A call on its way: what it holds, and when it began."""

    ready: Ready
    asked: PlainRequest
    request_id: str
    at_ms: int
    started: float  # monotonic
    entry: Entry | None
    reserved: Reservation | None

    def let_go(self) -> None:
        """Give back what it holds."""
        for held in (self.entry, self.reserved):
            if held is not None:
                held.settle(None, None)


class Ending(NamedTuple):
    """How an answer ended that is whole. `usage` None: `sent` and `written` are all that was counted."""

    finish_reason: str
    upstream_model: str
    upstream_status: int
    upstream_request_id: str
    sent: int
    written: int
    usage: Usage | None
    first_token_ms: int | None


class PlainResult(NamedTuple):
    """An answer, settled."""

    answer: PlainAnswer
    cost_usd: str | None
    entry: Entry | None  # how the caller's limits stand
    candidate: Candidate


class PlainCalls:
    """One a worker."""

    def __init__(self, client: DynamicLLMClient, snapshot: Snapshot, guard: Guard, journal: Journal) -> None:
        self.client = client
        self.guard = guard
        self.journal = journal
        self.ready = ReadyCalls(client, snapshot, guard)

    def begin(self, ready: Ready, request_id: str, asked: PlainRequest) -> Begun | None:
        """Count the call, hold its money, and write it down; None, with nothing held, where the long way must.

        Raises JournalError.
        """
        budgets, health = self.guard.budgets, self.client.health
        if not health.is_calm(ready.health):
            return None
        text = asked.text
        sent = tokens_of_size(len(text), len(text) if text.isascii() else len(text.encode()))
        reserved = entry = None
        if ready.budgets:
            need = ready.ceiling.nano_usd(sent, asked.max_tokens or ready.output_tokens)
            reserved = budgets.reserve_now(ready.budgets, need) if need else None
            if need and reserved is None:
                return None
        tokens = sent + (asked.max_tokens or 0) if ready.counts_tokens else 0
        if ready.limits:
            try:
                assert isinstance(self.guard.limits, Limits)
                entry = self.guard.limits.enter(ready.limits, tokens)
            except LimitError:
                if reserved is not None:
                    reserved.settle(None, None)
                return None
        at_ms, started = time.time_ns() // 1_000_000, time.monotonic()
        begun = Begun(ready, asked, request_id, at_ms, started, entry, reserved)
        try:
            self.journal.open_with(ready.lines[asked.stream].open(request_id, begun.at_ms))
        except BaseException:
            begun.let_go()
            raise
        ready.health.retries.earn()
        return begun

    async def whole(self, begun: Begun) -> PlainResult | CallResult:
        """The answer, settled. Raises as `DynamicLLMClient.call` does."""
        ready, client = begun.ready, self.client
        adapter = ready.adapter
        try:
            wire = await adapter.send_ready(ready.request, begun.asked.encoded(adapter.target))
            answer = read_plain_answer(wire.body)
            if answer is None:
                response = adapter.read(wire)
        except LLMError as error:
            client.health.failed(ready.candidate, error)
            record = self.record_of(begun)
            if begun.reserved is not None:
                record.let_go(begun.reserved)
            return await client.go_on(record, ready.resolution, ready.principal, error)
        except BaseException as error:
            self._left(begun, error)
            raise
        client.health.answered(ready.health, ready.candidate, (time.monotonic() - begun.started) * 1000)
        if answer is None:
            return client.answered(self.record_of(begun), ready.resolution, response, wire)
        headers = wire.headers
        ending = Ending(
            answer.finish_reason,
            answer.upstream_model,
            wire.status,
            headers.get("x-request-id") or headers.get("request-id") or "",
            answer.sent,
            answer.written,
            answer.usage,
            None,
        )
        total = self.settle(begun, ending)
        return PlainResult(answer, None if total is None else f"{total:f}", begun.entry, ready.candidate)

    async def open_stream(self, begun: Begun, *, forward_as: str) -> OpenedCall:
        """A stream whose first events have arrived. Raises as `DynamicLLMClient.open_stream` does."""
        ready, client = begun.ready, self.client
        opened = OpenedCall(PlainRecord(self, begun), ready.resolution, None, forward_as=forward_as)
        try:
            await opened.begin_on(ready.adapter.open_ready(ready.streamed, begun.asked.encoded(ready.adapter.target)))
        except LLMError as error:
            await opened.close_upstream()
            client.health.failed(ready.candidate, error)
            record = self.record_of(begun)
            if begun.reserved is not None:
                record.let_go(begun.reserved)
            return await client.go_on_streaming(record, ready.resolution, ready.principal, error, forward_as)
        except BaseException as error:
            await opened.close_upstream()
            self._left(begun, error)
            raise
        client.health.answered(ready.health, ready.candidate, (time.monotonic() - begun.started) * 1000)
        return opened

    def _left(self, begun: Begun, error: BaseException) -> None:
        """Settle a call that ended without a word of its provider."""
        self.client.health.left(begun.ready.candidate)
        if isinstance(error, asyncio.CancelledError):
            self.record_of(begun).abort()
        begun.let_go()

    def record_of(self, begun: Begun) -> CallRecord:
        """The call as the long way keeps it."""
        ready, asked = begun.ready, begun.asked
        intent = replace(ready.intent, request_id=begun.request_id, started_at_ms=begun.at_ms, streamed=asked.stream)
        record = CallRecord(self.journal, intent, _CODEC.parse_request(asked.body).request)
        record.take_over(ready.candidate, begun.started)
        if begun.entry is not None:
            record.hold(begun.entry)
            record.headers = begun.entry.standing.headers()
        if begun.reserved is not None:
            record.hold(begun.reserved)
        return record

    def settle(self, begun: Begun, ending: Ending) -> Decimal | None:
        """Write an answer down that is whole and counted, and give back what it did not need; answers USD."""
        counted = _priced(begun.ready, ending)
        latency_ms = int((time.monotonic() - begun.started) * 1000)
        try:
            line = begun.ready.lines[begun.asked.stream].settle(
                begun.request_id,
                begun.at_ms,
                ended_at_ms=time.time_ns() // 1_000_000,
                finish_reason=ending.finish_reason,
                upstream_model=ending.upstream_model,
                upstream_status=ending.upstream_status,
                upstream_request_id=ending.upstream_request_id,
                usage=counted.usage,
                cost=counted.cost,
                latency_ms=latency_ms,
                first_token_ms=ending.first_token_ms,
                budgets=begun.reserved.encoded_shares() if begun.reserved is not None else b"",
            )
            self.journal.keep(line)
        finally:
            if begun.entry is not None:
                begun.entry.leave(ending.sent + ending.written)
            if begun.reserved is not None:
                begun.reserved.settle(None, counted.total)
        return counted.total


class PlainRecord:
    """What a stream that goes the short way tells of itself; a `CallRecord` as soon as it ends otherwise than well."""

    __slots__ = ("_begun", "_calls", "_first_token", "_request_id", "_status", "cost", "settled")

    tries = 1

    def __init__(self, calls: PlainCalls, begun: Begun) -> None:
        self._calls = calls
        self._begun = begun
        self._first_token: float | None = None
        self._status = 200
        self._request_id = ""
        self.cost = Cost()
        self.settled = False

    @property
    def candidate(self) -> Candidate:
        return self._begun.ready.candidate

    @property
    def conversation_id(self) -> None:
        return None

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [] if self._begun.entry is None else self._begun.entry.standing.headers()

    def note_upstream(self, status: int, request_id: str = "") -> None:
        self._status, self._request_id = status, request_id

    def note_first_token(self) -> None:
        if self._first_token is None:
            self._first_token = time.monotonic()

    def succeed(
        self, usage: Usage, *, finish_reason: str, upstream_model: str, delivered: str, turn: TurnText | None = None
    ) -> None:
        if self.settled:
            return
        if not usage.reported:
            record = self._long()
            record.succeed(usage, finish_reason=finish_reason, upstream_model=upstream_model, delivered=delivered)
            self.cost = record.cost
            return
        self.settled = True
        first_ms = None if self._first_token is None else int((self._first_token - self._begun.started) * 1000)
        ending = Ending(
            finish_reason,
            upstream_model,
            self._status,
            self._request_id,
            usage.input_tokens or 0,
            usage.output_tokens or 0,
            usage,
            first_ms,
        )
        total = self._calls.settle(self._begun, ending)
        self.cost = Cost(total=total)

    def fail(self, error: LLMError, *, usage: Usage | None = None, delivered: str = "", began: bool = False) -> None:
        if not self.settled:
            self._long().fail(error, usage=usage, delivered=delivered, began=began)

    def abort(self, *, usage: Usage | None = None, delivered: str = "", turn: TurnText | None = None) -> None:
        if not self.settled:
            self._long().abort(usage=usage, delivered=delivered)

    def _long(self) -> CallRecord:
        self.settled = True
        record = self._calls.record_of(self._begun)
        record.note_upstream(self._status, self._request_id)
        if self._first_token is not None:
            record.note_first_token(self._first_token)
        return record


class _Priced(NamedTuple):
    """A total in USD, and usage and cost as the journal writes them."""

    total: Decimal | None
    usage: bytes
    cost: bytes


def _priced(ready: Ready, ending: Ending) -> _Priced:
    fee_percent, usage = ready.candidate.provider.fee_percent, ending.usage
    plain = ending.sent and ending.written and not fee_percent and not ready.is_free
    if plain and (usage is None or (usage.raw.keys() <= _COUNTS and usage.reasoning_tokens is None)):
        rates = ready.price.rates
        sent = (ending.sent * rates["input_per_1m"] / MILLION).quantize(SMALLEST, ROUND_HALF_EVEN)
        written = (ending.written * rates["output_per_1m"] / MILLION).quantize(SMALLEST, ROUND_HALF_EVEN)
        total = sent + written
        cost = encode_plain_cost(total, sent, written, ready.price_id)
        return _Priced(total, encode_counts(ending.sent, ending.written), cost)
    usage = usage or Usage(input_tokens=ending.sent, output_tokens=ending.written)
    reckoned = cost_of(usage, ready.price, fee_percent=fee_percent)
    return _Priced(reckoned.total, lines.plain_json(lines.usage_fields(usage)), encode_cost(reckoned))
