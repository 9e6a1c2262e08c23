"""Keys that sort by time, and the change log's own rules."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.utils import timezone

from registry.models import Provider, RegistryChange
from registry.models.base import uuid7


def test_a_key_holds_its_time_its_version_and_62_random_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 9562, 5.7 and 6.2 method 3: 48 bits of ms, the version, 12 bits of the ms's fraction, the variant, the rest.
    monkeypatch.setattr("registry.models.base.time.time_ns", lambda: 0x0123_4567_89AB * 1_000_000 + 999_999)
    monkeypatch.setattr("registry.models.base.os.urandom", lambda count: b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"[:count])
    made = uuid7()
    assert str(made) == "01234567-89ab-7fff-bfff-bf7f3efebe7e"
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    monkeypatch.setattr("registry.models.base.time.time_ns", lambda: 0x0123_4567_89AB * 1_000_000 + 500_000)
    assert str(uuid7()).startswith("01234567-89ab-7800-")


@pytest.mark.django_db
def test_nothing_written_is_nothing_noted() -> None:
    before = RegistryChange.objects.count()
    RegistryChange.append(Provider, [])
    assert Provider.objects.none().update(name="x") == 0
    assert RegistryChange.objects.count() == before


@pytest.mark.django_db
def test_pruning_takes_the_old_from_the_oldest_on_and_never_the_newest() -> None:
    RegistryChange.objects.all().delete()
    RegistryChange.append(Provider, [uuid.UUID(int=number) for number in range(6)])
    numbers = list(RegistryChange.objects.values_list("sequence", flat=True))
    old = timezone.now() - dt.timedelta(hours=2)
    RegistryChange.objects.exclude(sequence=numbers[4]).update(at=old)
    hour = dt.timedelta(hours=1)
    assert RegistryChange.prune(older_than=dt.timedelta(hours=3)) == 0
    assert RegistryChange.prune(older_than=hour, at_most=2) == 2
    assert list(RegistryChange.objects.values_list("sequence", flat=True)) == numbers[2:]
    assert RegistryChange.reaches_back_to(numbers[2]) and not RegistryChange.reaches_back_to(numbers[1])
    assert RegistryChange.prune(older_than=hour) == 3 - 1 + 0
    assert list(RegistryChange.objects.values_list("sequence", flat=True)) == numbers[4:]
    RegistryChange.objects.all().delete()
    assert RegistryChange.prune(older_than=hour) == 0


@pytest.mark.django_db
def test_shared_rows_are_nobodys(alice: Any) -> None:
    for owner, slug in ((None, "shared"), (alice, "alices")):
        Provider.objects.create(owner=owner, slug=slug, name=slug, adapter="stub")
    assert [row.slug for row in Provider.objects.shared()] == ["shared"]


@pytest.mark.django_db
def test_a_quiet_field_is_stored_and_not_noted() -> None:
    row = Provider.objects.create(slug="p", name="P", adapter="stub")
    noted = RegistryChange.objects.count()
    row.updated_at = timezone.now() - dt.timedelta(days=400)
    stamp = row.updated_at
    row.save(update_fields=["updated_at"])
    assert RegistryChange.objects.count() == noted
    assert Provider.objects.filter(pk=row.pk).update(updated_at=stamp) == 1
    assert RegistryChange.objects.count() == noted
    assert Provider.objects.get(pk=row.pk).updated_at == stamp
