"""A stored ciphertext opens in its own row, for its own user and host, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from registry.models import Credential, CredentialSecret, CredentialState, Provider
from registry.vault.fields import EncryptedTextField
from registry.vault.keyring import DecryptError, new_key
from registry.vault.row_security import MAINTENANCE, secrets_of

KEY = "sk-planted-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def whole_table(db: None) -> Iterator[None]:
    """These tests reach into the table itself; tests/vault/test_row_security.py holds what it shows to whom."""
    with secrets_of(MAINTENANCE):
        yield


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider.objects.create(slug="p", name="P", adapter="openai", base_url="https://api.openai.com/v1")


def plant(provider: Provider, label: str = "one", owner: Any = None, key: str = KEY) -> Credential:
    credential = Credential(provider=provider, label=label, owner=owner)
    credential.set_secret(key, {"X-Planted": "header-planted-1"})
    return credential


def stored(credential: Credential) -> CredentialSecret:
    return CredentialSecret.objects.select_related("credential").get(credential=credential)


def test_a_key_and_its_headers_come_back(provider: Provider) -> None:
    secret = Credential.objects.get(pk=plant(provider).pk).reveal(None)
    assert (secret.api_key, dict(secret.headers)) == (KEY, {"X-Planted": "header-planted-1"})


def test_nothing_stored_or_shown_holds_the_key(provider: Provider) -> None:
    credential = plant(provider)
    secret = credential.reveal(credential.owner_id)
    with connection.cursor() as cursor:
        columns = [f"registry_credential.{f.column}" for f in Credential._meta.concrete_fields]
        columns += [f"registry_credentialsecret.{f.column}" for f in CredentialSecret._meta.concrete_fields]
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM registry_credential, registry_credentialsecret"  # columns of our own
        )
        dump = repr(cursor.fetchall())
    shown = [dump, repr(secret), str(secret), repr(credential), str(credential), repr(stored(credential))]
    shown += [repr(vars(stored(credential)))]
    for text in shown:
        assert KEY not in text and "header-planted-1" not in text
    assert credential.last_four == KEY[-4:]


def test_a_short_key_shows_no_last_four(provider: Provider) -> None:
    assert plant(provider, key="short-key-of-19-chr").last_four == ""


def test_a_ciphertext_of_another_row_does_not_open(provider: Provider) -> None:
    one, two = plant(provider, "one"), plant(provider, "two")
    CredentialSecret.objects.filter(credential=two).update(ciphertext=stored(one).ciphertext)
    with pytest.raises(DecryptError):
        two.reveal(two.owner_id)
    two.refresh_from_db()
    assert two.state == CredentialState.UNDECRYPTABLE
    assert one.reveal(one.owner_id).api_key == KEY


def test_a_secret_given_to_another_user_does_not_open(provider: Provider, alice: Any, bob: Any) -> None:
    credential = plant(provider, owner=alice)
    Credential.objects.filter(pk=credential.pk).update(owner=bob)
    with pytest.raises(DecryptError):
        Credential.objects.get(pk=credential.pk).reveal(bob.pk)


def test_a_users_secret_made_shared_does_not_open(provider: Provider, alice: Any) -> None:
    credential = plant(provider, owner=alice)
    Credential.objects.filter(pk=credential.pk).update(owner=None)
    with pytest.raises(DecryptError):
        Credential.objects.get(pk=credential.pk).reveal(None)


def test_a_secret_of_another_origin_does_not_open(provider: Provider) -> None:
    credential = plant(provider)
    Credential.objects.filter(pk=credential.pk).update(origin="https://canary.example:443")
    with pytest.raises(DecryptError):
        Credential.objects.get(pk=credential.pk).reveal(None)


def test_a_secret_row_hung_on_another_users_credential_does_not_open(provider: Provider, alice: Any, bob: Any) -> None:
    mine, other = plant(provider, owner=alice), plant(provider, owner=bob)
    CredentialSecret.objects.filter(credential=other).delete()
    CredentialSecret.objects.filter(credential=mine).update(credential=other)
    with pytest.raises(DecryptError):
        Credential.objects.get(pk=other.pk).reveal(bob.pk)


def test_a_ciphertext_is_bound_to_its_column(provider: Provider) -> None:
    row = stored(plant(provider))
    field: Any = CredentialSecret._meta.get_field("ciphertext")
    other = EncryptedTextField(bound_to=field.bound_to)
    other.set_attributes_from_name("other")
    assert field.additional_data(row) != other.additional_data(row)
    other.attname = "ciphertext"
    with pytest.raises(DecryptError):
        other.decrypt(row)


def test_bound_values_can_not_run_into_each_other(provider: Provider) -> None:
    row = stored(plant(provider))
    field: Any = CredentialSecret._meta.get_field("ciphertext")
    row.credential.origin = "https://a.example:443"
    one = field.additional_data(row)
    row.credential.owner_id, row.credential.origin = f"{row.credential.owner_id}https://a", ".example:443"
    assert field.additional_data(row) != one


@pytest.mark.parametrize("plaintext", [KEY, "", "llmhub1", "llmhub2:k:abc"])
def test_a_plaintext_can_not_be_stored_by_any_write(provider: Provider, plaintext: str) -> None:
    row = stored(plant(provider))
    writes = [
        lambda: CredentialSecret.objects.filter(pk=row.pk).update(ciphertext=plaintext),
        lambda: CredentialSecret.objects.bulk_create(
            [CredentialSecret(credential=row.credential, ciphertext=plaintext)]
        ),
        lambda: CredentialSecret(pk=row.pk, credential=row.credential, ciphertext=plaintext).save(),
    ]
    for write in writes:
        with pytest.raises(ValidationError) as caught, transaction.atomic():
            write()
        assert not plaintext or plaintext not in str(caught.value)
    assert stored(row.credential).open("ciphertext")


def test_one_row_that_does_not_open_leaves_the_others(provider: Provider) -> None:
    rows = [plant(provider, f"k{number}", key=f"sk-planted-{number:020}") for number in range(5)]
    CredentialSecret.objects.filter(credential=rows[2]).update(ciphertext="llmhub1:test:AAAA")
    opened = []
    for credential in Credential.objects.order_by("label"):
        try:
            opened.append(credential.reveal(credential.owner_id).api_key)
        except DecryptError:
            opened.append(None)
    assert opened == [None if number == 2 else f"sk-planted-{number:020}" for number in range(5)]
    assert list(Credential.objects.usable().order_by("label").values_list("label", flat=True)) == [
        "k0",
        "k1",
        "k3",
        "k4",
    ]


def test_a_key_whose_ring_is_lost_is_marked_once(provider: Provider, settings: Any) -> None:
    credential = plant(provider)
    settings.LLMHUB_ENCRYPTION_KEYS = new_key()
    with pytest.raises(DecryptError):
        credential.reveal(credential.owner_id)
    credential.refresh_from_db()
    assert credential.state == CredentialState.UNDECRYPTABLE
    assert credential.last_error
    with CaptureQueriesContext(connection) as queries, pytest.raises(DecryptError):
        credential.reveal(credential.owner_id)
    assert not [query for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]


def test_a_credential_without_a_secret_says_so(provider: Provider) -> None:
    credential = Credential.objects.create(provider=provider)
    with pytest.raises(DecryptError, match="no key is stored"):
        credential.reveal(credential.owner_id)


def test_a_form_has_no_field_for_a_ciphertext() -> None:
    assert CredentialSecret._meta.get_field("ciphertext").editable is False
