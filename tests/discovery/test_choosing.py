"""Models that go away, the lab, and recommendations."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from registry.access.principals import Principal
from registry.catalog.django_registry import DjangoLLMRegistry
from registry.discovery.apply_overrides import apply_overrides
from registry.discovery.lab import LabError, measure
from registry.discovery.overrides import OverridesResolver
from registry.discovery.radar import missing_ranks, remap, retirements, take_successors
from registry.discovery.recommend import recommend
from registry.discovery.refresh import refresh_sources
from registry.models import (
    AccessToken,
    AuditEvent,
    Conversation,
    Credential,
    DiscoveryChange,
    EndpointPolicy,
    Experiment,
    LLMModel,
    Message,
    ModelPrice,
    Preset,
    PresetEntry,
    Provider,
    Route,
    RouteEntry,
    UserSettings,
    Vote,
)
from registry.routing.resolve import Ask, resolve
from registry.usage.ledger import NoLedger
from tests.discovery.test_own_layers import TwoModels
from tests.upstream import Play, SeenRequest, Upstream, json_answer, sse

pytestmark = pytest.mark.django_db
KEY = "sk-PLANTED-choosing-0123456789"


@pytest.fixture
def openai(db: None) -> Provider:
    row = Provider.objects.create(slug="openai", name="OpenAI", adapter="openai", base_url="https://api.openai.com/v1")
    Credential(provider=row).set_secret(KEY)
    return row


def model(provider: Provider, name: str, *, price: tuple[str, str] | None = None, **fields: Any) -> LLMModel:
    can = {name: {"value": "yes", "source": "test"} for name in fields.pop("can", ())}
    row = LLMModel.objects.create(provider=provider, model_id=name, name=name, capabilities=can, **fields)
    if price:
        rates = {"input_per_1m": Decimal(price[0]), "output_per_1m": Decimal(price[1])}
        ModelPrice.objects.create(model=row, source="template", **rates)
    return row


# --- models that go away ----------------------------------------------------------------------------------------------


def in_days(days: int) -> dt.date:
    return timezone.now().date() + dt.timedelta(days=days)


def test_the_radar_tells_who_names_a_model_that_ends_and_what_could_follow(
    openai: Provider, alice: Any, admin: Any
) -> None:
    old = model(openai, "old", retires_on=in_days(30), can=("tools",), quality_tier="balanced", is_default=True)
    model(openai, "blind", quality_tier="balanced")
    near = model(openai, "near", can=("tools", "vision"), quality_tier="balanced")
    far = Provider.objects.create(slug="far", name="Far", adapter="stub", auth_type="none")
    model(far, "elsewhere", can=("tools",), quality_tier="balanced")
    preset = Preset.objects.create(slug="chat", name="Chat", module="chat")
    PresetEntry.objects.create(preset=preset, position=0, model=old, model_ref="openai/old")
    PresetEntry.objects.create(preset=preset, position=1, model=near)
    route = Route.objects.create(name="smart")
    RouteEntry.objects.create(route=route, model=old)
    talk = Conversation.objects.create(owner=alice, llm_model=old, title="private words")
    UserSettings.objects.create(user=alice, default_model=old)
    token, _ = AccessToken.mint(owner=alice, name="narrow", allowed_models=["old", "other"])

    found = retirements()[0]
    assert (found.model, found.state, found.days_left, found.source) == (old, "retiring", 30, "provider")
    assert (found.uses.presets, found.uses.routes, found.uses.tokens) == (("Chat",), ("smart",), ("narrow",))
    assert (found.uses.conversations, found.uses.default_of, found.uses.is_hub_default) == (1, 1, True)
    assert found.successor == near and "same provider" in found.why

    done = remap(old, near, actor=admin)
    assert done.counts == {
        "presets": 1, "routes": 1, "conversations": 1, "defaults": 1, "tokens": 1, "hub default": 1,
    }  # fmt: skip
    talk.refresh_from_db()
    token.refresh_from_db()
    assert talk.llm_model == near and token.allowed_models == ["near", "other"]
    assert [entry.model for entry in preset.entries.all()] == [near], "one rank of a model is enough"
    assert [entry.model for entry in route.entries.all()] == [near]
    assert UserSettings.objects.get(user=alice).default_model == near
    near.refresh_from_db()
    assert near.is_default and not LLMModel.objects.get(pk=old.pk).is_default
    event = AuditEvent.objects.get(action="remap")
    assert event.after["instead"] == "near" and "private words" not in json.dumps(event.after)
    assert retirements()[0].uses.total == 0
    assert remap(old, near, actor=admin).total == 0, "a second time changes nothing"


def test_the_catalogue_knows_dates_that_a_list_does_not_tell(openai: Provider) -> None:
    model(openai, "gpt-4o-mini")
    model(openai, "gpt-6-luna", can=("chat",))
    gone = model(openai, "gone", vanished_at=timezone.now(), enabled=False)
    found = {one.model.name: one for one in retirements(today=dt.date(2026, 11, 20))}
    assert set(found) == {"gpt-4o-mini", "gone"}
    assert (found["gpt-4o-mini"].on, found["gpt-4o-mini"].source) == (dt.date(2027, 1, 14), "catalogue")
    successor = found["gpt-4o-mini"].successor
    assert successor is not None and successor.name == "gpt-6-luna"
    assert found["gone"].state == "vanished" and found["gone"].model == gone


def test_nothing_replaces_a_model_that_not_everybody_sees(openai: Provider, alice: Any, admin: Any) -> None:
    old = model(openai, "old")
    mine = LLMModel.objects.create(provider=openai, owner=alice, model_id="mine", name="mine")
    for bad in (old, mine, model(openai, "off", enabled=False)):
        with pytest.raises(ValueError, match="everybody"):
            remap(old, bad, actor=admin)


def test_a_presets_older_names_are_flagged_and_taken_over(openai: Provider, admin: Any) -> None:
    luna = model(openai, "gpt-6-luna")
    preset = Preset.objects.create(slug="translate", name="Translate", module="translate")
    PresetEntry.objects.create(preset=preset, position=0, model_ref="openai/gpt-4.1-mini", note="Old.")
    PresetEntry.objects.create(preset=preset, position=1, model_ref="openai/gpt-4o-mini")
    PresetEntry.objects.create(preset=preset, position=2, model_ref="openrouter/qwen/qwen-2.5-72b-instruct")
    flagged = [(one.entry.model_ref, one.successor_ref, one.successor) for one in missing_ranks()]
    assert flagged[:2] == [
        ("openai/gpt-4.1-mini", "openai/gpt-6-luna", luna),
        ("openai/gpt-4o-mini", "openai/gpt-6-luna", luna),
    ]
    assert flagged[2][2] is None
    assert take_successors(preset, actor=admin) == 1
    first = preset.entries.get(position=0)
    assert (first.model, first.model_ref) == (luna, "openai/gpt-6-luna") and "gpt-4.1-mini" in first.note
    assert take_successors(preset, actor=admin) == 0


def test_a_module_is_answered_by_todays_successors_where_its_own_models_are_gone(openai: Provider, alice: Any) -> None:
    luna = model(openai, "gpt-6-luna", quality_tier="cheap")
    preset = Preset.objects.create(slug="translate", name="T", module="translate", is_module_default=True)
    for position, name in enumerate(("gpt-4.1-mini", "gpt-4o-mini", "davinci")):
        PresetEntry.objects.create(
            preset=preset, position=position, model_ref=f"openai/{name}", options={"temperature": position / 10}
        )
    found = resolve(DjangoLLMRegistry(user_id=alice.pk).fresh(), Ask(module="translate"), Principal(user_id=alice.pk))
    assert [candidate.entry.id for candidate in found.candidates] == [luna.pk]
    assert "in the place of openai/gpt-4.1-mini" in found.candidates[0].reason
    assert found.candidates[0].options == {"temperature": 0.0}
    assert [drop.name for drop in found.dropped] == ["openai/davinci"]


# --- recommendations --------------------------------------------------------------------------------------------------


def test_models_are_ranked_with_reasons_by_what_is_known_of_them(openai: Provider, alice: Any) -> None:
    can = ("json_mode", "tools")
    model(openai, "dear", price=("10", "40"), quality_tier="balanced", can=can)
    cheap = model(openai, "cheap", price=("1", "4"), quality_tier="balanced", can=can, speed_tps=90.0)
    model(openai, "twin", price=("1", "4"), quality_tier="balanced", can=can, speed_tps=90.0)
    model(openai, "unable", price=("0", "0"), quality_tier="best")
    ranked = recommend(alice, module="translate", prompt="x" * 4000)
    assert [one.entry.name for one in ranked] == ["cheap", "twin", "dear"], "ties by name; what can't is left out"
    assert "has json mode" in ranked[0].reasons and "90 tokens/s measured" in ranked[0].reasons
    assert ranked[0].cost == Decimal("0.003000")
    talk = Conversation.objects.create(owner=alice)
    experiment = Experiment.objects.create(owner=alice, conversation=talk, prompt="p")
    variants = {
        row.name: Message.objects.create(
            conversation=talk, role="assistant", content="c", llm_model=row, experiment=experiment
        )
        for row in (cheap, LLMModel.objects.get(name="twin"))
    }
    Vote.objects.create(experiment=experiment, owner=alice, winner=variants["twin"])
    again = recommend(alice, module="translate")
    assert again[0].entry.name == "twin" and "won 1 of 1 comparisons" in again[0].reasons
    assert "won 0 of 1 comparisons" in again[1].reasons


def test_a_long_prompt_asks_for_room(openai: Provider, alice: Any) -> None:
    model(openai, "small", context_length=8_000)
    model(openai, "large", context_length=200_000)
    assert [one.entry.name for one in recommend(alice, prompt="word " * 20_000)] == ["large"]


# --- the lab ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    EndpointPolicy.objects.create(target="127.0.0.0/8")
    with Upstream() as server:
        yield server


def lab_model(upstream: Upstream, *, price: tuple[str, str] | None = ("1", "2"), **fields: Any) -> LLMModel:
    provider = Provider.objects.create(
        slug="lab", name="Lab", adapter="openai_compatible", base_url=f"{upstream.base_url}/v1"
    )
    Credential(provider=provider).set_secret(KEY)
    return model(provider, "lab-model", price=price, **fields)


def answer_like_a_model(request: SeenRequest) -> Play:
    body = request.json
    usage = {"prompt_tokens": 10, "completion_tokens": 21, "total_tokens": 31}
    message: dict[str, Any] = {"role": "assistant", "content": "ok"}
    if body.get("stream"):
        pieces = [{"choices": [{"index": 0, "delta": {"content": f"{n} "}}]} for n in range(20)]
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
        events = [json.dumps({"id": "1", "model": "m", **piece}) for piece in (*pieces, last)]
        return sse([*events, "[DONE]"], pause_s=0.005)
    if body.get("tools"):
        call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    if body.get("response_format"):
        message["content"] = '{"city": "Paris", "country": "France"}'
    if "image_url" in json.dumps(body):
        return json_answer({"error": {"message": "no images here", "type": "invalid_request_error"}}, status=400)
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json_answer({"id": "1", "model": "m", "choices": [choice], "usage": usage})


def test_the_lab_measures_and_keeps_answers_with_evidence(upstream: Upstream, admin: Any) -> None:
    upstream.on("GET", "/v1/models", json_answer({"data": [{"id": "lab-model"}]}))
    upstream.on("POST", "/v1/chat/completions", answer_like_a_model)
    row = lab_model(upstream)
    row.set_capability("tools", "no", source="admin")
    row.save()
    report = measure(row, admin, ceiling_usd=Decimal("1"), ledger=NoLedger())
    assert {step.step: step.answer for step in report.steps} == {
        "list": "yes", "chat": "yes", "stream": "yes", "tools": "yes", "vision": "no", "json_schema": "yes",
    }  # fmt: skip
    row.refresh_from_db()
    assert row.capability("streaming") == "yes" and row.capability("vision") == "no"
    assert row.capabilities["streaming"]["source"] == "measured"
    assert row.capabilities["streaming"]["evidence"]["first_token_ms"] is not None
    assert row.capability("tools") == "no", "an admin's answer stays"
    assert row.speed_tps is not None and row.speed_tps > 0
    assert report.spent > 0


def test_the_lab_begins_nothing_that_could_pass_the_ceiling(upstream: Upstream, admin: Any) -> None:
    upstream.on("GET", "/v1/models", json_answer({"data": []}))
    upstream.on("POST", "/v1/chat/completions", answer_like_a_model)
    report = measure(lab_model(upstream), admin, ceiling_usd=Decimal("0.0001"), ledger=NoLedger())
    left_out = [step.step for step in report.steps if "ceiling" in step.detail]
    assert left_out == ["stream", "tools", "vision", "json_schema"]
    assert len([one for one in upstream.requests if one.method == "POST"]) == 1


def test_the_lab_measures_no_unpriced_and_no_disabled_model(upstream: Upstream, admin: Any) -> None:
    row = lab_model(upstream, price=None)
    with pytest.raises(LabError, match="price"):
        measure(row, admin, ledger=NoLedger())
    row.enabled = False
    row.save()
    with pytest.raises(LabError, match="enabled"):
        measure(row, admin, allow_unpriced=True, ledger=NoLedger())
    assert upstream.requests == []


# --- one's own layers in the rows -------------------------------------------------------------------------------------


def test_overrides_reach_the_rows_once_and_leave_an_admins_word(tmp_path: Path, openai: Provider) -> None:
    row = model(openai, "llama-3-custom", price=("1", "2"))
    row.set_capability("vision", "no", source="admin")
    row.save()
    path = tmp_path / "o.yaml"
    path.write_text(
        "models:\n  - {provider: openai, name: llama-3-*, capabilities: {supports_tools: true, supports_vision: true,"
        " max_context: 100000, input_cost_per_1m: 0.0, tags: [house]}}\n  - {name: nobody}\n"
    )
    resolver = OverridesResolver(path)
    first = apply_overrides(resolver)
    assert (first.changed, first.unmatched) == (["openai/llama-3-custom"], ["*/nobody"])
    row.refresh_from_db()
    assert row.capabilities["tools"]["source"] == "overrides" and row.capability("vision") == "no"
    price = row.price_at()
    assert price is not None and (price.input_per_1m, price.output_per_1m) == (Decimal(0), Decimal(2))
    assert (row.context_length, row.tags) == (100_000, ["house"])
    assert apply_overrides(resolver).changed == [], "a second run changes nothing"


def test_ones_own_source_brings_models_to_registered_providers(openai: Provider) -> None:
    class Broken:
        async def discover(self) -> list[Any]:
            raise RuntimeError("no network")

    outcomes, errors = refresh_sources([TwoModels(), Broken()])
    assert [(one.provider.slug, [change.upstream_id for change in one.changes]) for one in outcomes] == [
        ("openai", ["ft:gpt-4o-mini:acme::1"])
    ]
    assert "no network" in errors["Broken"] and "custom_proxy" in errors
    assert not LLMModel.objects.exists()
    refresh_sources([TwoModels()], apply=True)
    assert LLMModel.objects.get().model_id == "ft:gpt-4o-mini:acme::1"
    outcomes, _ = refresh_sources([TwoModels()], apply=True)
    assert outcomes[0].changes == []
    assert DiscoveryChange.objects.filter(applied_at__isnull=True).count() == 0
