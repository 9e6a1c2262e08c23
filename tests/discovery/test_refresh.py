"""Discovery against servers on loopback: new, changed, vanished; shown first, applied when told, never twice."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from registry.discovery.refresh import apply_changes, refresh_providers
from registry.models import (
    Credential,
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    LLMModel,
    ModelPrice,
    Preset,
    PresetEntry,
    Provider,
    RegistryChange,
)
from tests.upstream import Upstream, json_answer, stall_before_headers

pytestmark = pytest.mark.django_db
KEY = "sk-PLANTED-discovery-0123456789"
ROUTER = {
    "data": [
        {
            "id": "acme/wide",
            "name": "Acme: Wide",
            "context_length": 200_000,
            "pricing": {"prompt": "0.000002", "completion": "0.00001"},
            "supported_parameters": ["tools", "response_format"],
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        },
        {"id": "acme/small", "context_length": 8_000},
    ]
}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    EndpointPolicy.objects.create(target="127.0.0.0/8")
    with Upstream() as server:
        yield server


def add(upstream: Upstream, slug: str, adapter: str = "openrouter", path: str = "/v1", **fields: Any) -> Provider:
    row = Provider.objects.create(slug=slug, name=slug, adapter=adapter, base_url=upstream.base_url + path, **fields)
    if row.auth_type != "none":
        Credential(provider=row).set_secret(KEY)
    return row


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("discover_models", *arguments, stdout=out)
    return out.getvalue()


def state() -> str:
    kept = [list(model.objects.order_by("pk").values()) for model in (LLMModel, ModelPrice, RegistryChange)]
    return json.dumps(kept, default=str)


def test_what_is_found_is_shown_before_anything_is_made(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    add(upstream, "router")
    out = run()
    assert "router: 2 models, 2 changes" in out and "new acme/wide" in out
    assert not LLMModel.objects.exists()
    change = DiscoveryChange.objects.get(upstream_id="acme/wide")
    assert change.kind == "new" and change.applied_at is None and change.run.state == "done"
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_applied_models_hold_what_the_provider_said_and_wait_disabled(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    add(upstream, "router")
    assert "2 applied" in run("--apply")
    model = LLMModel.objects.get(model_id="acme/wide")
    assert not model.enabled and model.context_length == 200_000 and model.description == "Acme: Wide"
    assert (model.capability("tools"), model.capability("vision"), model.capability("reasoning")) == (
        "yes",
        "yes",
        "no",
    )
    assert model.capabilities["tools"]["source"] == "discovery" and model.capability("streaming") == "unknown"
    price = model.price_at()
    assert price is not None and (price.input_per_1m, price.output_per_1m) == (Decimal(2), Decimal(10))
    assert LLMModel.objects.get(model_id="acme/small").price_at() is None


def test_a_second_run_changes_nothing(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    add(upstream, "router")
    run("--apply", "--enable")
    assert LLMModel.objects.filter(enabled=True).count() == 2
    before = state()
    assert "router: 2 models, 0 changes, 0 applied" in run("--apply", "--enable")
    assert state() == before


def test_a_vanished_model_is_disabled_and_comes_back(upstream: Upstream) -> None:
    small = {"data": [ROUTER["data"][1]]}
    upstream.on("GET", "/v1/models", json_answer(ROUTER), json_answer(small), json_answer(small), json_answer(ROUTER))
    add(upstream, "router")
    run("--apply", "--enable")
    assert "vanished acme/wide" in run()
    assert LLMModel.objects.get(model_id="acme/wide").enabled
    run("--apply")
    model = LLMModel.objects.get(model_id="acme/wide")
    assert not model.enabled and model.vanished_at is not None
    assert "changed acme/wide (vanished)" in run("--apply")
    model.refresh_from_db()
    assert model.enabled and model.vanished_at is None


def test_what_changed_is_applied_but_a_persons_word_stays(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    provider = add(upstream, "router")
    model = LLMModel(provider=provider, model_id="acme/wide", name="wide", context_length=100)
    model.set_capability("tools", "no", source="admin")
    model.save()
    ModelPrice.objects.create(model=model, input_per_1m=Decimal(1))
    run("--apply")
    model.refresh_from_db()
    change = DiscoveryChange.objects.get(kind="changed")
    assert (change.before["context_length"], change.after["context_length"]) == (100, 200_000)
    assert model.context_length == 200_000 and model.name == "wide"
    assert model.capability("tools") == "no" and model.capability("vision") == "yes"
    price = model.price_at()
    assert price is not None and price.input_per_1m == 1 and "prices" not in change.after


def test_one_failing_provider_hides_no_other(upstream: Upstream) -> None:
    upstream.on("GET", "/good/models", json_answer({"data": [{"id": "m"}]}))
    upstream.on("GET", "/bad/models", json_answer({"error": {"message": f"bad key {KEY}"}}, status=401))
    upstream.on("GET", "/slow/models", stall_before_headers())
    for slug in ("bad", "good", "slow"):
        add(upstream, slug, "openai_compatible", f"/{slug}")
    out = io.StringIO()
    with pytest.raises(CommandError, match="bad, slow"):
        call_command("discover_models", "--apply", "--deadline", "1", stdout=out)
    assert "good: 1 models, 1 changes, 1 applied" in out.getvalue() and "PLANTED" not in out.getvalue()
    assert LLMModel.objects.get().provider.slug == "good"
    runs = {row.provider.slug: row for row in DiscoveryRun.objects.select_related("provider") if row.provider}
    assert {slug: row.state for slug, row in runs.items()} == {"bad": "failed", "good": "done", "slow": "failed"}
    assert "within 1 seconds" in runs["slow"].error and "PLANTED" not in runs["bad"].error
    assert Provider.objects.get(slug="good").health_state == "ok"
    assert Provider.objects.get(slug="slow").health_state == "failing"


def test_providers_are_asked_at_the_same_time(upstream: Upstream) -> None:
    for slug in ("one", "two", "three"):
        upstream.on("GET", f"/{slug}/models", stall_before_headers())
        add(upstream, slug, "openai_compatible", f"/{slug}")
    outcomes = refresh_providers(Provider.objects.all(), deadline_s=1.0)
    assert all(outcome.error for outcome in outcomes)
    started = [seen.received_at for seen in upstream.requests]
    assert len(started) == 3 and max(started) - min(started) < 1.0


def test_only_the_named_one_is_asked_and_disabled_ones_are_left_alone(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    add(upstream, "one")
    add(upstream, "two")
    add(upstream, "off", enabled=False)
    assert "two" not in run("--provider", "one")
    assert "off" not in run()
    with pytest.raises(CommandError, match="nothing"):
        run("--provider", "nothing")


def test_an_address_that_is_not_opened_is_not_called(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    add(upstream, "router")
    EndpointPolicy.objects.all().delete()
    with pytest.raises(CommandError):
        run()
    assert upstream.requests == []


def test_ollamas_latest_is_the_model_itself_and_an_empty_list_is_believed(upstream: Upstream) -> None:
    tags = {"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest", "details": {}}]}
    upstream.on("GET", "/api/tags", json_answer(tags), json_answer({"models": []}))
    provider = add(upstream, "ollama", "ollama", "", auth_type="none")
    LLMModel.objects.create(provider=provider, model_id="llama3.2", name="llama3.2")
    assert "0 changes" in run()
    assert "vanished llama3.2" in run()


def test_a_vendors_empty_list_and_azures_list_make_nothing_vanish(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer({"data": []}))
    for path in ("/openai/v1/models", "/openai/models"):
        upstream.on("GET", path, json_answer({"data": [{"id": "gpt-4o"}]}))
    for provider in (add(upstream, "router"), add(upstream, "azure", "azure_openai", "", auth_type="api_key")):
        LLMModel.objects.create(provider=provider, model_id="mine", name=f"mine-{provider.slug}")
    assert "vanished" not in run()


def test_a_provider_without_a_list_says_so_and_changes_nothing(upstream: Upstream) -> None:
    provider = add(upstream, "plain", "openai_compatible")
    LLMModel.objects.create(provider=provider, model_id="mine", name="mine")
    (outcome,) = refresh_providers([provider], apply=True)
    assert outcome.error == "The provider has no list of models." and LLMModel.objects.get().enabled


def test_one_change_of_a_run_can_be_applied_alone(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    (outcome,) = refresh_providers([add(upstream, "router")])
    wanted = next(change for change in outcome.changes if change.upstream_id == "acme/small")
    assert apply_changes(outcome.run, changes=[wanted.pk], enable_new=True) == 1
    assert LLMModel.objects.get().model_id == "acme/small" and LLMModel.objects.get().enabled


def test_a_presets_wanted_model_is_linked_when_it_is_found(upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ROUTER))
    add(upstream, "router")
    preset = Preset.objects.create(slug="chat", name="Chat", module="chat")
    entry = PresetEntry.objects.create(preset=preset, position=0, model_ref="router/acme/small")
    run("--apply")
    entry.refresh_from_db()
    assert entry.model is not None and entry.model.model_id == "acme/small"


def test_a_list_that_cant_be_kept_stops_no_other_provider(upstream: Upstream) -> None:
    upstream.on("GET", "/a/models", json_answer({"data": [{"id": "m"}]}))
    upstream.on("GET", "/b/models", json_answer({"data": [{"id": "fine"}]}))
    rows = [add(upstream, slug, path=f"/{slug}") for slug in "ab"]
    for name in ("m", "a/m"):  # both names that the model could have had
        LLMModel.objects.create(provider=add(upstream, f"c{len(name)}"), model_id="x", name=name)
    bad, good = refresh_providers(rows, apply=True)
    assert "could not be applied" in bad.error and (good.error, good.applied) == ("", 1)
    assert set(LLMModel.objects.values_list("name", flat=True)) == {"m", "a/m", "fine"}


def test_what_no_column_holds_is_passed_over(upstream: Upstream) -> None:
    odd = {"id": "m", "name": "M\x00\x1b[31m", "context_length": 2**40, "pricing": {"prompt": "1e99"}}
    upstream.on("GET", "/v1/models", json_answer({"data": [odd, {"id": "bad\x00id"}, {"id": "x" * 201}]}))
    (outcome,) = refresh_providers([add(upstream, "router")], apply=True)
    assert (outcome.error, outcome.applied) == ("", 1)
    model = LLMModel.objects.get()
    assert (model.model_id, model.description, model.context_length, model.price_at()) == ("m", "M[31m", None, None)
