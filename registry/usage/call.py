"""One call from its first try to its settlement: tells the ledger, prices what was used, estimates the unsaid."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

from adapters.errors import (
    LLMError,
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
)
from adapters.types import ChatRequest, EmbeddingRequest, ImageRequest, TextPart, Usage, WireResponse
from registry.routing.resolve import Candidate
from registry.usage.estimate import estimate_of
from registry.usage.ledger import (
    CallIntent,
    CallState,
    Cost,
    Hold,
    Ledger,
    Settlement,
    TryIntent,
    TryOutcome,
    TurnText,
)
from registry.usage.pricing import cost_of, estimate_tokens

_NOTHING_SPENT = Cost(total=Decimal(0), status="exact")
_CUT_SHORT = frozenset({"aborted", "truncated", "timeout"})
_FREE = frozenset({"count_tokens"})  # operations that no vendor bills


class CallRecord:
    """Settles exactly once, whoever asks first: the answer's end, an error, or the client leaving."""

    def __init__(
        self, ledger: Ledger, intent: CallIntent, request: ChatRequest | EmbeddingRequest | ImageRequest | None = None
    ) -> None:
        self.ledger = ledger
        self.intent = intent
        self.request = request
        self.candidate: Candidate | None = None
        self.tries = 0
        self.settled = False
        self.cost = Cost()
        self.usage = Usage()
        self._started = time.monotonic()
        self._try_started = self._started
        self._first_token: float | None = None
        self.headers: list[tuple[str, str]] = []  # for the answer: how the caller's limits stand
        self._holds: list[Hold] = []
        self._upstream_status: int | None = None
        self._upstream_request_id = ""

    def hold(self, *held: Hold) -> None:
        """Keep what the call holds until it is settled, or until `let_go`."""
        self._holds += held

    def let_go(self, *held: Hold) -> None:
        """Give back what a try held that cost nothing."""
        for one in held:
            if one in self._holds:
                self._holds.remove(one)
                one.settle(None, None)

    def let_all_go(self) -> None:
        self.let_go(*self._holds)

    def begin(self, candidate: Candidate) -> None:
        """Note a try that is about to be sent. Raises the ledger's error when it can't be noted: then send nothing."""
        self.candidate = candidate
        self.tries += 1
        self._try_started = time.monotonic()
        self._first_token = None
        self._upstream_status, self._upstream_request_id = None, ""
        credential = candidate.credential
        self.ledger.open(
            self.intent,
            TryIntent(
                number=self.tries,
                started_at_ms=time.time_ns() // 1_000_000,
                model_id=candidate.entry.id,
                model_name=candidate.entry.name,
                provider_id=candidate.provider.id,
                provider_slug=candidate.provider.slug,
                credential_id=credential.id if credential else None,
                credential_scope=candidate.scope,  # type: ignore[arg-type]  # one of the four scopes, see Candidate
                reason=candidate.reason,
            ),
        )

    def take_over(self, candidate: Candidate, started: float) -> None:
        """Go on with a call whose first try was noted elsewhere, and began at `started` (monotonic seconds)."""
        self.candidate = candidate
        self.tries = 1
        self._started = self._try_started = started

    def note_upstream(self, status: int, request_id: str = "") -> None:
        self._upstream_status, self._upstream_request_id = status, request_id

    def note_answer(self, wire: WireResponse) -> None:
        self.note_upstream(wire.status, wire.headers.get("x-request-id") or wire.headers.get("request-id") or "")

    def note_first_token(self, at: float | None = None) -> None:
        """Now, or `at` (monotonic seconds)."""
        if self._first_token is None:
            self._first_token = time.monotonic() if at is None else at

    @property
    def conversation_id(self) -> Any:
        return self.intent.conversation_id

    def drop(self, error: LLMError) -> None:
        """Note a try that failed with nothing delivered, when another follows."""
        self.ledger.close(self.intent, self._outcome(_state_of(error, delivered=False), error=error))

    def succeed(
        self,
        usage: Usage,
        *,
        finish_reason: str,
        upstream_model: str,
        delivered: str,
        turn: TurnText | None = None,
        images: int = 0,
    ) -> None:
        """Settle an answer that arrived whole; without reported usage it is settled on an estimate that says so.

        `images` counts the images made: where they have a price each, they need no tokens to be paid for.
        """
        counted = usage.reported or images > 0 or self.intent.operation in _FREE
        state: CallState = "ok" if counted else "ok_estimated"
        self._settle(
            state, usage, delivered, 200, finish_reason=finish_reason, model=upstream_model, turn=turn, images=images
        )

    def fail(self, error: LLMError, *, usage: Usage | None = None, delivered: str = "", began: bool = False) -> None:
        """Settle a call that ended in an error; `began` says that some of the answer had been sent to the client."""
        state = _state_of(error, delivered=began)
        self._settle(state, usage or Usage(), delivered, error.status, error=error, turn=None)

    def abort(self, *, usage: Usage | None = None, delivered: str = "", turn: TurnText | None = None) -> None:
        """Settle a call whose client left."""
        self._settle("aborted", usage or Usage(), delivered, 499, turn=turn)

    def reject(self, error: LLMError) -> None:
        """Settle a call that was refused before anything was sent."""
        self._settle("rejected", Usage(), "", error.status, error=error, turn=None)

    def _settle(
        self,
        state: CallState,
        usage: Usage,
        delivered: str,
        http_status: int,
        *,
        error: LLMError | None = None,
        finish_reason: str = "",
        model: str = "",
        turn: TurnText | None = None,
        images: int = 0,
    ) -> None:
        if self.settled:
            return
        self.settled = True
        self.usage, source, self.cost = self._account(state, usage, delivered, error, images)
        sent = self.candidate is not None and self.tries > 0
        outcome = None
        if sent:
            outcome = self._outcome(state, error=error, usage=self.usage if source != "none" else None, cost=self.cost)
        holds, self._holds = self._holds, []
        settlement = Settlement(
            state=state,
            ended_at_ms=time.time_ns() // 1_000_000,
            http_status=http_status,
            error_code=error.code if error else "",
            finish_reason=finish_reason,
            upstream_model=model,
            usage=self.usage,
            usage_source=source,  # type: ignore[arg-type]  # one of the three, see _account
            cost=self.cost,
            latency_ms=_since_ms(self._started),
            first_token_ms=self._first_token_ms(self._started),
            outcome=outcome,
            turn=turn,
            budgets=tuple(share for one in holds for share in one.shares) if holds else (),
        )
        try:
            self.ledger.settle(self.intent, settlement)
        finally:
            for one in holds:
                one.settle(self.usage, self.cost.total)

    def _account(
        self, state: CallState, usage: Usage, delivered: str, error: LLMError | None, images: int
    ) -> tuple[Usage, str, Cost]:
        """Usage, where it comes from, and its cost. What never ran costs nothing; what ran unsaid is estimated."""
        if self.candidate is None or state == "rejected" or self.intent.operation in _FREE:
            return usage, "none", _NOTHING_SPENT
        if usage.reported:
            written = estimate_tokens(delivered) if state in _CUT_SHORT else 0
            if written <= (usage.output_tokens or 0):
                return usage, "provider", self._priced(usage, images=images)
            # What was reported came before the end: Anthropic's first event counts one token of output.
            usage = replace(usage, output_tokens=written)
            return usage, "estimated", self._priced(usage, estimated=True)
        refused = isinstance(error, UpstreamStatusError) or (error is not None and _never_sent(error))
        if refused and not delivered:
            return usage, "none", _NOTHING_SPENT
        if isinstance(self.request, ImageRequest):
            # Nobody can tell an image's tokens from its prompt: a price per image pays for it, or its cost is unknown.
            wanted = images or self.request.n or 1
            return usage, "none", self._priced(usage, images=wanted, estimated=not images)
        estimate = estimate_of(self.request, delivered, partial=usage)
        return estimate, "estimated", self._priced(estimate, estimated=True)

    def _priced(self, usage: Usage, *, images: int = 0, estimated: bool = False) -> Cost:
        assert self.candidate is not None
        provider = self.candidate.provider
        if provider.dry_run:
            return _NOTHING_SPENT
        price = self.candidate.entry.price_at()
        return cost_of(usage, price, fee_percent=provider.fee_percent, images=images, estimated=estimated)

    def _outcome(
        self, state: CallState, *, error: LLMError | None = None, usage: Usage | None = None, cost: Cost | None = None
    ) -> TryOutcome:
        status = error.upstream_status if error is not None else self._upstream_status
        return TryOutcome(
            number=self.tries,
            state=state,
            error_code=error.code if error else "",
            upstream_status=status,
            upstream_request_id=((error.upstream_request_id if error else None) or self._upstream_request_id)[:200],
            latency_ms=_since_ms(self._try_started),
            first_token_ms=self._first_token_ms(self._try_started),
            usage=usage,
            cost=cost,
        )

    def _first_token_ms(self, since: float) -> int | None:
        return None if self._first_token is None else int((self._first_token - since) * 1000)


def _since_ms(started: float) -> int:
    return int((time.monotonic() - started) * 1000)


def _state_of(error: LLMError, *, delivered: bool) -> CallState:
    if isinstance(error, UpstreamTimeoutError):
        return "timeout"
    if delivered and (isinstance(error, UpstreamProtocolError) or error.retryable):
        return "truncated"
    return "error"


def _never_sent(error: LLMError) -> bool:
    """Whether nothing can have been generated: the error is ours, or the connection never came about."""
    return error.code in ("configuration_error", "unsupported_feature", "endpoint_not_allowed", "upstream_unreachable")


def turn_of(conversation_id: Any, request: ChatRequest, reply: str, finish_reason: str) -> TurnText | None:
    """The client's newest message and the answer, for a call that names a conversation."""
    if conversation_id is None:
        return None
    newest = next((message for message in reversed(request.messages) if message.role == "user"), None)
    text = newest.text if newest else ""
    images = [part for part in newest.parts if not isinstance(part, TextPart)] if newest else []
    parts: tuple[dict[str, object], ...] = tuple({"type": type(part).__name__} for part in images)
    return TurnText(
        conversation_id=conversation_id, user_text=text, reply_text=reply, finish_reason=finish_reason, user_parts=parts
    )
