"""Stored keys as calls get them: bound to their address, kept for a while, never told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from adapters.errors import ConfigurationError
from registry.access.keys import NO_KEY, StoredKeys
from registry.access.principals import Principal
from registry.catalog import targets
from registry.catalog.snapshot import Snapshot
from registry.models import Credential, CredentialSecret, CredentialState, LLMModel, Provider
from registry.routing.resolve import Candidate
from registry.vault.row_security import MAINTENANCE, secrets_of

pytestmark = pytest.mark.django_db(transaction=True)
KEY = "sk-planted-0123456789abcdefghij"


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Snapshot, Credential]]:
    targets.override_for.cache_clear()
    provider = Provider.objects.create(slug="p", name="P", adapter="openai", base_url="https://api.openai.com/v1")
    LLMModel.objects.create(provider=provider, model_id="m", name="m")
    credential = Credential(provider=provider)
    credential.set_secret(KEY)
    snapshot = Snapshot()
    snapshot.refresh()
    yield snapshot, credential
    targets.override_for.cache_clear()


def candidate(snapshot: Snapshot, **fields: Any) -> Candidate:
    [entry] = snapshot.named("m", None)
    assert entry.endpoint is not None
    [credential] = snapshot.credentials_of(entry.endpoint.id)
    values = {"entry": entry, "provider": entry.endpoint, "credential": credential, "scope": "shared"}
    return Candidate(**values | fields)


def open_key(snapshot: Snapshot, chosen: Candidate) -> Any:
    return async_to_sync(StoredKeys(snapshot).open_key)(chosen, Principal())


def test_a_key_opens_for_its_own_address(stored: tuple[Snapshot, Credential]) -> None:
    snapshot, credential = stored
    assert open_key(snapshot, candidate(snapshot)).api_key == KEY
    assert snapshot.revealed(credential.pk, None) is not None


def test_a_key_does_not_open_for_an_address_that_was_changed_past_the_record(
    stored: tuple[Snapshot, Credential],
) -> None:
    snapshot, credential = stored
    Provider.objects.update(base_url="https://canary.example/v1")
    snapshot.refresh()
    with pytest.raises(ConfigurationError, match="another address"):
        open_key(snapshot, candidate(snapshot))
    assert snapshot.revealed(credential.pk, None) is None


def test_a_key_does_not_open_for_an_address_of_the_environment(
    stored: tuple[Snapshot, Credential], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, _ = stored
    monkeypatch.setenv("LLMHUB_LLM_P_BASE_URL", "https://canary.example/v1")
    targets.override_for.cache_clear()
    with pytest.raises(ConfigurationError, match="another address"):
        open_key(snapshot, candidate(snapshot))


def test_a_key_that_does_not_open_is_told_without_it_and_marked(stored: tuple[Snapshot, Credential]) -> None:
    snapshot, credential = stored
    with secrets_of(MAINTENANCE):
        CredentialSecret.objects.update(ciphertext="llmhub1:test:AAAA")
    with pytest.raises(ConfigurationError, match="Enter it again") as caught:
        open_key(snapshot, candidate(snapshot))
    assert "AAAA" not in str(caught.value)
    credential.refresh_from_db()
    assert credential.state == CredentialState.UNDECRYPTABLE


def test_the_environments_key_is_given_only_where_it_was_chosen(
    stored: tuple[Snapshot, Credential], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, _ = stored
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-environment")
    assert open_key(snapshot, candidate(snapshot, credential=None, scope="none")) is NO_KEY
    found = open_key(snapshot, candidate(snapshot, credential=None, scope="environment"))
    assert found.api_key == "sk-planted-environment" and "planted" not in repr(found)
