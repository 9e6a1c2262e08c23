"""POST /v1/images/generations under the real server, by OpenAI's own SDK; `client.image` for scripts."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest

from registry import DictRegistry, DynamicLLMClient, LLMEntry
from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    open_loopback,
    rows_at_once,
    usage_of,
)
from tests.gateway.test_chat_completions import KEY
from tests.upstream import Upstream, json_answer

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()
TOKENS = {
    "input_tokens": 50,
    "output_tokens": 4160,
    "total_tokens": 4210,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
}


def made(count: int = 1, *, usage: dict[str, Any] | None = None, **row: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"created": 1_760_000_000, "data": [row or {"b64_json": PNG}] * count}
    return body | ({"usage": usage} if usage else {})


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    """`painter` is priced by the image, `gpt-painter` by tokens, `free-hand` not at all."""
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, KEY)
        make_model(provider, "painter", prices={"per_image": "0.04"})
        make_model(provider, "gpt-painter", prices={"input_per_1m": "5", "image_output_per_1m": "40"})
        make_model(provider, "free-hand")
    return someone


@pytest.fixture
def sdk(hub: Hub, served: Someone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=served.token, max_retries=0, timeout=20) as client:
        yield client


def test_images_with_a_price_each_cost_their_number(sdk: openai.OpenAI, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/images/generations", json_answer(made(2)))
    raw = sdk.images.with_raw_response.generate(
        model="painter", prompt="A red cube", n=2, size="1024x1024", response_format="b64_json", style="vivid"
    )
    answer = raw.parse()
    assert [image.b64_json for image in answer.data or []] == [PNG, PNG]
    assert (answer.created, answer.output_format, answer.usage) == (1_760_000_000, "png", None)
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert upstream.requests[0].json == {
        "model": "up-painter",
        "prompt": "A red cube",
        "n": 2,
        "size": "1024x1024",
        "response_format": "b64_json",
        "style": "vivid",
    }
    row = usage_of(raw.headers["x-request-id"])
    assert (row.operation, row.state, row.cost, row.cost_status) == ("images", "ok", Decimal("0.08"), "exact")
    assert (row.usage_source, row.input_tokens, row.output_tokens) == ("none", None, None)
    assert (row.user, row.cost_image) == (served.user, Decimal("0.08"))
    assert raw.headers["x-llmhub-cost"] == "0.080000000"


@pytest.mark.parametrize(
    ("model", "cost"),
    # 50 x 5e-6 + 4160 x 40e-6; a price an image pays for the tokens too
    [("gpt-painter", Decimal("0.16665")), ("painter", Decimal("0.04")), ("free-hand", None)],
)
def test_images_that_report_tokens(sdk: openai.OpenAI, upstream: Upstream, model: str, cost: Decimal | None) -> None:
    upstream.on("POST", "/v1/images/generations", json_answer(made(usage=TOKENS)))
    raw = sdk.images.with_raw_response.generate(model=model, prompt="A red cube")
    usage = raw.parse().usage
    assert usage is not None and (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (50, 4160, 4210)
    row = usage_of(raw.headers["x-request-id"])
    assert (row.state, row.usage_source, row.cost) == ("ok", "provider", cost)
    assert row.cost_status == ("unpriced" if cost is None else "exact")


def test_a_url_and_a_revised_prompt_are_passed_on_and_an_unknown_price_is_null(
    sdk: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.on(
        "POST", "/v1/images/generations", json_answer(made(url="https://img.example/1", revised_prompt="A cube, red"))
    )
    raw = sdk.images.with_raw_response.generate(model="gpt-painter", prompt="A red cube")
    image = (raw.parse().data or [])[0]
    assert (image.url, image.revised_prompt, image.b64_json) == ("https://img.example/1", "A cube, red", None)
    row = usage_of(raw.headers["x-request-id"])
    assert (row.state, row.cost, row.cost_status) == ("ok", None, "unpriced")


def test_an_upstreams_refusal_is_told_without_its_text_and_costs_nothing(
    sdk: openai.OpenAI, upstream: Upstream
) -> None:
    refused = {
        "error": {"message": f"blocked {KEY}", "type": "image_generation_user_error", "code": "moderation_blocked"}
    }
    upstream.on("POST", "/v1/images/generations", json_answer(refused, status=400))
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(model="painter", prompt="A red cube")
    assert KEY not in str(caught.value)
    row = usage_of(caught.value.response.headers["x-request-id"])
    assert (row.state, row.cost) == ("error", Decimal(0))


def test_gemini_makes_images_through_the_same_route(sdk: openai.OpenAI, upstream: Upstream) -> None:
    google = make_provider(upstream, "google", adapter="gemini", path="/v1beta", auth_type="api_key")
    make_key(google, KEY)
    make_model(google, "imagen", model_id="imagen-4.0-generate-001", prices={"per_image": "0.03"})
    predicted = {"predictions": [{"bytesBase64Encoded": PNG, "mimeType": "image/png"}]}
    upstream.on("POST", "/v1beta/models/imagen-4.0-generate-001:predict", json_answer(predicted))
    raw = sdk.images.with_raw_response.generate(model="imagen", prompt="A red cube")
    assert [image.b64_json for image in raw.parse().data or []] == [PNG]
    assert usage_of(raw.headers["x-request-id"]).cost == Decimal("0.03")


BAD_BODIES: dict[str, tuple[Any, int]] = {
    "no prompt": ({"model": "painter"}, 400),
    "no model": ({"prompt": "x"}, 400),
    "none wanted": ({"model": "painter", "prompt": "x", "n": 0}, 400),
    "streamed": ({"model": "painter", "prompt": "x", "stream": True}, 400),
    "an unknown form": ({"model": "painter", "prompt": "x", "response_format": "bmp"}, 400),
    "a lone surrogate": ({"model": "painter", "prompt": "\ud800"}, 400),
    "a model nobody has": ({"model": "nope", "prompt": "x"}, 404),
}


def test_bad_input_is_a_clear_4xx_in_openais_shape(hub: Hub, upstream: Upstream, served: Someone) -> None:
    with hub.client(served.token) as client:
        for name, (body, status) in BAD_BODIES.items():
            answer = client.post("/v1/images/generations", content=json.dumps(body))
            assert answer.status_code == status, (name, answer.text)
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert client.get("/v1/images/generations").status_code == 405
        assert client.post("/v1/images/edits", json={}).json()["error"]["code"] == "not_found"
    with hub.client() as client:
        assert client.post("/v1/images/generations", json={"model": "painter", "prompt": "a"}).status_code == 401
    assert upstream.requests == []


def test_a_script_makes_an_image_without_a_database(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/images/generations", json_answer(made()))
    entry = LLMEntry(
        id=1, name="mine", provider="openai_compatible", model="m", api_key="k", api_endpoint=upstream.base_url + "/v1"
    )
    client = DynamicLLMClient(DictRegistry([entry]))

    async def run() -> Any:
        return await client.image("A red cube", model="mine", size="512x512")

    result = asyncio.run(run())
    assert result.images[0].media_type == "image/png"
    assert (result.cost.total, result.cost.status) == (None, "unpriced")
    assert upstream.requests[0].json["size"] == "512x512"
