"""Every registered record's pages, generated over the admin's own registry."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from registry.models import CredentialSecret
from tests.admin.conftest import Hub, plant_people, plant_registry

REGISTERED = sorted(django_admin.site._registry, key=lambda model: model._meta.label)
names = [model._meta.label for model in REGISTERED]


def url(model: type[Any], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_record_is_registered_but_the_ciphertexts() -> None:
    own = set(apps.get_app_config("registry").get_models())
    assert own - set(REGISTERED) == {CredentialSecret}


@pytest.mark.parametrize("model", REGISTERED, ids=names)
def test_pages_answer_and_hold_no_secret(site: Client, hub: Hub, model: type[Any]) -> None:
    row = hub.rows[model]
    registered = django_admin.site._registry[model]
    request = site.get("/admin/").wsgi_request
    pages = [url(model, "changelist"), url(model, "change", row.pk), url(model, "history", row.pk)]
    pages += [url(model, "add")] if registered.has_add_permission(request) else []
    pages += [url(model, "delete", row.pk)] if registered.has_delete_permission(request, row) else []
    for page in pages:
        answer = site.get(page)
        assert answer.status_code == 200, page
        text = answer.content.decode()
        assert not [secret for secret in hub.secrets if secret in text], page
        assert "<script>" not in text and " style=" not in text and " onclick=" not in text, page
    assert str(row)[:20] in site.get(pages[0]).content.decode() or registered.list_display[0] != "__str__"


def test_every_list_searches(site: Client, hub: Hub) -> None:
    for model in REGISTERED:
        assert django_admin.site._registry[model].search_fields, f"{model._meta.label} is not searchable"
        answer = site.get(url(model, "changelist"), {"q": "no-such-thing-anywhere"})
        assert answer.status_code == 200, model
        assert answer.context["cl"].result_count == 0, model


def test_lists_cost_the_same_queries_for_one_row_and_for_six(
    site: Client, hub: Hub, admin: Any, django_assert_max_num_queries: Any
) -> None:
    few = {}
    for model in REGISTERED:
        site.get(url(model, "changelist"))
        with django_assert_max_num_queries(14) as queries:
            site.get(url(model, "changelist"))
        few[model] = len(queries.captured_queries)
    for number in range(5):
        more = Hub()
        plant_registry(more, admin, Group.objects.create(name=f"g{number}"), f"-{number}")
        plant_people(more, admin, f"-{number}")
    for model in REGISTERED:
        with django_assert_max_num_queries(few[model], info=model._meta.label):
            site.get(url(model, "changelist"))


def test_pages_are_closed_to_strangers_and_to_staff_without_permission(hub: Hub, charlie: Any) -> None:
    pages = [
        page for model in REGISTERED for page in (url(model, "changelist"), url(model, "change", hub.rows[model].pk))
    ]
    client = Client()
    assert {client.get(page).status_code for page in pages} == {302}
    client.force_login(charlie)
    assert {client.get(page).status_code for page in pages} == {302}
    charlie.is_staff = True
    charlie.save()
    assert {client.get(page).status_code for page in pages} == {403}


def test_the_index_shows_the_numbers(site: Client, hub: Hub) -> None:
    text = site.get("/admin/").content.decode()
    assert "LLM Hub" in text and "Spent today" in text and "0.2500" in text
    assert site.get("/admin/").context["numbers"]["usage"]["calls"] == 7


def test_the_policy_for_browsers_allows_no_inline_code(site: Client, hub: Hub) -> None:
    policy = site.get("/admin/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "style-src 'self'" in policy and "unsafe" not in policy
