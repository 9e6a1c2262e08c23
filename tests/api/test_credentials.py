from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from registry.models import AuditEvent, Credential, CredentialSecret, Provider
from registry.vault.row_security import MAINTENANCE, secrets_of
from tests.api.conftest import PLANTED_KEY, by_session


@pytest.fixture
def shared(db: None) -> Provider:
    return Provider.objects.create(
        slug="shared", name="Shared", adapter="openai", base_url="https://api.example.com/v1"
    )


def test_a_user_adds_their_own_key_to_a_global_provider(alice: Any, shared: Provider) -> None:
    answer = by_session(alice).post("/api/credentials/", {"provider": "shared", "api_key": PLANTED_KEY})
    body = answer.json()
    assert answer.status_code == 201, body
    assert (body["last_four"], body["state"], body["origin"]) == (PLANTED_KEY[-4:], "ok", "https://api.example.com:443")
    assert (len(body["fingerprint"]), body["is_global"], body["label"]) == (16, False, "default")
    assert Credential.objects.get().owner == alice
    assert PLANTED_KEY not in answer.content.decode()


def test_a_new_key_replaces_the_old_and_keeps_the_headers(alice: Any, shared: Provider) -> None:
    caller = by_session(alice)
    body = {"provider": str(shared.pk), "api_key": "old-" + PLANTED_KEY, "headers": {"X-Team": "t-" + PLANTED_KEY}}
    made = caller.post("/api/credentials/", body).json()
    answer = caller.patch(f"/api/credentials/{made['id']}/", {"api_key": PLANTED_KEY})
    assert answer.status_code == 200
    assert answer.json()["fingerprint"] != made["fingerprint"]
    secret = Credential.objects.get().reveal(alice.pk)
    assert (secret.api_key, secret.headers) == (PLANTED_KEY, {"X-Team": "t-" + PLANTED_KEY})
    with secrets_of(MAINTENANCE):
        assert CredentialSecret.objects.count() == 1


def test_a_key_can_be_relabelled_without_being_sent_again(alice: Any, shared: Provider) -> None:
    caller = by_session(alice)
    made = caller.post("/api/credentials/", {"provider": "shared", "api_key": PLANTED_KEY}).json()
    assert caller.patch(f"/api/credentials/{made['id']}/", {"label": "work", "weight": 5}).status_code == 200
    assert (Credential.objects.get().label, Credential.objects.get().reveal(alice.pk).api_key) == ("work", PLANTED_KEY)


def test_a_key_stays_with_its_provider(alice: Any, shared: Provider) -> None:
    other = Provider.objects.create(owner=alice, slug="o", name="O", adapter="openai", base_url="https://evil.example")
    caller = by_session(alice)
    made = caller.post("/api/credentials/", {"provider": "shared", "api_key": PLANTED_KEY}).json()
    answer = caller.patch(f"/api/credentials/{made['id']}/", {"provider": str(other.pk)})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "provider")


def test_deleting_a_key_destroys_its_ciphertext(alice: Any, shared: Provider) -> None:
    caller = by_session(alice)
    made = caller.post("/api/credentials/", {"provider": "shared", "api_key": PLANTED_KEY}).json()
    assert caller.delete(f"/api/credentials/{made['id']}/").status_code == 204
    with secrets_of(MAINTENANCE):
        assert (Credential.objects.count(), CredentialSecret.objects.count()) == (0, 0)
    assert AuditEvent.objects.filter(action="delete", row=made["id"]).count() == 1


def test_only_an_admin_shares_a_key(alice: Any, admin: Any, shared: Provider) -> None:
    body = {"provider": "shared", "api_key": PLANTED_KEY, "is_global": True}
    assert by_session(alice).post("/api/credentials/", body).status_code == 403
    assert by_session(admin).post("/api/credentials/", body).status_code == 201
    row = Credential.objects.get()
    assert row.owner is None
    assert by_session(alice).patch(f"/api/credentials/{row.pk}/", {"api_key": "x" * 20}).status_code == 403
    assert row.reveal(row.owner_id).api_key == PLANTED_KEY


def test_another_users_provider_takes_no_key_of_mine(alice: Any, bob: Any) -> None:
    row = Provider.objects.create(owner=bob, slug="b", name="B", adapter="openai", base_url="https://b.example")
    for name in ("b", str(row.pk)):
        answer = by_session(alice).post("/api/credentials/", {"provider": name, "api_key": PLANTED_KEY})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "provider")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"api_key": ""}, "api_key"),
        ({"api_key": None}, "api_key"),
        ({"api_key": 5}, "api_key"),
        ({"api_key": "a b"}, "api_key"),
        ({"provider": "none"}, "provider"),
        ({"provider": 3}, "provider"),
        ({"provider": ["shared"]}, "provider"),
        ({"provider": None}, "provider"),
        ({"weight": 0}, "weight"),
        ({"weight": 2**31}, "weight"),
        ({"weight": "5"}, "weight"),
        ({"weight": True}, "weight"),
        ({"label": "x" * 81}, "label"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "0000-00-00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
    ],
)
def test_a_malformed_credential_is_refused(alice: Any, shared: Provider, change: dict[str, Any], field: str) -> None:
    answer = by_session(alice).post("/api/credentials/", {"provider": "shared", "api_key": PLANTED_KEY, **change})
    assert (answer.status_code, answer.json()["error"].get("param")) == (400, field)
    assert Credential.objects.count() == 0


def test_neither_key_nor_headers_is_refused(alice: Any, shared: Provider) -> None:
    answer = by_session(alice).post("/api/credentials/", {"provider": "shared"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "api_key")


def test_a_label_is_unique_for_each_provider(alice: Any, shared: Provider) -> None:
    body = {"provider": "shared", "api_key": PLANTED_KEY}
    assert by_session(alice).post("/api/credentials/", body).status_code == 201
    again = by_session(alice).post("/api/credentials/", body)
    assert (again.status_code, again.json()["error"]["param"]) == (400, "label")


def test_an_expiry_to_come_is_kept(alice: Any, shared: Provider) -> None:
    when = (timezone.now() + dt.timedelta(days=1)).isoformat()
    body = {"provider": "shared", "api_key": PLANTED_KEY, "expires_at": when}
    assert by_session(alice).post("/api/credentials/", body).status_code == 201
