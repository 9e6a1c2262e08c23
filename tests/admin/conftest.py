"""A hub with a row of every kind in it, with secrets planted in all the places that take them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from registry import models as records
from registry.access import audit
from registry.vault.row_security import MAINTENANCE, secrets_of

PLANTED = "PLANTED-7f3a9c"


@dataclass(slots=True)
class Hub:
    """Rows by model; `secrets` are texts that no page may hold."""

    rows: dict[type[Any], Any] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    def keep(self, row: Any) -> Any:
        self.rows[type(row)] = row
        return row


def plant_registry(hub: Hub, admin: Any, group: Group, tail: str) -> None:
    keep = hub.keep
    provider = keep(
        records.Provider.objects.create(
            slug=f"acme{tail}", name=f"Acme{tail}", adapter="openai", base_url="https://api.acme.test/v1"
        )
    )
    model = keep(
        records.LLMModel.objects.create(
            provider=provider,
            model_id=f"acme-large{tail}",
            name=f"acme-large{tail}",
            capabilities={"tools": {"value": "yes", "source": "template", "date": "2026-11-20"}},
            tags=["fast"],
        )
    )
    keep(records.ModelPrice.objects.create(model=model, input_per_1m=Decimal("1.5"), output_per_1m=Decimal("6")))
    keep(records.ModelAccess.objects.create(model=model, group=group))
    closed = records.Provider.objects.create(slug=f"closed{tail}", name=f"Closed{tail}", adapter="stub")
    keep(records.ProviderAccess.objects.create(provider=closed, group=group))
    keep(records.Invitation.make(invited_by=None, note="somebody", rank="user", life=dt.timedelta(days=1))[0])
    preset = keep(records.Preset.objects.create(slug=f"translate{tail}", name=f"Translate{tail}", module="translate"))
    keep(records.PresetEntry.objects.create(preset=preset, position=1, model=model))
    keep(records.PromptPack.objects.create(module=f"translate{tail}", system_template="You translate."))
    route = keep(records.Route.objects.create(name=f"smart{tail}"))
    keep(records.RouteEntry.objects.create(route=route, model=model))
    budget = keep(records.Budget.objects.create(user=admin, amount=Decimal("5")))
    keep(
        records.BudgetLease.objects.create(
            budget=budget, holder="worker-1", window_start=timezone.now(), amount=1, expires_at=timezone.now()
        )
    )
    keep(records.RateLimit.objects.create(model=model, requests_per_minute=60))
    keep(records.EndpointPolicy.objects.create(target="10.0.0.0/8", note=f"lab{tail}"))
    keep(
        records.RuntimeRegistration.objects.create(
            slug=f"desk{tail}",
            provider="acme",
            label=f"Desk{tail}",
            modes=[],
            expires_at=timezone.now() + dt.timedelta(1),
        )
    )
    run = keep(records.DiscoveryRun.objects.create(provider=provider, source="list", state="done"))
    keep(records.DiscoveryChange.objects.create(run=run, kind="new", upstream_id=f"acme-new{tail}", model=model))
    keep(records.HealthCheck.objects.create(provider=provider, checked_at=timezone.now(), ok=True, latency_ms=12))
    credential = keep(records.Credential(provider=provider, label=f"default{tail}"))
    credential.set_secret(f"sk-{PLANTED}-key{tail}-0001", {"X-Extra": f"{PLANTED}-header{tail}"})
    hub.secrets.append(f"{PLANTED}-")
    with secrets_of(MAINTENANCE):
        hub.secrets.append(records.CredentialSecret.objects.get(credential=credential).ciphertext[-30:])


def plant_people(hub: Hub, admin: Any, tail: str) -> None:
    keep = hub.keep
    model = hub.rows[records.LLMModel]
    token, plaintext = records.AccessToken.mint(owner=admin, name=f"laptop{tail}")
    keep(token)
    hub.secrets += [plaintext, token.digest]
    conversation = keep(records.Conversation.objects.create(owner=admin, title=f"Mine{tail}", llm_model=model))
    experiment = keep(records.Experiment.objects.create(owner=admin, conversation=conversation, prompt=f"Say{tail}"))
    message = keep(records.Message.objects.create(conversation=conversation, role="assistant", content=f"Said{tail}"))
    keep(records.Vote.objects.create(experiment=experiment, owner=admin, winner=message))
    usage = keep(
        records.UsageRecord.objects.create(
            request_id=f"req-{tail or 0}",
            user=admin,
            username="admin",
            model=model,
            model_name=model.name,
            provider_slug="acme",
            state="ok",
            cost=Decimal("0.01"),
            created_at=timezone.now(),
        )
    )
    keep(records.UsageAttempt.objects.create(record=usage, number=1, state="ok", started_at=timezone.now()))
    keep(
        records.UsageRollup.objects.create(
            hour=timezone.now().replace(minute=0, second=0, microsecond=0),
            username="admin",
            model_name=model.name,
            calls=7,
            errors=2,
            cost=Decimal("0.25"),
            digest=f"d{tail}",
        )
    )
    midnight = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    keep(records.UsageSlice.objects.create(
        kind="day", at=midnight, calls=7, errors=2, cost=Decimal("0.25"), digest=f"d{tail}",
    ))  # fmt: skip
    keep(records.UsageDay.objects.create(day=timezone.now(), username="admin", calls=7, digest=f"d{tail}"))
    keep(audit.record(admin, "create", hub.rows[records.Provider], after={}))
    keep(records.RegistryChange.objects.order_by("pk").first())


@pytest.fixture
def group(db: None) -> Group:
    return Group.objects.create(name="translators")


@pytest.fixture
def hub(admin: Any, group: Group) -> Hub:
    made = Hub()
    made.keep(admin)
    made.keep(group)
    made.keep(records.UserSettings.objects.create(user=admin))
    plant_registry(made, admin, group, "")
    plant_people(made, admin, "")
    return made


@pytest.fixture
def site(admin: Any) -> Client:
    """A browser with the administrator signed in."""
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def stub(db: None) -> records.LLMModel:
    provider = records.Provider.objects.create(slug="stub", name="Stub", adapter="stub", auth_type="none")
    return records.LLMModel.objects.create(
        provider=provider, model_id="stub", name="stub-echo", is_default=True, tier="local"
    )
