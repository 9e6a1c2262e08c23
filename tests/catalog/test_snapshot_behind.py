"""A snapshot that fell behind: a listener that failed, more changes than one reading takes, a log that was pruned."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from registry.catalog.snapshot import EVERYTHING, Snapshot
from registry.models import (
    LLMModel,
    RegistryChange,
)
from tests.catalog.rows import loaded, make_model, make_provider, names

pytestmark = pytest.mark.django_db


def test_what_a_listener_could_not_take_in_is_told_again() -> None:
    """A revocation that met a database outage half way is not lost."""
    provider = make_provider()
    snapshot = loaded()
    told: list[frozenset[str]] = []

    def listen(tables: frozenset[str]) -> None:
        told.append(tables)
        if len(told) == 1:
            raise DatabaseError("gone away")

    snapshot.listeners.append(listen)
    provider.save()
    fresh_at = snapshot.fresh_at
    with pytest.raises(DatabaseError):
        snapshot.refresh()
    assert snapshot.fresh_at == fresh_at
    make_model(provider, "m")
    snapshot.refresh()
    assert [("registry_provider" in tables) for tables in told] == [True, True]
    assert "registry_llmmodel" in told[1]
    snapshot.refresh()
    assert len(told) == 2


def test_a_full_load_that_a_listener_missed_is_told_again_as_one() -> None:
    snapshot = Snapshot()
    told: list[frozenset[str]] = []

    def listen(tables: frozenset[str]) -> None:
        told.append(tables)
        if len(told) == 1:
            raise DatabaseError("gone away")

    snapshot.listeners.append(listen)
    with pytest.raises(DatabaseError):
        snapshot.refresh()
    make_provider()
    snapshot.refresh()
    assert told == [EVERYTHING, EVERYTHING]


def test_more_changes_than_fit_one_reading_are_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = make_provider()
    snapshot = loaded()
    LLMModel.objects.bulk_create([LLMModel(provider=provider, model_id=f"m{n}", name=f"m{n:05}") for n in range(5003)])
    snapshot.refresh()
    snapshot.refresh()
    assert len(snapshot.index) == 5003
    provider.enabled = False
    provider.save()
    snapshot.refresh()
    assert names(snapshot) == set()


def test_a_process_that_was_away_for_longer_than_the_log_reaches_loads_everything() -> None:
    provider = make_provider()
    make_model(provider, "kept")
    snapshot = loaded()
    make_model(provider, "missed")
    make_model(provider, "newest")
    RegistryChange.objects.update(at=timezone.now() - dt.timedelta(days=2))
    assert RegistryChange.prune(older_than=dt.timedelta(days=1)) > 0
    assert RegistryChange.objects.count() == 1  # the newest stays, so that whoever is behind can tell
    assert RegistryChange.prune(older_than=dt.timedelta(days=1)) == 0
    snapshot.refresh()
    assert [entry.name for entry in snapshot.alphabetical()] == ["kept", "missed", "newest"]


def test_a_process_that_has_seen_the_pruned_changes_goes_on_from_the_log(django_assert_num_queries: Any) -> None:
    provider = make_provider()
    make_model(provider, "first")
    snapshot = loaded()
    RegistryChange.objects.update(at=timezone.now() - dt.timedelta(days=2))
    RegistryChange.prune(older_than=dt.timedelta(days=1))
    loaded_at = snapshot.loaded_at
    make_model(provider, "second")
    assert snapshot.refresh() and snapshot.loaded_at == loaded_at
    assert [entry.name for entry in snapshot.alphabetical()] == ["first", "second"]
