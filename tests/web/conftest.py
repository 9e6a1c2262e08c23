"""Rows that the pages show: a stub that answers, a provider with keys, planted secrets to look for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from registry.access.rates import shared_rates
from registry.models import Conversation, Credential, LLMModel, Message, ModelPrice, Provider

PLANTED = "sk-planted-0123456789-never-shown-QRST"


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()
    shared_rates.cache_clear()
    shared_rates().clear()


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def stub(db: None) -> LLMModel:
    """The keyless model that everybody may call, and the hub's default."""
    provider = Provider.objects.create(slug="stub", name="Stub", adapter="stub", auth_type="none", template="stub")
    return LLMModel.objects.create(provider=provider, model_id="stub", name="stub", is_default=True)


@pytest.fixture
def openai(db: None) -> Provider:
    """A provider of the hub with one model and one price."""
    provider = Provider.objects.create(
        slug="openai", name="OpenAI", adapter="openai", base_url="https://api.openai.com/v1", template="openai"
    )
    model = LLMModel.objects.create(
        provider=provider, model_id="gpt-6-luna", name="gpt-6-luna", tier="economy", tags=["fast"], family="gpt-6",
        capabilities={"tools": {"value": "yes"}, "vision": {"value": "no"}}, context_length=1_050_000,
    )  # fmt: skip
    ModelPrice.objects.create(model=model, input_per_1m=Decimal("0.1"), output_per_1m=Decimal("0.5"))
    return provider


@pytest.fixture
def key(alice: Any, openai: Provider) -> Credential:
    """Alice's own key."""
    credential = Credential(provider=openai, owner=alice)
    credential.set_secret(PLANTED)
    return credential


@pytest.fixture
def shared_key(openai: Provider) -> Credential:
    credential = Credential(provider=openai, owner=None, label="shared")
    credential.set_secret(PLANTED)
    return credential


@pytest.fixture
def conversation(alice: Any, stub: LLMModel) -> Conversation:
    row = Conversation.objects.create(owner=alice, title="Alice asks", llm_model=stub, system_prompt="Be brief.")
    question = Message.objects.create(conversation=row, role="user", content="What is a tier?", request_id="req_1")
    Message.objects.create(
        conversation=row, role="assistant", content="A price class.", request_id="req_1", parent=question,
        model_name="stub", finish_reason="stop",
    )  # fmt: skip
    return row
