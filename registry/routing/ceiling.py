"""What a call may cost at most, before it is made. Pure; knows no budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from adapters.types import ChatRequest, EmbeddingRequest, ImageRequest
from registry.catalog.entries import LLMTier
from registry.routing.resolve import Candidate
from registry.usage.estimate import estimate_inputs, estimate_sent
from registry.usage.pricing import ZERO, estimate_tokens, is_free

ESTIMATE_MARGIN = 1.3  # the estimate of input tokens is within a quarter for prose
OUTPUT_UNSAID = 4096  # tokens, where neither the client nor the model's row says how long an answer may be
TOKENS_AN_IMAGE = 8000

AnyRequest = ChatRequest | EmbeddingRequest | ImageRequest


class _Counted:
    """What was counted last: a call is counted for its limits and, with no pause between, for its budgets."""

    last: tuple[AnyRequest | None, int] = (None, 0)  # one value, so that threads can't mix two calls


def sent_tokens(request: AnyRequest) -> int:
    """About how many tokens go in."""
    counted, tokens = _Counted.last
    if counted is request:
        _Counted.last = (None, 0)  # asked for a second time is asked for the last time: keep nobody's text
        return tokens
    tokens = _count(request)
    _Counted.last = (request, tokens)
    return tokens


def _count(request: AnyRequest) -> int:
    match request:
        case ChatRequest():
            return estimate_sent(request)
        case EmbeddingRequest():
            return estimate_inputs(request)
        case _:
            return estimate_tokens(request.prompt)


def output_tokens(request: AnyRequest, candidate: Candidate) -> int:
    """What the client asked for, else what the model can write, else a usual bound; for each of its answers."""
    match request:
        case ChatRequest():
            entry = candidate.entry
            each = request.max_output_tokens or entry.max_tokens or entry.max_output_tokens or OUTPUT_UNSAID
            return each * (request.n or 1)
        case ImageRequest():
            return TOKENS_AN_IMAGE * (request.n or 1)
        case _:
            return 0


def costs_nothing(candidate: Candidate) -> bool:
    """A free model, one that is only played, or one on one's own machines that nobody priced."""
    price = candidate.entry.price_at()
    return candidate.provider.dry_run or is_free(price) or (price is None and candidate.entry.tier == LLMTier.LOCAL)


def ceiling_nano_usd(candidate: Candidate, request: AnyRequest) -> int | None:
    """Billionths of a USD, rounded up; None where a price that the call needs is not known."""
    price = candidate.entry.price_at()
    if price is None:
        return None
    count, makes_images = math.ceil(sent_tokens(request) * ESTIMATE_MARGIN), isinstance(request, ImageRequest)
    rates = price.rates_for(count)
    sent = _dearest(rates, "input_per_1m", "cache_write_per_1m")
    written = _dearest(rates, "output_per_1m", "reasoning_per_1m", *(("image_output_per_1m",) if makes_images else ()))
    micro = rates.get("per_request", ZERO) * 1_000_000
    if isinstance(request, ImageRequest) and "per_image" in rates:
        micro += rates["per_image"] * (request.n or 1) * 1_000_000
    elif sent is None or (written is None and not isinstance(request, EmbeddingRequest)):
        return None
    micro += (sent or ZERO) * count + (written or ZERO) * output_tokens(request, candidate)
    return math.ceil(micro * (1 + candidate.provider.fee_percent / 100) * 1000)


class PlainCeiling:
    """The same for texts alone at a price of one tier by tokens, with what does not change from call to call."""

    __slots__ = ("_factor", "_sent", "_written")

    def __init__(self, rates: Mapping[str, Decimal], fee_percent: Decimal) -> None:
        self._sent = _dearest(rates, "input_per_1m", "cache_write_per_1m") or ZERO
        self._written = _dearest(rates, "output_per_1m", "reasoning_per_1m") or ZERO
        self._factor = (1 + fee_percent / 100) * 1000

    def nano_usd(self, sent: int, written: int) -> int:
        return math.ceil((self._sent * math.ceil(sent * ESTIMATE_MARGIN) + self._written * written) * self._factor)


def _dearest(rates: Mapping[str, Decimal], *kinds: str) -> Decimal | None:
    return max((rates[kind] for kind in kinds if kind in rates), default=None)
