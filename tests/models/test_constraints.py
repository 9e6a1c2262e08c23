"""What the database itself refuses, whoever writes: API, admin, import or a shell."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.models import (
    PRICE_FIELDS,
    AccessToken,
    Budget,
    BudgetLease,
    Conversation,
    Credential,
    EndpointPolicy,
    Experiment,
    LLMModel,
    Message,
    ModelAccess,
    ModelPrice,
    Preset,
    PresetEntry,
    PromptPack,
    Provider,
    Route,
    RouteEntry,
    UserSettings,
    Vote,
)

pytestmark = pytest.mark.django_db


def refused(make: Any) -> bool:
    try:
        with transaction.atomic():
            make()
    except IntegrityError:
        return True
    return False


def provider(slug: str = "p", **fields: Any) -> Provider:
    return Provider.objects.create(
        **{"slug": slug, "name": slug, "adapter": "openai", "base_url": "https://api.openai.com/v1"} | fields
    )


def model(at: Provider, name: str = "m", **fields: Any) -> LLMModel:
    return LLMModel.objects.create(**{"provider": at, "model_id": name, "name": name} | fields)


# Each row: what to make with an owner; twice for one owner is refused, for others and for everybody it is not.
def per_owner(base: Provider) -> dict[str, Any]:
    return {
        "a provider's slug": lambda owner, n: provider("same", owner=owner),
        "a model's name": lambda owner, n: model(base, "same", model_id=f"id-{n}", owner=owner),
        "a provider's model": lambda owner, n: model(base, f"name-{n}", model_id="same", owner=owner),
        "a credential's label": lambda owner, n: Credential.objects.create(provider=base, label="same", owner=owner),
        "a preset's slug": lambda owner, n: Preset.objects.create(slug="same", name="n", module="chat", owner=owner),
        "a prompt pack's version": lambda owner, n: PromptPack.objects.create(module="same", version=1, owner=owner),
        "a route's name": lambda owner, n: Route.objects.create(name="same", owner=owner),
    }


NOUNS = (
    "a provider's slug",
    "a model's name",
    "a provider's model",
    "a credential's label",
    "a preset's slug",
    "a prompt pack's version",
    "a route's name",
)


@pytest.mark.parametrize("noun", NOUNS)
def test_is_unique_among_the_global_rows_and_among_each_owners(noun: str, alice: Any, bob: Any) -> None:
    make = per_owner(provider("base"))[noun]
    for number, owner in enumerate((None, alice, bob)):
        make(owner, number)
    assert refused(lambda: make(None, 10))
    assert refused(lambda: make(alice, 11))


def test_there_is_one_default_model_and_it_is_global(alice: Any) -> None:
    base = provider()
    model(base, "a", is_default=True)
    assert refused(lambda: model(base, "b", is_default=True))
    assert refused(lambda: model(base, "c", is_default=True, owner=alice))
    model(base, "d", is_default=False)
    model(base, "e", is_default=False)


def test_a_module_has_one_default_preset(alice: Any) -> None:
    def make(slug: str, module: str = "chat", **fields: Any) -> Preset:
        return Preset.objects.create(slug=slug, name=slug, module=module, is_module_default=True, **fields)

    make("a")
    assert refused(lambda: make("b"))
    make("c", module="translate")
    make("d", owner=alice)


@pytest.mark.parametrize("field", PRICE_FIELDS)
def test_a_price_is_not_negative_and_is_a_number(field: str) -> None:
    base = model(provider())
    assert refused(lambda: ModelPrice.objects.create(model=base, **{field: Decimal("-0.000001")}))
    for odd in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises((ValidationError, IntegrityError)), transaction.atomic():
            ModelPrice.objects.create(model=base, **{field: Decimal(odd)})
    assert not ModelPrice.objects.exists()
    ModelPrice.objects.create(model=base, **{field: Decimal(0)})


def test_a_model_has_one_price_at_a_moment() -> None:
    base, now = model(provider()), timezone.now()
    ModelPrice.objects.create(model=base, effective_from=now)
    assert refused(lambda: ModelPrice.objects.create(model=base, effective_from=now))


@pytest.mark.parametrize("fields", [{"fee_percent": Decimal("-0.001")}, {"timeout_s": 0.0}, {"timeout_s": -1.0}])
def test_a_providers_numbers_are_not_negative(fields: dict[str, Any]) -> None:
    assert refused(lambda: provider(**fields))


@pytest.mark.parametrize("field", ["timeout_s", "speed_tps"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_time_or_speed_that_is_no_number_does_not_validate(field: str, value: str) -> None:
    base = provider()
    row = base if field == "timeout_s" else model(base)
    setattr(row, field, float(value))
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert field in caught.value.message_dict


def test_a_budget_has_exactly_one_subject(alice: Any) -> None:
    base = model(provider())
    group = Group.objects.create(name="g")
    token, _ = AccessToken.mint(owner=alice, name="t")
    subjects = {"user": alice, "group": group, "token": token, "model": base}
    assert refused(lambda: Budget.objects.create(amount=1))
    for name, subject in subjects.items():
        Budget.objects.create(amount=1, **{name: subject})
        for other, second in subjects.items():
            if other != name:
                pair = {name: subject, other: second}
                assert refused(lambda pair=pair: Budget.objects.create(amount=1, **pair))
    assert refused(lambda: Budget.objects.create(amount=1, **subjects))


@pytest.mark.parametrize("field", ["amount", "leased"])
def test_a_budgets_sums_are_not_negative(field: str, alice: Any) -> None:
    assert refused(lambda: Budget.objects.create(**{"amount": 1, "user": alice} | {field: Decimal("-0.000000001")}))


def test_a_lease_is_not_negative(alice: Any) -> None:
    budget = Budget.objects.create(amount=1, user=alice)
    now = timezone.now()
    assert refused(
        lambda: BudgetLease.objects.create(budget=budget, holder="w", window_start=now, amount=-1, expires_at=now)
    )


def test_a_groups_rule_names_a_group_and_no_other_does() -> None:
    group = Group.objects.create(name="g")
    assert refused(lambda: EndpointPolicy.objects.create(target="10.0.0.1", audience="group"))
    assert refused(lambda: EndpointPolicy.objects.create(target="10.0.0.1", audience="all", group=group))
    assert refused(lambda: EndpointPolicy.objects.create(target="10.0.0.1", audience="admins", group=group))
    EndpointPolicy.objects.create(target="10.0.0.1", audience="group", group=group)


def test_what_may_stand_once_is_not_stored_twice(alice: Any) -> None:
    base = model(provider())
    group = Group.objects.create(name="g")
    preset = Preset.objects.create(slug="s", name="s", module="chat")
    route = Route.objects.create(name="r")
    conversation = Conversation.objects.create(owner=alice)
    experiment = Experiment.objects.create(owner=alice, conversation=conversation, prompt="?")
    makers = [
        lambda: ModelAccess.objects.create(model=base, group=group),
        lambda: PresetEntry.objects.create(preset=preset, position=1, model=base),
        lambda: RouteEntry.objects.create(route=route, model=base),
        lambda: Message.objects.create(conversation=conversation, role="user", request_id="r1"),
        lambda: Vote.objects.create(experiment=experiment, owner=alice),
        lambda: UserSettings.objects.create(user=alice),
    ]
    for make in makers:
        make()
        assert refused(make)
    Message.objects.create(conversation=conversation, role="user")
    Message.objects.create(conversation=conversation, role="user")


def test_a_group_that_guards_a_model_can_not_be_deleted(alice: Any) -> None:
    """With its last rule gone the model would be open to everybody."""
    base = model(provider())
    group = Group.objects.create(name="g")
    rule = ModelAccess.objects.create(model=base, group=group)
    with pytest.raises(IntegrityError), transaction.atomic():
        group.delete()
    assert not LLMModel.objects.usable_by(alice).exists()
    rule.delete()
    group.delete()


def test_a_personal_providers_model_belongs_to_its_owner(alice: Any, bob: Any) -> None:
    mine = provider(owner=alice)
    for owner in (None, bob):
        with pytest.raises(ValidationError, match="belongs to that provider's owner"):
            LLMModel(provider=mine, model_id="m", name="m", owner=owner).full_clean()
    LLMModel(provider=mine, model_id="m", name="m", owner=alice).full_clean()
    LLMModel(provider=provider("q"), model_id="m", name="m", owner=bob).full_clean()


@pytest.mark.parametrize(
    "value",
    [[], "yes", {"telepathy": {"value": "yes"}}, {"tools": "yes"}, {"tools": {}}, {"tools": {"value": True}}],
)
def test_capabilities_take_known_names_and_three_answers(value: Any) -> None:
    row = LLMModel(provider=provider(), model_id="m", name="m", capabilities=value)
    with pytest.raises(ValidationError):
        row.full_clean()


def test_an_answer_on_a_capability_carries_source_and_date() -> None:
    row = LLMModel(model_id="m", name="m")
    row.set_capability("tools", "yes", source="probe")
    assert (row.capability("tools"), row.capability("vision")) == ("yes", "unknown")
    assert row.capabilities["tools"] == {
        "value": "yes",
        "source": "probe",
        "date": timezone.now().date().isoformat(),
    }


def test_the_price_in_force_is_the_latest_that_has_begun() -> None:
    base, now = model(provider()), timezone.now()
    for days, amount in ((-10, 3), (-1, 2), (1, 1)):
        ModelPrice.objects.create(model=base, effective_from=now + dt.timedelta(days=days), input_per_1m=amount)
    assert base.price_at().input_per_1m == 2  # type: ignore[union-attr]  # None would fail the test
    assert base.price_at(now - dt.timedelta(days=5)).input_per_1m == 3  # type: ignore[union-attr]  # None would fail the test
    assert base.price_at(now - dt.timedelta(days=11)) is None


@pytest.mark.parametrize(
    "headers", [{"Host": "x"}, {"A B": "x"}, {"X": "a\nb"}, {"X": ""}, {"X": "é"}, {"x": "1", "X": "2"}]
)
def test_a_header_that_frames_the_call_is_refused_without_its_value(headers: dict[str, str]) -> None:
    credential = Credential(provider=provider(), label="one")
    with pytest.raises(ValidationError) as caught:
        credential.set_secret("sk-planted-1", headers)
    assert "sk-planted" not in str(caught.value)
    assert not Credential.objects.exists()
