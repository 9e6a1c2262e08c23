"""The first page's list of what to look at, and the steps of setting up."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from registry.admin.attention import matters
from registry.catalog.first_steps import first_steps
from registry.models import AccessToken, Budget, Credential, LLMModel, Provider, UsageRecord, User

pytestmark = pytest.mark.django_db


def test_an_empty_hub_has_all_steps_to_go_and_a_used_one_none(client: Any) -> None:
    admin = User.objects.create_superuser("root", "root@example.test", "x")
    assert [step.done for step in first_steps()] == [False] * 6 and matters() == []
    client.force_login(admin)
    text = client.get("/admin/").content.decode()
    assert "Set the hub up" in text and "Nothing: no key ends soon" in text
    provider = Provider.objects.create(slug="o", name="Ollama", adapter="ollama", auth_type="none")
    LLMModel.objects.create(provider=provider, model_id="m", name="m", is_default=True)
    UsageRecord.objects.create(request_id="r", created_at=timezone.now(), state="ok")
    User.objects.create_user("colleague")
    AccessToken.mint(owner=admin, name="job")
    assert first_steps() == []
    assert "Set the hub up" not in client.get("/admin/").content.decode()


def test_keys_models_errors_and_budgets_that_need_somebody_are_named() -> None:
    now, day = timezone.now(), dt.timedelta(days=1)
    provider = Provider.objects.create(slug="openai", name="OpenAI", adapter="openai")
    for label, ends in (("a", now - day), ("b", now + day), ("c", now + 60 * day)):
        Credential.objects.create(provider=provider, label=label, expires_at=ends)
    LLMModel.objects.create(provider=provider, model_id="g", name="gone", vanished_at=now)
    LLMModel.objects.create(provider=provider, model_id="s", name="sunset", retires_on=(now + 5 * day).date())
    LLMModel.objects.create(provider=provider, model_id="l", name="lasting", retires_on=(now + 500 * day).date())
    for number in range(2):
        UsageRecord.objects.create(
            request_id=str(number), created_at=now, state="error", error_code="upstream_timeout", provider_slug="openai"
        )
    user = User.objects.create_user("spender")
    for spent in ("9.5", "1"):
        Budget.objects.create(user=user, window="total", amount=Decimal(10), spent=Decimal(spent)).refresh_from_db()
    Budget.objects.update(window_start=None)
    texts = [matter.text for matter in matters(now)]
    assert sum("shared key of OpenAI end" in text for text in texts) == 2
    assert "1 model is no longer listed by its provider." in texts
    assert any("sunset retires" in text for text in texts) and not any("lasting" in text for text in texts)
    assert "2 calls failed since yesterday at openai: upstream_timeout." in texts
    assert [matter.grave for matter in matters(now)][:2] == [True, True]
