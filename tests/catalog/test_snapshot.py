"""The snapshot follows the change log, table by table, and asks the database for no more than that."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import Group

from registry.catalog import snapshot as snapshot_module
from registry.catalog.entries import LLMTier, Secret
from registry.catalog.snapshot import EVERYTHING, FULL_RELOAD_S, REVEALED_S, Snapshot
from registry.models import (
    Credential,
    EndpointPolicy,
    LLMModel,
    ModelAccess,
    ModelPrice,
    Preset,
    PresetEntry,
    Provider,
    RegistryChange,
    Route,
    RouteEntry,
    User,
)
from registry.vault.keyring import DecryptError, new_key
from tests.catalog.rows import KEY, loaded, make_model, make_provider, names, plant, state, tier

pytestmark = pytest.mark.django_db


def test_the_first_refresh_loads_everything(alice: Any) -> None:
    provider = make_provider()
    model = make_model(provider, "gpt", 2, is_default=True, aliases=["fast"])
    credential = plant(provider)
    preset = Preset.objects.create(slug="translate", name="t", module="translate", is_module_default=True)
    PresetEntry.objects.create(preset=preset, position=1, model=model)
    route = Route.objects.create(name="virtual")
    RouteEntry.objects.create(route=route, model=model)
    EndpointPolicy.objects.create(target="10.0.0.1", audience="all")
    snapshot = Snapshot()
    told: list[frozenset[str]] = []
    snapshot.listeners.append(told.append)
    assert snapshot.age_s == float("inf")
    assert snapshot.refresh()
    assert told == [EVERYTHING]
    assert snapshot.sequence == RegistryChange.objects.order_by("-sequence").values_list("sequence", flat=True).first()
    assert snapshot.age_s < 60
    for name in ("gpt", "fast", "p/gpt"):
        assert [entry.id for entry in snapshot.named(name, None)] == [model.pk]
    assert snapshot.by_id(model.pk) is snapshot.by_id(str(model.pk)) is snapshot.default()
    assert snapshot.by_id("gpt") is None
    assert [entry.id for entry in snapshot.credentials_of(provider.pk)] == [credential.pk]
    for ranked in (snapshot.preset("translate", None), snapshot.preset_of_module("translate")):
        assert ranked is not None and [item.entry_id for item in ranked.entries] == [model.pk]
    found = snapshot.route("virtual", alice.pk)
    assert found is not None and [item.entry_id for item in found.entries] == [model.pk]
    assert len(snapshot.rules.opened) == 1


def test_no_ciphertext_or_key_is_held(alice: Any) -> None:
    provider = make_provider()
    credential = plant(provider)
    ciphertext = credential.secret.ciphertext  # type: ignore[attr-defined]  # the reverse of a one-to-one
    held = repr(vars(loaded()))
    assert KEY not in held and ciphertext not in held


def test_nothing_changed_costs_one_query(django_assert_num_queries: Any) -> None:
    make_model(make_provider(), "m")
    snapshot = loaded()
    told: list[frozenset[str]] = []
    snapshot.listeners.append(told.append)
    with django_assert_num_queries(1):
        assert not snapshot.refresh()
    assert told == []


def test_looking_up_asks_the_database_nothing(django_assert_num_queries: Any, alice: Any) -> None:
    provider = make_provider()
    model = make_model(provider, "m", 1)
    snapshot = loaded()
    with django_assert_num_queries(0):
        assert snapshot.by_id(model.pk) and snapshot.named("m", alice.pk) and tier(snapshot) and names(snapshot, alice)
        assert (
            snapshot.default() is None and snapshot.preset("x", alice.pk) is None and snapshot.route("x", None) is None
        )


def test_a_disabled_providers_models_drop_out_and_come_back() -> None:
    provider = make_provider()
    model = make_model(provider, "m", 1, is_default=True)
    snapshot = loaded()
    for enabled in (False, True):
        Provider.objects.filter(pk=provider.pk).update(enabled=enabled)
        snapshot.refresh()
        assert tier(snapshot) == (["m"] if enabled else [])
        assert (snapshot.default() is not None) == enabled
        entry = snapshot.by_id(model.pk)
        assert entry is not None and entry.is_active == enabled and entry.endpoint is not None
        assert entry.endpoint.enabled == enabled


@pytest.mark.parametrize("by", ["instance", "queryset"])
def test_a_deleted_provider_takes_models_keys_and_secrets_along(by: str) -> None:
    provider, other = make_provider(), make_provider("other")
    model = make_model(provider, "m", 1, is_default=True)
    make_model(other, "n", 1)
    credential = plant(provider)
    snapshot = loaded()
    assert snapshot.reveal(credential.pk, None).api_key == KEY
    if by == "instance":
        provider.delete()
    else:
        Provider.objects.filter(slug="p").delete()
    snapshot.refresh()
    assert tier(snapshot) == ["n"]
    assert snapshot.by_id(model.pk) is None and snapshot.named("m", None) == [] and snapshot.default() is None
    assert set(snapshot.providers) == {other.pk} and not snapshot.credentials
    assert snapshot.revealed(credential.pk, None) is None


def test_a_deleted_user_takes_all_that_was_theirs_along(alice: Any, bob: Any) -> None:
    mine = make_provider(owner=alice)
    make_model(mine, "m", 1, owner=alice)
    shared = make_provider("shared")
    make_model(shared, "at a shared provider", 1, owner=alice)
    make_model(shared, "bob's", 1, owner=bob)
    plant(shared, owner=alice)
    Preset.objects.create(slug="s", name="s", module="chat", owner=alice)
    snapshot = loaded()
    key = alice.pk
    User.objects.filter(username="alice").delete()
    snapshot.refresh()
    assert [entry.name for entry in snapshot.active(key)] == []
    assert state(snapshot) == state(loaded())


def test_a_price_moves_a_model_in_its_tier_and_its_removal_back() -> None:
    provider = make_provider()
    cheap, dear = make_model(provider, "cheap", 1), make_model(provider, "dear", 5)
    make_model(provider, "unpriced")
    snapshot = loaded()
    assert tier(snapshot) == ["cheap", "dear", "unpriced"]
    later = ModelPrice.objects.create(model=cheap, input_per_1m=9)
    snapshot.refresh()
    assert tier(snapshot) == ["dear", "cheap", "unpriced"]
    later.delete()
    snapshot.refresh()
    assert tier(snapshot) == ["cheap", "dear", "unpriced"]
    ModelPrice.objects.filter(model=cheap).delete()
    snapshot.refresh()
    assert tier(snapshot) == ["dear", "cheap", "unpriced"]
    ModelPrice.objects.filter(model=dear).update(input_per_1m=None)
    snapshot.refresh()
    assert tier(snapshot) == ["cheap", "dear", "unpriced"]


def test_a_price_given_to_another_model_leaves_the_first() -> None:
    provider = make_provider()
    one, two = make_model(provider, "one", 1), make_model(provider, "two")
    snapshot = loaded()
    ModelPrice.objects.update(model=two)
    snapshot.refresh()
    assert tier(snapshot) == ["two", "one"]
    assert snapshot.by_id(one.pk).prices == ()  # type: ignore[union-attr]  # None would fail the test


def test_group_rules_come_and_go() -> None:
    model = make_model(make_provider(), "m")
    groups = [Group.objects.create(name=name) for name in ("a", "b")]
    snapshot = loaded()

    def allowed() -> Any:
        snapshot.refresh()
        return snapshot.by_id(model.pk).allowed_group_ids  # type: ignore[union-attr]  # None would fail the test

    assert allowed() is None
    rules = [ModelAccess.objects.create(model=model, group=group) for group in groups]
    assert allowed() == {group.pk for group in groups}
    rules[0].delete()
    assert allowed() == {groups[1].pk}
    ModelAccess.objects.all().delete()
    assert allowed() is None


def test_a_replaced_key_is_opened_anew() -> None:
    credential = plant(make_provider())
    snapshot = loaded()
    assert snapshot.reveal(credential.pk, None).api_key == KEY
    credential.set_secret("sk-replaced-0123456789abcdef")
    assert snapshot.reveal(credential.pk, None).api_key == KEY  # not heard of yet
    snapshot.refresh()
    assert snapshot.revealed(credential.pk, None) is None
    assert snapshot.reveal(credential.pk, None).api_key == "sk-replaced-0123456789abcdef"


def test_a_replaced_key_is_opened_anew_when_a_full_load_swallowed_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = plant(make_provider())
    snapshot = loaded()
    snapshot.reveal(credential.pk, None)
    credential.set_secret("sk-replaced-0123456789abcdef")
    snapshot.loaded_at -= FULL_RELOAD_S + 1
    snapshot.refresh()
    assert snapshot.reveal(credential.pk, None).api_key == "sk-replaced-0123456789abcdef"


def test_a_key_read_before_its_replacement_is_not_kept_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading began first and ends last: what it read must not stay in memory."""
    credential = plant(make_provider())
    snapshot = loaded()
    reveal = Credential.reveal

    def slow(row: Credential, caller: Any) -> Secret:
        secret = reveal(row, caller)
        credential.set_secret("sk-replaced-0123456789abcdef")
        snapshot.refresh()
        return secret

    monkeypatch.setattr(Credential, "reveal", slow)
    snapshot.reveal(credential.pk, None)
    monkeypatch.setattr(Credential, "reveal", reveal)
    assert snapshot.reveal(credential.pk, None).api_key == "sk-replaced-0123456789abcdef"


def test_a_secret_is_kept_five_minutes_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    credential = plant(make_provider())
    snapshot = loaded()
    snapshot.reveal(credential.pk, None)
    with django_assert_num_queries(0):
        assert snapshot.reveal(credential.pk, None).api_key == KEY
    clock = snapshot_module.time.monotonic
    monkeypatch.setattr(snapshot_module.time, "monotonic", lambda: clock() + REVEALED_S)
    assert snapshot.revealed(credential.pk, None) is None
    snapshot.refresh()
    assert not snapshot._revealed


def test_a_key_that_does_not_open_becomes_unusable(settings: Any) -> None:
    credential = plant(make_provider())
    snapshot = loaded()
    settings.LLMHUB_ENCRYPTION_KEYS = new_key()
    with pytest.raises(DecryptError):
        snapshot.reveal(credential.pk, None)
    snapshot.refresh()
    [entry] = snapshot.credentials_of(credential.provider_id)
    assert (entry.usable, entry.why_not) == (False, "its key can't be opened with the present encryption keys")


def test_a_credential_that_is_gone_does_not_open() -> None:
    credential = plant(make_provider())
    snapshot = loaded()
    key, provider = credential.pk, credential.provider_id
    credential.delete()
    with pytest.raises(DecryptError, match="gone"):
        snapshot.reveal(key, None)
    snapshot.refresh()
    assert snapshot.credentials_of(provider) == ()


def test_keys_are_ordered_by_weight_then_label() -> None:
    provider = make_provider()
    for label, weight in (("b", 1), ("a", 1), ("heavy", 5)):
        plant(provider, label=label, weight=weight)
    snapshot = loaded()
    assert [entry.label for entry in snapshot.credentials_of(provider.pk)] == ["heavy", "a", "b"]
    Credential.objects.filter(label="a").update(weight=9)
    snapshot.refresh()
    assert [entry.label for entry in snapshot.credentials_of(provider.pk)] == ["a", "heavy", "b"]


def test_presets_and_routes_follow_their_entries(alice: Any) -> None:
    provider = make_provider()
    one, two = make_model(provider, "one"), make_model(provider, "two")
    preset = Preset.objects.create(slug="s", name="s", module="chat")
    route = Route.objects.create(name="r")
    snapshot = loaded()

    def entries() -> tuple[Any, Any]:
        snapshot.refresh()
        lists = (snapshot.preset("s", None), snapshot.route("r", None))
        preset_names, route_names = (
            None if ranked is None else [item.entry_id for item in ranked.entries] for ranked in lists
        )
        return preset_names, route_names

    assert entries() == ([], [])
    PresetEntry.objects.create(preset=preset, position=2, model=one)
    PresetEntry.objects.create(preset=preset, position=1, model=two)
    RouteEntry.objects.create(route=route, model=one, position=1, is_fallback=True)
    RouteEntry.objects.create(route=route, model=two, position=2)
    assert entries() == ([two.pk, one.pk], [two.pk, one.pk])
    PresetEntry.objects.filter(position=1).delete()
    RouteEntry.objects.filter(is_fallback=True).update(is_fallback=False)
    assert entries() == ([one.pk], [one.pk, two.pk])
    one.delete()
    assert entries() == ([None], [two.pk])
    Preset.objects.update(enabled=False)
    Route.objects.update(name="renamed")
    assert entries() == (None, None)


def test_ones_own_preset_goes_before_everybodys(alice: Any, bob: Any) -> None:
    Preset.objects.create(slug="s", name="global", module="chat")
    mine = Preset.objects.create(slug="s", name="mine", module="chat", owner=alice)
    snapshot = loaded()
    assert snapshot.preset("s", alice.pk).id == mine.pk  # type: ignore[union-attr]  # None would fail the test
    assert snapshot.preset("s", bob.pk).id != mine.pk  # type: ignore[union-attr]  # None would fail the test
    assert snapshot.preset("s", None).id != mine.pk  # type: ignore[union-attr]  # None would fail the test


def test_the_default_changes_with_its_flag() -> None:
    provider = make_provider()
    one, two = make_model(provider, "one", is_default=True), make_model(provider, "two")
    snapshot = loaded()
    assert snapshot.default().id == one.pk  # type: ignore[union-attr]  # None would fail the test
    LLMModel.objects.filter(pk=one.pk).update(is_default=False)
    LLMModel.objects.filter(pk=two.pk).update(is_default=True)
    snapshot.refresh()
    assert snapshot.default().id == two.pk  # type: ignore[union-attr]  # None would fail the test
    LLMModel.objects.filter(pk=two.pk).update(enabled=False)
    snapshot.refresh()
    assert snapshot.default() is None


def test_a_renamed_model_is_found_by_its_new_names_alone() -> None:
    model = make_model(make_provider(), "old", aliases=["old alias"])
    snapshot = loaded()
    LLMModel.objects.filter(pk=model.pk).update(name="new", model_id="new-id", aliases=["alias"])
    snapshot.refresh()
    for name in ("new", "new-id", "p/new-id", "alias"):
        assert [entry.id for entry in snapshot.named(name, None)] == [model.pk]
    for name in ("old", "old alias", "p/old"):
        assert snapshot.named(name, None) == []


@pytest.mark.parametrize("capabilities", [[], {"tools": "yes"}, {"tools": {}}, "yes"])
def test_one_row_that_can_not_be_read_leaves_the_others(capabilities: Any) -> None:
    provider = make_provider()
    make_model(provider, "good")
    bad = make_model(provider, "bad", capabilities=capabilities)
    snapshot = loaded()
    assert names(snapshot) == {"good"}
    LLMModel.objects.filter(pk=bad.pk).update(capabilities={})
    snapshot.refresh()
    assert names(snapshot) == {"good", "bad"}


def test_a_model_that_is_edited_is_never_missing_to_a_reader() -> None:
    """Readers take no lock: while a refresh rebuilds entries, every look-up still finds them."""
    provider = make_provider()
    models = [make_model(provider, f"m{number}", number) for number in range(5)]
    snapshot = loaded()
    entries = [snapshot.by_id(model.pk) for model in models]
    done = threading.Event()
    missed: list[str] = []

    def read() -> None:
        while not done.is_set():
            if len(list(snapshot.index.in_tier(LLMTier.STANDARD, None))) != 5:
                missed.append("tier")
            if snapshot.index.by_id.get(models[0].pk) is None or not snapshot.index.named("m0", None):
                missed.append("name or id")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(3000):
            for entry in entries:
                assert entry is not None
                snapshot.index.put(entry)
    except BaseException:
        missed.append("the writer failed")
        raise
    finally:
        done.set()
        reader.join(30)
    assert missed == []
