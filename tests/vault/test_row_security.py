"""The second wall: PostgreSQL itself shows a ciphertext only to the transaction that says whose call it is."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, ProgrammingError, connection, transaction

from registry.catalog.snapshot import Snapshot
from registry.models import Credential, CredentialSecret, Provider
from registry.vault import row_security
from registry.vault.keyring import DecryptError
from registry.vault.row_security import MAINTENANCE, secrets_of

KEY = "sk-planted-0123456789abcdefghij"


@pytest.fixture
def postgres(db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("row-level security is PostgreSQL's alone")


@pytest.fixture
def keys(db: None, alice: Any, bob: Any) -> Iterator[dict[str, Credential]]:
    """A shared key, and one of alice and of bob."""
    provider = Provider.objects.create(slug="p", name="P", adapter="openai", base_url="https://api.openai.com/v1")
    made = {}
    for label, owner in (("shared", None), ("alice", alice), ("bob", bob)):
        made[label] = Credential(provider=provider, owner=owner, label=label)
        made[label].set_secret(f"{KEY}-{label}")
    yield made


def shown_to(caller: Hashable | None) -> set[str]:
    with secrets_of(caller):
        return set(CredentialSecret.objects.values_list("credential__label", flat=True))


def test_another_users_key_does_not_open_for_a_call(keys: dict[str, Credential], alice: Any, bob: Any) -> None:
    for caller, label in ((bob.pk, "alice"), (None, "alice"), (alice.pk, "bob"), ("maintenance ", "bob")):
        with pytest.raises(DecryptError, match="somebody else"):
            Credential.objects.get(pk=keys[label].pk).reveal(caller)
    for caller, label in ((alice.pk, "alice"), (alice.pk, "shared"), (None, "shared"), (MAINTENANCE, "bob")):
        assert keys[label].reveal(caller).api_key == f"{KEY}-{label}"
    assert set(Credential.objects.values_list("state", flat=True)) == {"ok"}  # refused is not undecryptable


def test_a_key_in_memory_is_no_more_open_than_a_stored_one(keys: dict[str, Credential], alice: Any, bob: Any) -> None:
    snapshot = Snapshot()
    assert snapshot.reveal(keys["alice"].pk, alice.pk).api_key
    assert snapshot.revealed(keys["alice"].pk, alice.pk) is not None
    assert snapshot.revealed(keys["alice"].pk, bob.pk) is None
    with pytest.raises(DecryptError):
        snapshot.reveal(keys["alice"].pk, bob.pk)


def test_the_table_looks_empty_to_every_other_query(postgres: None, keys: dict[str, Credential]) -> None:
    assert not CredentialSecret.objects.exists()
    assert not CredentialSecret.objects.filter(credential=keys["alice"]).update(ciphertext="llmhub1:k:x")
    assert Credential.objects.filter(secret__isnull=False).count() == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM registry_credentialsecret")
        assert cursor.fetchone() == (0,)
        cursor.execute("DELETE FROM registry_credentialsecret")
        assert cursor.rowcount == 0
    assert shown_to(MAINTENANCE) == {"shared", "alice", "bob"}


def test_each_caller_meets_the_shared_keys_and_their_own(
    postgres: None, keys: dict[str, Credential], alice: Any, bob: Any, charlie: Any
) -> None:
    assert shown_to(alice.pk) == {"shared", "alice"}
    assert shown_to(bob.pk) == {"shared", "bob"}
    assert shown_to(charlie.pk) == shown_to(None) == {"shared"}
    assert shown_to("") == set()


def test_nobody_writes_a_secret_into_anothers_row(postgres: None, keys: dict[str, Credential], bob: Any) -> None:
    with secrets_of(bob.pk):
        mine = CredentialSecret.objects.get(credential=keys["bob"])
        with pytest.raises((ProgrammingError, IntegrityError)), transaction.atomic():
            CredentialSecret.objects.create(credential=keys["alice"], ciphertext=mine.ciphertext)
        with pytest.raises((ProgrammingError, IntegrityError)), transaction.atomic():
            CredentialSecret.objects.filter(pk=mine.pk).update(credential=keys["alice"])


def test_the_setting_ends_with_its_block_whatever_happens(
    postgres: None, keys: dict[str, Credential], bob: Any
) -> None:
    with secrets_of(bob.pk):
        assert shown_to(None) == {"shared"}
        assert CredentialSecret.objects.count() == 2  # the outer block's again
    assert not CredentialSecret.objects.exists()
    with pytest.raises(ZeroDivisionError), secrets_of(MAINTENANCE):
        raise ZeroDivisionError
    assert not CredentialSecret.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_pooled_connection_carries_nothing_to_the_next_user(
    postgres: None, keys: dict[str, Credential], alice: Any
) -> None:
    found: list[int] = []

    def another_request() -> None:
        try:
            found.append(CredentialSecret.objects.count())
        finally:
            connection.close()

    for _ in range(3):
        assert keys["alice"].reveal(alice.pk).api_key
        connection.close()  # back to the pool
        thread = threading.Thread(target=another_request)
        thread.start()
        thread.join()
    assert found == [0, 0, 0]


def test_deleting_takes_the_ciphertext_along(keys: dict[str, Credential], alice: Any, bob: Any) -> None:
    keys["shared"].delete()
    get_user_model().objects.get(pk=alice.pk).delete()
    assert shown_to(MAINTENANCE) == {"bob"}
    Provider.objects.get().delete()
    assert shown_to(MAINTENANCE) == set()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_the_suites_own_role_can_not_pass_the_wall(db: None) -> None:
    assert row_security.fault() == ""


def test_a_wall_that_was_taken_down_is_told(postgres: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE registry_credentialsecret NO FORCE ROW LEVEL SECURITY")
    assert "no row security" in row_security.fault()
