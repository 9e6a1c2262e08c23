"""What a client may write is a list, not what happens to be left: every other column keeps its value."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import models

from registry.api.urls import router
from tests.api.conftest import Rows, by_session, by_token, make_rows

# Field names that a body may hold, by noun. A new one belongs here only when its owner may decide it.
WRITABLE: dict[str, set[str]] = {
    "provider": {
        *("slug", "name", "adapter", "base_url", "auth_type", "is_global", "api_key", "headers", "settings"),
        *("timeout_s", "fee_percent", "enabled", "dry_run", "metadata"),
    },
    "credential": {"provider", "label", "is_global", "api_key", "headers", "weight", "enabled", "expires_at"},
    "model": {
        *("provider", "model_id", "name", "description", "family", "aliases", "tier", "quality_tier", "tags"),
        *("capabilities", "known_params", "context_length", "max_output_tokens", "default_params", "profile"),
        *("prices", "enabled", "is_default", "is_global", "retires_on"),
    },
    "token": {
        *("name", "scopes", "allowed_models", "networks", "requests_per_minute", "tokens_per_minute"),
        *("concurrency", "expires_at"),
    },
    "conversation": {"title", "llm_model", "system_prompt", "params", "tags", "archived"},
    "preset": {
        *("slug", "name", "module", "description", "options", "is_module_default", "enabled", "is_global", "entries"),
    },
    "route": {"name", "description", "strategy", "sticky", "enabled", "is_global", "entries"},
    "prompt-pack": {
        *("module", "version", "name", "system_template", "user_template", "output_schema", "options"),
        *("enabled", "is_global"),
    },
    "budget": {"user", "group", "token", "model", "window", "amount", "enabled"},
    "rate-limit": {
        *("user", "group", "model", "provider", "credential"),
        *("requests_per_minute", "tokens_per_minute", "concurrency", "enabled"),
    },
    "endpoint-policy": {"target", "ports", "audience", "group", "note", "enabled", "expires_at"},
    "usage": set(),
    "audit": set(),
}
PATHS = {basename: f"/api/{prefix}/" for prefix, _, basename in router.registry}
VIEWS = {basename: view for _, view, basename in router.registry}
OWNED = ("provider", "credential", "model", "token", "conversation", "preset", "route", "prompt-pack")
NEW: dict[str, dict[str, Any]] = {
    "provider": {"name": "new", "adapter": "stub"},
    "credential": {"provider": "alice-provider", "label": "new", "api_key": "sk-" + "k" * 30},
    "model": {"provider": "alice-provider", "model_id": "new"},
    "token": {"name": "new"},
    "conversation": {"title": "new"},
    "preset": {"slug": "new", "name": "new", "module": "chat"},
    "route": {"name": "new"},
    "prompt-pack": {"module": "new"},
}


def hostile(field: Any, stranger: Any) -> Any:
    """A value of the column's own type that nobody but the hub may choose."""
    if field.is_relation:
        return str(stranger.pk)
    if isinstance(field, models.UUIDField):
        return str(uuid.uuid4())
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.JSONField):
        return ["stolen"]
    if isinstance(field, models.DateTimeField):
        return "2020-01-01T00:00:00Z"
    if isinstance(field, models.IntegerField | models.FloatField | models.DecimalField):
        return 7
    return "stolen"


def protected(noun: str) -> list[Any]:
    return [field for field in VIEWS[noun].model._meta.concrete_fields if field.name not in WRITABLE[noun]]


def body_of_protected(noun: str, stranger: Any) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for field in protected(noun):
        body[field.name] = body[field.attname] = hostile(field, stranger)
    extra = {
        "pk": str(uuid.uuid4()),
        "user": "bob",
        "is_superuser": True,
        "secret": "x",
        "ciphertext": "x",
    }
    return body | {name: value for name, value in extra.items() if name not in WRITABLE[noun]}


def columns(noun: str, row: Any) -> dict[str, Any]:
    row = type(row)._default_manager.get(pk=row.pk)
    return {field.attname: getattr(row, field.attname) for field in protected(noun) if field.name != "updated_at"}


def test_the_list_is_what_the_serializers_take() -> None:
    found = {
        noun: {name for name, field in view.serializer_class().fields.items() if not field.read_only}
        for noun, view in VIEWS.items()
    }
    assert found == WRITABLE


@pytest.mark.parametrize("who", ["alice", "admin"])
@pytest.mark.parametrize("carrier", [by_session, by_token])
@pytest.mark.parametrize("noun", OWNED)
def test_a_change_reaches_no_other_column(
    noun: str, carrier: Any, who: str, bob: Any, request: pytest.FixtureRequest
) -> None:
    user = request.getfixturevalue(who)
    rows: Rows = make_rows(user, who)
    row = getattr(rows, noun.replace("-", "_"))
    before = columns(noun, row)
    answer = carrier(user).patch(f"{PATHS[noun]}{row.pk}/", body_of_protected(noun, bob))
    assert answer.status_code == 200, answer.content
    assert columns(noun, row) == before


@pytest.mark.parametrize("noun", OWNED)
def test_a_new_row_takes_no_other_column(noun: str, alice: Any, bob: Any) -> None:
    make_rows(alice, "alice")
    body = body_of_protected(noun, bob)
    answer = by_session(alice).post(PATHS[noun], {**body, **NEW[noun]})
    assert answer.status_code == 201, answer.content
    row = VIEWS[noun].model._default_manager.get(pk=answer.json()["id"])
    assert str(row.owner_id) == str(alice.pk)
    for field in protected(noun):
        stored = getattr(row, field.attname)
        if not isinstance(field, models.BooleanField) and stored is not None:
            assert str(stored) != str(body[field.name]), field.name
    assert not getattr(row, "is_default", False)
    assert not getattr(row, "session", False)


def test_nobody_writes_usage_or_the_audit_trail(alice: Any, admin: Any) -> None:
    rows = make_rows(alice, "alice")
    for user in (alice, admin):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert by_session(user).call(method, f"/api/usage/{rows.usage.pk}/", {"cost": "0"}).status_code == 405
            assert by_session(user).call(method, "/api/usage/", {"cost": "0"}).status_code == 405
            assert by_session(user).call(method, "/api/audit/", {}).status_code in (403, 405)


def test_settings_take_three_fields(alice: Any) -> None:
    body = {"time_zone": "Europe/Vienna", "user": "bob", "id": str(uuid.uuid4())}
    answer = by_session(alice).patch("/api/settings/", body)
    assert answer.json() == {"default_model": None, "key_policy": "own_first", "time_zone": "Europe/Vienna"}
