"""Whose key pays for a call, and what is said of those that do not."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from registry.access.principals import Principal
from registry.catalog import targets
from registry.catalog.entries import (
    CredentialEntry,
    ProviderEntry,
)
from registry.routing.resolve import Ask, resolve
from tests.routing.entries import ALICE, BOB, LOCAL, MINE, NOW, PROVIDER, SHARED, codes, entry, hub, names, number, who


def pay(principal: Principal, *keys: CredentialEntry, at: ProviderEntry = PROVIDER) -> tuple[list[Any], list[str]]:
    found = resolve(hub(entry("m", at=at), keys=keys), Ask(model="m"), principal)
    scopes = [(c.credential.id if c.credential else None, c.scope) for c in found.candidates]
    return scopes, [drop.code for drop in found.dropped]


def test_the_policy_says_whose_key_pays() -> None:
    assert pay(who(), MINE, SHARED) == ([("mine", "own")], [])
    assert pay(who(), SHARED) == ([("shared", "shared")], [])
    assert pay(who(key_policy="own_only"), MINE, SHARED) == ([("mine", "own")], [])
    assert pay(who(key_policy="own_only"), SHARED) == ([], ["no_key"])
    assert pay(who(key_policy="shared_only"), MINE, SHARED) == ([("shared", "shared")], [])
    assert pay(who(key_policy="shared_only"), MINE) == ([], ["no_key"])
    assert pay(who()) == ([], ["no_key"])


def test_the_policy_does_not_bar_ones_own_provider() -> None:
    mine = replace(PROVIDER, id=number(77), slug="mine", owner_id=ALICE)
    key = replace(MINE, provider_id=mine.id)
    catalogue = hub(entry("m", at=mine, owner_id=ALICE), keys=(key,))
    found = resolve(catalogue, Ask(model="m"), who(key_policy="shared_only"))
    assert [candidate.scope for candidate in found.candidates] == ["own"]


def test_anothers_key_is_never_used() -> None:
    assert pay(who(user_id=BOB), MINE) == ([], ["no_key"])
    assert pay(who(user_id=None), MINE) == ([], ["no_key"])
    assert pay(who(is_admin=True, user_id="root"), MINE) == ([], ["no_key"])


BROKEN = {
    "expired": {"expires_at": NOW - dt.timedelta(seconds=1)},
    "undecryptable": {"usable": False, "why_not": "its key can't be opened with the present encryption keys"},
    "disabled": {"usable": False, "why_not": "it is disabled"},
}


def broken(key: CredentialEntry, fields: dict[str, Any]) -> CredentialEntry:
    return CredentialEntry(id=key.id, provider_id="p", owner_id=key.owner_id, label=key.label, **fields)


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
def test_a_shared_key_never_stands_in_for_ones_own_in_silence(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1")
    found = resolve(hub(entry("m"), keys=(broken(MINE, fields), SHARED)), Ask(model="m"), who())
    assert (names(found), codes(found)) == ([], [("m", "no_key")])
    assert "'mine'" in found.dropped[0].reason


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("others", [(), (MINE,)])
def test_a_shared_key_that_can_not_be_used_says_so(fields: dict[str, Any], others: Any) -> None:
    assert pay(who(key_policy="shared_only"), broken(SHARED, fields), *others) == ([], ["no_key"])


def test_a_second_own_key_is_tried_after_the_first_and_the_broken_one_is_told() -> None:
    second = CredentialEntry(id="second", provider_id="p", owner_id=ALICE, label="second")
    lost = broken(MINE, BROKEN["expired"])
    assert pay(who(), lost, second, SHARED) == ([("second", "own")], ["no_key"])
    keys, dropped = pay(who(), MINE, second, SHARED)
    assert (sorted(keys), dropped) == ([("mine", "own"), ("second", "own")], [])  # in any order: they share the calls


def test_a_key_that_expires_later_is_used() -> None:
    soon = broken(SHARED, {"expires_at": NOW + dt.timedelta(hours=1)})
    assert pay(who(), soon) == ([("shared", "shared")], [])


def test_a_provider_without_keys_is_called_without() -> None:
    assert pay(who(), at=LOCAL) == ([(None, "none")], [])
    assert pay(who(key_policy="own_only"), at=LOCAL) == ([(None, "none")], [])


def test_own_only_takes_no_shared_key_even_where_none_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = CredentialEntry(id="shared", provider_id="local", label="shared")
    monkeypatch.setenv("LLMHUB_LLM_LOCAL_API_KEY", "sk-planted-1")
    assert pay(who(key_policy="own_only"), shared, at=LOCAL) == ([(None, "none")], [])
    assert pay(who(), shared, at=LOCAL) == ([("shared", "shared")], [])


def test_the_environments_key_comes_after_the_shared_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1")
    assert pay(who(), SHARED) == ([("shared", "shared")], [])
    assert pay(who()) == ([(None, "environment")], [])
    assert pay(who(key_policy="own_only")) == ([], ["no_key"])


def test_a_stored_key_is_no_candidate_where_the_environment_moved_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMHUB_LLM_P_BASE_URL", "https://canary.example/v1")
    assert pay(who(), MINE, SHARED) == ([], ["no_key"])
    monkeypatch.setenv("LLMHUB_LLM_P_API_KEY", "proxy-key")
    targets.override_for.cache_clear()
    assert pay(who(), SHARED) == ([(None, "environment")], [])


def test_nothing_that_is_answered_holds_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1")
    found = resolve(hub(), Ask(), who())
    assert found.candidates and "sk-planted" not in repr(found) + str(found.as_dict())
