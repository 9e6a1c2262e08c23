"""Owner, colleague, stranger, anonymous, inactive and admin at every queryset that knows them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import models
from django.utils import timezone

import registry.models as records
from registry.models import (
    AccessToken,
    AuditEvent,
    Budget,
    Conversation,
    Credential,
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    Experiment,
    HealthCheck,
    Invitation,
    LLMModel,
    Message,
    ModelAccess,
    ModelPrice,
    Preset,
    PresetEntry,
    PromptPack,
    Provider,
    ProviderAccess,
    RateLimit,
    Route,
    RouteEntry,
    RuntimeRegistration,
    UsageAttempt,
    UsageDay,
    UsageRecord,
    UsageRollup,
    UsageSlice,
    User,
    UserSettings,
    Vote,
)

pytestmark = pytest.mark.django_db

EVERYBODY = {"alice", "bob", "charlie", "admin"}
# model: who sees alice's row, who may change it; then the same for the row of nobody (None: there can be none).
RULES: dict[type[models.Model], tuple[set[str], set[str], tuple[set[str], set[str]] | None]] = {
    Provider: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    Credential: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    LLMModel: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    ModelPrice: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    ProviderAccess: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    ModelAccess: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    Preset: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    PresetEntry: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    PromptPack: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    Route: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    RouteEntry: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    RuntimeRegistration: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    DiscoveryRun: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    DiscoveryChange: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    HealthCheck: ({"alice"}, {"alice"}, (EVERYBODY, {"admin"})),
    AccessToken: ({"alice"}, {"alice"}, None),
    UserSettings: ({"alice"}, {"alice"}, None),
    Conversation: ({"alice"}, {"alice"}, None),
    Message: ({"alice"}, {"alice"}, None),
    Experiment: ({"alice"}, {"alice"}, None),
    Vote: ({"alice"}, {"alice"}, None),
    Budget: ({"alice", "admin"}, {"admin"}, ({"admin"}, {"admin"})),
    RateLimit: ({"alice", "admin"}, {"admin"}, ({"admin"}, {"admin"})),
    UsageRecord: ({"alice", "admin"}, set(), ({"admin"}, set())),
    UsageAttempt: ({"alice", "admin"}, set(), ({"admin"}, set())),
    UsageRollup: ({"alice", "admin"}, set(), ({"admin"}, set())),
    UsageDay: ({"alice", "admin"}, set(), ({"admin"}, set())),
    UsageSlice: ({"admin"}, set(), ({"admin"}, set())),
    AuditEvent: ({"alice", "admin"}, set(), ({"admin"}, set())),
    Invitation: ({"admin"}, {"admin"}, ({"admin"}, {"admin"})),
    EndpointPolicy: ({"admin"}, {"admin"}, ({"admin"}, {"admin"})),
}


@pytest.fixture
def people(alice: Any, bob: Any, charlie: Any, admin: Any) -> dict[str, Any]:
    Group.objects.create(name="team").user_set.add(alice, bob)
    gone = User.objects.create_user("gone", is_active=False)
    fired = User.objects.create_superuser("fired", is_active=False)
    return {
        "alice": alice,
        "bob": bob,
        "charlie": charlie,
        "admin": admin,
        "anonymous": AnonymousUser(),
        "inactive": gone,
        "inactive admin": fired,
    }


def make(kind: type[models.Model], owner: Any) -> models.Model:
    """One row of `kind` that is `owner`'s, or nobody's."""
    now = timezone.now()

    def provider() -> Provider:
        return Provider.objects.create(slug="p", name="P", adapter="stub", owner=owner)

    def model() -> LLMModel:
        return LLMModel.objects.create(provider=provider(), model_id="m", name="m", owner=owner)

    def run() -> DiscoveryRun:
        return DiscoveryRun.objects.create(provider=provider() if owner else None, source="s")

    def conversation() -> Conversation:
        return Conversation.objects.create(owner=owner)

    def experiment() -> Experiment:
        return Experiment.objects.create(owner=owner, conversation=conversation(), prompt="?")

    def record() -> UsageRecord:
        return UsageRecord.objects.create(request_id="r", user=owner, created_at=now)

    def budget() -> Budget:
        group = None if owner else Group.objects.create(name="g")
        return Budget.objects.create(amount=1, user=owner, group=group)

    def rate_limit() -> RateLimit:
        group = None if owner else Group.objects.create(name="g")
        return RateLimit.objects.create(requests_per_minute=1, user=owner, group=group)

    makers: dict[type[models.Model], Any] = {
        Provider: provider,
        LLMModel: model,
        Credential: lambda: Credential.objects.create(provider=provider(), owner=owner),
        ModelPrice: lambda: ModelPrice.objects.create(model=model()),
        ModelAccess: lambda: ModelAccess.objects.create(model=model(), group=Group.objects.create(name="g")),
        ProviderAccess: lambda: provider().access.create(group=Group.objects.create(name="g")),
        Invitation: lambda: Invitation.make(invited_by=owner, note="n", rank="user", life=dt.timedelta(1))[0],
        Preset: lambda: Preset.objects.create(slug="s", name="s", module="chat", owner=owner),
        PresetEntry: lambda: PresetEntry.objects.create(preset=make(Preset, owner), position=1),
        PromptPack: lambda: PromptPack.objects.create(module="chat", owner=owner),
        Route: lambda: Route.objects.create(name="r", owner=owner),
        RouteEntry: lambda: RouteEntry.objects.create(route=make(Route, owner), model=model()),
        RuntimeRegistration: lambda: RuntimeRegistration.objects.create(
            slug="s", provider="p", label="l", owner=owner, expires_at=now
        ),
        HealthCheck: lambda: HealthCheck.objects.create(provider=provider(), checked_at=timezone.now(), ok=True),
        DiscoveryRun: run,
        DiscoveryChange: lambda: DiscoveryChange.objects.create(run=run(), kind="new", upstream_id="m"),
        AccessToken: lambda: AccessToken.mint(owner=owner, name="t")[0],
        UserSettings: lambda: UserSettings.objects.create(user=owner),
        Conversation: conversation,
        Message: lambda: Message.objects.create(conversation=conversation(), role="user"),
        Experiment: experiment,
        Vote: lambda: Vote.objects.create(experiment=experiment(), owner=owner),
        Budget: budget,
        RateLimit: rate_limit,
        UsageRecord: record,
        UsageAttempt: lambda: UsageAttempt.objects.create(record=record(), number=1, started_at=now),
        UsageRollup: lambda: UsageRollup.objects.create(hour=now, user_key=owner and owner.pk, digest="d"),
        UsageDay: lambda: UsageDay.objects.create(day=now, user_key=owner and owner.pk, digest="d"),
        UsageSlice: lambda: UsageSlice.objects.create(kind="day", at=now, digest="d"),
        AuditEvent: lambda: AuditEvent.objects.create(actor=owner, action="change", table="t"),
        EndpointPolicy: lambda: EndpointPolicy.objects.create(target="10.0.0.1"),
    }
    made: models.Model = makers[kind]()
    return made


def who(people: dict[str, Any], kind: Any, method: str, row: models.Model) -> set[str]:
    if not hasattr(kind.objects.all(), method):
        return set()
    return {
        name for name, user in people.items() if getattr(kind.objects.all(), method)(user).filter(pk=row.pk).exists()
    }


def test_every_record_with_a_visibility_rule_is_in_the_matrix() -> None:
    kinds = {getattr(records, name) for name in records.__all__}
    ruled = {kind for kind in kinds if hasattr(kind, "objects") and hasattr(kind.objects.all(), "visible_to")}
    assert ruled == set(RULES)


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_a_persons_row_is_seen_and_changed_by(kind: Any, people: dict[str, Any]) -> None:
    row = make(kind, people["alice"])
    sees, changes, _ = RULES[kind]
    assert who(people, kind, "visible_to", row) == sees
    assert who(people, kind, "editable_by", row) == changes


@pytest.mark.parametrize("kind", [kind for kind in RULES if RULES[kind][2]], ids=lambda kind: kind.__name__)
def test_a_row_of_nobody_is_seen_and_changed_by(kind: Any, people: dict[str, Any]) -> None:
    row = make(kind, None)
    rule = RULES[kind][2]
    assert rule is not None
    assert who(people, kind, "visible_to", row) == rule[0]
    assert who(people, kind, "editable_by", row) == rule[1]


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_who_may_change_a_row_also_sees_it(kind: Any, people: dict[str, Any]) -> None:
    row = make(kind, people["alice"])
    assert who(people, kind, "editable_by", row) <= who(people, kind, "visible_to", row)


def usable(people: dict[str, Any]) -> dict[str, set[str]]:
    return {name: set(LLMModel.objects.usable_by(user).values_list("name", flat=True)) for name, user in people.items()}


def test_usable_models_follow_ownership_groups_and_switches(people: dict[str, Any]) -> None:
    shared = Provider.objects.create(slug="p", name="P", adapter="stub")
    off = Provider.objects.create(slug="off", name="Off", adapter="stub", enabled=False)
    for name, fields in {
        "open": {},
        "disabled": {"enabled": False},
        "at a disabled provider": {"provider": off},
        "alice's": {"owner": people["alice"]},
        "team's": {},
        "others'": {},
    }.items():
        LLMModel.objects.create(**{"provider": shared, "model_id": name, "name": name} | fields)
    other = Group.objects.create(name="other")
    ModelAccess.objects.create(model=LLMModel.objects.get(name="team's"), group=Group.objects.get(name="team"))
    ModelAccess.objects.create(model=LLMModel.objects.get(name="team's"), group=other)
    ModelAccess.objects.create(model=LLMModel.objects.get(name="others'"), group=other)
    found = usable(people)
    assert found["alice"] == {"open", "alice's", "team's"}
    assert found["bob"] == {"open", "team's"}
    assert found["charlie"] == {"open"}
    assert found["admin"] == {"open", "team's", "others'"}
    assert found["anonymous"] == found["inactive"] == found["inactive admin"] == set()


def test_groups_alone_see_what_is_theirs_by_a_rule_of_the_model_or_its_provider(people: dict[str, Any]) -> None:
    team, other = Group.objects.get(name="team"), Group.objects.create(name="other")
    mine, theirs = (Provider.objects.create(slug=slug, name=slug, adapter="stub") for slug in ("mine", "theirs"))
    ProviderAccess.objects.create(provider=mine, group=team)
    ProviderAccess.objects.create(provider=theirs, group=other)
    for provider in (mine, theirs):
        LLMModel.objects.create(provider=provider, model_id="m", name=f"{provider.slug}/m")
    both = LLMModel.objects.create(provider=mine, model_id="b", name="both")
    ModelAccess.objects.create(model=both, group=other)
    assert usable(people)["alice"] == usable(people)["bob"] == {"mine/m"}
    assert usable(people)["charlie"] == set()
    assert usable(people)["admin"] == {"mine/m", "theirs/m", "both"}
    for name, slugs in {"alice": {"mine"}, "charlie": set(), "admin": {"mine", "theirs"}}.items():
        assert set(Provider.objects.visible_to(people[name]).values_list("slug", flat=True)) == slugs


def test_a_manager_sees_the_invitations_that_managers_may_make(people: dict[str, Any]) -> None:
    people["bob"].give_rank("manager")
    for rank in ("viewer", "user", "manager", "admin"):
        Invitation.make(invited_by=people["admin"], note=rank, rank=rank, life=dt.timedelta(1))
    assert {row.rank for row in Invitation.objects.visible_to(people["bob"])} == {"viewer", "user"}
    assert Invitation.objects.visible_to(people["admin"]).count() == 4
