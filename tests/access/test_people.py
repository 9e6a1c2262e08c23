"""Tokens and users in memory: read once, gone when the change log says so."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError

from registry.access import people as people_module
from registry.access.people import UNKNOWN_S, People
from registry.catalog.snapshot import Snapshot
from registry.models import AccessToken, LLMModel, Provider, User, UserSettings

pytestmark = pytest.mark.django_db


@pytest.fixture
def held() -> tuple[Snapshot, People]:
    """A worker's own snapshot and people, loaded."""
    snapshot, people = Snapshot(), People()
    snapshot.listeners.append(people.note_changes)
    snapshot.refresh()
    return snapshot, people


Held = tuple[Snapshot, People]


def mint(owner: Any, **fields: Any) -> AccessToken:
    return AccessToken.mint(owner=owner, name="t", **fields)[0]


def test_a_token_seen_once_is_not_read_again(held: Held, alice: Any, django_assert_num_queries: Any) -> None:
    _, people = held
    token = mint(alice, scopes=["chat"], allowed_models=["gpt"], networks=["10.0.0.0/8"])
    found = people.find_token(token.prefix)
    assert found is not None
    assert (found.owner_id, found.digest, found.scopes) == (alice.pk, token.digest, {"chat"})
    assert (found.allowed_models, found.networks) == ({"gpt"}, ("10.0.0.0/8",))
    with django_assert_num_queries(0):
        assert people.find_token(token.prefix) is found
        assert people.tokens[token.prefix] is found
        assert people.find_principal(alice.pk) is people.principals[alice.pk]


def test_an_unknown_token_is_asked_for_once_a_second(
    held: Held, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    _, people = held
    now = [1000.0]
    monkeypatch.setattr(people_module.time, "monotonic", lambda: now[0])
    with django_assert_num_queries(1):
        assert people.find_token("0" * 12) is None
    assert people.is_unknown("0" * 12)
    now[0] += UNKNOWN_S - 0.01
    with django_assert_num_queries(0):
        assert people.find_token("0" * 12) is None
    now[0] += 0.02
    assert not people.is_unknown("0" * 12)
    with django_assert_num_queries(1):
        people.find_token("0" * 12)


def test_unknown_tokens_do_not_fill_the_memory(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    _, people = held
    monkeypatch.setattr(people_module, "_UNKNOWN_LIMIT", 3)
    for number in range(5):
        people.find_token(f"{number:012}")
    assert [people.is_unknown(f"{number:012}") for number in range(5)] == [False, False, True, True, True]


def test_a_token_made_after_it_was_asked_for_works_with_the_next_change(held: Held, alice: Any) -> None:
    snapshot, people = held
    token = mint(alice)
    people._unknown[token.prefix] = people_module.time.monotonic()
    assert people.find_token(token.prefix) is None
    snapshot.refresh()
    assert people.find_token(token.prefix) is not None


def test_a_revocation_arrives_with_the_next_refresh(held: Held, alice: Any) -> None:
    snapshot, people = held
    token, other = mint(alice), mint(alice)
    people.find_token(token.prefix)
    people.find_token(other.prefix)
    AccessToken.objects.get(pk=token.pk).revoke()
    snapshot.refresh()
    assert people.tokens[token.prefix].revoked_at is not None
    assert people.tokens[other.prefix].revoked_at is None


def test_a_revocation_that_met_an_outage_arrives_with_the_refresh_after(
    held: Held, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, people = held
    token = mint(alice)
    people.find_token(token.prefix)
    snapshot.refresh()
    AccessToken.objects.get(pk=token.pk).revoke()

    def fail(row: AccessToken) -> None:
        raise DatabaseError("gone away")

    with monkeypatch.context() as outage:
        outage.setattr(people_module, "token_entry", fail)
        with pytest.raises(DatabaseError):
            snapshot.refresh()
    snapshot.refresh()
    assert people.tokens[token.prefix].revoked_at is not None


@pytest.mark.parametrize("by", ["instance", "queryset"])
def test_a_deleted_users_tokens_are_gone(held: Held, alice: Any, by: str) -> None:
    snapshot, people = held
    token = mint(alice)
    key = alice.pk
    people.find_token(token.prefix)
    snapshot.refresh()
    if by == "instance":
        alice.delete()
    else:
        User.objects.filter(username="alice").delete()
    snapshot.refresh()
    assert token.prefix not in people.tokens and key not in people.principals


def test_a_deleted_token_is_gone(held: Held, alice: Any) -> None:
    snapshot, people = held
    token = mint(alice)
    people.find_token(token.prefix)
    AccessToken.objects.all().delete()
    snapshot.refresh()
    assert people.tokens == {}


@pytest.mark.parametrize("by", ["instance", "queryset"])
def test_an_inactive_owner_is_no_principal(held: Held, alice: Any, by: str) -> None:
    snapshot, people = held
    token = mint(alice)
    people.find_token(token.prefix)
    assert people.find_principal(alice.pk) is not None
    snapshot.refresh()
    if by == "instance":
        alice.is_active = False
        alice.save()
    else:
        User.objects.filter(pk=alice.pk).update(is_active=False)
    snapshot.refresh()
    assert alice.pk not in people.principals
    assert people.find_principal(alice.pk) is None
    User.objects.filter(pk=alice.pk).update(is_active=True)
    snapshot.refresh()
    assert people.find_principal(alice.pk) is not None


def test_an_inactive_owners_token_read_for_the_first_time_has_no_principal(held: Held, alice: Any) -> None:
    _, people = held
    token = mint(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert people.find_token(token.prefix) is not None
    assert people.find_principal(alice.pk) is None


def test_groups_and_settings_of_a_user_arrive_when_saved(held: Held, alice: Any) -> None:
    snapshot, people = held
    first = people.find_principal(alice.pk)
    assert first is not None
    assert (first.group_ids, first.key_policy, first.default_model_id) == (frozenset(), "own_first", None)
    group = Group.objects.create(name="team")
    alice.groups.add(group)
    alice.save()
    model = LLMModel.objects.create(
        provider=Provider.objects.create(slug="p", name="P", adapter="stub"), model_id="m", name="m"
    )
    settings = UserSettings.objects.create(user=alice, default_model=model, key_policy="own_only")
    snapshot.refresh()
    after = people.principals[alice.pk]
    assert (after.group_ids, after.key_policy, after.default_model_id) == ({group.pk}, "own_only", model.pk)
    UserSettings.objects.filter(pk=settings.pk).update(key_policy="shared_only", default_model=None)
    alice.is_superuser = True
    alice.save(update_fields=["is_superuser"])
    snapshot.refresh()
    after = people.principals[alice.pk]
    assert (after.key_policy, after.default_model_id, after.is_admin) == ("shared_only", None, True)


def test_other_tables_cost_no_query(held: Held, alice: Any, django_assert_num_queries: Any) -> None:
    _, people = held
    people.find_token(mint(alice).prefix)
    with django_assert_num_queries(0):
        people.note_changes(frozenset({"registry_llmmodel", "registry_budget"}))


def test_one_who_was_never_seen_is_not_read_by_a_change(held: Held, alice: Any, bob: Any) -> None:
    snapshot, people = held
    mint(alice)
    bob.save()
    snapshot.refresh()
    assert people.tokens == {} and people.principals == {}


def test_an_unknown_user_is_no_principal(held: Held) -> None:
    assert held[1].find_principal(uuid.uuid4()) is None


def test_a_token_as_held_has_nothing_that_proves_it(held: Held, alice: Any) -> None:
    token, plaintext = AccessToken.mint(owner=alice, name="t")
    found = held[1].find_token(token.prefix)
    assert found is not None
    assert plaintext.rpartition("_")[2] not in repr(dataclasses.asdict(found))
