"""Turns tokens and a price into money, and text into a token estimate. Pure; keeps nothing, asks nobody."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal

from adapters.types import Usage
from registry.catalog.entries import PriceEntry
from registry.usage.ledger import Cost, CostStatus

MILLION = Decimal(1_000_000)
# The database keeps nine places; components are rounded to them before they are summed, so that a stored row adds up.
SMALLEST = Decimal("0.000000001")
ZERO = Decimal(0)

# A character of English is about a quarter of a token, one of Chinese, Japanese or Korean about two thirds. UTF-8
# takes 1 and 3 bytes for them, so the bytes beyond the first carry the difference; Cyrillic, Greek or Arabic (2 bytes)
# come out at 2.2 characters a token, an emoji at 0.9. Linear: parts of a text may be estimated one by one.
TOKENS_PER_CHARACTER = 1 / 4
TOKENS_PER_EXTRA_BYTE = (1 / 1.5 - 1 / 4) / 2
TOKENS_PER_IMAGE = 1000


@dataclass(slots=True)
class _Sheet:
    """Adds up what kinds of usage cost at one price; remembers when a kind had none, or another's stood in."""

    rates: Mapping[str, Decimal]
    unpriced: bool = False
    stand_in: bool = False
    sums: dict[str, Decimal] = field(default_factory=dict)

    def add(self, component: str, count: int, *kinds: str, per: Decimal = MILLION) -> None:
        """Charge `count` at the first of `kinds` that has a price."""
        if count <= 0:
            return
        for position, kind in enumerate(kinds):
            rate = self.rates.get(kind)
            if rate is not None:
                self.stand_in |= position > 0 and rate != 0
                self.sums[component] = self.sums.get(component, ZERO) + count * rate / per
                return
        self.unpriced = True


def cost_of(
    usage: Usage,
    price: PriceEntry | None,
    *,
    fee_percent: Decimal = ZERO,
    images: int = 0,
    estimated: bool = False,
) -> Cost:
    """USD for one answer, by component. `total` is None whenever something used has no known price: never 0 for that.

    Cache reads and writes are taken out of the input tokens and reasoning out of the output tokens; audio and image
    tokens are taken out only where they have a price of their own. A cache read without a price costs as input, a
    cache write too (an hour's write: as a short write, then as input), and the status then is "estimated", because
    vendors charge less for reads and more for writes. A price with tiers counts at the tier that the whole input,
    cache included, reaches. Reasoning without a price costs as output, which is what vendors
    do, and stays exact. `fee` holds the price per request and `fee_percent` of everything. Each component is rounded
    to 1e-9 USD; they sum up to `total` exactly. Usage that was not reported costs an unknown amount, unless the model
    is free. `images` counts the images made, for models with a price per image.
    """
    if price is None:
        return Cost()
    status: CostStatus = "estimated" if estimated else "exact"
    if is_free(price):
        return Cost(total=ZERO, status=status, price_id=price.id)
    sheet = _Sheet(price.rates_for(_count(usage.input_tokens)))
    # A price per image pays for the image's tokens too, unless those have prices of their own.
    each = images > 0 and "per_image" in sheet.rates
    if not each or "input_per_1m" in sheet.rates:
        _add_input(sheet, usage)
    if not each or sheet.rates.keys() & {"output_per_1m", "image_output_per_1m"}:
        _add_output(sheet, usage)
    _add_images(sheet, usage, images)
    sheet.add("fee", 1 if "per_request" in sheet.rates else 0, "per_request", per=Decimal(1))
    known = {name: amount.quantize(SMALLEST, ROUND_HALF_EVEN) for name, amount in sheet.sums.items()}
    if sheet.unpriced or not (usage.reported or images > 0):
        return Cost(status="unpriced", price_id=price.id, **known)
    if fee_percent:
        percentage = (sum(known.values(), ZERO) * fee_percent / 100).quantize(SMALLEST, ROUND_HALF_EVEN)
        known["fee"] = known.get("fee", ZERO) + percentage
    if sheet.stand_in:
        status = "estimated"
    return Cost(total=sum(known.values(), ZERO), status=status, price_id=price.id, **known)


def _add_input(sheet: _Sheet, usage: Usage) -> None:
    read, written = _count(usage.cache_read_tokens), _count(usage.cache_write_tokens)
    long_written = min(_count(usage.cache_write_1h_tokens), written)
    audio = _count(usage.audio_input_tokens) if "audio_input_per_1m" in sheet.rates else 0
    image = _count(usage.image_input_tokens) if "image_input_per_1m" in sheet.rates else 0
    sheet.add("input", _count(usage.input_tokens) - read - written - audio - image, "input_per_1m")
    sheet.add("input", audio, "audio_input_per_1m")
    sheet.add("image", image, "image_input_per_1m")
    sheet.add("cache_read", read, "cache_read_per_1m", "input_per_1m")
    sheet.add("cache_write", written - long_written, "cache_write_per_1m", "input_per_1m")
    sheet.add("cache_write", long_written, "cache_write_1h_per_1m", "cache_write_per_1m", "input_per_1m")


def _add_output(sheet: _Sheet, usage: Usage) -> None:
    reasoning = _count(usage.reasoning_tokens)
    audio = _count(usage.audio_output_tokens) if "audio_output_per_1m" in sheet.rates else 0
    image = _count(usage.image_output_tokens) if "image_output_per_1m" in sheet.rates else 0
    sheet.add("output", _count(usage.output_tokens) - reasoning - audio - image, "output_per_1m")
    sheet.add("output", audio, "audio_output_per_1m")
    sheet.add("image", image, "image_output_per_1m")
    own_price = "reasoning_per_1m" in sheet.rates
    sheet.add("reasoning", reasoning, "reasoning_per_1m" if own_price else "output_per_1m")


def _add_images(sheet: _Sheet, usage: Usage, images: int) -> None:
    """A price per image where there is one; else the answer's tokens must have paid for them."""
    if "per_image" in sheet.rates:
        sheet.add("image", images, "per_image", per=Decimal(1))
    elif images > 0 and not usage.reported:
        sheet.unpriced = True


def _count(tokens: int | None) -> int:
    """Providers have reported negative counts; those are none."""
    return max(tokens or 0, 0)


def is_free(price: PriceEntry | None) -> bool:
    """Whether calls cost nothing: input and output are known to be 0 and no other price is above 0."""
    if price is None or price.rates.get("input_per_1m") != 0 or price.rates.get("output_per_1m") != 0:
        return False
    return all(rate == 0 for rates in (price.rates, *(rates for _, rates in price.tiers)) for rate in rates.values())


def estimate_tokens(*texts: str) -> int:
    """About how many tokens the texts are, within a quarter for prose; a fraction of a microsecond a kilobyte."""
    characters = sum(len(text) for text in texts)
    utf8_bytes = sum(len(text) if text.isascii() else len(text.encode(errors="surrogatepass")) for text in texts)
    return tokens_of_size(characters, utf8_bytes)


def tokens_of_size(characters: int, utf8_bytes: int) -> int:
    """The estimate for a text of which only its size is known; rounded up, so that any text is at least one token."""
    extra = max(utf8_bytes - characters, 0)
    return math.ceil(characters * TOKENS_PER_CHARACTER + extra * TOKENS_PER_EXTRA_BYTE)


def estimate_usage(
    request_texts: Iterable[str],
    delivered_text: str = "",
    *,
    request_images: int = 0,
    partial: Usage | None = None,
) -> Usage:
    """Usage for a call whose provider reported none: an estimate, to be settled as "estimated" and never as exact.

    `request_texts` are all texts that were sent, `delivered_text` what arrived before the end. Counts that the
    provider did report (`partial`: Anthropic says the input first) are kept, and only the missing ones estimated.
    """
    known = partial or Usage()
    input_tokens, output_tokens = known.input_tokens, known.output_tokens
    if input_tokens is None:
        input_tokens = estimate_tokens(*request_texts) + request_images * TOKENS_PER_IMAGE
    if output_tokens is None:
        output_tokens = estimate_tokens(delivered_text)
    return replace(known, input_tokens=input_tokens, output_tokens=output_tokens)
