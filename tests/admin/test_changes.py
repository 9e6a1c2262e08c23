"""What an administrator's forms and actions do: keys go in and stay in, every change leaves its traces."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from registry.models import (
    AccessToken,
    AuditEvent,
    Conversation,
    Credential,
    EndpointPolicy,
    LLMModel,
    Preset,
    Provider,
    RegistryChange,
    Route,
    User,
)
from registry.models.access_token import digest_of
from tests.admin.conftest import Hub

KEY = "sk-PLANTED-typed-0123456789abcd"


def provider_form(**values: Any) -> dict[str, Any]:
    inline = {f"credentials-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}
    whole = {"name": "New", "slug": "new", "adapter": "openai", "base_url": "", "auth_type": "bearer", "enabled": "on"}
    return inline | whole | {"fee_percent": "0", "settings": "{}", "metadata": "{}"} | values


def change_form(site: Client, row: Any, **values: Any) -> dict[str, Any]:
    """What a browser would send back from the row's page, with some values changed."""
    page = site.get(reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk]))
    forms = [page.context["adminform"].form]
    for inline in page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    sent: dict[str, Any] = {}
    for form in forms:
        for field in form:
            value = field.value()
            for part in field.subwidgets if field.widget_type == "capabilities" else ():
                sent[part.data["name"]] = part.data["value"]
            if value is not None and value is not False and value != "":
                sent[field.html_name] = "on" if value is True else value
    return sent | values


def complaints(answer: Any) -> Any:
    return answer.context["adminform"].form.errors, answer.context["errors"]


def add(site: Client, **values: Any) -> Any:
    return site.post(reverse("admin:registry_provider_add"), provider_form(**values))


def test_a_new_provider_takes_its_kinds_address_and_a_key_that_never_comes_back(site: Client) -> None:
    assert add(site, api_key=KEY, headers="X-Org: PLANTED-org\r\nX-Other: PLANTED-two").status_code == 302
    provider = Provider.objects.get(slug="new")
    assert provider.base_url == "https://api.openai.com/v1" and provider.owner is None
    credential = provider.credentials.get()
    secret = credential.reveal(credential.owner_id)
    assert secret.api_key == KEY and secret.headers == {"X-Org": "PLANTED-org", "X-Other": "PLANTED-two"}
    assert credential.owner is None and credential.last_four == "abcd"
    for row in (provider, credential):
        text = site.get(reverse(f"admin:registry_{row._meta.model_name}_change", args=[row.pk])).content.decode()
        assert "PLANTED" not in text and "····abcd" in text
    assert "PLANTED" not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ("X-A: PLANTED\rInjected: x", "one line"),
        ("X-A: PLANTED\x00", "one line"),
        ("Host: PLANTED", "belongs to the call"),
        ("Transfer-Encoding: PLANTED", "belongs to the call"),
        ("PLANTED without a colon", "no colon"),
        ("X A: PLANTED", "letters, digits"),
        ("X-A: PLANTED\nx-a: again", "second time"),
        ("X-A: PLANTEDé", "one line"),
    ],
)
def test_headers_that_can_not_be_sent_are_refused_and_not_shown_again(
    site: Client, headers: str, complaint: str
) -> None:
    answer = add(site, api_key=KEY, headers=headers)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert complaint in text
    assert "PLANTED" not in text
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"api_key": "two words"},
        {"api_key": "key\r\nX: y"},
        {"base_url": "https://user:pw@api.acme.test"},
        {"base_url": "ftp://api.acme.test"},
        {"adapter": "nonsense"},
        {"adapter": "azure_openai"},
        {"fee_percent": "NaN"},
        {"fee_percent": "-1"},
        {"timeout_s": "nan"},
        {"timeout_s": "0"},
        {"settings": "[" * 200_000},
        {"settings": '{"a": "\\ud800"}'},
        {"settings": '{"a": "\\u0000"}'},
        {"settings": "[]"},
        {"name": "a\x00b"},
    ],
)
def test_bad_input_is_refused_in_the_form(site: Client, values: dict[str, str]) -> None:
    assert add(site, **values).status_code == 200
    assert not Provider.objects.exists()


def test_a_second_global_provider_of_one_slug_is_refused_in_the_form(site: Client, hub: Hub) -> None:
    assert add(site, slug="acme").status_code == 200
    assert Provider.objects.filter(slug="acme").count() == 1


def test_headers_alone_keep_the_key_and_another_address_clears_both(site: Client, hub: Hub) -> None:
    provider = hub.rows[Provider]
    page = reverse("admin:registry_provider_change", args=[provider.pk])
    credential = provider.credentials.get()
    before = credential.reveal(credential.owner_id).api_key
    answer = site.post(page, change_form(site, provider, headers="X-New: 1"))
    assert answer.status_code == 302, complaints(answer)
    assert credential.reveal(credential.owner_id).api_key == before and credential.reveal(
        credential.owner_id
    ).headers == {"X-New": "1"}
    answer = site.post(page, change_form(site, provider, base_url="https://elsewhere.test/v1"), follow=True)
    credential.refresh_from_db()
    assert credential.state == "missing" and not hasattr(Credential.objects.get(), "secret")
    assert "stored keys were cleared" in answer.content.decode()


def test_a_templates_provider_is_enabled_by_its_first_key(site: Client) -> None:
    provider = Provider.objects.create(
        slug="openai",
        name="OpenAI",
        adapter="openai",
        base_url="https://api.openai.com/v1",
        template="openai",
        enabled=False,
    )
    page = reverse("admin:registry_provider_change", args=[provider.pk])
    answer = site.post(page, change_form(site, provider, api_key=KEY))
    assert answer.status_code == 302, complaints(answer)
    provider.refresh_from_db()
    assert provider.enabled and provider.credentials.get().state == "ok"


def test_another_persons_key_can_be_seen_and_switched_off_and_no_more(site: Client, hub: Hub, bob: Any) -> None:
    own = Credential(provider=hub.rows[Provider], owner=bob, label="bobs")
    own.set_secret("sk-PLANTED-bobs-own-key-wxyz")
    page = reverse("admin:registry_credential_change", args=[own.pk])
    text = site.get(page).content.decode()
    assert "bob" in text and "····wxyz" in text and "PLANTED" not in text
    assert 'name="api_key"' not in text and "Test connection" not in text
    assert site.post(reverse("admin:registry_credential_test_connection", args=[own.pk])).status_code == 403
    assert site.post(page, {"api_key": KEY, "label": "mine"}).status_code == 302
    own.refresh_from_db()
    assert not own.enabled and own.label == "bobs" and own.owner == bob
    assert own.reveal(own.owner_id).api_key == "sk-PLANTED-bobs-own-key-wxyz"
    assert site.post(reverse("admin:registry_credential_delete", args=[own.pk]), {"post": "yes"}).status_code == 302
    assert not Credential.objects.filter(pk=own.pk).exists()


def test_a_changed_capability_is_the_admins_and_the_rest_keep_their_source(site: Client, hub: Hub) -> None:
    model = hub.rows[LLMModel]
    page = reverse("admin:registry_llmmodel_change", args=[model.pk])
    sent = change_form(site, model, capabilities_tools="yes", capabilities_vision="no", aliases="big\nlarge\n")
    answer = site.post(page, sent)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    model.refresh_from_db()
    assert model.aliases == ["big", "large"]
    assert model.capabilities["vision"]["value"] == "no" and model.capabilities["vision"]["source"] == "admin"
    assert model.capabilities["tools"] == {"value": "yes", "source": "template", "date": "2026-11-20"}


def test_a_token_is_shown_once_and_its_digest_never(site: Client, admin: Any) -> None:
    sent = {"owner": str(admin.pk), "name": "ci", "scopes": ["chat"], "allowed_models": "", "networks": ""}
    answer = site.post(reverse("admin:registry_accesstoken_add"), sent)
    token = AccessToken.objects.get(name="ci")
    plaintext = answer.context["plaintext"]
    assert plaintext in answer.content.decode() and digest_of(plaintext) == token.digest
    assert "no-store" in answer.headers["Cache-Control"]
    pages = [
        reverse("admin:registry_accesstoken_changelist"),
        reverse("admin:registry_accesstoken_change", args=[token.pk]),
    ]
    for page in [*pages, "/admin/", reverse("admin:registry_auditevent_changelist")]:
        text = site.get(page).content.decode()
        assert plaintext not in text and token.digest not in text
    assert plaintext not in str(dict(site.session))
    changed = site.post(pages[1], {"name": "ci2", "scopes": ["usage"], "digest": "0" * 64, "owner": "", "prefix": "x"})
    assert changed.status_code == 302
    kept = AccessToken.objects.get(pk=token.pk)
    assert kept.name == "ci2" and kept.digest == token.digest and kept.owner == admin and kept.prefix == token.prefix


def test_revoking_reaches_the_change_log_and_the_trail(site: Client, hub: Hub) -> None:
    token = hub.rows[AccessToken]
    last = RegistryChange.objects.order_by("-pk").first()
    assert last is not None
    act(site, token, "revoke")
    token.refresh_from_db()
    assert not token.is_live
    assert RegistryChange.objects.filter(pk__gt=last.pk, row=token.pk).exists()
    assert AuditEvent.objects.filter(action="revoke", row=token.pk, actor_name="admin").exists()


@pytest.mark.parametrize("model", [Provider, LLMModel, Credential, Preset, Route], ids=lambda model: model.__name__)
def test_switching_in_bulk_reaches_the_change_log_and_the_trail(site: Client, hub: Hub, model: type[Any]) -> None:
    row = hub.rows[model]
    for action, enabled in (("disable", False), ("enable", True)):
        last = RegistryChange.objects.order_by("-pk").first()
        assert last is not None
        assert act(site, row, action).status_code == 302
        row.refresh_from_db()
        assert row.enabled is enabled
        assert RegistryChange.objects.filter(pk__gt=last.pk, row=row.pk).exists()
        assert AuditEvent.objects.filter(action=action, row=row.pk).count() == 1


def test_a_provider_without_an_address_can_not_be_switched_on(site: Client) -> None:
    provider = Provider.objects.create(slug="azure", name="Azure", adapter="azure_openai", enabled=False)
    site.post(*action(provider, "enable"), follow=True)
    provider.refresh_from_db()
    assert not provider.enabled


def test_other_peoples_conversations_are_on_no_page(site: Client, hub: Hub, bob: Any) -> None:
    private = Conversation.objects.create(owner=bob, title="PLANTED-private-title")
    assert "PLANTED" not in site.get(reverse("admin:registry_conversation_changelist")).content.decode()
    assert site.get(reverse("admin:registry_conversation_change", args=[private.pk])).status_code == 302
    gone = reverse("admin:registry_user_delete", args=[bob.pk])
    assert "PLANTED" not in site.get(gone).content.decode()
    assert site.post(gone, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=bob.pk).exists()
    assert "PLANTED" not in site.get(reverse("admin:registry_auditevent_changelist")).content.decode()


def test_staff_edit_their_own_rows_and_not_the_global_ones(hub: Hub, bob: Any) -> None:
    from django.contrib.auth.models import Permission

    bob.is_staff = True
    bob.save()
    bob.user_permissions.add(*Permission.objects.filter(content_type__model__in=["provider", "user"]))
    client = Client()
    client.force_login(bob)
    provider = hub.rows[Provider]
    page = reverse("admin:registry_provider_change", args=[provider.pk])
    assert client.get(page).status_code == 200
    assert client.post(page, {"name": "Taken"}).status_code == 403
    client.post(*action(provider, "disable"))
    client.post(*action(provider, "delete_selected"))
    assert client.post(reverse("admin:registry_provider_test_connection", args=[provider.pk])).status_code == 403
    assert Provider.objects.get(pk=provider.pk).enabled and Provider.objects.get(pk=provider.pk).name == "Acme"
    own = reverse("admin:registry_user_change", args=[bob.pk])
    client.post(own, {"username": "bob", "is_superuser": "on", "is_staff": "on", "is_active": "on"})
    assert not User.objects.get(pk=bob.pk).is_superuser


def test_loopback_is_opened_by_a_policy_that_reaches_the_change_log(site: Client) -> None:
    sent = {"target": "127.0.0.0/8", "ports": "[8080]", "audience": "admins", "enabled": "on"}
    assert site.post(reverse("admin:registry_endpointpolicy_add"), sent).status_code == 302
    policy = EndpointPolicy.objects.get()
    assert RegistryChange.objects.filter(row=policy.pk).exists()


def action(row: Any, name: str) -> tuple[str, dict[str, Any]]:
    sent = {"action": name, "_selected_action": [str(row.pk)], "post": "yes"}
    return reverse(f"admin:registry_{row._meta.model_name}_changelist"), sent


def act(site: Client, row: Any, name: str) -> Any:
    return site.post(*action(row, name))
