from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry.models import AuditEvent, Credential, EndpointPolicy, Provider
from tests.api.conftest import PLANTED_KEY, Caller, by_session, by_token

BODY = {"name": "My OpenAI", "adapter": "openai", "base_url": "https://api.example.com/v1"}


def test_a_provider_with_a_key_makes_its_first_credential(alice: Any, caller_of: Callable[[Any], Caller]) -> None:
    answer = caller_of(alice).post(
        "/api/providers/", {**BODY, "api_key": PLANTED_KEY, "headers": {"X-Org": PLANTED_KEY}}
    )
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["slug"], body["is_global"], body["has_key"], body["warnings"]) == ("my-openai", False, True, [])
    assert PLANTED_KEY not in answer.content.decode()
    credential = Credential.objects.get()
    assert (credential.owner, credential.reveal(credential.owner_id).api_key) == (alice, PLANTED_KEY)
    assert credential.reveal(credential.owner_id).headers == {"X-Org": PLANTED_KEY}
    assert sorted(AuditEvent.objects.values_list("action", "table")) == [
        ("create", "registry_credential"),
        ("create", "registry_provider"),
    ]


def test_the_kinds_own_address_is_taken_when_none_is_given(alice: Any) -> None:
    answer = by_session(alice).post("/api/providers/", {"name": "Claude", "adapter": "anthropic"})
    assert answer.json()["base_url"] == "https://api.anthropic.com"


def test_only_an_admin_makes_a_provider_for_everybody(alice: Any, admin: Any) -> None:
    assert by_session(alice).post("/api/providers/", {**BODY, "is_global": True}).status_code == 403
    assert Provider.objects.count() == 0
    answer = by_session(admin).post("/api/providers/", {**BODY, "is_global": True})
    assert (answer.status_code, answer.json()["is_global"]) == (201, True)
    assert Provider.objects.get().owner is None


def test_an_admins_provider_is_their_own_unless_said_otherwise(admin: Any) -> None:
    by_session(admin).post("/api/providers/", BODY)
    assert Provider.objects.get().owner == admin


def test_a_user_reads_a_global_provider_and_does_not_change_it(alice: Any, caller_of: Callable[[Any], Caller]) -> None:
    row = Provider.objects.create(slug="g", name="G", adapter="openai", base_url="https://api.example.com/v1")
    caller = caller_of(alice)
    assert caller.get(f"/api/providers/{row.pk}/").status_code == 200
    assert caller.patch(f"/api/providers/{row.pk}/", {"name": "mine"}).status_code == 403
    assert caller.delete(f"/api/providers/{row.pk}/").status_code == 403
    row.refresh_from_db()
    assert row.name == "G"


def test_another_origin_clears_the_key_and_the_answer_says_so(alice: Any) -> None:
    caller = by_session(alice)
    made = caller.post("/api/providers/", {**BODY, "api_key": PLANTED_KEY}).json()
    answer = caller.patch(f"/api/providers/{made['id']}/", {"base_url": "https://elsewhere.example.net/v1"})
    assert answer.status_code == 200
    assert "removed" in answer.json()["warnings"][0]
    assert answer.json()["has_key"] is False
    assert Credential.objects.get().state == "missing"


def test_another_path_at_the_same_origin_keeps_the_key(alice: Any) -> None:
    caller = by_session(alice)
    made = caller.post("/api/providers/", {**BODY, "api_key": PLANTED_KEY}).json()
    answer = caller.patch(f"/api/providers/{made['id']}/", {"base_url": "https://api.example.com/v2"})
    assert (answer.json()["warnings"], answer.json()["has_key"]) == ([], True)


def test_a_new_key_given_with_a_new_address_is_bound_to_it(alice: Any) -> None:
    caller = by_session(alice)
    made = caller.post("/api/providers/", {**BODY, "api_key": "old-" + PLANTED_KEY}).json()
    caller.patch(f"/api/providers/{made['id']}/", {"base_url": "https://b.example.net", "api_key": PLANTED_KEY})
    credential = Credential.objects.get()
    assert (credential.origin, credential.reveal(credential.owner_id).api_key) == (
        "https://b.example.net:443",
        PLANTED_KEY,
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "https://127.0.0.1/v1",
        "https://localhost:8443",
        "https://10.0.0.5/v1",
        "https://169.254.169.254/latest",
        "https://user:secret@api.example.com",
        "https://api.example.com/v1?key=1",
        "ftp://api.example.com",
        "https://api.example.com\\@127.0.0.1",
        "javascript:alert(1)",
    ],
)
def test_a_users_address_must_be_one_the_hub_may_call(alice: Any, url: str) -> None:
    answer = by_session(alice).post("/api/providers/", {**BODY, "base_url": url})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "base_url")
    assert "secret" not in answer.content.decode()
    assert Provider.objects.count() == 0


def test_a_policy_opens_a_private_address_for_those_it_is_for(alice: Any, admin: Any) -> None:
    body = {**BODY, "base_url": "http://10.0.0.5:8000/v1"}
    assert by_session(alice).post("/api/providers/", body).status_code == 400
    EndpointPolicy.objects.create(target="10.0.0.5", ports=[8000], audience="all")
    assert by_session(alice).post("/api/providers/", body).status_code == 201


def test_an_admin_is_told_that_a_private_address_needs_a_policy(admin: Any) -> None:
    answer = by_session(admin).post(
        "/api/providers/", {**BODY, "is_global": True, "base_url": "http://127.0.0.1:11434"}
    )
    assert answer.status_code == 201
    assert "endpoint policy" in answer.json()["warnings"][0]


def test_nobody_registers_a_metadata_address(admin: Any) -> None:
    answer = by_session(admin).post(
        "/api/providers/", {**BODY, "is_global": True, "base_url": "http://169.254.169.254"}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "base_url")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"adapter": "no-such-thing"}, "adapter"),
        ({"slug": "has space"}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "x\u202egnp"}, "name"),
        ({"name": 7}, "name"),
        ({"settings": []}, "settings"),
        ({"settings": "x"}, "settings"),
        ({"timeout_s": -1}, "timeout_s"),
        ({"timeout_s": "nan"}, "timeout_s"),
        ({"timeout_s": 1e12}, "timeout_s"),
        ({"fee_percent": "-1"}, "fee_percent"),
        ({"fee_percent": "NaN"}, "fee_percent"),
        ({"fee_percent": 1000}, "fee_percent"),
        ({"enabled": "yes"}, "enabled"),
        ({"auth_type": "basic"}, "auth_type"),
        ({"is_global": "true"}, "is_global"),
        ({"api_key": "line\r\nbreak"}, "api_key"),
        ({"api_key": "k" * 5000}, "api_key"),
        ({"headers": {"X-A": "b\r\nX-Evil: 1"}}, "headers"),
        ({"headers": {"Host": "evil"}}, "headers"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"X-A": "é"}}, "headers"),
        ({"headers": {"X-A": 5}}, "headers"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers"),
        ({"headers": ["X-A"]}, "headers"),
    ],
)
def test_a_malformed_field_is_named_and_nothing_is_written(alice: Any, change: dict[str, Any], field: str) -> None:
    answer = by_session(alice).post("/api/providers/", {**BODY, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request", field)
    assert field in error["fields"]
    assert error["request_id"] == answer["x-request-id"]
    assert (Provider.objects.count(), Credential.objects.count(), AuditEvent.objects.count()) == (0, 0, 0)


def test_a_slug_is_unique_among_ones_own_and_free_among_others(alice: Any, bob: Any) -> None:
    body = {**BODY, "slug": "s"}
    assert by_session(alice).post("/api/providers/", body).status_code == 201
    again = by_session(alice).post("/api/providers/", body)
    assert (again.status_code, again.json()["error"]["param"]) == (400, "slug")
    assert by_session(bob).post("/api/providers/", body).status_code == 201


def test_whom_a_provider_belongs_to_never_changes(admin: Any) -> None:
    caller = by_session(admin)
    made = caller.post("/api/providers/", BODY).json()
    answer = caller.patch(f"/api/providers/{made['id']}/", {"is_global": True})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "is_global")
    assert caller.patch(f"/api/providers/{made['id']}/", {"is_global": False}).status_code == 200


def test_a_read_token_does_not_write(admin: Any) -> None:
    caller = by_token(admin, scopes=("chat", "models", "usage"))
    assert caller.get("/api/providers/").status_code == 200
    answer = caller.post("/api/providers/", BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")


def test_the_list_narrows_and_pages(alice: Any, admin: Any) -> None:
    for number in range(5):
        Provider.objects.create(owner=alice, slug=f"own-{number}", name=f"Own {number}", adapter="stub")
    Provider.objects.create(slug="shared", name="Shared", adapter="openai", base_url="https://api.example.com")
    caller = by_session(alice)
    assert [row["slug"] for row in caller.get("/api/providers/?owner=shared").json()["results"]] == ["shared"]
    assert len(caller.get("/api/providers/?owner=me&adapter=stub").json()["results"]) == 5
    seen, url = [], "/api/providers/?limit=2"
    while url:
        page = caller.get(url).json()
        seen += [row["slug"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == ["own-0", "own-1", "own-2", "own-3", "own-4", "shared"]
