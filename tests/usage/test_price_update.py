"""Prices from the bundled list: what costs come out by hand, what is overridden, and what an update would change."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal as D
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from adapters.types import Usage
from registry.catalog.rows import read_prices
from registry.models import LLMModel, ModelPrice, Provider
from registry.usage import price_list
from registry.usage.price_list import find_listing
from registry.usage.price_update import apply_prices, plan_prices
from registry.usage.pricing import cost_of

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"
GOOGLE, DEEPSEEK = "https://generativelanguage.googleapis.com/v1beta", "https://api.deepseek.com/v1"


def make_model(base_url: str, model_id: str, *, slug: str = "p", **fields: Any) -> LLMModel:
    provider, _ = Provider.objects.get_or_create(
        slug=slug, defaults={"name": slug, "adapter": "openai_compatible", "base_url": base_url}
    )
    return LLMModel.objects.create(provider=provider, model_id=model_id, name=model_id, **fields)


def update(*arguments: str) -> str:
    said = StringIO()
    call_command("update_prices", *arguments, stdout=said)
    return said.getvalue()


def cost(model: LLMModel, **usage: int) -> Any:
    return cost_of(Usage(**usage), read_prices([model.pk])[model.pk][0])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("base_url", "model_id", "usage", "parts"),
    [
        (  # 2.50 in, 1.25 cached, 10 out
            OPENAI,
            "gpt-4o",
            {"input_tokens": 10_000, "cache_read_tokens": 4_000, "output_tokens": 1_000},
            {"input": D("0.015"), "cache_read": D("0.005"), "output": D("0.01")},
        ),
        (  # 3 in, 0.30 read, 3.75 written for 5 minutes, 6 for an hour, 15 out
            ANTHROPIC,
            "claude-sonnet-4-5",
            {
                "input_tokens": 100_000,
                "cache_read_tokens": 50_000,
                "cache_write_tokens": 30_000,
                "cache_write_1h_tokens": 10_000,
                "output_tokens": 2_000,
            },
            {"input": D("0.06"), "cache_read": D("0.015"), "cache_write": D("0.135"), "output": D("0.03")},
        ),
        (  # above 200,000 tokens of input everything costs more: 6 in, 0.60 read, 22.50 out
            ANTHROPIC,
            "claude-sonnet-4-5",
            {"input_tokens": 300_000, "cache_read_tokens": 100_000, "output_tokens": 1_000},
            {"input": D("1.2"), "cache_read": D("0.06"), "output": D("0.0225")},
        ),
        (  # 2.50 in and 15 out above 200,000
            GOOGLE,
            "gemini-2.5-pro",
            {"input_tokens": 200_001, "output_tokens": 1_000, "reasoning_tokens": 400},
            {"input": D("0.5000025"), "output": D("0.009"), "reasoning": D("0.006")},
        ),
        (  # exactly 200,000: still 1.25 and 10
            GOOGLE,
            "gemini-2.5-pro",
            {"input_tokens": 200_000, "output_tokens": 1_000},
            {"input": D("0.25"), "output": D("0.01")},
        ),
    ],
)
def test_a_listed_models_cost_by_hand(base_url: str, model_id: str, usage: dict[str, int], parts: dict[str, D]) -> None:
    model = make_model(base_url, model_id)
    apply_prices(plan_prices([model]))
    found = cost(model, **usage)
    assert {name: getattr(found, name) for name in parts} == parts
    assert (found.total, found.status) == (sum(parts.values()), "exact")


def test_a_price_that_varies_by_the_hour_is_the_dearest_and_says_so() -> None:
    listing = find_listing(DEEPSEEK, "deepseek-chat", at=NOW)
    assert listing is not None
    assert listing.current.rates["input_per_1m"] == D("0.27")
    assert "prices by time of day (the dearest is taken)" in listing.not_carried


@pytest.mark.parametrize(
    ("base_url", "model_id"),
    [
        ("https://llm.example.com/v1", "gpt-4o"),  # a proxy's prices are its owner's
        ("https://evil.example/api.openai.com/v1", "gpt-4o"),
        ("https://api.openai.com.evil.example/v1", "gpt-4o"),
        (OPENAI, "no-such-model"),
        ("http://127.0.0.1:11434", "llama3"),
    ],
)
def test_what_the_list_does_not_know_stays_unknown(base_url: str, model_id: str) -> None:
    assert find_listing(base_url, model_id, at=NOW) is None


@pytest.mark.django_db
def test_showing_writes_nothing_and_applying_twice_writes_once() -> None:
    make_model(OPENAI, "gpt-4o")
    shown = update()
    assert "new p/gpt-4o" in shown and "input_per_1m: unknown -> 2.5" in shown
    assert "web_searches_kcount" in shown and "other prices by processing, service_tier" in shown
    assert not ModelPrice.objects.exists()
    assert update("--dry-run") == shown
    assert "1 prices written" in update("--apply")
    row = ModelPrice.objects.get()
    assert row.source.startswith("genai-prices ") and row.reasoning_per_1m is None
    assert "0 prices written" in update("--apply")
    assert ModelPrice.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("source", ["admin", "api", "registry.json", "discovery"])
def test_a_persons_price_is_never_replaced_and_is_shown(source: str) -> None:
    model = make_model(OPENAI, "gpt-4o")
    own = ModelPrice.objects.create(model=model, input_per_1m=D(7), output_per_1m=D(8), source=source)
    said = update("--apply")
    assert "kept p/gpt-4o" in said and "input_per_1m: 7 -> 2.5" in said and "0 prices written" in said
    assert list(ModelPrice.objects.all()) == [own]


@pytest.mark.django_db
def test_a_template_s_price_is_followed_from_now_on_and_stays_for_what_was_called() -> None:
    model = make_model(OPENAI, "gpt-4o")
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    ModelPrice.objects.create(model=model, input_per_1m=D(9), effective_from=yesterday, source="template")
    assert "changed p/gpt-4o" in update("--apply")
    assert model.price_at(yesterday).input_per_1m == D(9)
    assert model.price_at().input_per_1m == D("2.5")


@pytest.mark.django_db
def test_an_admin_overrides_the_list_from_a_date_on() -> None:
    model = make_model(OPENAI, "gpt-4o")
    update("--apply")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    ModelPrice.objects.create(model=model, input_per_1m=D(1), effective_from=later, source="admin")
    assert "0 prices written" in update("--apply")
    assert model.price_at().input_per_1m == D("2.5")
    assert model.price_at(later).input_per_1m == D(1)


@pytest.mark.django_db
def test_a_price_that_the_list_announces_comes_into_force_on_its_day() -> None:
    """gpt-4o-like entries change on known dates; seen from before, the later price is one to come."""
    dated = next(
        (provider, model, constraint.start_date)
        for provider in price_list._providers()
        if provider.id in ("openai", "anthropic", "google", "mistral", "groq", "x-ai", "deepseek")
        for model in provider.models
        if isinstance(model.prices, list)
        for constraint in [model.prices[-1].constraint]
        if hasattr(constraint, "start_date") and len(model.prices) == 2 and model.prices[0].constraint is None
    )
    provider, listed, start = dated
    base_url = {
        "openai": OPENAI,
        "anthropic": ANTHROPIC,
        "google": GOOGLE,
        "mistral": "https://api.mistral.ai/v1",
        "groq": "https://api.groq.com/openai/v1",
        "x-ai": "https://api.x.ai/v1",
        "deepseek": DEEPSEEK,
    }[provider.id]
    day = dt.datetime.combine(start, dt.time(), dt.UTC)
    model = make_model(base_url, listed.id)
    before = day - dt.timedelta(days=1)
    plan = plan_prices([model], at=before)
    assert [change.kind for change in plan] == ["new", "coming"]
    apply_prices(plan)
    assert plan_prices([LLMModel.objects.get()], at=before) == []
    assert plan_prices([LLMModel.objects.get()], at=day + dt.timedelta(days=1)) == []
    assert model.price_at(day).pk != model.price_at(before).pk


@pytest.mark.parametrize(
    "tiers",
    [
        {},
        [1],
        [{"input_per_1m": "1"}],
        [{"above_input_tokens": 0, "input_per_1m": "1"}],
        [{"above_input_tokens": True}],
        [{"above_input_tokens": 5, "input_per_1m": 1.5}],
        [{"above_input_tokens": 5, "input_per_1m": "-1"}],
        [{"above_input_tokens": 5, "input_per_1m": "NaN"}],
        [{"above_input_tokens": 5, "price": "1"}],
        [{"above_input_tokens": 5}, {"above_input_tokens": 5}],
    ],
)
def test_tiers_that_say_no_price_are_refused(tiers: Any) -> None:
    with pytest.raises(ValidationError):
        ModelPrice(tiers=tiers).clean()


def test_the_hub_does_not_load_the_list_until_it_is_asked_for() -> None:
    code = "import sys, registry.usage.price_list; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
