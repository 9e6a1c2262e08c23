"""Clients that call the API as somebody, by session or by token; and one row of every kind for an owner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from registry.models import (
    SCOPES,
    AccessToken,
    Conversation,
    Credential,
    LLMModel,
    Message,
    ModelPrice,
    Preset,
    PresetEntry,
    PromptPack,
    Provider,
    Route,
    RouteEntry,
    UsageAttempt,
    UsageRecord,
)

PLANTED_KEY = "sk-planted-0123456789-ABCDEFGHIJ-xyzw"


class Caller:
    """A JSON client. Answers Django's response; `.json()` reads it."""

    def __init__(self, **headers: str) -> None:
        self.client = Client(headers=headers or None)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.generic(method, path, data, content_type="application/json")

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def patch(self, path: str, body: Any = None) -> Any:
        return self.call("PATCH", path, body)

    def put(self, path: str, body: Any = None) -> Any:
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)


def by_session(user: Any) -> Caller:
    caller = Caller()
    caller.client.force_login(user)
    return caller


def by_token(user: Any, *, scopes: tuple[str, ...] = SCOPES, **fields: Any) -> Caller:
    _, plaintext = AccessToken.mint(owner=user, name="of a test", scopes=list(scopes), **fields)
    return Caller(authorization=f"Bearer {plaintext}")


@pytest.fixture(params=["session", "token"])
def caller_of(request: pytest.FixtureRequest) -> Callable[[Any], Caller]:
    """Both ways of coming in."""
    return by_session if request.param == "session" else by_token


@dataclass(frozen=True, slots=True)
class Rows:
    """One row of every kind."""

    provider: Provider
    credential: Credential
    model: LLMModel
    token: AccessToken
    conversation: Conversation
    message: Message
    preset: Preset
    route: Route
    prompt_pack: PromptPack
    usage: UsageRecord


def make_rows(owner: Any, name: str) -> Rows:
    """One row of every kind that `owner` has; `owner` None makes the global ones, with private ones left to nobody."""
    provider = Provider.objects.create(
        owner=owner,
        slug=f"{name}-provider",
        name=f"{name} provider",
        adapter="openai",
        base_url="https://api.example.com/v1",
    )
    credential = Credential(provider=provider, owner=owner)
    credential.set_secret(PLANTED_KEY, {"X-Secret": PLANTED_KEY})
    model = LLMModel.objects.create(
        provider=provider, owner=owner, model_id="m-1", name=f"{name}-model", tags=["fast", "chat"], tier="economy"
    )
    ModelPrice.objects.create(model=model, input_per_1m="0.15", output_per_1m="0.6")
    preset = Preset.objects.create(owner=owner, slug=f"{name}-preset", name="P", module="chat")
    PresetEntry.objects.create(preset=preset, position=0, model=model)
    route = Route.objects.create(owner=owner, name=f"{name}-route")
    RouteEntry.objects.create(route=route, model=model)
    pack = PromptPack.objects.create(owner=owner, module=f"{name}-module", system_template="Be brief.")
    token, conversation, message = _private_rows(owner, model, name)
    usage: Any = _usage(owner, model, name)
    return Rows(provider, credential, model, token, conversation, message, preset, route, pack, usage)


def _private_rows(owner: Any, model: LLMModel, name: str) -> tuple[Any, ...]:
    if owner is None:
        return None, None, None
    token, _ = AccessToken.mint(owner=owner, name=f"{name}-token")
    conversation = Conversation.objects.create(owner=owner, title=f"{name} talk", llm_model=model)
    message = Message.objects.create(conversation=conversation, role="user", content=f"{name} said", llm_model=model)
    return token, conversation, message


def _usage(owner: Any, model: LLMModel, name: str) -> UsageRecord | None:
    if owner is None:
        return None
    record = UsageRecord.objects.create(
        request_id=f"req_{name}",
        user=owner,
        username=owner.username,
        model=model,
        model_name=model.name,
        provider=model.provider,
        provider_slug=model.provider.slug,
        state="ok",
        input_tokens=10,
        output_tokens=5,
        cost="0.000123",
        cost_status="exact",
        usage_source="provider",
        attempts=1,
        created_at=timezone.now(),
    )
    UsageAttempt.objects.create(record=record, number=1, state="ok", started_at=timezone.now(), input_tokens=10)
    return record
