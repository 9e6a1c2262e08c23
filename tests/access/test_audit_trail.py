"""The trail in the database: nothing in it changes, and nothing is done that it could not note."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client

from registry.access import audit
from registry.models import AccessToken, AuditEvent, Budget, Credential, EndpointPolicy, LLMModel, Provider, User
from tests.api.conftest import by_session
from tests.upstream import Upstream

KEY = "sk-planted-0123456789abcdefghij"


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider.objects.create(slug="p", name="P", adapter="openai", base_url="https://api.example.com/v1")


@pytest.fixture
def event(admin: Any, provider: Provider) -> AuditEvent:
    return audit.record(admin, "create", provider, None, audit.snapshot(provider), "192.0.2.1")


def refused(write: Callable[[], Any]) -> None:
    with pytest.raises(DatabaseError, match="append only"), transaction.atomic():
        write()


def test_no_event_is_changed_or_deleted(event: AuditEvent) -> None:
    event.action = "nothing"
    refused(event.save)
    refused(lambda: AuditEvent.objects.update(label="another"))
    refused(lambda: AuditEvent.objects.update(after={}))
    refused(lambda: AuditEvent.objects.all().delete())
    refused(AuditEvent.objects.get().delete)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in (
            "DELETE FROM registry_auditevent",
            "UPDATE registry_auditevent SET actor_name = 'another'",
            "UPDATE registry_auditevent SET actor_id = NULL, address = '192.0.2.2'",
            *(["TRUNCATE registry_auditevent"] if connection.vendor == "postgresql" else []),
        ):
            refused(lambda statement=statement: cursor.execute(statement))
    kept = AuditEvent.objects.get()
    assert (kept.action, kept.address, kept.after["name"]) == ("create", "192.0.2.1", "P")


def test_a_person_who_goes_leaves_their_name_in_the_trail(event: AuditEvent, admin: Any) -> None:
    User.objects.get(pk=admin.pk).delete()
    kept = AuditEvent.objects.get()
    assert (kept.actor_id, kept.actor_name) == (None, "admin")


# --- what can't be noted is not done ---------------------------------------------------------------------------------


def no_room_in_the_trail() -> None:
    """The table takes no row any more, as on a full disk; undone with the test."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE registry_auditevent ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
        else:
            cursor.execute(
                "CREATE TRIGGER full_disk BEFORE INSERT ON registry_auditevent BEGIN SELECT RAISE(ABORT, 'full'); END"
            )


@pytest.fixture
def rows(admin: Any, provider: Provider) -> dict[str, Any]:
    credential = Credential(provider=provider, label="one")
    credential.set_secret(KEY)
    return {
        "providers": provider,
        "credentials": credential,
        "models": LLMModel.objects.create(provider=provider, model_id="m", name="m"),
        "tokens": AccessToken.mint(owner=admin, name="t")[0],
        "endpoint-policies": EndpointPolicy.objects.create(target="10.0.0.0/8"),
        "budgets": Budget.objects.create(user=admin, window="day", amount=5),
    }


NEW: dict[str, dict[str, Any]] = {
    "providers": {"name": "new", "adapter": "openai", "base_url": "https://b.example.com/v1", "api_key": KEY},
    "credentials": {"provider": "p", "label": "two", "api_key": KEY},
    "models": {"provider": "p", "model_id": "n", "name": "n"},
    "tokens": {"name": "new"},
    "endpoint-policies": {"target": "10.9.0.0/16"},
    "budgets": {"window": "month", "amount": "3"},
}
CHANGED: dict[str, dict[str, Any]] = {
    "providers": {"name": "Q"},
    "credentials": {"api_key": "sk-another-0123456789abcdefghij"},
    "models": {"name": "other"},
    "tokens": {"name": "other"},
    "endpoint-policies": {"target": "10.8.0.0/16"},
    "budgets": {"amount": "7"},
}


def state() -> str:
    tables = (Provider, Credential, LLMModel, AccessToken, EndpointPolicy, Budget)
    return json.dumps([list(table.objects.order_by("pk").values()) for table in tables], default=str)


@pytest.mark.parametrize("noun", NEW)
def test_no_write_of_the_api_is_done_that_can_not_be_noted(noun: str, admin: Any, rows: dict[str, Any]) -> None:
    caller = by_session(admin)
    body = {**NEW[noun], "user": str(admin.pk)} if noun == "budgets" else NEW[noun]
    path = f"/api/{noun}/{rows[noun].pk}/"
    assert caller.patch(path, {}).status_code == 200, "these requests succeed while there is room"
    before = state()
    no_room_in_the_trail()
    caller.client.raise_request_exception = False
    for method, where, sent in (
        ("POST", f"/api/{noun}/", body),
        ("PATCH", path, CHANGED[noun]),
        ("DELETE", path, None),
    ):
        with transaction.atomic():
            answer = caller.call(method, where, sent)
        assert answer.status_code >= 400, (method, answer.content)
        assert state() == before, method


@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("/tokens/", {"name": "new", "scopes": ["chat"], "expires": "7"}),
        ("/tokens/{tokens}/revoke/", {}),
        ("/keys/{credentials}/replace/", {"api_key": "sk-another-0123456789abcdefghij"}),
        ("/keys/{credentials}/toggle/", {}),
        ("/keys/{credentials}/delete/", {}),
        ("/admin/registry/provider/{providers}/delete/", {"post": "yes"}),
        ("/admin/registry/accesstoken/{tokens}/delete/", {"post": "yes"}),
        ("/admin/registry/endpointpolicy/{endpoint-policies}/change/", {"target": "10.8.0.0/16", "audience": "all"}),
    ],
)
def test_no_write_of_a_page_is_done_that_can_not_be_noted(
    page: str, form: dict[str, Any], admin: Any, rows: dict[str, Any]
) -> None:
    # the pages of keys are a person's own
    Credential.objects.filter(pk=rows["credentials"].pk).update(owner=admin)
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    before = state()
    no_room_in_the_trail()
    with transaction.atomic():
        answer = client.post(page.format(**{noun: row.pk for noun, row in rows.items()}), form)
    assert answer.status_code >= 400, answer.content[:500]
    assert state() == before


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


def test_no_key_is_tried_whose_test_can_not_be_noted(admin: Any, rows: dict[str, Any], upstream: Upstream) -> None:
    EndpointPolicy.objects.create(target="127.0.0.1", audience="all")
    caller = by_session(admin)
    provider = rows["providers"]
    provider.base_url = f"{upstream.base_url}/v1"
    provider.save()
    rows["credentials"].refresh_from_db()
    rows["credentials"].set_secret(KEY)
    no_room_in_the_trail()
    caller.client.raise_request_exception = False
    config = {"adapter": "openai", "base_url": f"{upstream.base_url}/v1", "api_key": KEY}
    for path, body in (
        (f"/api/providers/{provider.pk}/test-connection/", None),
        (f"/api/credentials/{rows['credentials'].pk}/test/", None),
        ("/api/models/test-connection/", {"config": config}),
    ):
        with transaction.atomic():
            assert caller.call("POST", path, body).status_code >= 400, path
    assert upstream.connections == 0


# --- what the command line does is noted too, and the trail can be taken out ------------------------------------------


def test_the_command_line_leaves_events(admin: Any, rows: dict[str, Any], tmp_path: Path) -> None:
    call_command("create_access_token", "admin", "--name", "cli", stdout=io.StringIO(), stderr=io.StringIO())
    call_command("rotate_encryption_keys", stdout=io.StringIO())
    told = {(event.action, event.table, event.actor_name) for event in AuditEvent.objects.all()}
    assert ("create", "registry_accesstoken", "") in told
    assert {("begin rotation", "registry_credentialsecret", ""), ("rotate", "registry_credentialsecret", "")} <= told
    file = tmp_path / "audit.ndjson"
    call_command("export_audit", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == AuditEvent.objects.count()
    assert [line["id"] for line in lines] == [str(event.pk) for event in AuditEvent.objects.order_by("at", "id")]
    assert lines[-1]["action"] == "export"
    with pytest.raises(CommandError, match="can't be written"):
        call_command("export_audit", str(file))


def test_the_trail_is_exported_to_admins_alone(admin: Any, alice: Any, event: AuditEvent) -> None:
    assert by_session(alice).get("/api/audit/export/").status_code == 403
    answer = by_session(admin).get("/api/audit/export/?action=create")
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).decode().splitlines()]
    assert [(line["action"], line["id"], line["address"]) for line in lines] == [("create", str(event.pk), "192.0.2.1")]
    assert AuditEvent.objects.filter(action="export", actor=admin).count() == 1
