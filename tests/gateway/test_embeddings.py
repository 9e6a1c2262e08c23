"""POST /v1/embeddings under the real server, with OpenAI's own SDK as the client; `client.embed` for scripts."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
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
from tests.upstream import SeenRequest, Upstream, json_answer

VECTORS = [[0.5, -0.25, 1.0], [0.125, 3.0, -2.0]]  # exact as float32
_NO = {"value": "no", "source": "test", "date": "2026-01-01"}


def embedded(*vectors: Any, usage: dict[str, int] | None = None) -> dict[str, Any]:
    rows = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    body: dict[str, Any] = {"object": "list", "model": "served", "data": rows}
    return body | ({"usage": usage} if usage else {})


USED = {"prompt_tokens": 1000, "total_tokens": 1000}


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, KEY)
        make_model(provider, "embedder", prices={"input_per_1m": "0.02"})
        make_model(provider, "talker", capabilities={"embeddings": _NO})
    return someone


@pytest.fixture
def sdk(hub: Hub, served: Someone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=served.token, max_retries=0, timeout=20) as client:
        yield client


def test_the_openai_sdk_gets_vectors_and_the_row_says_their_cost(
    sdk: openai.OpenAI, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", "/v1/embeddings", json_answer(embedded(*VECTORS, usage=USED), headers={"x-request-id": "up-7"}))
    raw = sdk.embeddings.with_raw_response.create(model="embedder", input=["one", "two"], dimensions=3, user="u1")
    answer = raw.parse()  # the SDK asked for base64 and has decoded it
    assert [row.embedding for row in answer.data] == VECTORS
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("embedder", 1000, 1000)
    seen = upstream.requests[0]
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.json == {"model": "up-embedder", "input": ["one", "two"], "dimensions": 3, "user": "u1"}
    row = usage_of(raw.headers["x-request-id"])
    assert (row.operation, row.state, row.cost) == ("embeddings", "ok", Decimal("0.00002"))
    assert (row.input_tokens, row.output_tokens, row.user) == (1000, None, served.user)
    assert row.tries.get().upstream_request_id == "up-7"
    assert raw.headers["x-llmhub-cost"] == "0.000020000"


def test_base64_is_little_endian_float32_and_float_is_numbers(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream_base64 = base64.b64encode(struct.pack("<3f", *VECTORS[0])).decode()
    upstream.on("POST", "/v1/embeddings", json_answer(embedded(upstream_base64, usage=USED)))
    got = {}
    with hub.client(served.token) as client:
        for encoding in ("base64", "float", None):
            body = {"model": "embedder", "input": "one"} | ({"encoding_format": encoding} if encoding else {})
            got[encoding] = client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    assert struct.unpack("<3f", base64.b64decode(got["base64"])) == tuple(VECTORS[0])
    assert got["float"] == got[None] == VECTORS[0]


@pytest.mark.parametrize(
    ("given", "sent"),
    [("one", ["one"]), ([1, 2, 3], [[1, 2, 3]]), ([[1, 2], [3]], [[1, 2], [3]]), (["a"] * 3, ["a"] * 3)],
)
def test_each_form_of_input_is_sent(sdk: openai.OpenAI, upstream: Upstream, given: Any, sent: Any) -> None:
    upstream.on("POST", "/v1/embeddings", lambda seen: json_answer(embedded(*[[1.0]] * len(seen.json["input"]))))
    answer = sdk.embeddings.create(model="embedder", input=given)
    assert upstream.requests[0].json["input"] == sent
    assert len(answer.data) == len(sent)


def test_unreported_usage_is_estimated_and_says_so(sdk: openai.OpenAI, upstream: Upstream) -> None:
    upstream.on("POST", "/v1/embeddings", json_answer(embedded([1.0])))
    raw = sdk.embeddings.with_raw_response.create(model="embedder", input=[5, 6, 7, 8])
    row = usage_of(raw.headers["x-request-id"])
    assert (row.state, row.usage_source, row.input_tokens, row.output_tokens) == ("ok_estimated", "estimated", 4, None)
    assert (row.cost, row.cost_status) == (Decimal("0.00000008"), "estimated")
    assert raw.parse().usage.prompt_tokens == 4


def test_ollama_embeds_text_and_refuses_token_ids(sdk: openai.OpenAI, upstream: Upstream) -> None:
    local = make_provider(upstream, "local", adapter="ollama", path="", auth_type="none")
    make_model(local, "nomic")
    upstream.on("POST", "/api/embed", json_answer({"model": "nomic", "embeddings": VECTORS, "prompt_eval_count": 9}))
    answer = sdk.embeddings.create(model="nomic", input=["one", "two"])
    assert [row.embedding for row in answer.data] == VECTORS
    assert answer.usage.prompt_tokens == 9
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.embeddings.create(model="nomic", input=[1, 2])
    assert refused.value.code == "unsupported_feature"
    with pytest.raises(openai.BadRequestError, match="colour"):
        sdk.embeddings.create(model="nomic", input="one", extra_body={"colour": "red"})


def test_a_missing_vector_is_an_error_and_never_anothers(sdk: openai.OpenAI, upstream: Upstream) -> None:
    upstream.on("POST", "/v1/embeddings", json_answer(embedded([1.0], usage=USED)))
    with pytest.raises(openai.InternalServerError) as caught:
        sdk.embeddings.create(model="embedder", input=["one", "two"])
    assert caught.value.code == "upstream_protocol_error"


def test_the_next_model_is_tried_and_a_model_that_can_not_embed_is_left_out(
    sdk: openai.OpenAI, upstream: Upstream
) -> None:
    def play(seen: SeenRequest) -> Any:
        if seen.json["model"] == "up-embedder":
            return json_answer({"error": {"message": f"down {KEY}"}}, status=503)
        return json_answer(embedded([1.0], usage=USED))

    from registry.models import Provider

    make_model(Provider.objects.get(slug="loop"), "second")
    upstream.on("POST", "/v1/embeddings", play)
    raw = sdk.embeddings.with_raw_response.create(model="embedder", input="x", extra_body={"models": ["second"]})
    assert (raw.headers["x-llmhub-model"], raw.headers["x-llmhub-attempts"]) == ("second", "2")
    assert usage_of(raw.headers["x-request-id"]).attempts == 2
    with pytest.raises(openai.InternalServerError) as down:
        sdk.embeddings.create(model="embedder", input="x")
    assert KEY not in str(down.value)
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        sdk.embeddings.create(model="talker", input="x")


BAD_BODIES: dict[str, tuple[Any, int]] = {
    "no model": ({"input": "x"}, 400),
    "no input": ({"model": "embedder"}, 400),
    "an empty list": ({"model": "embedder", "input": []}, 400),
    "an empty text": ({"model": "embedder", "input": ["a", ""]}, 400),
    "a mixture": ({"model": "embedder", "input": ["a", 1]}, 400),
    "a list with an empty list": ({"model": "embedder", "input": [[1], []]}, 400),
    "true for a token": ({"model": "embedder", "input": [True]}, 400),
    "2049 inputs": ({"model": "embedder", "input": ["a"] * 2049}, 400),
    "an unknown encoding": ({"model": "embedder", "input": "a", "encoding_format": "hex"}, 400),
    "no dimensions": ({"model": "embedder", "input": "a", "dimensions": 0}, 400),
    "a model nobody has": ({"model": "nope", "input": "a"}, 404),
}


def test_bad_input_is_a_clear_4xx_in_openais_shape(hub: Hub, upstream: Upstream, served: Someone) -> None:
    with hub.client(served.token) as client:
        for name, (body, status) in BAD_BODIES.items():
            answer = client.post("/v1/embeddings", content=json.dumps(body))
            assert answer.status_code == status, (name, answer.text)
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert client.get("/v1/embeddings").status_code == 405
    with hub.client() as client:
        assert client.post("/v1/embeddings", json={"model": "embedder", "input": "a"}).status_code == 401
    assert upstream.requests == []


def test_a_script_embeds_without_a_database(upstream: Upstream) -> None:
    upstream.on("POST", "/v1/embeddings", json_answer(embedded(*VECTORS, usage=USED)))
    entry = LLMEntry(
        id=1,
        name="mine",
        provider="openai_compatible",
        model="m",
        api_key="k",
        api_endpoint=upstream.base_url + "/v1",
        cost_per_1k_input=Decimal("0.001"),
    )
    client = DynamicLLMClient(DictRegistry([entry]))

    async def run() -> Any:
        return await client.embed(["one", "two"], model="mine", dimensions=3)

    result = asyncio.run(run())
    assert result.vectors == tuple(map(tuple, VECTORS))
    assert (result.usage.input_tokens, result.cost.total, result.attempts) == (1000, Decimal("0.001"), 1)
    assert upstream.requests[0].json["dimensions"] == 3
