"""docs/adding-a-provider.md followed for a made-up provider: a row and a template, together under forty lines."""

from __future__ import annotations

import inspect
import json
from decimal import Decimal
from typing import Any

import pytest

from adapters.create import codec_for
from adapters.kinds import KINDS, AdapterKind, profile_for
from adapters.profiles import ModelProfile
from adapters.types import ChatRequest, Message, Target, TextPart, WireResponse
from registry.catalog.from_template import create_from_template
from registry.catalog.templates import TEMPLATES, ProviderTemplate, TemplateModel


def acme_row() -> AdapterKind:
    return AdapterKind(
        kind="acme",
        label="Acme AI",
        dialect="openai.chat",
        base_url="https://api.acme.example/v1",
        api_key_env=("ACME_API_KEY",),
        base_url_env=("ACME_BASE_URL",),
        docs_url="https://docs.acme.example/chat",
        profile=ModelProfile(
            supports_image_urls=False,
            reasoning_fields=("thinking",),
            refused_fields=frozenset({"top_k"}),
        ),
    )


def acme_template() -> ProviderTemplate:
    return ProviderTemplate(
        slug="acme",
        kind="acme",
        description="Acme's own API.",
        key_hint="ac-...",
        models=(
            TemplateModel(
                model_id="acme-large",
                tier="premium",
                yes=("chat", "streaming", "tools"),
                context_length=128_000,
                prices={"input_per_1m": Decimal(1), "output_per_1m": Decimal(2)},
            ),
        ),
    )


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "acme", acme_row())
    monkeypatch.setitem(TEMPLATES, "acme", acme_template())


def test_a_row_and_a_template_take_less_than_forty_lines() -> None:
    written = [len(inspect.getsource(part).splitlines()) - 1 for part in (acme_row, acme_template)]
    assert sum(written) + 1 < 40  # and its name in tests/adapters/test_kinds.py


@pytest.mark.usefixtures("acme")
def test_the_row_alone_makes_a_codec_that_keeps_to_its_profile() -> None:
    target = Target(
        kind="acme", base_url=KINDS["acme"].base_url, model="acme-large", api_key="k", profile=profile_for("acme")
    )
    codec = codec_for("acme")
    asked = ChatRequest(messages=(Message(role="user", parts=(TextPart(text="hi"),)),), top_k=3)
    wire = codec.build_request(asked, target, stream=False)
    assert wire.url == "https://api.acme.example/v1/chat/completions"
    assert "top_k" not in json.loads(wire.body) and "top_k" in " ".join(wire.warnings)
    message: dict[str, Any] = {"role": "assistant", "content": "Hello!", "thinking": "hm"}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    answer = codec.parse_response(WireResponse(status=200, headers={}, body=body), target)
    assert answer.text == "Hello!"
    assert [getattr(part, "text", None) for part in answer.parts] == ["hm", "Hello!"]


@pytest.mark.django_db
@pytest.mark.usefixtures("acme")
def test_the_template_makes_a_provider_with_its_model_and_price() -> None:
    provider = create_from_template(TEMPLATES["acme"])
    (model,) = provider.models.all()
    price = model.price_at()
    assert (provider.adapter, provider.base_url) == ("acme", "https://api.acme.example/v1")
    assert price is not None and price.output_per_1m == Decimal(2)
