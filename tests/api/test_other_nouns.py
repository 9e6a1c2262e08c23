"""Tokens, conversations, shortlists, budgets, policies, settings: what each adds to the common rules."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from registry.models import (
    AccessToken,
    AuditEvent,
    Budget,
    Conversation,
    LLMModel,
    ModelAccess,
    Preset,
    Provider,
    RateLimit,
    UserSettings,
)
from registry.models.access_token import digest_of
from tests.api.conftest import Caller, Rows, by_session, by_token, make_rows


@pytest.fixture
def rows(alice: Any) -> Rows:
    return make_rows(alice, "alice")


@pytest.fixture
def shared(db: None) -> Rows:
    return make_rows(None, "shared")


# --- tokens --------------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_works(alice: Any) -> None:
    made = by_session(alice).post("/api/tokens/", {"name": "ci", "scopes": ["models"]})
    assert made.status_code == 201, made.content
    token = made.json()["token"]
    row = AccessToken.objects.get()
    assert (row.owner, row.digest, row.scopes) == (alice, digest_of(token), ["models"])
    assert Caller(authorization=f"Bearer {token}").get("/api/models/").status_code == 200
    assert Caller(**{"x-api-key": token}).get("/api/models/").status_code == 200
    for answer in (by_session(alice).get("/api/tokens/"), by_session(alice).get(f"/api/tokens/{row.pk}/")):
        assert token not in answer.content.decode()
        assert row.digest not in answer.content.decode()
    assert token not in str(list(AuditEvent.objects.values()))


def test_a_deleted_token_is_revoked_at_once_and_its_row_stays(alice: Any) -> None:
    caller = by_token(alice)
    row = AccessToken.objects.get()
    assert by_session(alice).delete(f"/api/tokens/{row.pk}/").status_code == 204
    assert caller.get("/api/providers/").status_code == 401
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert by_session(alice).get(f"/api/tokens/{row.pk}/").json()["is_live"] is False
    assert by_session(alice).patch(f"/api/tokens/{row.pk}/", {"name": "back"}).status_code == 400


def test_a_pages_own_token_is_not_listed(alice: Any) -> None:
    hidden, _ = AccessToken.mint(owner=alice, name="page", session=True)
    assert by_session(alice).get("/api/tokens/").json()["results"] == []
    assert by_session(alice).delete(f"/api/tokens/{hidden.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("presented", "wanted", "field"),
    [
        ({"scopes": ("manage",)}, {"scopes": ["manage", "chat"]}, "scopes"),
        ({"allowed_models": ["a"]}, {}, "allowed_models"),
        ({"allowed_models": ["a"]}, {"allowed_models": ["a", "b"]}, "allowed_models"),
        ({"networks": ["127.0.0.0/8"]}, {}, "networks"),
        ({"networks": ["127.0.0.0/8"]}, {"networks": ["0.0.0.0/0"]}, "networks"),
        ({"requests_per_minute": 5}, {}, "requests_per_minute"),
        ({"requests_per_minute": 5}, {"requests_per_minute": 6}, "requests_per_minute"),
    ],
)
def test_a_token_makes_none_that_may_do_more(alice: Any, presented: Any, wanted: Any, field: str) -> None:
    caller = by_token(alice, **presented)
    answer = caller.post("/api/tokens/", {"name": "wider", **wanted})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    own = AccessToken.objects.get()
    removed = {"scopes": ["chat"], "allowed_models": [], "networks": [], "requests_per_minute": None}[field]
    assert caller.patch(f"/api/tokens/{own.pk}/", {field: removed}).status_code == 400


def test_a_token_that_ends_makes_none_that_does_not(alice: Any) -> None:
    soon = timezone.now() + dt.timedelta(hours=1)
    caller = by_token(alice, expires_at=soon)
    assert caller.post("/api/tokens/", {"name": "for ever"}).json()["error"]["param"] == "expires_at"
    body = {"name": "shorter", "expires_at": (soon - dt.timedelta(minutes=1)).isoformat()}
    assert caller.post("/api/tokens/", body).status_code == 201


def test_an_equal_or_narrower_token_may_be_made(alice: Any) -> None:
    caller = by_token(alice, scopes=("manage", "chat"), networks=["127.0.0.0/8"], requests_per_minute=5)
    body = {"name": "n", "networks": ["127.0.0.1/32"], "requests_per_minute": 5, "scopes": ["chat"]}
    assert caller.post("/api/tokens/", body).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "chat"}, "scopes"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"networks": ["everywhere"]}, "networks"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": 2**31}, "tokens_per_minute"),
        ({"concurrency": -1}, "concurrency"),
        ({"expires_at": "2001-01-01"}, "expires_at"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
    ],
)
def test_a_malformed_token_is_refused(alice: Any, change: dict[str, Any], field: str) -> None:
    answer = by_session(alice).post("/api/tokens/", {"name": "n", **change})
    assert (answer.status_code, answer.json()["error"].get("param")) == (400, field)
    assert AccessToken.objects.count() == 0


def test_the_time_of_use_is_written_once_a_minute(alice: Any) -> None:
    caller = by_token(alice)
    caller.get("/api/providers/")
    first = AccessToken.objects.get().last_used_at
    caller.get("/api/providers/")
    assert first is not None
    assert AccessToken.objects.get().last_used_at == first


# --- conversations -------------------------------------------------------------------------------------------------


def test_a_conversation_keeps_a_model_its_owner_may_use(alice: Any, rows: Rows, shared: Rows) -> None:
    caller = by_token(alice, scopes=("chat",))
    made = caller.post("/api/conversations/", {"title": "t", "llm_model": "shared-model"})
    assert made.status_code == 201, made.content
    assert (made.json()["llm_model"], made.json()["llm_model_id"]) == ("shared-model", str(shared.model.pk))
    url = f"/api/conversations/{made.json()['id']}/"
    assert caller.patch(url, {"llm_model": str(rows.model.pk)}).json()["llm_model"] == "alice-model"
    assert caller.patch(url, {"llm_model": None}).json()["llm_model"] is None
    assert caller.delete(url).status_code == 204


def test_a_model_one_may_not_use_is_refused(alice: Any, bob: Any, shared: Rows) -> None:
    foreign = make_rows(bob, "bob").model
    disabled = LLMModel.objects.create(provider=shared.provider, model_id="off", name="off", enabled=False)
    kept = LLMModel.objects.create(provider=shared.provider, model_id="kept", name="kept")
    ModelAccess.objects.create(model=kept, group=Group.objects.create(name="others"))
    for name in (str(foreign.pk), "bob-model", "off", str(disabled.pk), "kept", "nothing", 5, ["x"]):
        answer = by_session(alice).post("/api/conversations/", {"llm_model": name})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "llm_model")
        answer = by_session(alice).patch("/api/settings/", {"default_model": name})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "default_model")
    assert Conversation.objects.filter(owner=alice).count() == 0


def test_messages_are_read_in_their_order(alice: Any, rows: Rows) -> None:
    page = by_session(alice).get(f"/api/conversations/{rows.conversation.pk}/messages/").json()
    assert [row["content"] for row in page["results"]] == ["alice said"]


def test_what_is_said_stays_out_of_the_audit_trail(alice: Any) -> None:
    by_session(alice).post("/api/conversations/", {"title": "a secret illness", "system_prompt": "a secret illness"})
    assert "illness" not in str(list(AuditEvent.objects.values()))


# --- presets, routes, prompt packs ---------------------------------------------------------------------------------


def test_a_presets_entries_keep_their_order_and_are_replaced_whole(alice: Any, rows: Rows, shared: Rows) -> None:
    body = {
        "slug": "translate",
        "name": "Translate",
        "module": "translate",
        "entries": [{"model": "shared-model", "options": {"temperature": 0}}, {"model_ref": "openai/gpt-9"}],
    }
    made = by_session(alice).post("/api/presets/", body)
    assert made.status_code == 201, made.content
    assert [(row["model"], row["model_ref"]) for row in made.json()["entries"]] == [
        ("shared-model", ""),
        (None, "openai/gpt-9"),
    ]
    url = f"/api/presets/{made.json()['id']}/"
    changed = by_session(alice).patch(url, {"entries": [{"model": "alice-model"}]}).json()
    assert [row["model"] for row in changed["entries"]] == ["alice-model"]
    assert len(by_session(alice).patch(url, {"name": "T"}).json()["entries"]) == 1


@pytest.mark.parametrize(
    "entries",
    [
        "x",
        [1],
        [{}],
        [{"model": "nothing"}],
        [{"model": "alice-model"}, {"model": "alice-model"}],
        [{"model_ref": "a", "options": []}],
        [{"model_ref": "x"}] * 101,
    ],
)
def test_malformed_entries_change_nothing(alice: Any, rows: Rows, entries: Any) -> None:
    url = f"/api/presets/{rows.preset.pk}/"
    assert by_session(alice).patch(url, {"name": "changed", "entries": entries}).status_code == 400
    row = Preset.objects.get(pk=rows.preset.pk)
    assert (row.name, row.entries.count()) == ("P", 1)


def test_a_list_for_everybody_names_no_personal_model(admin: Any) -> None:
    make_rows(admin, "admin")
    for path, body in (
        ("/api/presets/", {"slug": "s", "name": "n", "module": "chat"}),
        ("/api/routes/", {"name": "n"}),
    ):
        answer = by_session(admin).post(path, {**body, "is_global": True, "entries": [{"model": "admin-model"}]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "entries")


def test_a_route_has_choices_and_fallbacks(alice: Any, rows: Rows, shared: Rows) -> None:
    body = {
        "name": "smart",
        "strategy": "weighted",
        "entries": [{"model": "alice-model", "weight": 3}, {"model": "shared-model", "is_fallback": True}],
    }
    made = by_session(alice).post("/api/routes/", body)
    assert made.status_code == 201, made.content
    found = by_session(alice).get(f"/api/routes/{made.json()['id']}/").json()["entries"]
    assert [(row["model"], row["weight"], row["is_fallback"]) for row in found] == [
        ("alice-model", 3, False),
        ("shared-model", 1, True),
    ]


def test_a_prompt_packs_next_version_is_found(alice: Any) -> None:
    caller = by_session(alice)
    versions = [caller.post("/api/prompt-packs/", {"module": "battle"}).json()["version"] for _ in range(3)]
    assert versions == [1, 2, 3]
    again = caller.post("/api/prompt-packs/", {"module": "battle", "version": 2})
    assert (again.status_code, again.json()["error"]["param"]) == (400, "version")


# --- budgets, policies, audit, settings ----------------------------------------------------------------------------


def test_a_budget_is_for_exactly_one_subject(admin: Any, alice: Any, rows: Rows) -> None:
    caller = by_session(admin)
    group = Group.objects.create(name="team")
    for body in ({"user": "alice"}, {"group": "team"}, {"token": str(rows.token.pk)}, {"model": str(rows.model.pk)}):
        made = caller.post("/api/budgets/", {**body, "amount": "12.5"})
        assert (made.status_code, made.json()["amount"], made.json()["spent"]) == (201, "12.5", "0"), made.content
    for body in ({}, {"user": "alice", "group": group.name}, {"user": "nobody"}, {"user": None}, {"group": 1}):
        assert caller.post("/api/budgets/", {**body, "amount": "1"}).status_code == 400
    for amount in ("-1", "NaN", 2**63, "1e5", None, True):
        assert caller.post("/api/budgets/", {"user": "alice", "amount": amount}).status_code == 400
    assert Budget.objects.count() == 4
    assert len(caller.get("/api/budgets/").json()["results"]) == 4


def test_a_limit_is_for_exactly_one_subject_and_one_a_subject(admin: Any, alice: Any, rows: Rows) -> None:
    caller = by_session(admin)
    subjects = {"user": "alice", "provider": rows.provider.slug, "credential": str(rows.credential.pk)}
    for name, value in subjects.items():
        made = caller.post("/api/rate-limits/", {name: value, "requests_per_minute": 60, "concurrency": 4})
        assert (made.status_code, made.json()["requests_per_minute"]) == (201, 60), made.content
    again = caller.post("/api/rate-limits/", {"user": "alice", "requests_per_minute": 1})
    assert again.status_code == 400, again.content
    for body in ({}, {"user": "alice", "provider": rows.provider.slug}, {"user": "nobody"}, {"model": 1}):
        assert caller.post("/api/rate-limits/", {**body, "requests_per_minute": 1}).status_code == 400
    for limit in (-1, "many", 2**63, 1.5, True):
        bad = {"model": rows.model.name, "requests_per_minute": limit}
        assert caller.post("/api/rate-limits/", bad).status_code == 400, limit
    assert RateLimit.objects.count() == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"target": "http://"}, "target"),
        ({"target": "10.0.0.0/99"}, "target"),
        ({"target": "a b"}, "target"),
        ({"target": "10.0.0.1", "ports": [0]}, "ports"),
        ({"target": "10.0.0.1", "ports": "80"}, "ports"),
        ({"target": "10.0.0.1", "audience": "group"}, "non_field_errors"),
        ({"target": "10.0.0.1", "audience": "friends"}, "audience"),
    ],
)
def test_a_malformed_policy_is_refused(admin: Any, body: dict[str, Any], field: str) -> None:
    answer = by_session(admin).post("/api/endpoint-policies/", body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"].get("param", "non_field_errors") == field


def test_a_policy_for_a_group(admin: Any) -> None:
    Group.objects.create(name="team")
    body = {"target": "10.0.0.0/8", "ports": [8000], "audience": "group", "group": "team"}
    assert by_session(admin).post("/api/endpoint-policies/", body).status_code == 201


def test_the_trail_names_who_did_what(alice: Any, admin: Any) -> None:
    made = by_session(alice).post("/api/providers/", {"name": "x", "adapter": "stub"}).json()
    by_session(alice).patch(f"/api/providers/{made['id']}/", {"name": "y"})
    found = by_session(admin).get(f"/api/audit/?row={made['id']}").json()["results"]
    assert [(row["actor_name"], row["action"], row["address"]) for row in found] == [
        ("alice", "change", "127.0.0.1"),
        ("alice", "create", "127.0.0.1"),
    ]
    assert (found[0]["before"], found[0]["after"]) == ({"name": "x"}, {"name": "y"})
    assert by_session(admin).get("/api/audit/?action=delete").json()["results"] == []
    assert by_session(admin).get("/api/audit/?since=yesterday").status_code == 400


def test_settings_are_made_when_first_needed(alice: Any, shared: Rows) -> None:
    caller = by_session(alice)
    assert caller.get("/api/settings/").json() == {
        "default_model": None,
        "key_policy": "own_first",
        "time_zone": "UTC",
    }
    changed = caller.patch("/api/settings/", {"default_model": "shared-model", "key_policy": "own_only"})
    assert (changed.status_code, changed.json()["default_model"]) == (200, "shared-model")
    assert UserSettings.objects.get(user=alice).key_policy == "own_only"
    for body in ({"key_policy": "free"}, {"time_zone": "Mars/Base"}, {"time_zone": 5}):
        assert caller.patch("/api/settings/", body).status_code == 400


def test_a_provider_with_models_can_be_deleted_and_usage_stays(alice: Any, rows: Rows) -> None:
    assert by_session(alice).delete(f"/api/providers/{rows.provider.pk}/").status_code == 204
    assert Provider.objects.count() == 0
    kept = by_session(alice).get("/api/usage/").json()["results"]
    assert [(row["model"], row["model_id"]) for row in kept] == [("alice-model", None)]
