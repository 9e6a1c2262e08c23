"""The page that explains a choice of model, and what the environment overrides."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from registry.models import LLMModel, Provider
from tests.admin.conftest import Hub


def test_why_names_the_candidates_and_the_reasons(site: Client, hub: Hub, bob: Any, stub: LLMModel) -> None:
    page = site.get("/admin/why/", {"user": "bob"})
    assert "stub-echo" in page.content.decode() and page.context["resolution"].source == "admin_default"
    named = site.get("/admin/why/", {"user": "bob", "model": "acme-large"})
    assert "Your groups may not use it." in named.content.decode()
    assert "not_allowed" in named.content.decode() and "Nobody: the call" in named.content.decode()
    demanding = site.get("/admin/why/", {"user": "admin", "requires_vision": "on", "min_context": "1000"})
    assert "vision" in demanding.content.decode()


@pytest.mark.parametrize(
    "asked", [{"user": "nobody"}, {"user": "admin", "min_context": "x"}, {"user": "admin", "tier": "y"}, {"user": ""}]
)
def test_why_answers_nonsense_in_the_form(site: Client, asked: dict[str, str]) -> None:
    answer = site.get("/admin/why/", asked)
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()


def test_why_is_for_administrators_and_by_get(site: Client, bob: Any) -> None:
    assert site.post("/admin/why/").status_code == 405
    bob.is_staff = True
    bob.save()
    client = Client()
    assert client.get("/admin/why/").status_code == 302
    client.force_login(bob)
    assert client.get("/admin/why/").status_code == 403


def test_what_the_environment_overrides_is_on_the_providers_page(
    site: Client, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMHUB_LLM_ACME_BASE_URL", "https://proxy.acme.test/v1")
    monkeypatch.setenv("LLMHUB_LLM_ACME_API_KEY", "sk-PLANTED-environment")
    text = site.get(reverse("admin:registry_provider_change", args=[hub.rows[Provider].pk])).content.decode()
    assert "Base URL overridden by LLMHUB_LLM_ACME_BASE_URL" in text
    assert "API key overridden by LLMHUB_LLM_ACME_API_KEY" in text
    assert "PLANTED" not in text
