"""Every write that workers must hear of is in the change log, in the writer's own transaction and in commit order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from registry.models import (
    AccessToken,
    Budget,
    Credential,
    CredentialSecret,
    LLMModel,
    Provider,
    RegistryChange,
    User,
    UserSettings,
)
from registry.vault.row_security import MAINTENANCE, secrets_of

URL = "https://api.openai.com/v1"


class Undone(Exception):
    pass


def provider(slug: str = "p", **fields: Any) -> Provider:
    return Provider(**{"slug": slug, "name": slug, "adapter": "openai", "base_url": URL} | fields)


def notes(work: Callable[[], Any]) -> list[tuple[str, Any]]:
    """What `work` appended: table and row, in order."""
    last = RegistryChange.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
    work()
    return list(RegistryChange.objects.filter(sequence__gt=last).values_list("table", "row"))


def noted(*rows: Any) -> list[tuple[str, Any]]:
    return [(row._meta.db_table, row.pk) for row in rows]


@pytest.mark.django_db
def test_each_kind_of_write_is_noted_once() -> None:
    one, two = provider("one"), provider("two")
    assert notes(one.save) == noted(one)
    assert notes(lambda: Provider.objects.bulk_create([two])) == noted(two)
    one.name = "changed"
    assert notes(lambda: one.save(update_fields=["name"])) == noted(one)
    assert sorted(notes(lambda: Provider.objects.all().update(enabled=False))) == sorted(noted(one, two))
    one.name = two.name = "again"
    assert sorted(notes(lambda: Provider.objects.bulk_update([one, two], ["name"]))) == sorted(noted(one, two))
    assert notes(lambda: Provider.objects.update_or_create(slug="one", defaults={"name": "x"})) == noted(one)
    kept = noted(one, two)
    assert notes(lambda: Provider.objects.filter(slug="two").delete()) == kept[1:]
    assert notes(one.delete) == kept[:1]


@pytest.mark.django_db
def test_a_write_of_no_row_is_not_noted() -> None:
    assert notes(lambda: Provider.objects.filter(slug="none").update(enabled=False)) == []
    assert notes(lambda: Provider.objects.filter(slug="none").delete()) == []
    assert notes(lambda: Provider.objects.bulk_create([])) == []


@pytest.mark.django_db
def test_quiet_fields_are_not_noted(alice: Any) -> None:
    base = provider()
    base.save()
    model = LLMModel.objects.create(provider=base, model_id="m", name="m")
    credential = Credential.objects.create(provider=base)
    token, _ = AccessToken.mint(owner=alice, name="t")
    budget = Budget.objects.create(user=alice, amount=1)
    now = timezone.now()
    model.last_used_at = token.last_used_at = now
    alice.last_login = now
    writes = [
        lambda: base.note_health(latency_ms=3, error=None),
        lambda: Credential.objects.filter(pk=credential.pk).update(last_used_at=now, last_error="x"),
        lambda: AccessToken.objects.filter(pk=token.pk).update(last_used_at=now),
        lambda: Budget.objects.filter(pk=budget.pk).update(spent=Decimal(1), leased=Decimal(1), window_start=now),
        lambda: model.save(update_fields=["last_used_at", "updated_at"]),
        lambda: LLMModel.objects.bulk_update([model], ["last_used_at"]),
        lambda: alice.save(update_fields=["last_login"]),
        lambda: model.save(update_fields=[]),
    ]
    assert [notes(write) for write in writes] == [[]] * len(writes)
    assert LLMModel.objects.get().last_used_at == now


@pytest.mark.django_db
def test_a_quiet_field_beside_another_is_noted() -> None:
    base = provider()
    base.save()
    model = LLMModel.objects.create(provider=base, model_id="m", name="m")
    assert notes(lambda: LLMModel.objects.update(last_used_at=timezone.now(), enabled=False)) == noted(model)


@pytest.mark.django_db
def test_bulk_writes_to_people_are_noted(alice: Any, bob: Any) -> None:
    settings = UserSettings.objects.create(user=alice)
    assert notes(lambda: User.objects.filter(pk=alice.pk).update(is_active=False)) == noted(alice)
    assert notes(lambda: UserSettings.objects.update(key_policy="own_only")) == noted(settings)
    assert notes(lambda: UserSettings.objects.all().delete()) == noted(settings)
    expected = noted(bob)
    assert notes(lambda: User.objects.filter(pk=bob.pk).delete()) == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["save", "update", "delete", "queryset delete", "bulk_create", "bulk_update"])
def test_a_write_and_its_note_are_undone_together(kind: str) -> None:
    base = provider()
    base.save()
    before = RegistryChange.objects.count()
    base.name = "changed"
    writes: dict[str, Callable[[], Any]] = {
        "save": base.save,
        "update": lambda: Provider.objects.update(name="changed"),
        "delete": base.delete,
        "queryset delete": lambda: Provider.objects.all().delete(),
        "bulk_create": lambda: Provider.objects.bulk_create([provider("q")]),
        "bulk_update": lambda: Provider.objects.bulk_update([base], ["name"]),
    }
    with pytest.raises(Undone), transaction.atomic():
        writes[kind]()
        assert RegistryChange.objects.count() == before + 1
        raise Undone
    assert RegistryChange.objects.count() == before
    assert list(Provider.objects.values_list("slug", "name")) == [("p", "p")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["save", "update", "delete", "queryset delete", "bulk_create"])
def test_a_write_whose_note_fails_is_undone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside any transaction of the caller: the pair is one by itself."""
    base = provider()
    base.save()

    def fail(*_: Any, **__: Any) -> None:
        raise Undone

    monkeypatch.setattr(RegistryChange, "append", fail)
    base.name = "changed"
    writes: dict[str, Callable[[], Any]] = {
        "save": base.save,
        "update": lambda: Provider.objects.update(name="changed"),
        "delete": base.delete,
        "queryset delete": lambda: Provider.objects.all().delete(),
        "bulk_create": lambda: Provider.objects.bulk_create([provider("q")]),
    }
    with pytest.raises(Undone):
        writes[kind]()
    assert list(Provider.objects.values_list("slug", "name")) == [("p", "p")]


def planted(base: Provider, **fields: Any) -> Credential:
    credential = Credential(provider=base, **fields)
    credential.set_secret("sk-planted-0123456789abcdefghij", {"X-Planted": "1"})
    return credential


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["https://api.openai.com.evil.example/v1", "http://api.openai.com/v1", "https://api.openai.com:8443/v1"]
)
def test_another_origin_clears_all_keys_of_the_provider(url: str, alice: Any) -> None:
    base = provider()
    base.save()
    rows = [planted(base), planted(base, owner=alice)]
    base.base_url = url
    told = notes(base.save)
    assert set(noted(base, *rows)) <= set(told)
    with secrets_of(MAINTENANCE):
        assert not CredentialSecret.objects.exists()
    for row in Credential.objects.all():
        assert (row.state, row.last_four, row.fingerprint, row.header_names) == ("missing", "", "", [])
        assert row.origin == base.origin
        assert "https://api.openai.com:443" in row.last_error


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["https://api.openai.com/v2", "https://API.openai.com:443/v1"])
def test_another_path_of_the_same_origin_keeps_the_keys(url: str) -> None:
    base = provider()
    base.save()
    credential = planted(base)
    base.base_url = url
    base.save(update_fields=["base_url", "updated_at"])
    assert Credential.objects.get(pk=credential.pk).reveal(None).api_key


@pytest.mark.django_db(transaction=True)
def test_the_address_does_not_change_when_the_keys_can_not_be_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    base = provider()
    base.save()
    planted(base)

    def fail(*_: Any) -> None:
        raise Undone

    monkeypatch.setattr(Credential, "clear_secret", fail)
    base.base_url = "https://elsewhere.example/v1"
    with pytest.raises(Undone):
        base.save()
    assert Provider.objects.get().base_url == URL


@pytest.mark.django_db(transaction=True)
def test_who_has_seen_a_number_has_seen_all_below() -> None:
    """Two writers on PostgreSQL: the second gets its number only when the first has committed."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    base = provider()
    base.save()
    first_wrote, second_done = threading.Event(), threading.Event()
    let_first_go = threading.Event()
    failures: queue.Queue[BaseException] = queue.Queue()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.put(error)
        finally:
            connections.close_all()

    def first() -> None:
        with transaction.atomic():
            provider("first").save()
            first_wrote.set()
            assert let_first_go.wait(30)

    def second() -> None:
        assert first_wrote.wait(30)
        provider("second").save()
        second_done.set()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (first, second)]
    for thread in threads:
        thread.start()
    try:
        assert first_wrote.wait(30)
        while not waiting_for_the_lock():
            assert not second_done.is_set(), "the second writer passed the first"
            assert failures.empty()
        assert RegistryChange.objects.count() == 1
    finally:
        let_first_go.set()
        for thread in threads:
            thread.join(30)
    assert failures.empty(), failures.get()
    slugs = {row.pk: row.slug for row in Provider.objects.all()}
    ordered = [slugs[row] for row in RegistryChange.objects.order_by("sequence").values_list("row", flat=True)]
    assert ordered == ["p", "first", "second"]


def waiting_for_the_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])
