"""After any sequence of writes, what was applied change by change equals what a full load gives."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.catalog.snapshot import Snapshot
from registry.models import (
    Credential,
    EndpointPolicy,
    LLMModel,
    ModelAccess,
    ModelPrice,
    Preset,
    PresetEntry,
    Provider,
    Route,
    RouteEntry,
    User,
)
from tests.catalog.rows import state

STEPS = 200
KINDS: tuple[Any, ...] = (
    Provider,
    LLMModel,
    ModelPrice,
    ModelAccess,
    Credential,
    Preset,
    PresetEntry,
    Route,
    RouteEntry,
    EndpointPolicy,
)


class Writer:
    """Makes random rows, edits and deletions; names grow by a counter so that runs of one seed are the same."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.count = 0

    def any(self, kind: Any) -> Any:
        rows = list(kind.objects.order_by("pk"))
        return self.dice.choice(rows) if rows else None

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def make_provider(self) -> None:
        owner = self.dice.choice([None, None, self.any(User)])
        url = f"https://{self.name()}.example/v1"
        Provider.objects.create(slug=self.name(), name="p", adapter="openai", base_url=url, owner=owner)

    def make_model(self) -> None:
        provider = self.any(Provider)
        if provider is None:
            return
        owner = provider.owner or self.dice.choice([None, None, self.any(User)])
        LLMModel.objects.create(
            provider=provider,
            model_id=self.name(),
            name=self.name(),
            owner=owner,
            tier=self.dice.choice(["economy", "standard"]),
            aliases=[self.dice.choice(["fast", "good", "old"])],
        )

    def make_part(self) -> None:
        model, group = self.any(LLMModel), self.any(Group)
        if model is None:
            return
        preset, route, position = self.any(Preset), self.any(Route), self.dice.randrange(50)
        when = timezone.now() - dt.timedelta(minutes=self.dice.randrange(10_000))
        makers: list[Callable[[], Any]] = [
            lambda: ModelPrice.objects.create(model=model, input_per_1m=position, effective_from=when),
            lambda: ModelAccess.objects.create(model=model, group=group),
            lambda: Preset.objects.create(slug=self.name(), name="p", module="chat", owner=model.owner),
            lambda: Route.objects.create(name=self.name(), owner=model.owner),
            lambda: preset and PresetEntry.objects.create(preset=preset, position=position, model=model),
            lambda: route and RouteEntry.objects.create(route=route, position=position, model=model),
            lambda: EndpointPolicy.objects.create(target=f"10.0.0.{position}", audience="all"),
        ]
        self.dice.choice(makers)()

    def make_credential(self) -> None:
        provider = self.any(Provider)
        if provider is not None:
            credential = Credential(provider=provider, label=self.name(), owner=provider.owner)
            credential.set_secret(f"sk-planted-{self.name()}")

    def edit_provider(self) -> None:
        provider = self.any(Provider)
        if provider is not None:
            provider.enabled = self.dice.random() < 0.7
            provider.slug = self.name()
            if self.dice.random() < 0.3:
                provider.base_url = f"https://{self.name()}.example/v1"
            provider.save()

    def edit_model(self) -> None:
        model = self.any(LLMModel)
        if model is None:
            return
        edits: list[dict[str, Any]] = [
            {"name": self.name()},
            {"model_id": self.name(), "aliases": []},
            {"enabled": not model.enabled},
            {"tier": "premium"},
            {"is_default": model.owner_id is None},
            {"is_default": False},
            {"last_used_at": timezone.now()},
        ]
        LLMModel.objects.filter(pk=model.pk).update(**self.dice.choice(edits))

    def edit_part(self) -> None:
        price, credential, preset, entry = (self.any(kind) for kind in (ModelPrice, Credential, Preset, RouteEntry))
        edits: list[Callable[[], Any]] = [
            lambda: price and ModelPrice.objects.filter(pk=price.pk).update(input_per_1m=self.dice.randrange(50)),
            lambda: price and ModelPrice.objects.filter(pk=price.pk).update(model=self.any(LLMModel)),
            lambda: credential and Credential.objects.filter(pk=credential.pk).update(weight=self.dice.randrange(1, 9)),
            lambda: credential and Credential.objects.filter(pk=credential.pk).update(enabled=False),
            lambda: preset and Preset.objects.filter(pk=preset.pk).update(enabled=not preset.enabled),
            lambda: entry and RouteEntry.objects.filter(pk=entry.pk).update(model=self.any(LLMModel)),
        ]
        self.dice.choice(edits)()

    def delete(self) -> None:
        row = self.any(self.dice.choice(KINDS))
        if row is not None and self.dice.random() < 0.5:
            row.delete()
        elif row is not None:
            type(row).objects.filter(pk=row.pk).delete()

    def replace_user(self) -> None:
        if self.dice.random() < 0.3:
            user = self.any(User)
            if user is not None:
                user.delete()
            User.objects.create(username=self.name())

    def step(self) -> None:
        makers = [self.make_provider, self.make_model, self.make_model, self.make_part, self.make_part]
        makers += [self.make_credential, self.edit_provider, self.edit_model, self.edit_part, self.delete]
        makers += [self.replace_user]
        try:
            with transaction.atomic():
                self.dice.choice(makers)()
        except IntegrityError:
            pass  # two of a kind by chance: undone, and its notes with it


@pytest.mark.django_db
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_change_by_change_equals_a_full_load(seed: int) -> None:
    for name in ("a", "b"):
        Group.objects.create(name=name)
        User.objects.create(username=name)
    writer, followed = Writer(seed), Snapshot()
    followed.refresh()
    for step in range(STEPS):
        writer.step()
        if writer.dice.random() < 0.6:
            followed.refresh()
            full = Snapshot()
            full.refresh()
            assert state(followed) == state(full), f"seed {seed}, step {step}"
    assert len(followed.index) > 5
