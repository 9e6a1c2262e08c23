from __future__ import annotations

from typing import Any

import pytest

from registry.access import audit
from registry.models import AccessToken, AuditEvent, Conversation, Credential, CredentialSecret, Provider
from registry.vault.row_security import secrets_of

KEY = "sk-planted-0123456789abcdefghij"


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider.objects.create(slug="p", name="P", adapter="openai", base_url="https://api.example.com/v1")


def test_a_change_keeps_only_the_columns_that_differ(admin: Any, provider: Provider) -> None:
    before = audit.snapshot(provider)
    provider.name = "Q"
    event = audit.record(admin, "change", provider, before, audit.snapshot(provider), "192.0.2.1")
    assert (event.before, event.after) == ({"name": "P"}, {"name": "Q"})
    assert (event.actor, event.actor_name, event.address, event.row) == (admin, "admin", "192.0.2.1", provider.pk)


def test_no_column_that_proves_something_is_kept(alice: Any, provider: Provider) -> None:
    credential = Credential(provider=provider, owner=alice)
    credential.set_secret(KEY)
    token, plaintext = AccessToken.mint(owner=alice, name="t")
    with secrets_of(alice.pk):
        stored = CredentialSecret.objects.get(credential=credential)
    for row in (credential, stored, token, alice):
        audit.record(alice, "create", row, None, audit.snapshot(row))
    kept = str([(event.label, event.before, event.after) for event in AuditEvent.objects.all()])
    for secret in (KEY, plaintext, token.digest, alice.password, stored.ciphertext):
        assert secret not in kept
    assert audit.MASK in kept


def test_secrets_put_into_json_columns_are_masked(provider: Provider) -> None:
    provider.settings = {"api_version": "1", "nested": [{"X-Api-Key": KEY}], "tokens": [KEY]}
    assert audit.snapshot(provider)["settings"] == {
        "api_version": "1",
        "nested": [{"X-Api-Key": audit.MASK}],
        "tokens": [audit.MASK],
    }


def test_what_people_write_stays_out_of_the_trail(alice: Any) -> None:
    row = Conversation.objects.create(owner=alice, title="my illness", system_prompt="be kind", params={"a": "illness"})
    event = audit.record(alice, "create", row, None, audit.snapshot(row))
    assert "illness" not in event.label + str(event.after)
    assert event.after["title"] == audit.PRIVATE


def test_an_unsaved_configuration_is_noted_without_its_key(admin: Any) -> None:
    event = audit.note(admin, "test", "registry_provider", "unsaved", {"api_key": KEY, "base_url": "https://a.example"})
    assert event.after == {"api_key": audit.MASK, "base_url": "https://a.example"}
