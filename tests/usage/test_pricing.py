"""Money: by hand for the vendors' own examples, by property for everything else."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.types import Usage
from registry.catalog.entries import PriceEntry
from registry.models import PRICE_FIELDS
from registry.usage.ledger import Cost
from registry.usage.pricing import cost_of, estimate_tokens, estimate_usage, is_free

COMPONENTS = ("input", "output", "cache_read", "cache_write", "reasoning", "image", "fee")


def price(**rates: str) -> PriceEntry:
    return PriceEntry(
        id="p1",
        effective_from=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        rates={name: Decimal(rate) for name, rate in rates.items()},
    )


def components(cost: Cost) -> dict[str, Decimal]:
    return {name: value for name in COMPONENTS if (value := getattr(cost, name)) is not None}


SONNET = price(
    input_per_1m="3", output_per_1m="15", cache_read_per_1m="0.30", cache_write_per_1m="3.75",
    cache_write_1h_per_1m="6",
)  # fmt: skip
GPT = price(input_per_1m="1.25", output_per_1m="10", cache_read_per_1m="0.125")


def test_anthropic_cached_call_by_hand() -> None:
    """21 new tokens, 188,086 read, 2,000 written of which 500 for an hour, 393 out: Anthropic's input excludes the
    cached ones, ours includes them."""
    usage = Usage(
        input_tokens=21 + 188_086 + 2_000, output_tokens=393, cache_read_tokens=188_086, cache_write_tokens=2_000,
        cache_write_1h_tokens=500,
    )  # fmt: skip
    cost = cost_of(usage, SONNET)
    assert components(cost) == {
        "input": Decimal("0.000063"),
        "cache_read": Decimal("0.0564258"),
        "cache_write": Decimal("0.005625") + Decimal("0.003"),
        "output": Decimal("0.005895"),
    }
    assert (cost.total, cost.status, cost.price_id) == (Decimal("0.0710088"), "exact", "p1")


def test_openai_cached_and_reasoning_call_by_hand() -> None:
    """2,006 in of which 1,920 cached, 300 out of which 192 reasoning, which OpenAI bills as output."""
    usage = Usage(input_tokens=2006, output_tokens=300, cache_read_tokens=1920, reasoning_tokens=192)
    cost = cost_of(usage, GPT)
    assert components(cost) == {
        "input": Decimal("0.0001075"),
        "cache_read": Decimal("0.00024"),
        "output": Decimal("0.00108"),
        "reasoning": Decimal("0.00192"),
    }
    assert (cost.total, cost.status) == (Decimal("0.0033475"), "exact")


def test_a_fee_is_a_percentage_of_everything() -> None:
    cost = cost_of(Usage(input_tokens=1_000_000, output_tokens=0), GPT, fee_percent=Decimal("5.5"))
    assert (cost.input, cost.fee, cost.total) == (Decimal("1.25"), Decimal("0.06875"), Decimal("1.31875"))


def test_a_price_per_request_counts_once() -> None:
    entry = price(input_per_1m="1", output_per_1m="1", per_request="0.01")
    cost = cost_of(Usage(input_tokens=1_000_000), entry, fee_percent=Decimal(10))
    assert (cost.fee, cost.total) == (Decimal("0.111"), Decimal("1.111"))


@pytest.mark.parametrize(
    ("usage", "entry"),
    [
        (Usage(input_tokens=10, output_tokens=10), None),
        (Usage(input_tokens=10, output_tokens=10), price(input_per_1m="1")),
        (Usage(input_tokens=10, output_tokens=10), price(output_per_1m="1")),
        (Usage(), price(input_per_1m="1", output_per_1m="1")),
        (Usage(), price(input_per_1m="1", output_per_1m="1", per_request="1")),
        (Usage(input_tokens=10), price()),
    ],
    ids=["no price", "no output price", "no input price", "no usage", "no usage but a price per call", "empty price"],
)
def test_what_has_no_known_cost_is_unknown_and_never_zero(usage: Usage, entry: PriceEntry | None) -> None:
    cost = cost_of(usage, entry)
    assert (cost.total, cost.status) == (None, "unpriced")


def test_a_kind_that_was_not_used_needs_no_price() -> None:
    assert cost_of(Usage(input_tokens=1_000_000, output_tokens=0), price(input_per_1m="2")).total == 2


def test_the_known_parts_of_an_unpriced_call_are_told() -> None:
    cost = cost_of(Usage(input_tokens=1_000_000, output_tokens=5), price(input_per_1m="2"))
    assert (cost.total, cost.input, cost.output) == (None, 2, None)


def test_a_free_model_costs_exactly_nothing_even_unreported() -> None:
    free = price(input_per_1m="0", output_per_1m="0")
    assert is_free(free)
    for usage in (Usage(), Usage(input_tokens=5, output_tokens=5, cache_read_tokens=3)):
        cost = cost_of(usage, free)
        assert (cost.total, cost.status) == (0, "exact")


def test_a_model_with_an_unknown_price_is_not_free() -> None:
    assert not is_free(None)
    assert not is_free(price())
    assert not is_free(price(input_per_1m="0"))
    assert not is_free(price(input_per_1m="0", output_per_1m="0", per_request="0.01"))


def test_a_cache_kind_without_a_price_costs_as_input_and_says_estimated() -> None:
    entry = price(input_per_1m="2", output_per_1m="4")
    usage = Usage(input_tokens=1_000_000, output_tokens=0, cache_read_tokens=400_000, cache_write_tokens=100_000)
    cost = cost_of(usage, entry)
    assert (cost.input, cost.cache_read, cost.cache_write) == (Decimal(1), Decimal("0.8"), Decimal("0.2"))
    assert (cost.total, cost.status) == (2, "estimated")


def test_estimated_usage_gives_an_estimated_cost() -> None:
    assert cost_of(Usage(input_tokens=10, output_tokens=1), GPT, estimated=True).status == "estimated"


def test_audio_and_images_leave_their_side_only_where_they_are_priced_apart() -> None:
    usage = Usage(
        input_tokens=1_000_000, output_tokens=1_000_000, audio_input_tokens=200_000, image_input_tokens=100_000,
        audio_output_tokens=500_000, image_output_tokens=250_000,
    )  # fmt: skip
    plain = price(input_per_1m="1", output_per_1m="2")
    assert components(cost_of(usage, plain)) == {"input": 1, "output": 2}
    apart = price(
        input_per_1m="1", output_per_1m="2", audio_input_per_1m="10", image_input_per_1m="20",
        audio_output_per_1m="30", image_output_per_1m="40",
    )  # fmt: skip
    cost = cost_of(usage, apart)
    assert (cost.input, cost.output, cost.image) == (Decimal("2.7"), Decimal("15.5"), Decimal("12"))


def test_images_are_paid_by_piece_where_that_is_the_price() -> None:
    entry = price(per_image="0.04")
    assert cost_of(Usage(), entry, images=3).total == Decimal("0.12")
    assert cost_of(Usage(), price(input_per_1m="1"), images=3).total is None


def test_counts_below_zero_cost_nothing() -> None:
    """new-api took a provider's negative input for a credit."""
    cost = cost_of(Usage(input_tokens=-500, output_tokens=100, cache_read_tokens=-3), GPT)
    assert cost.total == Decimal("0.001")


counts = st.none() | st.integers(min_value=-5, max_value=10**9)
usages = st.builds(
    Usage,
    **{
        name: counts
        for name in (
            "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
            "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_input_tokens",
            "image_output_tokens",
        )
    },
)  # fmt: skip
amounts = st.decimals(min_value=0, max_value=Decimal("99999999"), places=6)
prices = st.dictionaries(st.sampled_from(PRICE_FIELDS), amounts).map(
    lambda rates: PriceEntry(id=1, effective_from=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), rates=rates)
)
fees = st.decimals(min_value=0, max_value=100, places=3)


@given(usages, prices, fees, st.integers(0, 10))
def test_components_always_add_up(usage: Usage, entry: PriceEntry, fee: Decimal, images: int) -> None:
    cost = cost_of(usage, entry, fee_percent=fee, images=images)
    parts = components(cost)
    assert all(part >= 0 for part in parts.values())
    if cost.total is None:
        assert cost.status == "unpriced"
    else:
        assert cost.status in ("exact", "estimated")
        assert sum(parts.values(), Decimal(0)) == cost.total
        assert cost.total == cost.total.quantize(Decimal("1e-9"))


@given(usages, prices, fees, st.integers(1, 10**6), st.sampled_from(["input_tokens", "output_tokens"]))
def test_more_tokens_never_cost_less(usage: Usage, entry: PriceEntry, fee: Decimal, more: int, name: str) -> None:
    before = cost_of(usage, entry, fee_percent=fee)
    after = cost_of(replace(usage, **{name: (getattr(usage, name) or 0) + more}), entry, fee_percent=fee)
    if before.total is not None and after.total is not None:
        assert after.total >= before.total


@given(usages, prices)
def test_a_used_kind_without_any_price_is_never_priced(usage: Usage, entry: PriceEntry) -> None:
    rates = {name: rate for name, rate in entry.rates.items() if name not in ("output_per_1m", "reasoning_per_1m")}
    if (usage.output_tokens or 0) > sum(
        max(count or 0, 0) for count in (usage.reasoning_tokens, usage.audio_output_tokens, usage.image_output_tokens)
    ):
        assert cost_of(usage, replace(entry, rates=rates)).total is None


def test_estimates_are_near_what_tokenizers_count() -> None:
    english = "The quick brown fox jumps over the lazy dog, and nobody in the village was surprised by it. " * 20
    assert 300 <= estimate_tokens(english) <= 600  # o200k counts 421
    assert estimate_tokens("人工智能正在改变我们的生活方式" * 20) == 200
    assert estimate_tokens("") == 0
    assert estimate_tokens("a") == 1
    assert estimate_tokens("\ud800") == 1  # a client's lone surrogate


@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text(one: str, two: str) -> None:
    assert estimate_tokens(one + two) >= max(estimate_tokens(one), estimate_tokens(two))


def test_an_estimate_keeps_what_the_provider_did_report() -> None:
    usage = estimate_usage(["a" * 400], "b" * 40, partial=Usage(input_tokens=77, cache_read_tokens=50))
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (77, 10, 50)
    guessed = estimate_usage(["a" * 400, "c" * 40], request_images=1)
    assert (guessed.input_tokens, guessed.output_tokens) == (1110, 0)
