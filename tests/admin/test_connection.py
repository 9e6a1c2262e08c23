"""The "Test connection" button against real servers."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from registry.models import AuditEvent, Credential, EndpointPolicy, LLMModel, Provider
from tests.admin.conftest import Hub
from tests.upstream import Upstream, json_answer, unused_port

KEY = "sk-PLANTED-upstream-key-0123456789"


def test_url(row: Any) -> str:
    return reverse(f"admin:registry_{row._meta.model_name}_test_connection", args=[row.pk])


test_url.__test__ = False  # type: ignore[attr-defined]  # pytest reads it from any function


def local_provider(port: int) -> Provider:
    EndpointPolicy.objects.create(target="127.0.0.0/8")
    return Provider.objects.create(slug="local", name="Local", adapter="openai", base_url=f"http://127.0.0.1:{port}/v1")


@pytest.mark.parametrize("model", [Provider, LLMModel, Credential], ids=lambda model: model.__name__)
def test_only_a_post_with_its_csrf_token_tests(admin: Any, site: Client, hub: Hub, model: type[Any]) -> None:
    row = hub.rows[model]
    assert site.get(test_url(row)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    assert strict.post(test_url(row)).status_code == 403
    assert not AuditEvent.objects.filter(action="test").exists()
    page = site.get(reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk])).content.decode()
    assert f'<form method="post" action="{test_url(row)}"' in page


def test_the_stub_works_without_a_key(site: Client, stub: LLMModel) -> None:
    for row in (stub, stub.provider):
        answer = site.post(test_url(row))
        assert answer.status_code == 200 and "it works" in answer.content.decode()
    assert AuditEvent.objects.filter(action="test").count() == 2


def test_a_real_server_is_asked_with_the_stored_key_and_the_page_shows_what_it_listed(site: Client, db: None) -> None:
    with Upstream() as upstream:
        upstream.on("GET", "/v1/models", json_answer({"object": "list", "data": [{"id": "tiny-1", "object": "model"}]}))
        provider = local_provider(upstream.port)
        Credential(provider=provider).set_secret(KEY)
        text = site.post(test_url(provider)).content.decode()
        assert "it works" in text and "tiny-1" in text and " ms" in text
        assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    provider.refresh_from_db()
    assert provider.health_state == "ok"


def test_a_refused_key_is_told_and_an_echo_of_it_is_not_shown(site: Client, db: None) -> None:
    with Upstream() as upstream:
        refusal = json_answer({"error": {"message": f"Incorrect API key: {KEY}", "type": KEY, "code": KEY}}, status=401)
        upstream.on("GET", "/v1/models", refusal)
        provider = local_provider(upstream.port)
        credential = Credential(provider=provider)
        credential.set_secret(KEY)
        for row in (credential, provider):
            text = site.post(test_url(row)).content.decode()
            assert "it does not work" in text and "401" in text
            assert "PLANTED" not in text
    for page in ("provider", "credential", "auditevent"):
        assert "PLANTED" not in site.get(reverse(f"admin:registry_{page}_changelist")).content.decode()
    assert "failing" in str(Provider.objects.get().health_state)


def test_a_server_that_is_not_there_is_told(site: Client, db: None) -> None:
    provider = local_provider(unused_port())
    provider.auth_type = "none"
    provider.save()
    text = site.post(test_url(provider)).content.decode()
    assert "it does not work" in text


def test_the_action_tests_several_at_once(site: Client, stub: LLMModel) -> None:
    other = Provider.objects.create(slug="stub-2", name="Stub 2", adapter="stub", auth_type="none")
    sent = {"action": "test_selected", "_selected_action": [str(stub.provider.pk), str(other.pk)]}
    text = site.post(reverse("admin:registry_provider_changelist"), sent).content.decode()
    assert "2 connection tests" in text and text.count(">waiting<") == 2 and "data-outcome" not in text
    url = reverse("admin:registry_provider_test_connection", args=[other.pk])
    assert f'hx-post="{url}"' in text
    part = site.post(url, headers={"HX-Request": "true"}).content.decode()
    assert part.startswith(f'<tr id="row-{other.pk}" data-outcome="ok"') and "load" not in part
