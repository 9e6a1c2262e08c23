"""The catalogue's filters, its pages of rows, and a model's own page."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.models import LLMModel, ModelPrice, Preset, PresetEntry, Provider, UsageRollup
from registry.usage import rollup
from tests.web.conftest import signed_in

PARTIAL = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def shelf(alice: Any, openai: Provider, stub: LLMModel) -> Provider:
    """Besides gpt-6-luna ($0.1, tools yes, vision no, 1.05M) and the stub: one dear, one personal."""
    dear = LLMModel.objects.create(
        provider=openai, model_id="sol", name="sol", tier="premium", context_length=8000, aliases=["sunny"],
        capabilities={"vision": {"value": "yes", "source": "probe", "date": "2026-05-01"},
                      "tools": {"value": "unknown"}},
    )  # fmt: skip
    ModelPrice.objects.create(model=dear, input_per_1m=Decimal("2"), output_per_1m=Decimal("10"), source="list")
    LLMModel.objects.create(provider=openai, owner=alice, model_id="mine", name="mine", speed_tps=300)
    return openai


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=sunny", ["sol"]),
        ("q=open+luna", ["gpt-6-luna"]),
        ("can_tools=yes", ["gpt-6-luna"]),
        ("can_tools=unknown", ["mine", "sol", "stub"]),
        ("can_vision=no", ["gpt-6-luna"]),
        ("can_vision=unknown", ["mine", "stub"]),
        ("max_input=0.5", ["gpt-6-luna"]),
        ("min_context=8000", ["gpt-6-luna", "sol"]),
        ("tier=premium", ["sol"]),
        ("tag=fast", ["gpt-6-luna"]),
        ("owned=own", ["mine"]),
        ("sort=price&owned=shared", ["gpt-6-luna", "sol", "stub"]),
        ("sort=speed", ["mine", "gpt-6-luna", "sol", "stub"]),
        ("sort=context&owned=shared", ["gpt-6-luna", "sol", "stub"]),
        ("can_tools=perhaps&max_input=NaN&provider=x&sort=%00", ["gpt-6-luna", "mine", "sol", "stub"]),
    ],
)
def test_each_filter_narrows_as_it_says(alice: Any, shelf: Provider, query: str, names: list[str]) -> None:
    page = signed_in(alice).get(f"/models/?{query}")
    assert [choice.model.name for choice in page.context["choices"]] == names


@pytest.mark.parametrize("view", ["", "cards"])
def test_two_thousand_models_come_by_the_screenful(alice: Any, openai: Provider, view: str) -> None:
    rows = [LLMModel(provider=openai, model_id=f"m{n:04}", name=f"m{n:04}", tags=["many"]) for n in range(2000)]
    LLMModel.objects.bulk_create(rows)
    client = signed_in(alice)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        first = client.get(f"/models/?tag=many&view={view}")
    assert len(first.content) < 120_000 and len(queries) < 15
    assert first.content.decode().count("/playground/?model=") == 40
    more = client.get(f"/models/?tag=many&view={view}&page=50", **PARTIAL).content.decode()
    assert more.count("/playground/?model=") == 40 and "m1999" in more
    assert "<html" not in more and "revealed" not in more
    whole = client.get("/models/?tag=many", HTTP_HX_TARGET="results", **PARTIAL).content.decode()
    assert "2000 models" in whole and "page=2" in whole


def test_a_models_page_says_what_is_known_and_by_whom(alice: Any, shelf: Provider) -> None:
    model = LLMModel.objects.get(name="sol")
    ModelPrice.objects.create(
        model=model, input_per_1m=Decimal("4"), effective_from=timezone.now() - dt.timedelta(days=30), source="old list"
    )
    preset = Preset.objects.create(slug="chat", name="Chat", module="chat")
    PresetEntry.objects.create(preset=preset, position=3, model=model)
    UsageRollup.objects.create(
        hour=timezone.now().replace(minute=0, second=0, microsecond=0), user_key=alice.pk, model_key=model.pk,
        digest="d", calls=2,
        output_tokens=100, latency_ms=4000, first_token_ms=600, first_token_calls=2, cost=Decimal("0.5"),
    )  # fmt: skip
    rollup.renew_days()
    page = signed_in(alice).get(f"/models/{model.pk}/")
    evidence = {row.label: (row.value, row.source, row.date) for row in page.context["evidence"]}
    assert evidence["vision"] == ("yes", "probe", "2026-05-01")
    assert evidence["tools"][0] == evidence["reasoning"][0] == "unknown"
    assert [price.source for price in page.context["prices"]] == ["list", "old list"]
    assert [line["values"] for line in page.context["price_chart"]["series"]] == [[4.0, 2.0, 2.0], [None, 10.0, 10.0]]
    assert page.context["tokens_per_s"] == 25
    text = page.content.decode()
    assert "preset:chat" in text and "sunny" in text and "0.30 s" in text and "$0.50" in text


def test_a_model_without_price_or_usage_has_a_page_too(alice: Any, charlie: Any, shelf: Provider) -> None:
    mine = LLMModel.objects.get(name="mine")
    page = signed_in(alice).get(f"/models/{mine.pk}/")
    assert page.context["tokens_per_s"] is None and "not nothing" in page.content.decode()
    assert signed_in(charlie).get(f"/models/{mine.pk}/").status_code == 404
