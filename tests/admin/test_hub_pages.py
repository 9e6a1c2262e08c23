"""Discovery, health, retirements, lab and recommendations in the admin; and a person's own look with their own key."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from registry.models import (
    Credential,
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    HealthCheck,
    LLMModel,
    Preset,
    PresetEntry,
    Provider,
)
from tests.upstream import Upstream, json_answer

pytestmark = pytest.mark.django_db
KEY = "sk-PLANTED-pages-0123456789"
PAGES = ("/admin/discovery/", "/admin/health/", "/admin/prices/", "/admin/retirements/")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    EndpointPolicy.objects.create(target="127.0.0.0/8", audience="all")
    with Upstream() as server:
        server.on("GET", "/v1/models", json_answer({"data": [{"id": "one", "context_length": 4096}, {"id": "two"}]}))
        yield server


@pytest.fixture
def provider(upstream: Upstream) -> Provider:
    row = Provider.objects.create(
        slug="loop", name="Loop", adapter="openai_compatible", base_url=f"{upstream.base_url}/v1"
    )
    Credential(provider=row).set_secret(KEY)
    return row


def test_the_pages_are_for_administrators_and_run_no_script_of_their_own(
    site: Client, charlie: Any, provider: Provider
) -> None:
    charlie.is_staff = True
    charlie.save()
    staff = Client()
    staff.force_login(charlie)
    row = LLMModel.objects.create(provider=provider, model_id="m", name="m")
    for page in (*PAGES, f"/admin/measure/{row.pk}/"):
        answer = site.get(page)
        text = answer.content.decode()
        assert answer.status_code == 200, page
        assert "<script>" not in text and " style=" not in text and " onclick=" not in text, page
        assert KEY not in text
        assert staff.get(page).status_code == 403, page


def test_discovery_shows_then_applies_what_is_chosen(site: Client, provider: Provider) -> None:
    LLMModel.objects.create(provider=provider, model_id="gone", name="gone")
    part = site.post(f"/admin/discovery/{provider.pk}/look/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and {"one", "two", "gone"} <= set(re.findall(r"<code>(\w+)</code>", part))
    assert LLMModel.objects.count() == 1
    chosen = {change.upstream_id: str(change.pk) for change in DiscoveryChange.objects.all()}
    body = {"change": [chosen["one"], chosen["gone"], "nonsense"], "enable": "1"}
    site.post(f"/admin/discovery/{provider.pk}/apply/", body)
    assert {row.model_id: row.enabled for row in LLMModel.objects.all()} == {"one": True, "gone": False}
    assert [change.upstream_id for change in DiscoveryChange.objects.filter(applied_at=None)] == ["two"]
    assert "Nothing to apply" not in site.get("/admin/discovery/").content.decode()


def test_health_checks_all_and_shows_what_was(site: Client, provider: Provider) -> None:
    now = site.post("/admin/health/").content.decode()
    assert "Key accepted" in now and HealthCheck.objects.get().model_count == 2
    assert "not checked yet" not in site.get("/admin/health/").content.decode()


def test_one_step_puts_a_successor_in_a_retired_models_place(site: Client, provider: Provider) -> None:
    tomorrow = timezone.now().date() + dt.timedelta(days=1)
    old = LLMModel.objects.create(provider=provider, model_id="old", name="old", retires_on=tomorrow)
    new = LLMModel.objects.create(provider=provider, model_id="new", name="new")
    preset = Preset.objects.create(slug="chat", name="Chat", module="chat")
    entry = PresetEntry.objects.create(preset=preset, position=0, model=old)
    PresetEntry.objects.create(preset=preset, position=1, model_ref="openai/gpt-4o")
    page = site.get("/admin/retirements/").content.decode()
    assert "1 days left" in page and "the presets Chat" in page and "openai/gpt-6.1-terra" in page
    assert (
        "Choose a model"
        in site.post(f"/admin/retirements/{old.pk}/remap/", {"successor": "x"}, follow=True).content.decode()
    )
    site.post(f"/admin/retirements/{old.pk}/remap/", {"successor": str(new.pk)})
    entry.refresh_from_db()
    assert entry.model == new
    assert site.post(f"/admin/retirements/presets/{preset.pk}/").status_code == 302


def test_the_lab_says_what_it_needs(site: Client, provider: Provider) -> None:
    row = LLMModel.objects.create(provider=provider, model_id="m", name="m", quality_tier="best")
    told = site.post(f"/admin/measure/{row.pk}/", {"ceiling": "0.01", "steps": ["chat"]}).content.decode()
    assert "price is not known" in told


# --- with one's own key -----------------------------------------------------------------------------------------------


def test_a_person_takes_models_that_their_own_key_opens(
    alice: Any, bob: Any, upstream: Upstream, provider: Provider
) -> None:
    LLMModel.objects.create(provider=provider, model_id="two", name="two")
    key = Credential(provider=provider, owner=alice)
    key.set_secret("sk-PLANTED-alices-own")
    browser = Client()
    browser.force_login(alice)
    page = browser.post(f"/keys/{key.pk}/models/").content.decode()
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-PLANTED-alices-own"
    assert "<code>one</code>" in page and "<code>two</code>" not in page, "what is everybody's is nothing new"
    assert "sk-PLANTED" not in page and not DiscoveryRun.objects.exists()
    signed = re.search(r'name="signed" value="([^"]+)"', page)
    assert signed is not None and LLMModel.objects.count() == 1
    body = {"signed": signed[1], "change": ["0", "99", "x"]}
    assert Client().post(f"/keys/{key.pk}/models/add/", body).status_code == 302
    browser.post(f"/keys/{key.pk}/models/add/", body)
    row = LLMModel.objects.get(model_id="one")
    assert (row.owner, row.enabled, row.context_length) == (alice, True, 4096)
    stranger = Client()
    stranger.force_login(bob)
    assert stranger.post(f"/keys/{key.pk}/models/").status_code == 404
    browser.post(f"/keys/{key.pk}/models/add/", {**body, "signed": "forged"})
    assert LLMModel.objects.filter(owner=alice).count() == 1
    upstream.on("GET", "/v1/models", json_answer({"data": [{"id": "two"}]}))
    gone = browser.post(f"/keys/{key.pk}/models/").content.decode()
    assert "vanished" in gone
    signed = re.search(r'name="signed" value="([^"]+)"', gone)
    assert signed is not None
    browser.post(f"/keys/{key.pk}/models/add/", {"signed": signed[1], "change": ["0"]})
    row.refresh_from_db()
    assert not row.enabled and row.vanished_at is not None


def test_a_look_that_fails_says_so(alice: Any, upstream: Upstream, provider: Provider) -> None:
    upstream.on("GET", "/v1/models", json_answer({"error": {"message": "secret words"}}, status=401))
    key = Credential(provider=provider, owner=alice)
    key.set_secret("sk-PLANTED-alices-own")
    browser = Client()
    browser.force_login(alice)
    page = browser.post(f"/keys/{key.pk}/models/", follow=True).content.decode()
    assert "Loop:" in page and "secret words" not in page
